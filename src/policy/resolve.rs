//! Facts about one workspace in, its policy out, with what became of every binding and key.
//! Total: what is wrong denies and is reported, and never widens or stalls anything else.
//! Must not read a clock or look anything up; all it may know is in [`Facts`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::catalogue::Catalogue;
use super::digest::{ContentId, Digest, Fingerprint};
use super::finding::{Finding, Kind, ObjectId, Reason, Severity};
use super::grant::{Grant, Phase, RoleRef};
use super::key::ApiKey;
use super::model::ModelSet;
use super::name::{Name, NamespacedName};
use super::role::{BrokenRole, Role, effective_roles};
use super::selector::Labels;
use super::subject::{Subject, SubjectId, SubjectRef};
use super::table::{
    AccessRow, GrantRow, IssuerRow, IssuerType, KeyRow, Policy, RoleRow, SubjectRow, WorkspaceRow,
    WorkspaceState,
};
use super::workspace::{Ceiling, IssuerKind, Workspace};

/// Everything that may be known when a workspace is resolved.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The instant it is resolved for.
    pub now: Timestamp,
    /// The Workspace's name.
    pub name: &'a NamespacedName,
    /// Its spec.
    pub workspace: &'a Workspace,
    /// Bindings that refer to it, sorted by name.
    pub grants: &'a [GrantFacts<'a>],
    /// Keys that refer to it, sorted by name.
    pub keys: &'a [KeyFacts<'a>],
    /// Labels of the namespaces that attach.
    pub namespaces: &'a BTreeMap<Name, Labels>,
    /// Client keys by the Secret that holds them.
    pub client_keys: &'a BTreeMap<NamespacedName, ClientKeys>,
    /// Known models.
    pub catalogue: &'a Catalogue,
}

/// A binding.
#[derive(Clone, Copy, Debug)]
pub struct GrantFacts<'a> {
    /// Its name.
    pub name: &'a NamespacedName,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// What it asks for.
    pub grant: &'a Grant,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct KeyFacts<'a> {
    /// Its name.
    pub name: &'a NamespacedName,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// What it asks for.
    pub key: &'a ApiKey,
    /// The version a gateway may use now, if any.
    pub usable: Option<Fingerprint>,
}

/// What is known of a Secret that should hold client keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientKeys {
    /// Digests of all its data keys.
    Known(BTreeSet<Digest>),
    /// Why there are none; one clause.
    Unusable(&'static str),
}

/// What resolving gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// What gateways enforce.
    pub policy: Policy,
    /// Effective roles by name, for status and explanations.
    pub roles: BTreeMap<Name, Role>,
    /// Wanted Console membership: people by role.
    pub console: BTreeMap<Name, BTreeSet<Name>>,
    /// What became of each binding, in the order given.
    pub grants: Vec<GrantOutcome>,
    /// What became of each key, in the order given.
    pub keys: Vec<KeyOutcome>,
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// The next instant at which a grant begins or ends.
    pub next_boundary: Option<Timestamp>,
}

/// What became of a binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantOutcome {
    /// Why the whole of it grants nothing, if so.
    pub refused: Option<Refusal>,
    /// Subjects it cannot grant anything to; the others are granted.
    pub problems: Vec<SubjectProblem>,
    /// How many subjects it reaches.
    pub subjects: usize,
    /// Where it stands in its time; `None` when it is disabled.
    pub phase: Option<Phase>,
}

/// What became of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyOutcome {
    /// Why no gateway may use it, if so.
    pub refused: Option<Refusal>,
    /// Subjects it cannot serve.
    pub problems: Vec<SubjectProblem>,
    /// How many subjects' requests it serves by name.
    pub subjects: usize,
}

/// Why an object may not attach to the workspace.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Missing and not permitted look the same from another namespace.
    #[error(
        "Workspace {0} does not exist or does not admit this namespace; \
         ask its owner for an entry in spec.allowedNamespaces"
    )]
    RefNotPermitted(NamespacedName),
    #[error("role '{0}' does not exist in this Workspace; bind one of: {1}")]
    RoleNotFound(Name, String),
    #[error("this namespace may not bind role '{0}' here; ask the Workspace's owner")]
    RoleNotPermitted(Name),
    #[error("Console roles may only be bound in the Workspace's own namespace")]
    ConsoleRoleNotPermitted,
    #[error(
        "from another namespace than the Workspace's, usedBy may name only ServiceAccounts and \
         client keys of the ApiKeyRef's own namespace; remove {0}"
    )]
    SubjectNotPermitted(String),
}

/// Why one subject gets nothing from a binding or key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SubjectProblem {
    /// The subject, as the command line writes it.
    pub subject: String,
    /// A stable name.
    pub reason: &'static str,
    /// Cause and fix.
    pub message: String,
}

// === impl Refusal ===

impl Refusal {
    /// Its stable name.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::RefNotPermitted(_) => "RefNotPermitted",
            Self::RoleNotFound(..) => "RoleNotFound",
            Self::RoleNotPermitted(_) | Self::ConsoleRoleNotPermitted => "RoleNotPermitted",
            Self::SubjectNotPermitted(_) => "SubjectNotPermitted",
        }
    }
}

/// Resolves one workspace.
pub fn resolve(facts: &Facts<'_>) -> Resolution {
    let (roles, broken) = effective_roles(&facts.workspace.roles);
    let mut resolver = Resolver {
        facts,
        client_key_owners: client_key_owners(facts),
        role_ids: BTreeMap::new(),
        subjects: BTreeMap::new(),
        names: HashMap::new(),
        console: BTreeMap::new(),
        findings: Vec::new(),
        roles,
    };
    resolver.note_broken_roles(&broken);
    let grants: Vec<_> = facts
        .grants
        .iter()
        .map(|grant| resolver.grant(grant))
        .collect();
    let (keys, key_rows, default_key) = resolver.keys();
    let blocked = resolver.blocked();
    resolver.note_subjects_without_key(&key_rows, default_key);
    resolver.note_oversubscription();
    let mut findings = resolver.findings;
    findings.sort();
    findings.dedup();
    let policy = Policy {
        workspace: workspace_row(facts, default_key),
        roles: resolver
            .role_ids
            .into_values()
            .map(|row| (row.id(), row))
            .collect(),
        keys: key_rows,
        blocked,
        subjects: resolver.subjects,
    };
    let next_boundary = facts
        .grants
        .iter()
        .filter(|facts| facts.grant.enabled)
        .filter_map(|grant| grant.grant.window.next_boundary(facts.now))
        .min();
    Resolution {
        policy,
        roles: resolver.roles,
        console: resolver.console,
        grants,
        keys,
        findings,
        next_boundary,
    }
}

struct Resolver<'a> {
    facts: &'a Facts<'a>,
    roles: BTreeMap<Name, Role>,
    /// Rows of the roles that somebody holds.
    role_ids: BTreeMap<Name, RoleRow>,
    subjects: BTreeMap<SubjectId, SubjectRow>,
    /// For messages: the policy itself knows ids only.
    names: HashMap<SubjectId, String>,
    /// The namespace each client key belongs to.
    client_key_owners: HashMap<Digest, Name>,
    console: BTreeMap<Name, BTreeSet<Name>>,
    findings: Vec<Finding>,
}

// === impl Resolver ===

impl<'a> Resolver<'a> {
    fn grant(&mut self, binding: &GrantFacts<'a>) -> GrantOutcome {
        let grant = binding.grant;
        let phase = grant.enabled.then(|| grant.window.phase(self.facts.now));
        let outcome = |refused, problems, subjects| GrantOutcome {
            refused,
            problems,
            subjects,
            phase,
        };
        if phase == Some(Phase::Expired) {
            self.find(
                Severity::Info,
                Reason::ExpiredGrant,
                (Kind::RoleBinding, binding.name),
                "spec.expiresAt",
                "Its time is over and it grants nothing. Delete it, or set a later expiresAt.",
            );
        }
        let Some(ceiling) = self.ceiling(&binding.name.namespace) else {
            let refused = Refusal::RefNotPermitted(grant.workspace.clone());
            return outcome(Some(refused), Vec::new(), 0);
        };
        let role = match &grant.role {
            RoleRef::Console(role) => return self.console_grant(binding, role, &ceiling, phase),
            RoleRef::Application(role) => role,
        };
        let Some(resolved) = self.roles.get(role).cloned() else {
            let known = super::finding::listed(self.roles.keys().cloned());
            return outcome(
                Some(Refusal::RoleNotFound(role.clone(), known)),
                Vec::new(),
                0,
            );
        };
        if !ceiling.may_bind(role) {
            return outcome(Some(Refusal::RoleNotPermitted(role.clone())), Vec::new(), 0);
        }
        let anyone = ceiling.may_bind_to_anyone(role);
        let (subjects, problems) =
            self.subjects_of(&binding.name.namespace, &grant.subjects, anyone);
        if **role == *"admin" && grant.window.expires_at.is_none() {
            self.find(
                Severity::Info,
                Reason::NeverExpiringAdmin,
                (Kind::RoleBinding, binding.name),
                "spec.expiresAt",
                "It grants role admin for ever. Set expiresAt, and renew it when it is still needed.",
            );
        }
        if matches!(phase, Some(Phase::Active | Phase::Pending)) {
            let row = self
                .role_ids
                .entry(role.clone())
                .or_insert_with(|| role_row(&resolved, self.facts.catalogue));
            let row = GrantRow {
                role: row.id(),
                binding: Name::from(binding.name.to_string()),
                not_before: grant.window.not_before,
                expires_at: grant.window.expires_at,
            };
            for subject in &subjects {
                self.give(binding, subject, row.clone());
            }
        }
        outcome(None, problems, subjects.len())
    }

    fn give(&mut self, binding: &GrantFacts<'_>, subject: &Subject, row: GrantRow) {
        let id = subject.id();
        self.names.entry(id).or_insert_with(|| subject.to_string());
        let grants = &mut self.subjects.entry(id).or_default().grants;
        let twin = grants.iter().find(|held| {
            held.role == row.role && held.window() == row.window() && held.binding != row.binding
        });
        if let Some(twin) = twin {
            let message = format!(
                "{subject} already has this role from {}. Remove it from one of the two.",
                twin.binding
            );
            self.findings.push(Finding::new(
                Severity::Info,
                Reason::DuplicateGrant,
                &ObjectId::new(Kind::RoleBinding, binding.name),
                "spec.subjects",
                message,
            ));
        }
        if let Err(place) = grants.binary_search(&row) {
            grants.insert(place, row);
        }
    }

    fn console_grant(
        &mut self,
        binding: &GrantFacts<'_>,
        role: &Name,
        ceiling: &Ceiling<'_>,
        phase: Option<Phase>,
    ) -> GrantOutcome {
        let members = &binding.grant.console_members;
        if !ceiling.is_home() {
            return GrantOutcome {
                refused: Some(Refusal::ConsoleRoleNotPermitted),
                problems: Vec::new(),
                subjects: 0,
                phase,
            };
        }
        if !super::grant::CONSOLE_ROLES.contains(&&**role) {
            let known = super::grant::CONSOLE_ROLES.join(", ");
            let message = format!(
                "Console role '{role}' is not known; it is kept as written. Known ones are: {known}."
            );
            self.find(
                Severity::Warning,
                Reason::UnknownConsoleRole,
                (Kind::RoleBinding, binding.name),
                "spec.roleRef.name",
                &message,
            );
        }
        if phase == Some(Phase::Active) {
            let people = self.console.entry(role.clone()).or_default();
            people.extend(members.iter().cloned());
        }
        GrantOutcome {
            refused: None,
            problems: Vec::new(),
            subjects: members.len(),
            phase,
        }
    }

    /// The subjects that may be named so from `namespace`, and what is wrong with the others.
    fn subjects_of(
        &self,
        namespace: &str,
        named: &[SubjectRef],
        anyone: bool,
    ) -> (Vec<Subject>, Vec<SubjectProblem>) {
        let mut subjects = Vec::with_capacity(named.len());
        let mut problems = Vec::new();
        for subject in named {
            match self.subject(namespace, subject, anyone) {
                Ok(known) => subjects.extend(known),
                Err((reason, message)) => problems.push(SubjectProblem {
                    subject: subject.to_string(),
                    reason,
                    message,
                }),
            }
        }
        (subjects, problems)
    }

    fn subject(
        &self,
        namespace: &str,
        named: &SubjectRef,
        anyone: bool,
    ) -> Result<Vec<Subject>, (&'static str, String)> {
        let not_permitted = || {
            let fix = "name a ServiceAccount or client key of this namespace, or ask the Workspace's owner for subjects: Any";
            Err((
                "SubjectNotPermitted",
                format!("this namespace may not name it here; {fix}"),
            ))
        };
        match named {
            SubjectRef::ClientKeySecret(secret) => match self.facts.client_keys.get(secret) {
                Some(ClientKeys::Known(digests)) => digests
                    .iter()
                    .map(|digest| self.client_key(namespace, *digest))
                    .collect(),
                Some(ClientKeys::Unusable(why)) => {
                    Err(("ClientKeyNotUsable", format!("Secret {secret} {why}")))
                }
                None => Err((
                    "ClientKeyNotUsable",
                    format!("Secret {secret} has not been read yet"),
                )),
            },
            SubjectRef::Known(Subject::ClientKey(digest)) => self
                .client_key(namespace, *digest)
                .map(|subject| vec![subject]),
            SubjectRef::Known(subject @ Subject::ServiceAccount(account)) => {
                if !anyone && *account.namespace != *namespace {
                    return not_permitted();
                }
                let issuers = &self.facts.workspace.issuers;
                let vouched =
                    issuers.is_empty() || issuers.iter().any(|i| i.kind == IssuerKind::Kubernetes);
                if vouched {
                    Ok(vec![subject.clone()])
                } else {
                    let fix = "add one to spec.authentication.issuers of the Workspace";
                    Err((
                        "IssuerNotFound",
                        format!("the Workspace has no issuer of type Kubernetes; {fix}"),
                    ))
                }
            }
            SubjectRef::Known(
                subject @ (Subject::User { issuer, .. } | Subject::Group { issuer, .. }),
            ) => {
                if !anyone {
                    return not_permitted();
                }
                let known = self
                    .facts
                    .workspace
                    .issuers
                    .iter()
                    .find(|known| known.name == *issuer);
                match (known.map(|known| &known.kind), subject) {
                    (
                        Some(IssuerKind::Oidc {
                            groups_claim: None, ..
                        }),
                        Subject::Group { .. },
                    ) => Err((
                        "IssuerNotFound",
                        format!(
                            "issuer '{issuer}' has no groupsClaim, so it vouches for no groups; set one in the Workspace"
                        ),
                    )),
                    (Some(IssuerKind::Oidc { .. }), _) => Ok(vec![subject.clone()]),
                    (Some(IssuerKind::Kubernetes) | None, _) => Err((
                        "IssuerNotFound",
                        format!(
                            "the Workspace has no OIDC issuer '{issuer}'; add it to spec.authentication.issuers"
                        ),
                    )),
                }
            }
        }
    }

    fn client_key(
        &self,
        namespace: &str,
        digest: Digest,
    ) -> Result<Subject, (&'static str, String)> {
        match self.client_key_owners.get(&digest) {
            Some(owner) if **owner != *namespace => Err((
                "ClientKeyInUse",
                "another namespace uses the same client key; make a new one".to_owned(),
            )),
            _ => Ok(Subject::ClientKey(digest)),
        }
    }

    fn keys(
        &mut self,
    ) -> (
        Vec<KeyOutcome>,
        BTreeMap<ContentId, KeyRow>,
        Option<ContentId>,
    ) {
        // The oldest first: whoever was there keeps a subject that two keys name.
        let mut order: Vec<usize> = (0..self.facts.keys.len()).collect();
        order.sort_by_key(|i| (self.facts.keys[*i].created, self.facts.keys[*i].name));
        let mut rows = BTreeMap::new();
        let mut outcomes: Vec<Option<KeyOutcome>> = vec![None; order.len()];
        let mut incumbents: BTreeMap<SubjectId, &NamespacedName> = BTreeMap::new();
        for i in order {
            let facts = &self.facts.keys[i];
            let outcome = match self.key_refused(facts) {
                Some(refused) => KeyOutcome {
                    refused: Some(refused),
                    problems: Vec::new(),
                    subjects: 0,
                },
                None => {
                    let row = key_row(facts);
                    let id = row.id();
                    rows.insert(id, row);
                    let (subjects, problems) =
                        self.subjects_of(&facts.name.namespace, &facts.key.used_by, true);
                    for subject in &subjects {
                        match incumbents.entry(subject.id()) {
                            std::collections::btree_map::Entry::Vacant(free) => {
                                free.insert(facts.name);
                                self.names
                                    .entry(subject.id())
                                    .or_insert_with(|| subject.to_string());
                                self.subjects.entry(subject.id()).or_default().key = Some(id);
                            }
                            std::collections::btree_map::Entry::Occupied(taken) => {
                                self.note_ambiguous(facts.name, subject, taken.get());
                            }
                        }
                    }
                    KeyOutcome {
                        refused: None,
                        problems,
                        subjects: subjects.len(),
                    }
                }
            };
            outcomes[i] = Some(outcome);
        }
        let default = self.facts.workspace.default_api_key_ref.as_ref();
        let default_key = default.and_then(|name| {
            let position = self
                .facts
                .keys
                .iter()
                .position(|facts| facts.name == name)?;
            let permitted = outcomes[position].as_ref()?.refused.is_none();
            permitted.then(|| key_row(&self.facts.keys[position]).id())
        });
        if let (Some(name), None) = (default, default_key) {
            let message = format!(
                "ApiKeyRef {name} is not there or belongs to another Workspace, so subjects that no \
                 key names are denied. Create it, or name another one."
            );
            self.find(
                Severity::Warning,
                Reason::SubjectWithoutKey,
                (Kind::Workspace, self.facts.name),
                "spec.keys.defaultApiKeyRef",
                &message,
            );
        }
        self.note_unused_keys(&outcomes, default_key);
        let outcomes = outcomes.into_iter().flatten().collect();
        (outcomes, rows, default_key)
    }

    fn key_refused(&self, facts: &KeyFacts<'_>) -> Option<Refusal> {
        let may_attach = self
            .ceiling(&facts.name.namespace)
            .is_some_and(|ceiling| ceiling.may_attach_keys());
        if !may_attach {
            return Some(Refusal::RefNotPermitted(facts.key.workspace.clone()));
        }
        if facts.name.namespace == self.facts.name.namespace {
            return None;
        }
        let own = |subject: &&SubjectRef| match subject {
            SubjectRef::Known(Subject::ServiceAccount(account)) => {
                account.namespace == facts.name.namespace
            }
            SubjectRef::Known(Subject::ClientKey(_)) => true,
            SubjectRef::ClientKeySecret(secret) => secret.namespace == facts.name.namespace,
            SubjectRef::Known(Subject::User { .. } | Subject::Group { .. }) => false,
        };
        let foreign = facts.key.used_by.iter().find(|subject| !own(subject))?;
        Some(Refusal::SubjectNotPermitted(foreign.to_string()))
    }

    fn ceiling(&self, namespace: &str) -> Option<Ceiling<'a>> {
        let none = Labels::new();
        let labels = self.facts.namespaces.get(namespace).unwrap_or(&none);
        self.facts
            .workspace
            .ceiling_of(&self.facts.name.namespace, namespace, labels)
    }

    /// A blocked client key is blocked by its digest wherever it is bound.
    fn blocked(&self) -> BTreeSet<SubjectId> {
        let mut ids = BTreeSet::new();
        for subject in &self.facts.workspace.blocked {
            match subject {
                SubjectRef::Known(subject) => {
                    ids.insert(subject.id());
                }
                SubjectRef::ClientKeySecret(secret) => {
                    if let Some(ClientKeys::Known(digests)) = self.facts.client_keys.get(secret) {
                        ids.extend(
                            digests
                                .iter()
                                .map(|digest| Subject::ClientKey(*digest).id()),
                        );
                    }
                }
            }
        }
        ids
    }

    fn find(
        &mut self,
        severity: Severity,
        reason: Reason,
        (kind, name): (Kind, &NamespacedName),
        field: &str,
        message: &str,
    ) {
        let object = ObjectId::new(kind, name);
        self.findings
            .push(Finding::new(severity, reason, &object, field, message));
    }

    fn note_broken_roles(&mut self, broken: &[(Name, BrokenRole)]) {
        for (role, why) in broken {
            let message = format!(
                "Role '{role}' {why}, so it opens nothing. Set what is missing, or apiAccess: None."
            );
            let workspace = (Kind::Workspace, self.facts.name);
            self.find(
                Severity::Error,
                Reason::EmptyRole,
                workspace,
                "spec.roles",
                &message,
            );
        }
    }

    fn note_ambiguous(
        &mut self,
        newcomer: &NamespacedName,
        subject: &Subject,
        incumbent: &NamespacedName,
    ) {
        let whose = if incumbent.namespace == newcomer.namespace {
            format!("ApiKeyRef {incumbent}")
        } else {
            "another ApiKeyRef".to_owned()
        };
        let message = format!(
            "{subject} is named by {whose} too, which keeps it. Remove it from one of the two."
        );
        self.find(
            Severity::Warning,
            Reason::AmbiguousKey,
            (Kind::ApiKeyRef, newcomer),
            "spec.usedBy",
            &message,
        );
    }

    fn note_unused_keys(
        &mut self,
        outcomes: &[Option<KeyOutcome>],
        default_key: Option<ContentId>,
    ) {
        for (facts, outcome) in self.facts.keys.iter().zip(outcomes) {
            let serves = outcome.as_ref().is_some_and(|outcome| outcome.subjects > 0);
            let idle =
                facts.key.target.is_none() && !serves && Some(key_row(facts).id()) != default_key;
            if idle {
                self.find(
                    Severity::Info,
                    Reason::UnusedKey,
                    (Kind::ApiKeyRef, facts.name),
                    "spec.usedBy",
                    "No request is sent with this key and no Secret is made of it. Name who uses it, or delete it.",
                );
            }
        }
    }

    fn note_subjects_without_key(
        &mut self,
        keys: &BTreeMap<ContentId, KeyRow>,
        default_key: Option<ContentId>,
    ) {
        if default_key.is_some() {
            return;
        }
        // A person's or service's groups are only known at the gateway: while any group has a
        // key, nobody can be said to be without one.
        let open = |row: &SubjectRow| {
            row.grants.iter().any(|grant| {
                self.role_ids
                    .values()
                    .any(|role| role.id() == grant.role && role.access.is_some())
            })
        };
        let without: Vec<_> = self
            .subjects
            .iter()
            .filter(|(_, row)| row.key.is_none_or(|id| !keys.contains_key(&id)) && open(row))
            .filter_map(|(id, _)| self.names.get(id).cloned())
            .collect();
        let Some(first) = without.iter().min() else {
            return;
        };
        let message = format!(
            "{} with API access and no key, {first} first, and no default: they are denied unless a \
             group of theirs has a key. Name them in an ApiKeyRef's usedBy, or set spec.keys.defaultApiKeyRef.",
            count(without.len(), "subject"),
        );
        let workspace = (Kind::Workspace, self.facts.name);
        self.find(
            Severity::Warning,
            Reason::SubjectWithoutKey,
            workspace,
            "spec.keys.defaultApiKeyRef",
            &message,
        );
    }

    fn note_oversubscription(&mut self) {
        let Some(ceiling) = self.facts.workspace.ceiling_per_minute() else {
            return;
        };
        let rates: BTreeMap<ContentId, u32> = self
            .role_ids
            .values()
            .filter_map(|role| Some((role.id(), role.access.as_ref()?.requests_per_minute.get())))
            .collect();
        let of_subject = |row: &SubjectRow| {
            row.grants
                .iter()
                .filter_map(|grant| rates.get(&grant.role))
                .copied()
                .max()
                .unwrap_or(0)
        };
        let sum: u64 = self
            .subjects
            .values()
            .map(|row| u64::from(of_subject(row)))
            .sum();
        if sum > u64::from(ceiling.get()) {
            let message = format!(
                "Subjects may send {sum} requests per minute together, the Workspace {ceiling}. \
                 Lower a role's rate, or raise the Workspace's."
            );
            let workspace = (Kind::Workspace, self.facts.name);
            self.find(
                Severity::Warning,
                Reason::Oversubscribed,
                workspace,
                "spec.rateLimits",
                &message,
            );
        }
    }
}

/// Which namespace a client key belongs to: the one whose binding is oldest, then first by
/// name. Nobody takes over a credential by naming it.
fn client_key_owners(facts: &Facts<'_>) -> HashMap<Digest, Name> {
    let mut order: Vec<_> = facts.grants.iter().collect();
    order.sort_by_key(|grant| (grant.created, grant.name));
    let mut owners = HashMap::new();
    for binding in order {
        let mut claim = |digest: &Digest| {
            owners
                .entry(*digest)
                .or_insert_with(|| binding.name.namespace.clone());
        };
        for subject in &binding.grant.subjects {
            match subject {
                SubjectRef::Known(Subject::ClientKey(digest)) => claim(digest),
                SubjectRef::ClientKeySecret(secret) => {
                    if let Some(ClientKeys::Known(digests)) = facts.client_keys.get(secret) {
                        digests.iter().for_each(&mut claim);
                    }
                }
                SubjectRef::Known(
                    Subject::ServiceAccount(_) | Subject::User { .. } | Subject::Group { .. },
                ) => {}
            }
        }
    }
    owners
}

fn role_row(role: &Role, catalogue: &Catalogue) -> RoleRow {
    RoleRow {
        name: role.name.clone(),
        access: role.access.as_ref().map(|access| AccessRow {
            models: catalogue.with_aliases(&access.models),
            max_tokens: access.max_tokens,
            requests_per_minute: access.requests_per_minute,
        }),
    }
}

fn key_row(facts: &KeyFacts<'_>) -> KeyRow {
    KeyRow {
        api_key_ref: Name::from(facts.name.to_string()),
        scope: facts.key.scope,
        fingerprint: facts.usable,
    }
}

fn workspace_row(facts: &Facts<'_>, default_key: Option<ContentId>) -> WorkspaceRow {
    let Facts {
        name,
        workspace,
        catalogue,
        ..
    } = facts;
    let own_audience = || Name::from(format!("anthropic-rbac/{name}"));
    let issuers = if workspace.issuers.is_empty() {
        vec![IssuerRow {
            name: "cluster".into(),
            kind: IssuerType::Kubernetes,
            audiences: vec![own_audience()],
            issuer_url: None,
            user_claim: None,
            groups_claim: None,
        }]
    } else {
        workspace.issuers.iter().map(issuer_row).collect()
    };
    WorkspaceRow {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        environment: workspace.environment.clone(),
        workspace_id: workspace.workspace_id.clone(),
        state: if workspace.enabled {
            WorkspaceState::Enabled
        } else {
            WorkspaceState::Disabled
        },
        models: workspace
            .models
            .as_ref()
            .map(|models: &ModelSet| catalogue.with_aliases(models)),
        requests_per_minute: workspace.ceiling_per_minute(),
        default_max_tokens: workspace.default_max_tokens,
        default_key,
        issuers,
    }
}

fn issuer_row(issuer: &super::workspace::Issuer) -> IssuerRow {
    let (kind, issuer_url, user_claim, groups_claim) = match &issuer.kind {
        IssuerKind::Kubernetes => (IssuerType::Kubernetes, None, None, None),
        IssuerKind::Oidc {
            issuer_url,
            user_claim,
            groups_claim,
            jwks: _,
        } => (
            IssuerType::Oidc,
            Some(issuer_url.clone()),
            Some(user_claim.clone().unwrap_or_else(|| "sub".into())),
            groups_claim.clone(),
        ),
    };
    IssuerRow {
        name: issuer.name.clone(),
        kind,
        audiences: issuer.audiences.clone(),
        issuer_url,
        user_claim,
        groups_claim,
    }
}

/// "1 subject", "2 subjects".
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

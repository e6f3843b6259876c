//! Facts about one workspace in, its policy out, with what became of every binding and key.
//! Total: what is wrong denies and is reported, and never widens or stalls anything else.
//! Must not read a clock or look anything up; all it may know is in [`Facts`].

mod client_keys;
mod grants;
mod keys;
mod models;
mod notes;
mod refusal;
mod rows;
mod subjects;

pub use refusal::{Refusal, SubjectProblem, reason};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::catalogue::Catalogue;
use super::digest::{ContentId, Digest, Fingerprint};
use super::finding::Finding;
use super::grant::{Grant, Phase, Window};
use super::key::ApiKey;
use super::name::{Name, NamespacedName};
use super::role::{Role, effective_roles};
use super::selector::Labels;
use super::subject::{SubjectId, SubjectRef};
use super::table::{Policy, RoleRow, SubjectRow};
use super::workspace::{Ceiling, Workspace};
use client_keys::{client_key_owners, ends_of_rivals};
use rows::workspace_row;

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
    /// Labels of the namespaces that attach, as far as they may be seen.
    pub namespaces: &'a BTreeMap<Name, Labels>,
    /// Client keys by the Secret that holds them.
    pub client_keys: &'a BTreeMap<NamespacedName, ClientKeys>,
    /// Client keys this workspace uses already, by the namespace each belongs to.
    pub client_keys_in_use: &'a BTreeMap<Name, BTreeSet<Fingerprint>>,
    /// Bindings of other workspaces that name the same client keys.
    pub client_key_rivals: &'a [ClientKeyRival],
    /// Ids of blocked client keys as last known, by the Secret's `namespace/name`.
    pub last_blocked: &'a BTreeMap<Name, BTreeSet<SubjectId>>,
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

/// A binding of another workspace that names a client key, and may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientKeyRival {
    /// The client key.
    pub digest: Digest,
    /// The binding.
    pub binding: NamespacedName,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it holds.
    pub window: Window,
    /// Whether that workspace uses the client key already, for the binding's namespace.
    pub in_use: bool,
}

/// What is known of a Secret that should hold client keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientKeys {
    /// Digests of all its data keys.
    Known(BTreeSet<Digest>),
    /// Why there are none: a stable name, and one clause of cause and fix.
    Unusable(&'static str, &'static str),
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
    /// Who the policy's ids stand for, as the resources name them: every subject with a grant or
    /// a key, and every blocked one. The policy itself knows ids only.
    pub names: HashMap<SubjectId, SubjectRef>,
    /// Client keys with a grant, and the namespace each belongs to.
    pub client_keys: BTreeMap<Digest, Name>,
    /// Ids of the client keys that are blocked by naming their Secret, by that Secret.
    pub blocked_client_keys: BTreeMap<NamespacedName, BTreeSet<SubjectId>>,
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// The next instant at which anything here is different though no other fact is: a grant
    /// begins or ends, or there is something new to say of a model.
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

/// Resolves one workspace.
pub fn resolve(facts: &Facts<'_>) -> Resolution {
    let (roles, broken) = effective_roles(&facts.workspace.roles);
    let mut resolver = Resolver {
        facts,
        client_key_owners: client_key_owners(facts),
        role_ids: BTreeMap::new(),
        subjects: HashMap::new(),
        held: HashMap::new(),
        names: HashMap::new(),
        console: BTreeMap::new(),
        client_keys: BTreeMap::new(),
        blocked_client_keys: BTreeMap::new(),
        findings: Vec::new(),
        boundaries: ends_of_rivals(facts),
        roles,
    };
    resolver.note_broken_roles(&broken);
    resolver.note_unseen_labels();
    resolver.note_models();
    let grants: Vec<_> = facts
        .grants
        .iter()
        .map(|grant| resolver.grant(grant))
        .collect();
    let (keys, key_rows, default_key) = resolver.keys();
    let blocked = resolver.blocked();
    resolver.note_roles();
    resolver.note_subjects_without_key(&key_rows, default_key, &blocked);
    resolver.note_oversubscription(&blocked);
    let mut findings = resolver.findings;
    findings.sort();
    findings.dedup();
    let policy = Policy {
        workspace: workspace_row(facts, default_key),
        roles: resolver.role_ids.into_values().collect(),
        keys: key_rows,
        blocked,
        subjects: resolver.subjects,
    };
    let of_grants = facts
        .grants
        .iter()
        .filter(|facts| facts.grant.enabled)
        .filter_map(|grant| grant.grant.window.next_boundary(facts.now));
    let next_boundary = of_grants.chain(resolver.boundaries).min();
    Resolution {
        policy,
        roles: resolver.roles,
        console: resolver.console,
        names: resolver.names,
        client_keys: resolver.client_keys,
        blocked_client_keys: resolver.blocked_client_keys,
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
    role_ids: BTreeMap<Name, (ContentId, RoleRow)>,
    subjects: HashMap<SubjectId, SubjectRow>,
    /// The binding that first gave a subject a role for a time.
    held: HashMap<(SubjectId, ContentId, Window), Name>,
    names: HashMap<SubjectId, SubjectRef>,
    /// The namespace each client key belongs to.
    client_key_owners: HashMap<Digest, Name>,
    console: BTreeMap<Name, BTreeSet<Name>>,
    /// Those of them that have a grant.
    client_keys: BTreeMap<Digest, Name>,
    blocked_client_keys: BTreeMap<NamespacedName, BTreeSet<SubjectId>>,
    findings: Vec<Finding>,
    /// Instants to come at which some finding appears or goes.
    boundaries: Vec<Timestamp>,
}

// === impl Resolver ===

impl<'a> Resolver<'a> {
    fn ceiling(&self, namespace: &str) -> Option<Ceiling<'a>> {
        let labels = self.facts.namespaces.get(namespace);
        self.facts
            .workspace
            .ceiling_of(&self.facts.name.namespace, namespace, labels)
    }
}

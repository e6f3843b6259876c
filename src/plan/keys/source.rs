//! Where a key's value comes from: whether it may attach, which source counts, what is in it.
//! Must not decide where the value goes.

use super::{Settling, Trouble, Value, denied_in};
use crate::api::conditions::reason;
use crate::facts::{SecretLookup, Snapshot, ValueLookup};
use crate::plan::output::KeyHandle;
use crate::policy::key::SecretKey;
use crate::policy::name::Name;
use crate::policy::workspace::Workspace;

impl<'a> Settling<'a> {
    /// Whether the key may attach to the workspace at all.
    pub(super) fn admission(&self) -> Option<Trouble> {
        let home = &self.facts.object.name.namespace;
        let name = &self.snapshot.name;
        let elsewhere = *home != name.namespace;
        let not_permitted = || {
            let message = format!(
                "Workspace {name} does not exist or does not admit ApiKeyRefs of this namespace; ask its \
                 owner for an entry in spec.allowedNamespaces with apiKeyRefs: Allow."
            );
            Some(Trouble::fault(reason::REF_NOT_PERMITTED, message))
        };
        let workspace = match self
            .snapshot
            .workspace
            .as_ref()
            .map(|facts| &facts.object.spec)
        {
            None if elsewhere => return not_permitted(),
            None => {
                let message = format!(
                    "Workspace {name} does not exist. Create it, or correct spec.workspaceRef."
                );
                return Some(Trouble::fault(reason::WORKSPACE_NOT_FOUND, message));
            }
            Some(Err(_)) => {
                let message = format!("Workspace {name} is not accepted; its status says why.");
                return Some(Trouble::fault(reason::INVALID_SPEC, message));
            }
            Some(Ok(workspace)) => workspace,
        };
        if !may_attach(self.snapshot, workspace, home) {
            return not_permitted();
        }
        if !workspace.enabled {
            let message = format!("Workspace {name} is Disabled, so its keys are taken away.");
            return Some(Trouble::wanted(reason::WORKSPACE_DISABLED, message));
        }
        None
    }

    /// A permission that ended, and a wish, take the key away at once. A missing Workspace in
    /// the same namespace is a missing thing: the last good stays, as long as nothing else takes it
    /// away.
    pub(super) fn without_admission(&self, trouble: &Trouble) -> Value {
        let missing =
            trouble.reason == reason::WORKSPACE_NOT_FOUND || trouble.reason == reason::INVALID_SPEC;
        let memory = self.memory();
        let from = memory.map_or(&self.key.source, |memory| &memory.source);
        if missing && self.source_permitted(from) {
            self.last_good(&self.key.source, trouble)
        } else {
            Value::Empty(trouble.clone())
        }
    }

    /// Whether the value was put there for another Workspace than the one referred to now.
    fn was_for_another(&self) -> bool {
        let workspace = self.memory().and_then(|memory| memory.workspace.as_ref());
        workspace.is_some_and(|workspace| *workspace != self.snapshot.name)
    }

    pub(super) fn value_matters(&self) -> bool {
        !self.key.revoked && self.admission().is_none()
    }

    /// The staged successor once it is there and its time has come, else the source. Once it
    /// has taken over it counts as the source: what it held last stays if it goes bad.
    pub(super) fn source(&self) -> (&'a SecretKey, ValueLookup) {
        let next = self.due_next().filter(|next| {
            self.has_taken_over(next) || (self.next_is_good(next) && self.is_as_wide(next))
        });
        let source = next.unwrap_or(&self.key.source);
        (source, self.lookup(source))
    }

    /// Where a value that matters may be.
    pub(super) fn sources(&self) -> impl Iterator<Item = &'a SecretKey> {
        let next = self.due_next();
        let before = next.is_none_or(|next| !self.has_taken_over(next));
        let source = before.then_some(&self.key.source);
        source.into_iter().chain(next)
    }

    fn has_taken_over(&self, next: &SecretKey) -> bool {
        self.memory().is_some_and(|memory| memory.source == *next)
    }

    /// The staged successor, once its time has come.
    fn due_next(&self) -> Option<&'a SecretKey> {
        let next = self.key.next.as_ref()?;
        let due = next.activate_at.is_none_or(|at| at <= self.snapshot.now);
        due.then_some(&next.source)
    }

    fn next_is_good(&self, next: &SecretKey) -> bool {
        let good = matches!(self.lookup(next), ValueLookup::Known(facts)
            if facts.shape.wrong_as_api_key().is_none() && !self.is_revoked(facts.digest));
        good && self.may_be_read(next)
    }

    /// Whether the successor may go wherever the source may: else taking over would deny
    /// requests.
    fn is_as_wide(&self, next: &SecretKey) -> bool {
        let barred = |source| self.gateway_trouble(source, self.secret(source)).is_some();
        !barred(next) || barred(&self.key.source)
    }

    /// What keeps a successor whose time has come from taking over, if that is a fault. One that
    /// is not there yet may be on its way.
    pub(super) fn next_trouble(&self, in_use: &SecretKey) -> Option<Trouble> {
        let next = self.due_next().filter(|next| *next != in_use)?;
        if !self.may_be_read(next) {
            let message = format!(
                "Secret {} in spec.next does not exist or does not permit its use here, so the present version \
                 stays; ask its owner for the annotation anthropic-rbac.io/allow-namespaces.",
                next.secret()
            );
            return Some(Trouble::fault(reason::REF_NOT_PERMITTED, message));
        }
        match self.lookup(next) {
            ValueLookup::Known(facts) => match facts.shape.wrong_as_api_key() {
                Some(wrong) => {
                    let message = format!(
                        "The value in {next} does not take over: {wrong}. Put one API key there, or remove spec.next."
                    );
                    Some(Trouble::fault(reason::INVALID_KEY, message))
                }
                None if self.is_revoked(facts.digest) => None,
                None => self.gateway_trouble(next, self.secret(next)),
            },
            ValueLookup::Denied => Some(denied_in(self.snapshot, &next.namespace)),
            ValueLookup::Missing | ValueLookup::Unread | ValueLookup::NoSecret => None,
        }
    }

    pub(super) fn value(
        &self,
        source: &'a SecretKey,
        lookup: ValueLookup,
    ) -> (Value, Option<Trouble>) {
        if !self.source_permitted(source) {
            let message = format!(
                "Secret {} does not exist or does not permit its use here; ask its owner for the \
                 annotation anthropic-rbac.io/allow-namespaces.",
                source.secret()
            );
            let trouble = Trouble::fault(reason::REF_NOT_PERMITTED, message);
            return (Value::Empty(trouble.clone()), Some(trouble));
        }
        if self
            .secret(source)
            .is_some_and(|secret| secret.output.is_some())
        {
            let message = format!(
                "Secret {} is written by this operator and cannot be a source. Name the Secret the key was put into.",
                source.secret()
            );
            let trouble = Trouble::fault(reason::REF_NOT_PERMITTED, message);
            return (self.last_good(source, &trouble), Some(trouble));
        }
        let trouble = match lookup {
            ValueLookup::Known(facts) => match facts.shape.wrong_as_api_key() {
                None if self.is_revoked(facts.digest) => {
                    let message = format!(
                        "Version {} is revoked and was taken away. Put a new version into {source}.",
                        facts.digest.fingerprint()
                    );
                    let trouble = Trouble::wanted(reason::REVOKED, message);
                    return (Value::Empty(trouble.clone()), Some(trouble));
                }
                None => {
                    let handle = KeyHandle {
                        source: source.clone(),
                        digest: facts.digest,
                    };
                    return (Value::Use(handle), None);
                }
                Some(wrong) => {
                    let message = format!(
                        "The value in {source} is not used: {wrong}. Put one API key there."
                    );
                    Trouble::fault(reason::INVALID_KEY, message)
                }
            },
            ValueLookup::NoSecret => {
                let message = format!(
                    "Secret {} does not exist. Create it, or correct spec.source.",
                    source.secret()
                );
                Trouble::fault(reason::SOURCE_NOT_FOUND, message)
            }
            ValueLookup::Missing => {
                let message = format!(
                    "Secret {} has no data key {}. Add it, or correct spec.source.",
                    source.secret(),
                    source.key
                );
                Trouble::fault(reason::SOURCE_KEY_MISSING, message)
            }
            ValueLookup::Denied => denied_in(self.snapshot, &source.namespace),
            ValueLookup::Unread => Trouble::fault(
                reason::PENDING,
                format!("Secret {} has not been read yet.", source.secret()),
            ),
        };
        (self.last_good(source, &trouble), Some(trouble))
    }

    /// The last good version stays, unless the reference was moved away from it or it is
    /// revoked by now.
    pub(super) fn last_good(&self, source: &SecretKey, trouble: &Trouble) -> Value {
        let Some(memory) = self.memory() else {
            // Which version is there cannot be told any more; if some are revoked, it may be one.
            return if self.key.revoked_fingerprints.is_empty() {
                Value::Keep
            } else {
                Value::Empty(trouble.clone())
            };
        };
        let moved = memory.source != *source
            && self
                .key
                .next
                .as_ref()
                .is_none_or(|next| memory.source != next.source);
        if moved || self.was_for_another() || self.is_revoked(memory.sha256) {
            Value::Empty(trouble.clone())
        } else {
            Value::Keep
        }
    }

    /// Nothing is read that may not be used: without its owner's permission, and of our own.
    pub(super) fn may_be_read(&self, source: &SecretKey) -> bool {
        let ours = self
            .secret(source)
            .is_some_and(|secret| secret.output.is_some());
        self.source_permitted(source) && !ours
    }

    pub(super) fn source_permitted(&self, source: &SecretKey) -> bool {
        let home = &self.facts.object.name.namespace;
        let found = self.snapshot.secrets.get(&source.secret());
        found
            .unwrap_or(&SecretLookup::Absent)
            .permits(home, &source.namespace)
    }
}

fn may_attach(snapshot: &Snapshot, workspace: &Workspace, namespace: &Name) -> bool {
    let labels = snapshot.namespaces.get(namespace).map(|labels| &**labels);
    workspace
        .ceiling_of(&snapshot.name.namespace, namespace, labels)
        .is_some_and(|ceiling| ceiling.may_attach_keys())
}

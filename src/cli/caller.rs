//! Who calls, from what was typed: what policies know a subject and its groups by.
//! Must not decide anything, and never reads a Secret's data from a cluster.

use std::collections::BTreeSet;

use super::failure::Failure;
use super::screen::say;
use super::source::Source;
use crate::facts::{SecretLookup, Snapshot};
use crate::policy::access::{Caller, Identity};
use crate::policy::caller::MAX_GROUPS;
use crate::policy::digest::Digest;
use crate::policy::name::{Name, NamespacedName, check_name};
use crate::policy::nearest::suggestion;
use crate::policy::subject::{Subject, SubjectId, SubjectRef};
use crate::policy::table::{IssuerType, Policy};

/// How subjects are typed, for the help of every command that takes one.
pub const SUBJECT_HELP: &str = "\
SUBJECT is one of
  serviceaccount:NAMESPACE/NAME   a ServiceAccount of the cluster
  user:ISSUER:NAME                a person or machine of one of the Workspace's issuers
  group:ISSUER:NAME               a group of one, as if it called by itself
  clientkey:NAMESPACE/NAME        whoever holds a key of this Secret";

/// What every command about one caller takes.
#[derive(clap::Args, Debug)]
pub struct CallerArgs {
    /// Who calls
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// Groups of the user, by its issuer's names; 64 count, those that sort first
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub groups: Vec<String>,
}

/// A subject and its groups, as typed.
pub struct Typed {
    /// The subject.
    pub subject: SubjectRef,
    groups: Vec<Identity>,
}

// === impl CallerArgs ===

impl CallerArgs {
    /// Reads them.
    ///
    /// # Errors
    /// As [`Typed::parse`].
    pub fn read(&self) -> Result<Typed, Failure> {
        Typed::parse(&self.subject, &self.groups)
    }
}

// === impl Typed ===

impl Typed {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no subject, or one that cannot have groups.
    pub fn parse(subject: &str, groups: &[String]) -> Result<Self, Failure> {
        let subject =
            SubjectRef::parse(subject).map_err(|error| Failure::BadInput(error.to_string()))?;
        let groups = groups_of(&subject, groups)?;
        Ok(Self { subject, groups })
    }

    /// Says when no issuer of a workspace can vouch for the subject: its name may be misspelt.
    pub fn note_issuer(&self, policy: &Policy) {
        let SubjectRef::Known(Subject::User { issuer, .. } | Subject::Group { issuer, .. }) =
            &self.subject
        else {
            return;
        };
        let issuers = policy.workspace.issuers.iter();
        let oidc = issuers.filter(|known| known.kind == IssuerType::Oidc);
        let known: Vec<&str> = oidc.map(|known| &*known.name).collect();
        if known.contains(&&**issuer) {
            return;
        }
        say(format_args!(
            "note: the Workspace has no OIDC issuer '{issuer}'; {}",
            suggestion(issuer, &known)
        ));
    }

    /// Who that is in one workspace.
    ///
    /// # Errors
    /// When it is a Secret of client keys that is not there or holds none.
    pub fn caller(&self, source: &Source, snapshot: &Snapshot) -> Result<Caller, Failure> {
        let ids = match &self.subject {
            SubjectRef::Known(subject) => vec![subject.id()],
            SubjectRef::ClientKeySecret(secret) => client_keys(secret, source, snapshot)?,
        };
        Ok(Caller {
            subject: Identity {
                named: self.subject.clone(),
                ids,
            },
            groups: self.groups.clone(),
        })
    }
}

/// The groups that count, as the gateway would pick them.
fn groups_of(subject: &SubjectRef, names: &[String]) -> Result<Vec<Identity>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let SubjectRef::Known(Subject::User { issuer, .. }) = subject else {
        return Err(Failure::BadInput(
            "--groups goes with a user: only users have groups".to_owned(),
        ));
    };
    let sorted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if let Some((name, why)) = sorted
        .iter()
        .find_map(|name| Some((name, check_name(name).err()?)))
    {
        return Err(Failure::BadInput(format!("group '{name}' {why}")));
    }
    if sorted.len() > MAX_GROUPS {
        say(format_args!(
            "note: of {} groups only the first {MAX_GROUPS} count",
            sorted.len()
        ));
    }
    let identity = |name: &str| {
        let group = Subject::Group {
            issuer: issuer.clone(),
            name: Name::from(name),
        };
        Identity {
            ids: vec![group.id()],
            named: SubjectRef::Known(group),
        }
    };
    Ok(sorted.into_iter().take(MAX_GROUPS).map(identity).collect())
}

/// What the keys of a Secret are looked up by. Where nothing of the workspace names the Secret, or
/// it is not among the files, something stands in for them that no policy knows.
fn client_keys(
    secret: &NamespacedName,
    source: &Source,
    snapshot: &Snapshot,
) -> Result<Vec<SubjectId>, Failure> {
    let id = |digest: Digest| Subject::ClientKey(digest).id();
    let no_keys = |why: &str| Err(Failure::BadInput(format!("Secret {secret} {why}")));
    let digests: Vec<Digest> = match (source.materials.get(secret), snapshot.secrets.get(secret)) {
        (Some(values), _) => values.values().map(|value| value.facts().digest).collect(),
        (None, Some(SecretLookup::Present(facts))) if !facts.is_client_key => {
            return no_keys("lacks the label anthropic-rbac.io/client-key: \"true\"");
        }
        (None, Some(SecretLookup::Present(facts))) => {
            let values = facts.values.iter().flat_map(|values| values.values());
            values.map(|value| value.digest).collect()
        }
        (None, Some(SecretLookup::Absent)) if source.is_cluster => {
            return no_keys("does not exist");
        }
        (None, Some(SecretLookup::Denied)) => return no_keys("may not be looked at by you"),
        (None, Some(SecretLookup::Absent | SecretLookup::Assumed) | None) => {
            vec![crate::plan::client_keys::assumed(secret)]
        }
    };
    if digests.is_empty() {
        return no_keys("holds no key");
    }
    Ok(digests.into_iter().map(id).collect())
}

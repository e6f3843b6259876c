//! A plan: everything that should exist for one workspace, and when to look again.
//! Must not say how it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::loads::Loads;
use super::pods::Pods;
use crate::api::{ApiKeyRefStatus, RoleBindingStatus, WorkspaceStatus};
use crate::facts::{Heir, LastPolicy, OutputId, OutputKind};
use crate::policy::digest::{Digest, Hex};
use crate::policy::finding::{Finding, Kind, ObjectId};
use crate::policy::key::SecretKey;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::Resolution;

/// Everything that should exist.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Objects, sorted by kind and name.
    pub outputs: Vec<Output>,
    /// Objects of ours that should no longer exist.
    pub stale: Vec<OutputId>,
    /// Statuses that differ from what is stored.
    pub statuses: Vec<StatusUpdate>,
    /// Things to announce, each once.
    pub events: Vec<Announcement>,
    /// What a person should look at, worst first.
    pub findings: Vec<Finding>,
    /// When facts that are all known by now will mean something else.
    pub wake_at: Option<Timestamp>,
    /// Pods of gateways, and which of them are to be hurried once all is written.
    pub pods: Pods,
    /// What the gateways in those pods have loaded, and which of them are to be asked.
    pub loads: Loads,
    /// What is to be remembered of it for the next plan; `None` where no gateway names pods.
    pub last_policy: Option<Arc<LastPolicy>>,
    /// The policy behind it, for whoever explains it; `None` without a Workspace.
    pub resolution: Option<Resolution>,
}

/// One object that should exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Kind and name.
    pub id: OutputId,
    /// Who it belongs to.
    pub owner: Owner,
    /// Our labels on it.
    pub labels: BTreeMap<Name, Name>,
    /// Our annotations on it.
    pub annotations: BTreeMap<Name, Name>,
    /// Its data by data key.
    pub data: BTreeMap<Name, Content>,
    /// A Secret's type where it is not `Opaque`.
    pub secret_type: Option<Name>,
}

/// Who an object belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Goes when this object goes; without uid when that comes from a file.
    Controller {
        kind: Kind,
        name: Name,
        uid: Option<Name>,
        /// Unless one of these wants it, too; sorted.
        heirs: Vec<Heir>,
    },
    /// Stays when this ApiKeyRef goes.
    Retained(Name),
}

/// What goes under a data key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// This text.
    Text(Name),
    /// The key behind this handle; whoever writes it checks the digest again.
    Key(KeyHandle),
    /// Nothing: what was there is taken away. The data key stays, so that the file in a
    /// running pod empties instead of keeping its last content.
    Emptied,
    /// What is there now stays; with its digest, if that is known.
    Kept(Option<Digest>),
}

/// Where a key's bytes are, and which bytes are meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyHandle {
    /// The data key to read.
    pub source: SecretKey,
    /// What its value must digest to.
    pub digest: Digest,
}

/// A status to write.
#[derive(Clone, PartialEq, Debug)]
pub struct StatusUpdate {
    /// Whose.
    pub name: NamespacedName,
    /// The object's uid: a status is never written to a namesake that came after it.
    pub uid: Option<Name>,
    /// What it should say.
    pub status: Status,
    /// Digest of it, as [`crate::facts::StatusMark::content`] will show once written.
    pub content: Hex<16>,
}

/// A status by kind.
#[derive(Clone, PartialEq, Debug)]
pub enum Status {
    Workspace(Box<WorkspaceStatus>),
    RoleBinding(Box<RoleBindingStatus>),
    ApiKeyRef(Box<ApiKeyRefStatus>),
}

/// Something to announce as a Kubernetes Event, once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Announcement {
    /// The object it is about.
    pub kind: Kind,
    /// Its name.
    pub name: NamespacedName,
    /// Its uid.
    pub uid: Option<Name>,
    /// True for a Warning, false for Normal.
    pub warning: bool,
    /// A stable CamelCase reason.
    pub reason: &'static str,
    /// What was done or found, CamelCase.
    pub action: &'static str,
    /// One or two sentences.
    pub note: String,
    /// What makes this announcement this one: the Event's name is derived from it, so that
    /// announcing it again changes nothing.
    pub once: String,
}

// === impl Output ===

impl Output {
    /// Digest of the content: what the `content-sha256` annotation says. Of keys it covers
    /// the digest, never the bytes. `None` while something is kept of which it is not known.
    pub fn content_sha256(&self) -> Option<Digest> {
        let mut parts: Vec<String> = Vec::with_capacity(2 * self.data.len());
        for (key, content) in &self.data {
            parts.push(key.to_string());
            parts.push(match content {
                Content::Text(text) => Digest::of(text.as_bytes()).to_string(),
                Content::Key(handle) => handle.digest.to_string(),
                Content::Emptied => String::new(),
                Content::Kept(digest) => digest.as_ref()?.to_string(),
            });
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(Digest::of_lines(&parts))
    }

    /// Bytes of its texts and names; keys do not count.
    pub fn bytes(&self) -> usize {
        let text = |content: &Content| match content {
            Content::Text(text) => text.len(),
            Content::Key(_) | Content::Emptied | Content::Kept(_) => 0,
        };
        self.data
            .iter()
            .map(|(key, content)| key.len() + text(content))
            .sum()
    }

    /// Whether writing it takes a key away, or at least gives none out: such writes go first.
    pub fn takes_away(&self) -> bool {
        self.id.kind == OutputKind::Secret
            && !self
                .data
                .values()
                .any(|content| matches!(content, Content::Key(_)))
    }
}

// === impl StatusUpdate ===

impl StatusUpdate {
    /// The object it is of.
    pub fn object(&self) -> ObjectId {
        ObjectId::new(self.status.kind(), &self.name)
    }
}

// === impl Status ===

impl Status {
    /// Of which kind it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Workspace(_) => Kind::Workspace,
            Self::RoleBinding(_) => Kind::RoleBinding,
            Self::ApiKeyRef(_) => Kind::ApiKeyRef,
        }
    }
}

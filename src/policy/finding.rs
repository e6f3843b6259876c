//! Findings: what is worth a person's attention though nothing stops working over it.
//! Must not decide access; every denial has a condition or a decision of its own.

use std::fmt;

use super::name::{Name, NamespacedName};

/// One thing found, in a form that sorts and reads the same everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable name of the kind of finding.
    pub reason: Reason,
    /// The object it is about.
    pub object: ObjectId,
    /// The field, as a path from the object's root; empty for the whole.
    pub field: String,
    /// One sentence of cause and one of fix.
    pub message: String,
}

/// How bad a finding is; the worst sorts first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Somebody is denied who should probably not be, or the other way round.
    Error,
    /// Will become an error, or hides one.
    Warning,
    /// Good to know.
    Info,
}

/// One of our objects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: NamespacedName,
}

/// Our kinds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    Workspace,
    RoleBinding,
    ApiKeyRef,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $severity:ident, $cause:literal, $fix:literal;)*) => {
        /// The stable names of findings.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name as users see it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// How bad it is, wherever it is found.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }

            /// What it means, in a sentence.
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause),* }
            }

            /// What to do about it, in a sentence.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix),* }
            }
        }
    };
}

reasons! {
    /// A model id or prefix that the catalogue does not have.
    UnknownModel: Warning,
        "No known model has this id, or starts with this prefix; the entry is kept as written, because Anthropic adds models.",
        "Check the spelling, or leave it if the model is newer than the catalogue.";
    /// A model that Anthropic no longer serves.
    RetiredModel: Warning,
        "Anthropic no longer serves this model, so requests for it fail though the policy allows them.",
        "Name a model that it serves, and move the callers to it.";
    /// A model that Anthropic stops serving within 60 days.
    RetiringModel: Warning,
        "Anthropic has announced that it stops serving this model within 60 days.",
        "Allow its successor now, and move the callers before that day.";
    /// A role's ceiling is above what a model it opens can give.
    MaxTokensAboveModel: Warning,
        "A role's maxTokens is more than a model it opens can put out, so that model refuses requests the role lets through.",
        "Lower the role's maxTokens, or give that model a role of its own.";
    /// A usage tier that Anthropic no longer has.
    LegacyTier: Info,
        "Anthropic replaced its tiers 1 to 4 on 2026-06-26; the old tier's figure is used as it was.",
        "Name the tier you have now (Start, Build or Scale), or write requestsPerMinute.";
    /// The subjects' rates add up to more than the workspace's.
    Oversubscribed: Warning,
        "The subjects' requests per minute add up to more than the Workspace's, so that some meet 429 below their own limit.",
        "Lower a role's rate, or raise the Workspace's.";
    /// A key that no subject uses.
    UnusedKey: Info,
        "No request is sent with this key and no Secret is made of it.",
        "Name who uses it in usedBy, give it a target, or delete it and disable the key at Anthropic.";
    /// A subject with access and no key to send its requests with.
    SubjectWithoutKey: Warning,
        "Subjects have API access, but no ApiKeyRef serves them and there is no default, so they are denied.",
        "Name them in an ApiKeyRef's usedBy, or set spec.keys.defaultApiKeyRef of the Workspace.";
    /// Two keys name one subject.
    AmbiguousKey: Warning,
        "Two ApiKeyRefs name the same subject; the one that was there first keeps it.",
        "Remove the subject from one of the two.";
    /// Two services share one key, or two keys one id.
    SharedKey: Warning,
        "Two services use the same key, so that neither can be revoked or billed alone; or two Workspaces give different keys one id.",
        "Make one key for each service, and correct keyId where it is another key's.";
    /// An annotation of a source Secret that says nothing.
    MalformedAnnotation: Warning,
        "An annotation of the source Secret is not understood, so it says and permits nothing.",
        "Correct it: a time as 2026-12-01T00:00:00Z, names with commas between them, a key's id as Anthropic gives it.";
    /// A key that is valid in several workspaces, and nothing to say which of them is meant.
    NoWorkspaceId: Warning,
        "Anthropic refuses requests with a key of scope Organization that name no workspace, and the Workspace has no id to name.",
        "Set spec.workspaceId of the Workspace, as the Console shows it.";
    /// A subject has the same role from two bindings.
    DuplicateGrant: Info,
        "A subject has the same role for the same time from two bindings, so that removing one changes nothing.",
        "Remove the subject from one of the two.";
    /// A role that opens nothing.
    EmptyRole: Error,
        "A role has API access but opens no model here, because it lacks limits or the Workspace's models leave none of its own.",
        "Set what is missing, widen spec.models, or give the role apiAccess: None.";
    /// A binding whose time is over.
    ExpiredGrant: Info,
        "The binding's time is over and it grants nothing.",
        "Delete it, or set a later expiresAt.";
    /// The Workspace and its namespace, or that of an ApiKeyRef, name different environments.
    EnvironmentMismatch: Warning,
        "The Workspace is for another environment than the label of its namespace, or of an ApiKeyRef's, says.",
        "Correct the one that is wrong.";
    /// A Workspace admits namespaces by label, and labels cannot be seen.
    NamespaceLabelsUnseen: Warning,
        "The Workspace admits namespaces by label, but the operator cannot see the labels of those that attach, so no selector admits them.",
        "Admit them by names, or let the operator list and watch Namespaces.";
    /// An admin binding without an end.
    NeverExpiringAdmin: Info,
        "The binding grants the role admin for ever.",
        "Set expiresAt, and renew it while it is needed.";
    /// A key whose date of issue is only guessed.
    KeyWithoutIssueDate: Info,
        "When the key was made is not known, so its rotation is counted from a guess.",
        "Set spec.issuedAt, or annotate the source Secret with anthropic-rbac.io/issued-at.";
    /// A date of issue that lies in the future.
    FutureIssueDate: Warning,
        "The key's date of issue lies in the future and is ignored.",
        "Give the date the key was made.";
    /// One audience in two Workspaces.
    SharedAudience: Warning,
        "Another Workspace takes tokens of the same audience, so that either gateway could replay at the other the tokens it is sent.",
        "Give each Workspace an audience of its own.";
    /// An issuer whose public keys are not known.
    IssuerKeysNotFound: Error,
        "No usable public keys of an issuer are known, so the gateways refuse its tokens.",
        "Put the issuer's JWKS document where jwksConfigMapRef looks for it, or let the operator read the cluster's own.";
    /// The cluster's signing keys cannot be read any more.
    IssuerKeysStale: Warning,
        "The cluster's signing keys cannot be read any more, so the gateways go on with those that were read last, and refuse tokens that newer ones sign.",
        "Bind the ClusterRole system:service-account-issuer-discovery to the operator's ServiceAccount.";
    /// A gateway that goes by the rules of another release.
    GatewayOutdated: Warning,
        "Pods of a gateway were started with rules of another release of the operator, or for another address of the API, and go by those.",
        "Restart them, with kubectl rollout restart.";
    /// A blocked client key whose Secret cannot be looked into.
    UnresolvedBlock: Warning,
        "spec.blockedSubjects names a Secret that does not exist, holds no client keys, may not be read, or is of a namespace without a binding here; only what was last known of it is blocked.",
        "Name the client keys by sha256, or correct the name.";
    /// A Console role that is not known.
    UnknownConsoleRole: Warning,
        "The Console role is not known; it is kept as written, because Anthropic adds roles.",
        "Check the spelling, or leave it if the role is new.";
    /// An ApiKeyRef asks for a slower rotation than its Workspace.
    LooserRotation: Warning,
        "The ApiKeyRef asks for a slower rotation than its Workspace, which only the Workspace can allow; the Workspace's holds.",
        "Ask for less, or leave rotation out.";
    /// A warning time that is no shorter than the period.
    WarnBeyondPeriod: Warning,
        "The warning time is no shorter than the period, so the key is always due soon.",
        "Shorten warnDays, or lengthen periodDays.";
}

// === impl Finding ===

impl Finding {
    /// Puts one together; how bad it is follows from the reason.
    pub fn new(
        reason: Reason,
        object: &ObjectId,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: reason.severity(),
            reason,
            object: object.clone(),
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            reason,
            object,
            field,
            message,
        } = self;
        write!(f, "{}: {} in {object}", severity.name(), reason.name())?;
        if !field.is_empty() {
            write!(f, " {field}")?;
        }
        write!(f, ": {message}")
    }
}

// === impl Severity ===

impl Severity {
    /// Its name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Info => "Info",
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::RoleBinding => "RoleBinding",
            Self::ApiKeyRef => "ApiKeyRef",
        }
    }
}

// === impl ObjectId ===

impl ObjectId {
    /// Names an object.
    pub fn new(kind: Kind, name: &NamespacedName) -> Self {
        Self {
            kind,
            name: name.clone(),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// Names sorted and without repeats, for messages that list some.
pub fn listed(names: impl IntoIterator<Item = Name>) -> String {
    let names: std::collections::BTreeSet<Name> = names.into_iter().collect();
    names
        .iter()
        .map(|name| &**name)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_sentence_of_cause_and_one_of_fix() {
        for reason in Reason::ALL {
            for sentence in [reason.cause(), reason.fix()] {
                let ends = sentence.matches(". ").count();
                assert!(ends == 0 && sentence.ends_with('.'), "{}", reason.name());
            }
        }
    }
}

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
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The stable names of findings.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// The name as users see it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

reasons! {
    /// A model id that the catalogue does not have.
    UnknownModel,
    /// A model that Anthropic no longer serves.
    RetiredModel,
    /// A model that Anthropic stops serving within 60 days.
    RetiringModel,
    /// A role's ceiling is above what the model can give.
    MaxTokensAboveModel,
    /// A usage tier that Anthropic no longer has.
    LegacyTier,
    /// The subjects' rates add up to more than the workspace's.
    Oversubscribed,
    /// A key that no subject uses.
    UnusedKey,
    /// A subject with access and no key to send its requests with.
    SubjectWithoutKey,
    /// Two keys name one subject.
    AmbiguousKey,
    /// Two services share one key.
    SharedKey,
    /// A subject has the same role from two bindings.
    DuplicateGrant,
    /// A role that opens nothing.
    EmptyRole,
    /// A binding whose time is over.
    ExpiredGrant,
    /// The Workspace and its namespace name different environments.
    EnvironmentMismatch,
    /// An admin binding without an end.
    NeverExpiringAdmin,
    /// A key whose date of issue is only guessed.
    KeyWithoutIssueDate,
    /// A date of issue that lies in the future.
    FutureIssueDate,
    /// One audience in two Workspaces.
    SharedAudience,
    /// A Console role that is not known.
    UnknownConsoleRole,
    /// An ApiKeyRef asks for a slower rotation than its Workspace.
    LooserRotation,
    /// A warning time that is no shorter than the period.
    WarnBeyondPeriod,
}

// === impl Finding ===

impl Finding {
    /// Puts one together.
    pub fn new(
        severity: Severity,
        reason: Reason,
        object: &ObjectId,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
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

//! Facts about what the gateway in a pod has loaded, as it says itself when it is asked.
//! Must not judge whether that is enough, nor trust more of it than its form.

use std::collections::BTreeMap;

use crate::policy::name::Name;

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Load {
    /// It says this.
    Loaded(Loaded),
    /// It cannot be reached at its address.
    Unreachable,
    /// What answers there does not say what it has loaded.
    NotAGateway,
}

/// What a gateway has loaded. Whoever runs in the pod may have made it up: for the pod itself only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// The Workspace whose files it has, as `NAMESPACE/NAME`.
    pub workspace: Name,
    /// Which release and address of the API it was started for.
    pub config: Name,
    /// Revision of the policy; empty while it has none.
    pub revision: Name,
    /// In how many parts that policy says its subjects are.
    pub subjects: usize,
    /// Parts of subjects that are not of that policy.
    pub differ: Vec<Name>,
    /// What it could not read, in its own words.
    pub error: Option<Name>,
    /// Versions in force of the files that Envoy itself reads, by the name of the file.
    pub versions: BTreeMap<Name, Name>,
}

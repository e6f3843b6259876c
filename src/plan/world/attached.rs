//! What refers to one workspace. Must not know whether it may.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{BindingFacts, KeyRefFacts};
use crate::policy::name::{Name, NamespacedName};

/// Bindings and keys that name a workspace, sorted by name.
#[derive(Debug, Default)]
pub struct Attached {
    /// RoleBindings.
    pub bindings: BTreeMap<NamespacedName, Arc<BindingFacts>>,
    /// ApiKeyRefs.
    pub keys: BTreeMap<NamespacedName, Arc<KeyRefFacts>>,
}

impl Attached {
    /// Whether nothing refers to it any more.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.keys.is_empty()
    }

    /// The namespaces they come from; neighbours of one namespace count once.
    pub fn namespaces(&self) -> impl Iterator<Item = &Name> {
        distinct(self.bindings.keys()).chain(distinct(self.keys.keys()))
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a NamespacedName>) -> impl Iterator<Item = &'a Name> {
    let mut last: Option<&Name> = None;
    names.map(|name| &name.namespace).filter(move |namespace| {
        let new = last != Some(*namespace);
        last = Some(*namespace);
        new
    })
}

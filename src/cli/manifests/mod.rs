//! Manifests on disk to facts. Whatever the API server would refuse is refused here, all of it
//! at once, by file, line and column.
//! Must not decide anything that is not about the form of a manifest.

mod document;
mod fault;
mod files;
mod hint;
mod key_set;
mod loader;
mod node;
mod origin;
mod path;
mod place;
pub mod problem;
mod secret;
mod sort;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use files::stamps;
pub use origin::Origin;
pub use place::Mark;
pub use secret::SecretManifest;

use serde::de::DeserializeOwned;

use crate::facts::{BindingFacts, JwksLookup, KeyRefFacts, KeySetId, WorkspaceFacts};
use crate::policy::finding::ObjectId;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;
use problem::Problem;

/// Everything of interest in the files.
#[derive(Default)]
pub struct Manifests {
    pub workspaces: Vec<WorkspaceFacts>,
    pub bindings: Vec<BindingFacts>,
    pub keys: Vec<KeyRefFacts>,
    /// Namespaces that have a manifest.
    pub namespaces: BTreeMap<Name, Labels>,
    pub secrets: BTreeMap<NamespacedName, SecretManifest>,
    /// Objects that are there and refused, each with the Workspace it is, or names.
    pub refused: BTreeMap<ObjectId, Option<NamespacedName>>,
    /// What is wrong with the public keys of issuers: it keeps nobody from reading the rest.
    pub key_sets: BTreeMap<KeySetId, Vec<Problem>>,
    /// Those public keys, where they are among the files.
    pub jwks: BTreeMap<KeySetId, JwksLookup>,
    /// Where our objects are.
    pub origins: BTreeMap<ObjectId, Origin>,
    /// What was left out and may surprise.
    pub notes: Vec<String>,
}

/// What a folder without manifests is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Empty {
    /// Nothing.
    Allowed,
    /// A mistake.
    Refused,
}

/// Reads everything that is named: what is understood, and all that is wrong with the rest, in
/// the order of files and lines.
pub fn load(paths: &[PathBuf], default_namespace: &str, empty: Empty) -> (Manifests, Vec<Problem>) {
    let (inputs, mut problems) = files::read(paths, empty);
    let mut loader = loader::Loader::new(default_namespace);
    for input in &inputs {
        let (documents, unreadable) = document::documents(input);
        problems.extend(unreadable);
        for document in documents {
            loader.take(document);
        }
    }
    let (manifests, faulty) = loader.finish();
    problems.extend(faulty);
    problems.sort();
    problems.dedup();
    (manifests, problems)
}

/// Reads a file that is no manifest.
///
/// # Errors
/// What is wrong with it, and where.
pub fn file<T: DeserializeOwned>(path: &Path) -> Result<T, Vec<Problem>> {
    if path.is_dir() {
        let name = path.to_string_lossy().into();
        return Err(vec![Problem::of_file(&name, "is a folder; name a file")]);
    }
    let (inputs, problems) = files::read(&[path.to_owned()], Empty::Refused);
    match inputs.first() {
        Some(input) => document::value_of(input),
        None => Err(problems),
    }
}

// === impl Manifests ===

impl Manifests {
    /// How many objects of ours there are.
    pub fn len(&self) -> usize {
        self.workspaces.len() + self.bindings.len() + self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

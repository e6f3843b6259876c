//! Where facts come from: manifests that `-f` names, or the current cluster.
//! Must not decide anything, and never reads a Secret's data from a cluster.

mod change;
mod cluster;
mod files;
mod overlay;
mod rendered;
mod reported;
mod statuses;

pub use change::ChangeArgs;
pub use rendered::Rendered;
pub use statuses::{Key, Said, Statuses};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::failure::Failure;
use super::manifests::Origin;
use super::manifests::problem::Problem;
use crate::facts::{JwksLookup, KeySetId, SecretLookup, Snapshot};
use crate::material::KeyMaterial;
use crate::plan::output::{Plan, StatusUpdate};
use crate::plan::world::World;
use crate::policy::catalogue::Catalogue;
use crate::policy::finding::{Kind, ObjectId};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::nearest::suggestion;
use crate::policy::subject::SubjectRef;

/// What every command that reads facts takes.
#[derive(clap::Args, Debug)]
pub struct SourceArgs {
    /// Manifests: files, folders with all below them, or - for stdin. Without, the current
    /// cluster is read, but no Secret's data: a key is the version its ApiKeyRef's status shows
    #[arg(short = 'f', long = "filename", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Namespace of manifests that name none [default: default]; from a cluster, only Workspaces
    /// of this one
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Workspaces of all namespaces of the cluster, as without -n
    #[arg(short = 'A', long, conflicts_with_all = ["files", "namespace"])]
    all_namespaces: bool,
    /// Take nothing for granted: Secrets that are not among the manifests count as absent, and
    /// render fails when something is not ready
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Which models are known.
#[derive(clap::Args, Debug, Default)]
pub struct ModelArgs {
    /// Known models, in place of those that ship: YAML or JSON
    #[arg(long = "models", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Which cluster.
#[derive(clap::Args, Debug, Clone)]
pub struct ClusterArgs {
    /// Kubeconfig to use instead of KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// A workspace, what should exist for it, and what that takes for granted.
pub type Planned = (NamespacedName, Plan, Vec<String>);

/// All that is known.
pub struct Source {
    /// The facts.
    pub world: World,
    /// Values of Secrets, when they were in files.
    pub materials: BTreeMap<NamespacedName, BTreeMap<Name, KeyMaterial>>,
    /// Where our objects are written, when they are in files.
    pub origins: BTreeMap<ObjectId, Origin>,
    /// Objects that are in files and refused, each with the Workspace it is, or names.
    pub refused: BTreeMap<ObjectId, Option<NamespacedName>>,
    /// What is wrong with the public keys of issuers, when they are in files.
    pub key_sets: BTreeMap<KeySetId, Vec<Problem>>,
    /// What the operator of a cluster says of objects as they are now.
    pub reported: BTreeMap<ObjectId, StatusUpdate>,
    /// ApiKeyRefs that a cluster does not have yet: their values are taken to be good.
    new_keys: BTreeSet<NamespacedName>,
    /// Whether it was read from a cluster.
    pub is_cluster: bool,
    /// Only Workspaces of this namespace are meant.
    only: Option<Name>,
    /// Workspaces that exist.
    existing: BTreeSet<NamespacedName>,
}

/// Where an object is written, when it is in a file.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Place {
    file: Option<String>,
    line: Option<u32>,
}

// === impl Place ===

impl Place {
    /// As `file:line`.
    pub fn text(&self) -> Option<String> {
        let (file, line) = (self.file.as_ref()?, self.line?);
        Some(format!("{file}:{line}"))
    }
}

// === impl ModelArgs ===

impl ModelArgs {
    fn catalogue(&self) -> Result<Arc<Catalogue>, Failure> {
        let catalogue = match &self.file {
            Some(path) => super::manifests::file(path)?,
            None => Catalogue::built_in(),
        };
        Ok(Arc::new(catalogue))
    }
}

// === impl ClusterArgs ===

impl ClusterArgs {
    /// How to reach it: as told, else by the usual kubeconfig, else as a pod of it.
    ///
    /// # Errors
    /// When there is no cluster, or what says how to reach it is wrong.
    pub async fn config(&self) -> Result<Config, String> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let text = |error: &dyn std::fmt::Display| error.to_string();
        match &self.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| text(&error))?;
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
                config.map_err(|error| text(&error))
            }
            None if self.context.is_some() => {
                let config = Config::from_kubeconfig(&options).await;
                config.map_err(|error| text(&error))
            }
            None => Config::infer().await.map_err(|error| text(&error)),
        }
    }
}

// === impl SourceArgs ===

impl SourceArgs {
    /// These files, or that cluster if there are none.
    pub fn of(files: Vec<PathBuf>, namespace: Option<String>, cluster: ClusterArgs) -> Self {
        Self {
            files,
            namespace,
            all_namespaces: false,
            strict: false,
            models: ModelArgs::default(),
            cluster,
        }
    }

    /// The cluster that is meant.
    pub fn cluster(&self) -> &ClusterArgs {
        &self.cluster
    }

    /// Whether manifests are read.
    pub fn is_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The files and folders it is read from; `None` when it is not from those alone.
    pub fn paths(&self) -> Option<Vec<PathBuf>> {
        let paths = self.files.iter().chain(&self.models.file);
        let paths: Vec<PathBuf> = paths.cloned().collect();
        let again = self.is_files() && paths.iter().all(|path| path.as_os_str() != "-");
        again.then_some(paths)
    }

    /// Whether Secrets that are not there are not assumed.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When the manifests are wrong, or the cluster cannot be read.
    pub fn read(&self) -> Result<Source, Failure> {
        match self.read_all()? {
            (source, problems) if problems.is_empty() => Ok(source),
            (_, problems) => Err(problems.into()),
        }
    }

    /// Reads everything that can be understood, and says what is wrong with the rest.
    ///
    /// # Errors
    /// When there is nothing to read, or the cluster cannot be read.
    pub fn read_all(&self) -> Result<(Source, Vec<Problem>), Failure> {
        let catalogue = self.models.catalogue()?;
        if self.is_files() {
            let namespace = self.namespace.as_deref().unwrap_or("default");
            return files::read(&self.files, namespace, self.strict, catalogue);
        }
        let only = self.namespace.as_deref().map(Name::from);
        let source = super::block_on(async {
            let mut fetched = cluster::Fetched::read(&self.cluster, catalogue).await?;
            fetched.source(only).await
        })?;
        Ok((source, Vec::new()))
    }
}

// === impl Source ===

impl Source {
    /// The workspaces that are meant, whether they exist or are only referred to.
    pub fn workspaces(&self) -> Vec<NamespacedName> {
        let meant = |name: &NamespacedName| {
            self.only
                .as_ref()
                .is_none_or(|namespace| *namespace == name.namespace)
        };
        self.world.workspaces().into_iter().filter(meant).collect()
    }

    /// Where one of our objects is written.
    pub fn place(&self, kind: Kind, name: &NamespacedName) -> Place {
        let origin = self.origins.get(&ObjectId::new(kind, name));
        origin.map_or_else(Place::default, |origin| {
            let (file, mark) = origin.of("");
            Place {
                file: Some(file.to_owned()),
                line: Some(mark.line),
            }
        })
    }

    /// Whether all workspaces there are are meant.
    pub fn is_whole(&self) -> bool {
        self.only.is_none()
    }

    /// What is known about one workspace, and what that takes for granted.
    ///
    /// # Errors
    /// When Secrets it needs have not been looked at, which only a cluster can cause.
    pub fn snapshot(
        &self,
        workspace: &NamespacedName,
        now: Timestamp,
    ) -> Result<(Snapshot, Vec<String>), Failure> {
        let mut snapshot = self.world.snapshot(workspace, now).ok_or_else(|| {
            Failure::Failed(format!(
                "the Secrets of Workspace {workspace} have not been read"
            ))
        })?;
        let assumptions = if self.is_cluster {
            reported::fill_in(&mut snapshot, &self.new_keys)
        } else {
            assumed(&snapshot)
        };
        Ok((snapshot, assumptions))
    }

    /// What should exist, for every workspace that is meant.
    ///
    /// # Errors
    /// As [`Source::snapshot`].
    pub fn plans(&self, now: Timestamp) -> Result<Vec<Planned>, Failure> {
        let planned = self.workspaces().into_iter().map(|workspace| {
            let (snapshot, assumptions) = self.snapshot(&workspace, now)?;
            Ok((workspace, crate::plan::plan(&snapshot), assumptions))
        });
        planned.collect()
    }

    /// The one workspace that `NAME` or `NAMESPACE/NAME` means.
    ///
    /// # Errors
    /// When there is none of that name, or several.
    pub fn workspace(&self, text: &str) -> Result<NamespacedName, Failure> {
        let known: Vec<NamespacedName> = self
            .workspaces()
            .into_iter()
            .filter(|name| self.existing.contains(name))
            .collect();
        let wanted = |name: &&NamespacedName| match NamespacedName::parse(text) {
            Some(full) => **name == full,
            None => *name.name == *text,
        };
        let found: Vec<&NamespacedName> = known.iter().filter(wanted).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let names: Vec<String> = known
                    .iter()
                    .map(|name| {
                        if text.contains('/') {
                            name.to_string()
                        } else {
                            name.name.to_string()
                        }
                    })
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Err(Failure::BadInput(match names.as_slice() {
                    [] => format!("there is no Workspace '{text}', nor any other"),
                    names => format!(
                        "there is no Workspace '{text}'; {}",
                        suggestion(text, names)
                    ),
                }))
            }
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                let names = names.join(", ");
                Err(Failure::BadInput(format!(
                    "there are several Workspaces '{text}'; name one of {names}"
                )))
            }
        }
    }
}

/// Secrets that count as there because nobody looked. Targets are no part of it: those are made,
/// not found.
fn assumed(snapshot: &Snapshot) -> Vec<String> {
    let mut needed = client_key_secrets(snapshot);
    for key in snapshot
        .keys
        .iter()
        .filter_map(|facts| facts.object.spec.as_ref().ok())
    {
        needed.insert(key.source.secret());
        needed.extend(key.next.as_ref().map(|next| next.source.secret()));
    }
    let is_assumed =
        |name: &NamespacedName| snapshot.secrets.get(name) == Some(&SecretLookup::Assumed);
    let assumed = needed.into_iter().filter(is_assumed);
    let secrets = assumed.map(|name| format!("Secret {name} is there and holds what it should"));
    let unknown = snapshot.jwks.iter();
    let unknown = unknown.filter(|(_, lookup)| **lookup == JwksLookup::Assumed);
    let keys = unknown.map(|(issuer, _)| {
        format!(
            "the public keys of issuer '{issuer}' are known in the cluster; gateways that are rendered here \
             refuse its tokens"
        )
    });
    secrets.chain(keys).collect()
}

/// Secrets that are named for the client keys in them.
fn client_key_secrets(snapshot: &Snapshot) -> BTreeSet<NamespacedName> {
    let workspace = snapshot.workspace.iter();
    let blocked = workspace.filter_map(|facts| Some(&facts.object.spec.as_ref().ok()?.blocked));
    let bindings = snapshot.bindings.iter();
    let bound = bindings.filter_map(|facts| Some(&facts.object.spec.as_ref().ok()?.subjects));
    let keys = snapshot.keys.iter();
    let served = keys.filter_map(|facts| Some(&facts.object.spec.as_ref().ok()?.used_by));
    let subjects = blocked.chain(bound).chain(served).flatten();
    let secrets = subjects.filter_map(|subject| match subject {
        SubjectRef::ClientKeySecret(secret) => Some(secret.clone()),
        SubjectRef::Known(_) => None,
    });
    secrets.collect()
}

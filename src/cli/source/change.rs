//! The two sides of a comparison: as it is, and as it would be. Either may hold nothing.
//! Must not compare.

use std::path::{Path, PathBuf};

use super::{ClusterArgs, ModelArgs, Source, cluster, files, overlay};
use crate::cli::failure::Failure;
use crate::cli::manifests::{self, Empty};
use crate::cli::screen::say;
use crate::policy::name::Name;

/// What two sides that are compared take.
#[derive(clap::Args, Debug)]
pub struct ChangeArgs {
    /// Manifests as they would be: files, folders with all below them, or - for stdin
    #[arg(short = 'f', long = "filename", value_name = "PATH", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// What they are compared with: manifests as they are, or 'cluster', to which they would be
    /// applied: what they do not mention stays
    #[arg(long, value_name = "PATH|cluster", num_args = 1.., default_value = "cluster")]
    against: Vec<PathBuf>,
    /// Namespace of manifests that name none [default: default]; from a cluster, only Workspaces
    /// of this one
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

// === impl ChangeArgs ===

impl ChangeArgs {
    /// Reads both sides: as it is, and as it would be.
    ///
    /// # Errors
    /// When manifests are wrong, neither side holds any, or the cluster cannot be read.
    pub fn read(&self) -> Result<(Source, Source), Failure> {
        if self.against == [PathBuf::from("cluster")] {
            return self.applied();
        }
        let bad_input = |message: &str| Err(Failure::BadInput(message.to_owned()));
        let is_stdin = |path: &PathBuf| path == Path::new("-");
        if self.files.iter().any(is_stdin) && self.against.iter().any(is_stdin) {
            return bad_input("one side only can be read from stdin; write the other to a file");
        }
        let before = self.side(&self.against)?;
        let after = self.side(&self.files)?;
        match (before.origins.is_empty(), after.origins.is_empty()) {
            (true, true) => {
                return bad_input(
                    "neither -f nor --against holds a Workspace, RoleBinding or ApiKeyRef of \
                     anthropic-rbac.io/v1alpha1, so there is nothing to compare; name where they are",
                );
            }
            (true, false) => say_empty("--against"),
            (false, true) => say_empty("-f"),
            (false, false) => {}
        }
        Ok((before, after))
    }

    fn side(&self, paths: &[PathBuf]) -> Result<Source, Failure> {
        files::side(paths, self.default_namespace(), self.models.catalogue()?)
    }

    /// The cluster as it is, and as it would be with the manifests applied.
    fn applied(&self) -> Result<(Source, Source), Failure> {
        let catalogue = self.models.catalogue()?;
        let (manifests, problems) =
            manifests::load(&self.files, self.default_namespace(), Empty::Refused);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let only = self.namespace.as_deref().map(Name::from);
        crate::cli::block_on(async {
            let fetched = cluster::Fetched::read(&self.cluster, catalogue).await?;
            overlay::read(fetched, manifests, only).await
        })
    }

    fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

fn say_empty(side: &str) {
    say(format_args!(
        "note: {side} holds no Workspace, RoleBinding or ApiKeyRef: nobody may do anything there"
    ));
}

//! `render`: what the operator would write, as files. Same facts, same plan, same bytes.
//! Must not hold a rule, and must not write a key unless asked to.

mod manifest;
mod report;
mod stale;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::folder::{self, Readers};
use super::screen::{Format, answer, say, warning_prefix};
use super::source::SourceArgs;
use super::typed;
use super::upstream::UpstreamArgs;
use crate::facts::{JwksLookup, OutputId};
use crate::plan::world;
use crate::policy::jwks::canonical;
use crate::policy::name::NamespacedName;
use manifest::{Keys, Manifest};
use report::{Change, Report, Written};

/// Write what the operator would write, as files
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Writes DIR/<namespace>/<kind>.<name>.yaml for every object. Files that have not changed are not
touched; files of an earlier render that are no longer made are removed, nothing else ever is.
Two things differ from what the operator writes: owner references are left out, since they need
uids that only a cluster has; and Secrets are written without values, unless --with-keys.

What is wrong with single objects does not stop the others; it is listed, worst first. With
--strict it also ends in exit code 1.

Examples:
  anthropic-rbac render -f examples/seed --out out
  anthropic-rbac render -f examples/seed --out - | less
  kubectl kustomize overlays/prod | anthropic-rbac render -f - --out out --now 2026-12-01T00:00:00Z
  anthropic-rbac render -f manifests --out out --watch  # beside a gateway that has no cluster

Exit codes: 0 rendered, 1 not written (or, with --strict, something is not ready), 2 bad input.")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Folder to write to; - prints all as one stream
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The time to render for, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    now: Option<Timestamp>,
    /// Go on until interrupted: render again when manifests change, and when it is time for what
    /// they say
    #[arg(long, conflicts_with = "now")]
    watch: bool,
    /// The signing keys of the cluster that manifests are for, as its /openid/v1/jwks has them:
    /// without, rendered gateways refuse tokens of its ServiceAccounts
    #[arg(long, value_name = "FILE")]
    cluster_jwks: Option<PathBuf>,
    #[command(flatten)]
    upstream: UpstreamArgs,
    /// Write the values of Secrets, too, into files only you can read
    #[arg(long)]
    with_keys: bool,
    /// How the summary is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.watch {
        watch::run(args)
    } else {
        Ok(once(args)?.0)
    }
}

/// Renders once. Says, too, when something will change though no manifest does.
fn once(args: &Args) -> Result<(Exit, Option<Timestamp>), Failure> {
    let to_stdout = args.out.as_os_str() == "-";
    if args.with_keys && to_stdout {
        let message = "--with-keys writes only into a folder: name one with --out";
        return Err(Failure::BadInput(message.to_owned()));
    }
    if args.with_keys && !args.source.is_files() {
        let message =
            "--with-keys needs manifests: no Secret is read from a cluster; name them with -f";
        return Err(Failure::BadInput(message.to_owned()));
    }
    let now = args.now.unwrap_or_else(Timestamp::now);
    let mut source = args.source.read()?;
    source.world = source.world.with_upstream(args.upstream.upstream.clone());
    if let Some(path) = &args.cluster_jwks {
        let keys = cluster_keys(path)?;
        source.world.apply(world::Change::ClusterKeys(keys));
    }
    let plans = source.plans(now)?;
    let keys = if args.with_keys {
        Keys::From(&source.materials)
    } else {
        Keys::None
    };
    let mut manifests: BTreeMap<OutputId, Manifest> = BTreeMap::new();
    for (_, plan, _) in &plans {
        for output in &plan.outputs {
            manifests.insert(output.id.clone(), manifest::of(output, &keys)?);
        }
    }
    let written = if to_stdout {
        let texts: Vec<&str> = manifests
            .values()
            .map(|manifest| manifest.text.as_str())
            .collect();
        answer(&texts.join("---\n"))?;
        manifests
            .keys()
            .map(|id| Written {
                id: id.clone(),
                path: None,
                change: Change::Printed,
            })
            .collect()
    } else {
        write(&args.out, &manifests, source.is_whole())?
    };
    for (id, key) in manifests
        .iter()
        .flat_map(|(id, manifest)| manifest.missing.iter().map(move |key| (id, key)))
    {
        say(format_args!(
            "{}{id} {key} is written empty: its source is not among the manifests",
            warning_prefix()
        ));
    }
    if args.with_keys
        && manifests
            .values()
            .any(|manifest| manifest.readers == Readers::Owner)
    {
        let out = args.out.display();
        say(format_args!(
            "{}{out} holds API keys now; keep it out of repositories",
            warning_prefix()
        ));
    }
    let report = Report::new(&source, &plans, written);
    match (args.format, to_stdout) {
        (Format::Text, false) => answer(&report.text(&args.out))?,
        (Format::Text, true) => say(report.text(&args.out).trim_end()),
        (Format::Json, false) => answer(&report.json())?,
        (Format::Json, true) => say(report.json().trim_end()),
    }
    let fine = report.is_fine() || !args.source.is_strict();
    let wake_at = plans.iter().filter_map(|(_, plan, _)| plan.wake_at).min();
    Ok((if fine { Exit::Done } else { Exit::No }, wake_at))
}

/// The signing keys of a cluster, from a file.
fn cluster_keys(path: &Path) -> Result<JwksLookup, Failure> {
    let place = path.display();
    let document = std::fs::read(path)
        .map_err(|error| Failure::BadInput(format!("{place} cannot be read: {error}")))?;
    let document =
        canonical(&document).map_err(|flaw| Failure::BadInput(format!("{place} {flaw}")))?;
    Ok(JwksLookup::Known(document.into()))
}

/// Brings a folder up to date. Only what covers all workspaces may say what is left over.
fn write(
    out: &Path,
    manifests: &BTreeMap<OutputId, Manifest>,
    whole: bool,
) -> Result<Vec<Written>, Failure> {
    let mut written = Vec::new();
    let mut paths = std::collections::BTreeSet::new();
    for (
        id,
        Manifest {
            text,
            readers,
            missing: _,
        },
    ) in manifests
    {
        let path = path_of(out, id)?;
        let text: &Zeroizing<String> = text;
        let change = match folder::write(&path, text, *readers)? {
            true => Change::Written,
            false => Change::Unchanged,
        };
        written.push(Written {
            id: id.clone(),
            path: Some(path.clone()),
            change,
        });
        paths.insert(path);
    }
    if whole {
        for (id, path) in stale::remove(out, &paths)? {
            written.push(Written {
                id,
                path: Some(path),
                change: Change::Removed,
            });
        }
    }
    Ok(written)
}

/// `DIR/<namespace>/<kind>.<name>.yaml`.
fn path_of(out: &Path, id: &OutputId) -> Result<PathBuf, Failure> {
    let NamespacedName { namespace, name } = &id.name;
    // The API server has no such names, but a manifest can hold anything.
    if [namespace, name]
        .iter()
        .any(|part| part.contains(['/', '\\']) || part.starts_with('.'))
    {
        return Err(Failure::BadInput(format!(
            "{id} cannot be the name of a file; correct it"
        )));
    }
    let kind = id.kind.name().to_lowercase();
    Ok(out.join(&**namespace).join(format!("{kind}.{name}.yaml")))
}

//! `crds`: the definitions of the three kinds, to install them or to keep them in a repository.
//! Must not differ from what the operator was built with.

use std::path::PathBuf;

use super::failure::{Exit, Failure};
use super::folder::{self, Readers};
use super::screen::{answer, count, say};
use crate::api::crd;

/// Print or write the CustomResourceDefinitions
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  anthropic-rbac crds | kubectl apply --server-side -f -
  anthropic-rbac crds --out crds        # one file for each kind")]
pub struct Args {
    /// Write one file for each kind into this folder instead of printing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let yaml = |definition| {
        crd::yaml(definition)
            .map_err(|error| Failure::Failed(format!("cannot write YAML: {error}")))
    };
    let definitions = crd::all();
    let Some(out) = &args.out else {
        let texts: Vec<String> = definitions.iter().map(yaml).collect::<Result<_, _>>()?;
        answer(&texts.join("---\n"))?;
        return Ok(Exit::Done);
    };
    let mut changed = 0;
    for definition in &definitions {
        let path = out.join(crd::file_name(definition));
        changed += usize::from(folder::write(&path, &yaml(definition)?, Readers::Usual)?);
    }
    say(format_args!(
        "{} written to {}, {changed} changed",
        count(definitions.len(), "definition"),
        out.display()
    ));
    Ok(Exit::Done)
}

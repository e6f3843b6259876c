//! `schema`: the JSON schema of `policy.json`, for whoever reads one.
//! Must not differ from what this release writes.

use super::failure::{Exit, Failure};
use super::screen::answer;
use crate::gateway::policy_json;

/// Print the JSON schema of policy.json
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  anthropic-rbac schema > policy.schema.json")]
pub struct Args {}

/// Runs it.
pub fn run(Args {}: &Args) -> Result<Exit, Failure> {
    let text = serde_json::to_string_pretty(&policy_json::schema())
        .map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))?;
    answer(&format!("{text}\n"))?;
    Ok(Exit::Done)
}

//! `operator`: the controller, until it is told to stop.
//! Must not do anything the controller could do itself.

use std::net::SocketAddr;

use super::failure::{Exit, Failure};

/// Run the controller in a cluster
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  anthropic-rbac operator                                        # in a pod
  anthropic-rbac operator --leader-elect=false --context kind-kind  # from a workstation

Environment:
  POD_NAMESPACE  where the Lease lives (default anthropic-rbac-system)
  POD_NAME       who holds it (default the host's name)
  RUST_LOG       what to log, such as info or anthropic_rbac=debug (default info)")]
pub struct Args {
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_bind_address: SocketAddr,
    /// Whether to wait for the Lease before writing anything, so that only one replica writes
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: bool,
    /// How Secrets are watched: by the namespace, where an administrator has allowed it, or all
    #[arg(long, value_enum, default_value_t)]
    secrets: Secrets,
    /// Most requests to the API server at a time
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    max_in_flight: u16,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    cluster: super::source::ClusterArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum Secrets {
    /// One watch for each namespace that needs one
    #[default]
    Namespaced,
    /// One watch for the whole cluster
    Cluster,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Runs it.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let _ = args;
    Err(Failure::Failed("this build has no controller".to_owned()))
}

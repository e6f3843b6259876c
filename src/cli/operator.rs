//! `operator`: the controller, until it is told to stop.
//! Must not do anything the controller could do itself.

use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Exit, Failure};
use super::source::ClusterArgs;
use super::upstream::UpstreamArgs;
use crate::api::metadata::OPERATOR_NAMESPACE;
use crate::controller::{self, Options, SecretScope, telemetry};
use crate::policy::name::Name;

/// Run the controller in a cluster
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  anthropic-rbac operator                                        # in a pod
  anthropic-rbac operator --namespaces=claude,search             # with Roles only, in these
  anthropic-rbac operator --leader-elect=false --context kind-kind  # from a workstation

Environment:
  POD_NAMESPACE  where the Lease, the model catalogue and its ServiceAccount live
                 (default anthropic-rbac-system)
  POD_NAME       who holds it (default made of host and process)
  RUST_LOG       what to log, such as info or anthropic_rbac=debug (default info)")]
pub struct Args {
    /// Where /metrics, /healthz and /readyz are served; 0 for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_bind_address: Address,
    /// Serve the days keys are due there, too, as /calendar.ics: with names of keys and services,
    /// key ids and fingerprints, to whoever reaches that address
    #[arg(long)]
    calendar: bool,
    /// Whether to wait for the Lease before writing anything, so that only one replica writes
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: bool,
    /// The only namespaces whose objects count, so that Roles there are enough; all by default.
    /// Labels of namespaces are not seen then: Workspaces must admit them by name
    #[arg(long, value_name = "NS,…", value_delimiter = ',', value_parser = namespace)]
    namespaces: Vec<Name>,
    /// How Secrets are watched: by the namespace, where an administrator has allowed it, or all
    #[arg(long, value_enum, default_value_t)]
    secrets: Secrets,
    /// The ConfigMap in the operator's own namespace whose models.yaml takes the place of the
    /// built-in model catalogue while it is there
    #[arg(long, value_name = "NAME", default_value = "anthropic-rbac-models")]
    models_config_map: String,
    /// Most requests to the API server at a time
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    max_in_flight: u16,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    upstream: UpstreamArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
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

/// Where to listen, if anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Address(Option<SocketAddr>);

/// Runs it.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let Args {
        metrics_bind_address,
        calendar,
        leader_elect,
        namespaces,
        secrets,
        models_config_map,
        max_in_flight,
        log_format,
        upstream: UpstreamArgs { upstream },
        cluster,
    } = args;
    let log_format = match log_format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    if !namespaces.is_empty() && secrets == Secrets::Cluster {
        let message = "--secrets=cluster watches Secrets everywhere and --namespaces does not; drop one of the two";
        return Err(Failure::BadInput(message.to_owned()));
    }
    telemetry::init_logging(log_format).map_err(Failure::BadInput)?;
    let options = Options {
        metrics_bind_address: metrics_bind_address.0,
        calendar,
        leader_elect,
        namespaces: namespaces.into_iter().collect(),
        secrets: match secrets {
            Secrets::Namespaced => SecretScope::Namespaced,
            Secrets::Cluster => SecretScope::Cluster,
        },
        models_config_map,
        upstream,
        max_in_flight: usize::from(max_in_flight),
        namespace: variable("POD_NAMESPACE").unwrap_or_else(|| OPERATOR_NAMESPACE.to_owned()),
        identity: variable("POD_NAME").unwrap_or_else(identity),
    };
    super::block_on(async move {
        let config = cluster.config().await.map_err(|error| {
            Failure::BadInput(format!(
                "no cluster: {error}; name one with --kubeconfig and --context"
            ))
        })?;
        let connection = controller::connect(config)
            .map_err(|error| Failure::BadInput(format!("the cluster cannot be used: {error}")))?;
        let ended = controller::run(connection, options, told_to_stop()?).await;
        ended.map_err(|error| Failure::Failed(error.to_string()))
    })?;
    Ok(Exit::Done)
}

/// Of the characters that names of namespaces are made of.
fn namespace(text: &str) -> Result<Name, String> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let plain = (1..=63).contains(&text.len()) && text.bytes().all(allowed);
    if plain {
        Ok(Name::from(text))
    } else {
        Err("not the name of a namespace; list names with commas between".to_owned())
    }
}

/// Ends when somebody wants the process to end: Kubernetes, or a person at a terminal.
fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let signal = |kind| {
        signal(kind).map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Two processes of one host must not take each other for themselves.
fn identity() -> String {
    let host = variable("HOSTNAME").unwrap_or_else(|| "localhost".to_owned());
    format!("{host}-{}", std::process::id())
}

// === impl Address ===

impl std::str::FromStr for Address {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0" => Ok(Self(None)),
            text => text.parse().map(|address| Self(Some(address))),
        }
    }
}

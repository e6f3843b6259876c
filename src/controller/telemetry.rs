//! Logging. Must not let through what could have a key in it, whatever `RUST_LOG` says.

use std::io::IsTerminal;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For log stores: one object a line.
    Json,
}

/// What is logged when `RUST_LOG` is not set.
const DEFAULT: &str = "info";

/// The most that is let through of libraries that see requests and answers. The client quotes
/// an answer that it cannot parse, and with it the Secrets in it; its watches print such errors
/// in full. Both hand their errors to us, and we say what may be said. What is below them
/// speaks of bytes only at its lowest levels, so those are kept shut.
const CAPS: [(&str, LevelFilter); 8] = [
    ("kube_client::client", LevelFilter::OFF),
    ("kube_client::client::builder", LevelFilter::DEBUG),
    ("kube_runtime", LevelFilter::OFF),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tower", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
];

/// Starts logging to stderr, as `RUST_LOG` says, `info` if it says nothing.
///
/// Records of the `log` crate are not taken in: nothing we use needs it, and what comes that
/// way could not be capped by its true origin.
///
/// # Errors
/// When `RUST_LOG` cannot be understood, or logging was started before.
pub fn init_logging(format: LogFormat) -> Result<(), String> {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let wanted = if wanted.is_empty() { DEFAULT } else { &wanted };
    let filter = EnvFilter::try_new(wanted).map_err(|error| format!("RUST_LOG: {error}"))?;
    let filter = filter.and(filter_fn(may_be_logged));
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().with_filter(filter).boxed(),
    };
    tracing::subscriber::set_global_default(Registry::default().with(layer))
        .map_err(|error| error.to_string())
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= cap(metadata.target())
}

/// The cap of the longest path that holds a target.
fn cap(target: &str) -> LevelFilter {
    let holds = |path: &str| {
        target
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let caps = CAPS.iter().filter(|(path, _)| holds(path));
    caps.max_by_key(|(path, _)| path.len())
        .map_or(LevelFilter::TRACE, |(_, cap)| *cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_quotes_answers_is_off_and_what_names_requests_is_not() {
        assert_eq!(cap("kube_client::client"), LevelFilter::OFF);
        assert_eq!(cap("kube_client::client::auth"), LevelFilter::OFF);
        assert_eq!(cap("kube_client::client::builder"), LevelFilter::DEBUG);
        assert_eq!(cap("kube_runtime::watcher"), LevelFilter::OFF);
        assert_eq!(cap("hyper::proto::h1::io"), LevelFilter::INFO);
    }

    #[test]
    fn a_cap_holds_for_a_module_and_not_for_its_namesakes() {
        assert_eq!(cap("hyper_extra"), LevelFilter::TRACE);
        assert_eq!(cap("anthropic_rbac::controller"), LevelFilter::TRACE);
        assert_eq!(cap("tower"), LevelFilter::INFO);
    }
}

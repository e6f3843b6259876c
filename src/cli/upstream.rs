//! Where gateways find Anthropic's API. Must not reach for it.

use crate::gateway::envoy::Upstream;

/// Where gateways send to.
#[derive(clap::Args, Clone, Debug)]
pub struct UpstreamArgs {
    /// Where gateways send requests to: Anthropic's API, or a stand-in for it, which may be http
    #[arg(long = "anthropic-url", value_name = "URL", value_parser = Upstream::parse,
        default_value = "https://api.anthropic.com")]
    pub upstream: Upstream,
}

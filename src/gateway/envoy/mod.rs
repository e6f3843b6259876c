//! Envoy: static configuration with the rules in Lua, and small files with the policy, of which
//! each changes with its own content only. `docs/gateways/envoy.md` says how they are mounted.
//! Must not decide who may do what, nor hold a key's bytes.

mod native;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::digest::ContentId;
use crate::policy::name::Name;
use crate::policy::table::Policy;

/// What a gateway is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The policy it enforces.
    pub policy: &'a Policy,
    /// Revision of that policy, as `policy.json` has it: gateways log it.
    pub revision: ContentId,
    /// Where each issuer's signing keys are, by name. Tokens of one that is not here are refused.
    pub keys: &'a BTreeMap<Name, SigningKeys>,
    /// Where Anthropic's API is.
    pub upstream: &'a Upstream,
}

/// Where an issuer's signing keys are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SigningKeys {
    /// Here: a JWKS document that `policy::jwks` found usable.
    Document(Arc<str>),
    /// At this URL; Envoy fetches it.
    Uri(Name),
}

/// Where Anthropic's API is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Its host name.
    pub host: Name,
    /// Its port.
    pub port: u16,
    /// Whether it is spoken to by TLS; only a stand-in for tests is not.
    pub tls: bool,
}

/// The files of one gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// `envoy.yaml` and the Lua it names: constant while the release and the upstream are.
    pub config: BTreeMap<&'static str, String>,
    /// What changes with the policy.
    pub data: BTreeMap<&'static str, String>,
    /// `subjects-NN.tsv` in order: at least one, a power of two up to 64.
    pub subjects: Vec<String>,
}

/// Parts of the Lua; each filter is made of some of them, in this order.
const SHA256: &str = include_str!("lua/sha256.lua");
const NAME: &str = include_str!("lua/name.lua");
const FILES: &str = include_str!("lua/files.lua");
const POLICY: &str = include_str!("lua/policy.lua");
const CALLER: &str = include_str!("lua/caller.lua");
const STANDING: &str = include_str!("lua/standing.lua");
const IDENTITY: &str = include_str!("lua/identity.lua");
const ASKED: &str = include_str!("lua/asked.lua");
const REQUEST: &str = include_str!("lua/request.lua");
const USAGE: &str = include_str!("lua/usage.lua");
const LOADED: &str = include_str!("lua/loaded.lua");

/// How Anthropic's API is spoken to by TLS: its own name is sent and verified.
const TLS: &str = r#"transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: @HOST@
        common_tls_context:
          validation_context:
            trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}
            match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: @HOST@}}]"#;

/// Renders the files of a gateway.
pub fn render(inputs: &Inputs<'_>) -> Files {
    let subjects = rows::subjects(inputs.policy);
    let data = BTreeMap::from([
        ("policy.tsv", rows::policy(inputs, &subjects)),
        ("jwt.json", native::jwt(inputs)),
        ("clusters.json", native::clusters(inputs)),
        ("ratelimit.json", native::rate_limit(inputs.policy)),
    ]);
    Files {
        config: config(inputs.upstream),
        data,
        subjects: subjects.into_iter().map(|shard| shard.text).collect(),
    }
}

/// Which static files these are: a gateway that was started with others says another one.
pub fn config_id(upstream: &Upstream) -> ContentId {
    id_of(&nameless(upstream))
}

fn config(upstream: &Upstream) -> BTreeMap<&'static str, String> {
    let mut files = nameless(upstream);
    let id = id_of(&files).to_string();
    if let Some(loaded) = files.get_mut("loaded.lua") {
        *loaded = loaded.replace("@CONFIG@", &id);
    }
    files
}

fn id_of(files: &BTreeMap<&'static str, String>) -> ContentId {
    let texts: Vec<&str> = files.values().map(String::as_str).collect();
    ContentId::of_lines(&texts)
}

/// The static files, before their id is written into one of them.
fn nameless(upstream: &Upstream) -> BTreeMap<&'static str, String> {
    let yaml = include_str!("envoy.yaml")
        .replace("@TLS@", if upstream.tls { TLS } else { "" })
        .replace("@HOST@", &upstream.host)
        .replace("@PORT@", &upstream.port.to_string());
    let chunk = |parts: &[&str]| parts.join("\n");
    let identity = [SHA256, NAME, FILES, POLICY, CALLER, STANDING, IDENTITY];
    let request = [SHA256, NAME, FILES, POLICY, STANDING, ASKED, USAGE, REQUEST];
    let loaded = ["local ffi = require(\"ffi\")\n", FILES, POLICY, LOADED];
    BTreeMap::from([
        ("envoy.yaml", yaml),
        ("identity.lua", chunk(&identity)),
        ("request.lua", chunk(&request)),
        ("loaded.lua", chunk(&loaded)),
    ])
}

// === impl Upstream ===

impl Default for Upstream {
    fn default() -> Self {
        Self {
            host: "api.anthropic.com".into(),
            port: 443,
            tls: true,
        }
    }
}

#[cfg(test)]
mod tests;

//! Envoy: static configuration with the rules in Lua, and small files with the policy, of which
//! each changes with its own content only. `docs/gateways/envoy.md` says how they are mounted.
//! Must not decide who may do what, nor hold a key's bytes.

mod native;
mod rows;
mod upstream;

pub use upstream::Upstream;

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
    /// At this URL of this server; Envoy fetches it.
    Fetched(Name, Upstream),
}

/// The files of one gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// Which static files these are: a gateway that was started with others says another one.
    pub config_id: ContentId,
    /// `envoy.yaml`, the Lua it names, and `absent.*`, which stand in for files of the same names
    /// without it: constant while the release and the upstream are.
    pub config: BTreeMap<&'static str, String>,
    /// What changes with the policy.
    pub data: BTreeMap<&'static str, String>,
    /// Versions of those of them that Envoy itself reads, as it says once it has taken them.
    pub versions: BTreeMap<&'static str, ContentId>,
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
const ANSWER: &str = include_str!("lua/answer.lua");
const IDENTITY: &str = include_str!("lua/identity.lua");
const BYTES: &str = include_str!("lua/bytes.lua");
const ASKED: &str = include_str!("lua/asked.lua");
const REQUEST: &str = include_str!("lua/request.lua");
const USAGE: &str = include_str!("lua/usage.lua");
const LOADED: &str = include_str!("lua/loaded.lua");

/// Renders the files of a gateway.
pub fn render(inputs: &Inputs<'_>) -> Files {
    let subjects = rows::subjects(inputs.policy);
    let (config_id, config) = config(inputs.upstream);
    let native = native::files(inputs);
    let versions = native.iter().map(|(name, file)| (*name, file.version));
    let versions = versions.collect();
    let mut data: BTreeMap<_, _> = native
        .into_iter()
        .map(|(name, file)| (name, file.text))
        .collect();
    data.insert("policy.tsv", rows::policy(inputs, &subjects));
    Files {
        config_id,
        config,
        data,
        versions,
        subjects: subjects.into_iter().map(|shard| shard.text).collect(),
    }
}

/// The static files and their id, which one of them says.
fn config(upstream: &Upstream) -> (ContentId, BTreeMap<&'static str, String>) {
    let socket = upstream.transport_socket();
    // JSON is YAML, too.
    let socket = socket.map(|socket| format!("transport_socket: {socket}"));
    let yaml = include_str!("envoy.yaml")
        .replace("@TRANSPORT_SOCKET@", &socket.unwrap_or_default())
        .replace("@HOST@", &upstream.host)
        .replace("@PORT@", &upstream.port.to_string());
    let chunk = |parts: &[&str]| parts.join("\n");
    let identity = [
        SHA256, NAME, FILES, POLICY, CALLER, STANDING, ANSWER, IDENTITY,
    ];
    let request = [
        SHA256, NAME, FILES, POLICY, STANDING, BYTES, ASKED, USAGE, ANSWER, REQUEST,
    ];
    let loaded = ["local ffi = require(\"ffi\")\n", FILES, POLICY, LOADED];
    let mut files = BTreeMap::from([
        ("envoy.yaml", yaml),
        ("identity.lua", chunk(&identity)),
        ("request.lua", chunk(&request)),
        ("loaded.lua", chunk(&loaded)),
    ]);
    files.extend(native::absent());
    let texts: Vec<&str> = files.values().map(String::as_str).collect();
    let id = ContentId::of_lines(&texts);
    if let Some(loaded) = files.get_mut("loaded.lua") {
        *loaded = loaded.replace("@CONFIG@", &id.to_string());
    }
    (id, files)
}

#[cfg(test)]
mod tests;

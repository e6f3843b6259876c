//! The files that Envoy itself reads, each a discovery response that says its own version, so
//! that Envoy's statistics show which of them it has taken.
//! Must not be given a signing key that was not found usable: Envoy refuses such a file whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Inputs, SigningKeys};
use crate::policy::digest::ContentId;
use crate::policy::limits::RequestsPerMinute;
use crate::policy::table::Policy;

/// Buckets of subjects that Envoy keeps at most: more than one policy has subjects, so that none
/// is ever forgotten, and the same for all, so that the file does not change with the subjects.
const MOST_BUCKETS: u32 = 262_144;

/// By how much an issuer's clock may be behind or ahead, in seconds.
const CLOCK_SKEW: u32 = 10;

/// A file, and the version that it says of itself.
pub struct File {
    pub version: ContentId,
    pub text: String,
}

/// All of them, by name.
pub fn files(inputs: &Inputs<'_>) -> BTreeMap<&'static str, File> {
    BTreeMap::from([
        ("jwt.json", jwt(inputs)),
        ("clusters.json", clusters(inputs)),
        ("ratelimit.json", rate_limit(inputs.policy)),
    ])
}

/// What stands in for them while there is no policy, or no whole one, so that an Envoy starts all
/// the same: no token is anybody's, and all together may ask once a minute.
pub fn absent() -> [(&'static str, String); 3] {
    let jwt = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    });
    let rate_limit = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "requests",
        "filter_enabled": always(),
        "filter_enforced": always(),
        "token_bucket": {"max_tokens": 1, "fill_interval": "60s"},
    });
    [
        ("absent.clusters.json", discovery(&[]).text),
        ("absent.jwt.json", discovery(&[extension("jwt", &jwt)]).text),
        (
            "absent.ratelimit.json",
            discovery(&[extension("ratelimit", &rate_limit)]).text,
        ),
    ]
}

/// `jwt.json`: whose signatures hold. Audiences, names and groups are the Lua's, so that there
/// is one place for them and one answer, 401.
fn jwt(inputs: &Inputs<'_>) -> File {
    let mut providers = serde_json::Map::new();
    for issuer in &inputs.policy.workspace.issuers {
        let Some(keys) = inputs.keys.get(&issuer.name) else {
            continue;
        };
        let mut provider = json!({
            "require_expiration": true,
            "clock_skew_seconds": CLOCK_SKEW,
            "payload_in_metadata": &*issuer.name,
            "from_headers": [
                {"name": "authorization", "value_prefix": "Bearer "},
                {"name": "authorization", "value_prefix": "bearer "},
                {"name": "authorization", "value_prefix": "BEARER "},
                {"name": "x-api-key"},
            ],
            // The next filter looks at what was shown, and the upstream never sees it.
            "forward": true,
        });
        if let Some(url) = &issuer.issuer_url {
            provider["issuer"] = Value::from(&**url);
        }
        match keys {
            SigningKeys::Document(document) => {
                provider["local_jwks"] = json!({"inline_string": &**document});
                provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
            }
            // A token that Envoy remembers is good to it for as long as it says itself, whatever
            // has become of the key: other keys in this file make it forget, those it fetches not.
            SigningKeys::Fetched(uri, _) => {
                provider["remote_jwks"] = json!({
                    "http_uri": {"uri": &**uri, "cluster": cluster(&issuer.name), "timeout": "5s"},
                    "cache_duration": "300s",
                    "async_fetch": {"fast_listener": true},
                    "retry_policy": {"num_retries": 3},
                });
            }
        }
        providers.insert(issuer.name.to_string(), provider);
    }
    let mut any: Vec<Value> = providers
        .keys()
        .map(|name| json!({"provider_name": name}))
        .collect();
    // Who is not known by a token may be known by a client key.
    any.push(json!({"allow_missing_or_failed": {}}));
    // Where no token can be, as beside most client keys, none is looked for: each begins so.
    let shown = |header: &str| json!({"prefix": "/", "headers": [{"name": header, "string_match": {"contains": "ey"}}]});
    let rule = |header: &str| json!({"match": shown(header), "requires": {"requires_any": {"requirements": &any}}});
    let rules = if providers.is_empty() {
        json!([])
    } else {
        json!([rule("x-api-key"), rule("authorization")])
    };
    let filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": providers,
        "rules": rules,
    });
    discovery(&[extension("jwt", &filter)])
}

/// `clusters.json`: where signing keys are fetched from.
fn clusters(inputs: &Inputs<'_>) -> File {
    let clusters = inputs.keys.iter().filter_map(|(name, keys)| {
        let SigningKeys::Fetched(_, server) = keys else {
            return None;
        };
        let mut found = json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": cluster(name),
            "type": "STRICT_DNS",
            // Whichever family of addresses leads there.
            "dns_lookup_family": "ALL",
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": cluster(name),
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                    "socket_address": {"address": &*server.host, "port_value": server.port},
                }}}]}],
            },
        });
        if let Some(socket) = server.transport_socket() {
            found["transport_socket"] = socket;
        }
        Some(found)
    });
    discovery(&clusters.collect::<Vec<_>>())
}

/// `ratelimit.json`: a bucket for each subject, by the rate that the Lua found for it, and one
/// that all share.
fn rate_limit(policy: &Policy) -> File {
    let bucket = |rate: RequestsPerMinute| json!({"max_tokens": rate.get(), "tokens_per_fill": rate.get(), "fill_interval": "60s"});
    let of_roles = policy
        .roles
        .values()
        .filter_map(|role| role.access.as_ref());
    let rates: BTreeSet<_> = of_roles.map(|access| access.requests_per_minute).collect();
    let mut descriptors: Vec<Value> = rates
        .into_iter()
        .map(|rate| {
            let entries = json!([
                {"key": "rate", "value": rate.get().to_string()},
                {"key": "subject"},
            ]);
            json!({"entries": entries, "token_bucket": bucket(rate)})
        })
        .collect();
    let header = |key: &str, name: &str| json!({"request_headers": {"descriptor_key": key, "header_name": name}});
    let mut limits = vec![json!({"actions": [
        header("rate", "x-anthropic-rbac-rate"),
        header("subject", "x-anthropic-rbac-subject"),
    ]})];
    if let Some(rate) = policy.workspace.requests_per_minute {
        let entries = json!([{"key": "workspace", "value": "shared"}]);
        descriptors.push(json!({"entries": entries, "token_bucket": bucket(rate)}));
        limits.push(json!({"actions": [
            {"generic_key": {"descriptor_key": "workspace", "descriptor_value": "shared"}},
        ]}));
    }
    let filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "requests",
        "filter_enabled": always(),
        "filter_enforced": always(),
        // Envoy has a field of its own for it, but not before 1.40.
        "response_headers_to_add": [{
            "header": {"key": "retry-after", "value": "%DYNAMIC_METADATA(anthropic-rbac:audit:retryAfter)%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }],
        "always_consume_default_token_bucket": false,
        "max_dynamic_descriptors": MOST_BUCKETS,
        "descriptors": descriptors,
        "rate_limits": limits,
    });
    discovery(&[extension("ratelimit", &filter)])
}

/// Of a limit: that it is looked at, and kept to, for every request.
fn always() -> Value {
    json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}})
}

/// Name of the cluster of an issuer.
fn cluster(issuer: &str) -> String {
    format!("issuer/{issuer}")
}

fn extension(name: &str, filter: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": filter,
    })
}

fn discovery(resources: &[Value]) -> File {
    let text = serde_json::to_string(resources).expect("plain data with text keys");
    let version = ContentId::of(text.as_bytes());
    let text = format!("{{\"version_info\":\"{version}\",\"resources\":{text}}}\n");
    File { version, text }
}

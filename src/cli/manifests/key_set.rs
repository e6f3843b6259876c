//! ConfigMaps in files that issuers have their public keys in.
//! Must not judge a ConfigMap that no Workspace refers to, nor say a value of one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fault::Fault;
use super::path::FieldPath;
use crate::facts::{JwksLookup, KeySetId, WorkspaceFacts};
use crate::policy::jwks::signing_keys;

/// Where issuers have their keys.
pub fn wanted(workspaces: &[WorkspaceFacts]) -> BTreeSet<KeySetId> {
    let understood = workspaces.iter().filter_map(|facts| {
        let spec = facts.object.spec.as_ref().ok()?;
        Some((&facts.object.name.namespace, spec))
    });
    let wanted = understood.flat_map(|(namespace, spec)| {
        let issuers = spec.issuers.iter();
        issuers.filter_map(|issuer| KeySetId::of(namespace, issuer))
    });
    wanted.collect()
}

/// What a ConfigMap has as the keys of an issuer.
pub fn lookup(config_map: &Value, key: &str) -> JwksLookup {
    JwksLookup::of_text(config_map["data"].get(key).and_then(Value::as_str))
}

/// What is wrong with the keys of an issuer in a ConfigMap.
pub fn fault(config_map: &Value, key: &str) -> Option<Fault> {
    if config_map["binaryData"].get(key).is_some() {
        // Rare, and a gateway decides what it makes of it.
        return None;
    }
    let path = FieldPath::root().field("data").field(key);
    let Some(text) = config_map["data"].get(key).and_then(Value::as_str) else {
        let message = format!(
            "has no text under '{key}', where jwksConfigMapRef of a Workspace looks for an issuer's public keys; put its JWKS document there, or correct jwksConfigMapRef"
        );
        return Some(Fault::of_value(path, message));
    };
    let flaw = signing_keys(text.as_bytes()).err()?;
    Some(Fault::of_value(path, flaw.to_string()))
}

//! Bodies of the writes to ConfigMaps and Secrets.
//! Must not send anything, nor hold a key in anything that is not zeroed when dropped.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::request::Payload;
use super::vault::Vault;
use crate::api::API_VERSION;
use crate::api::metadata::RETAINED_BY;
use crate::facts::{OutputFacts, OutputKind};
use crate::plan::output::{Content, KeyHandle, Output, Owner};
use crate::policy::name::Name;

/// Why a body cannot be put together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unready {
    /// The source does not hold the key that was planned with any more.
    #[error("{} holds another value than a moment ago", .0.source)]
    Moved(KeyHandle),
    /// The plan is not for an API server.
    #[error("its owner has no uid")]
    NoUid,
    /// Keys belong in Secrets.
    #[error("a key does not belong in a ConfigMap")]
    KeyInConfigMap,
}

/// What creates an object.
///
/// # Errors
/// When a key is not in the vault, or the plan is not for an API server.
pub fn create_body(output: &Output, vault: &Vault) -> Result<Payload, Unready> {
    let (owners, annotations) = ownership(output, None)?;
    Ok(Payload::json(&Object {
        api_version: Some("v1"),
        kind: Some(output.id.kind.name()),
        metadata: Metadata {
            name: Some(&output.id.name.name),
            namespace: Some(&output.id.name.namespace),
            resource_version: None,
            labels: &output.labels,
            annotations,
            owner_references: owners,
        },
        kind_of_secret: output.secret_type.as_deref(),
        data: Some(data(output, &[], vault)?),
        binary_data: None,
    }))
}

/// The JSON merge patch that makes `found` what it should be, provided that it has not changed
/// since. With `data` all that is not kept is written, and `remove` goes.
///
/// # Errors
/// As for [`create_body`].
pub fn patch_body(
    output: &Output,
    found: &OutputFacts,
    remove: &[Name],
    with_data: bool,
    vault: &Vault,
) -> Result<Payload, Unready> {
    let (owners, annotations) = ownership(output, Some(found))?;
    Ok(Payload::json(&Object {
        api_version: None,
        kind: None,
        metadata: Metadata {
            name: None,
            namespace: None,
            resource_version: Some(&found.resource_version),
            labels: &output.labels,
            annotations,
            owner_references: owners,
        },
        kind_of_secret: None,
        data: with_data.then(|| data(output, remove, vault)).transpose()?,
        // Data keys of somebody else may be there, and nothing of ours ever is.
        binary_data: (with_data && output.id.kind == OutputKind::ConfigMap).then_some(()),
    }))
}

/// The options that delete `found` and nothing that came after it.
pub fn delete_body(found: &OutputFacts) -> Payload {
    Payload::json(&serde_json::json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": &*found.uid, "resourceVersion": &*found.resource_version},
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    metadata: Metadata<'a>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind_of_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<BTreeMap<&'a str, Value<'a>>>,
    /// `Some(())` is null, which takes all of it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_data: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<&'a str>,
    labels: &'a BTreeMap<Name, Name>,
    annotations: BTreeMap<&'a str, Option<&'a str>>,
    owner_references: Vec<OwnerReference<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_owner_deletion: Option<bool>,
}

enum Value<'a> {
    Text(&'a str),
    Base64(Zeroizing<String>),
    Remove,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Base64(text) => serializer.serialize_str(text),
            Self::Remove => serializer.serialize_none(),
        }
    }
}

type Annotations<'a> = BTreeMap<&'a str, Option<&'a str>>;

/// Owner references and annotations that say whose it is. A merge patch replaces the list of
/// owners as a whole, so those of others are repeated.
fn ownership<'a>(
    output: &'a Output,
    found: Option<&'a OutputFacts>,
) -> Result<(Vec<OwnerReference<'a>>, Annotations<'a>), Unready> {
    let mut annotations: Annotations<'a> = output
        .annotations
        .iter()
        .map(|(key, value)| (&**key, Some(&**value)))
        .collect();
    let mut owners = Vec::new();
    match &output.owner {
        Owner::Controller {
            kind,
            name,
            uid,
            heirs,
        } => {
            owners.push(OwnerReference {
                api_version: API_VERSION,
                kind: kind.name(),
                name,
                uid: uid.as_deref().ok_or(Unready::NoUid)?,
                controller: Some(true),
                // Nobody's deletion waits for ours.
                block_owner_deletion: Some(false),
            });
            owners.extend(heirs.iter().map(|heir| OwnerReference {
                api_version: API_VERSION,
                kind: kind.name(),
                name: &heir.name,
                uid: &heir.uid,
                controller: None,
                block_owner_deletion: Some(false),
            }));
            if found.is_some_and(|found| found.marks.contains_key(RETAINED_BY)) {
                annotations.entry(RETAINED_BY).or_insert(None);
            }
        }
        Owner::Retained(name) => {
            annotations.insert(RETAINED_BY, Some(name));
        }
    }
    for other in found.iter().flat_map(|found| &found.other_owners) {
        owners.push(OwnerReference {
            api_version: &other.api_version,
            kind: &other.kind,
            name: &other.name,
            uid: &other.uid,
            controller: None,
            block_owner_deletion: None,
        });
    }
    Ok((owners, annotations))
}

fn data<'a>(
    output: &'a Output,
    remove: &'a [Name],
    vault: &Vault,
) -> Result<BTreeMap<&'a str, Value<'a>>, Unready> {
    let secret = output.id.kind == OutputKind::Secret;
    let mut data: BTreeMap<&str, Value<'a>> =
        remove.iter().map(|key| (&**key, Value::Remove)).collect();
    for (key, content) in &output.data {
        let value = match content {
            Content::Kept(_) => continue,
            // Empty, not gone: the file in a running pod empties with it.
            Content::Emptied => Value::Text(""),
            Content::Text(text) if secret => base64(text.as_bytes()),
            Content::Text(text) => Value::Text(text),
            Content::Key(_) if !secret => return Err(Unready::KeyInConfigMap),
            Content::Key(handle) => {
                let material = vault
                    .get(handle)
                    .ok_or_else(|| Unready::Moved(handle.clone()))?;
                base64(material.expose())
            }
        };
        data.insert(key, value);
    }
    Ok(data)
}

fn base64<'a>(bytes: &[u8]) -> Value<'a> {
    Value::Base64(Zeroizing::new(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests;

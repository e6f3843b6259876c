//! What the Secrets we write remember of the keys in them, so that a restart reads nothing that
//! has not moved and lost status resets no rotation clock. Written in rows as short as they can
//! be: all annotations of an object together have 256 KiB.
//! Must not hold a value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::key::SecretKey;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::Origin;

/// One version of a key, as remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "VersionRow", into = "VersionRow")]
pub struct KeyVersion {
    /// Which.
    pub fingerprint: Fingerprint,
    /// When it was first seen here.
    pub first_seen: Timestamp,
    /// When it was first seen to be replaced; `None` while in use.
    pub active_until: Option<Timestamp>,
    /// Anthropic's id of it.
    pub key_id: Option<Name>,
    /// When it was issued and who said so, as last known: its source may be gone by now.
    pub issued: Option<(Timestamp, Origin)>,
    /// When Anthropic stops taking it, as last known.
    pub expires: Option<Timestamp>,
}

/// What a Secret we wrote remembers about one of its data keys, in its
/// `anthropic-rbac.io/key-versions` annotation. All times are whole seconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "MemoryRow", into = "MemoryRow")]
pub struct KeyMemory {
    /// The data key the value was read from.
    pub source: SecretKey,
    /// The source Secret's uid then.
    pub uid: Name,
    /// The source Secret's resourceVersion then: while it has not moved, nothing is read.
    pub resource_version: Name,
    /// The Workspace it was read for, on a target: whoever refers to another one since then has
    /// given the value up.
    pub workspace: Option<NamespacedName>,
    /// Digest of the value that was read then.
    pub sha256: Digest,
    /// Whether the value is not here, or not any more.
    pub emptied: bool,
    /// Since when this very value is here, or none.
    pub since: Timestamp,
    /// Versions seen, latest first.
    pub versions: Vec<KeyVersion>,
}

/// Fingerprint, first seen, active until, key id, issued, expires; times in Unix seconds.
type VersionRow = (
    Fingerprint,
    i64,
    Option<i64>,
    Option<Name>,
    Option<(i64, Origin)>,
    Option<i64>,
);

#[derive(Serialize, Deserialize)]
struct MemoryRow {
    /// `NAMESPACE/NAME/KEY`, none of which has a slash.
    from: String,
    uid: Name,
    rv: Name,
    /// `NAMESPACE/NAME`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
    sha256: Digest,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    emptied: bool,
    since: i64,
    versions: Vec<KeyVersion>,
}

/// Why a row is not understood. What it was about is then as if it had never been remembered.
#[derive(Debug, thiserror::Error)]
#[error("not a row of what a Secret remembers")]
pub struct NotARow;

// === impl KeyVersion ===

impl From<KeyVersion> for VersionRow {
    fn from(version: KeyVersion) -> Self {
        let seconds = |at: Timestamp| at.as_second();
        (
            version.fingerprint,
            seconds(version.first_seen),
            version.active_until.map(seconds),
            version.key_id,
            version.issued.map(|(at, origin)| (seconds(at), origin)),
            version.expires.map(seconds),
        )
    }
}

impl TryFrom<VersionRow> for KeyVersion {
    type Error = NotARow;

    fn try_from(row: VersionRow) -> Result<Self, NotARow> {
        let (fingerprint, first_seen, active_until, key_id, issued, expires) = row;
        let issued = issued.map(|(at, origin)| Ok((time(at)?, origin)));
        Ok(Self {
            fingerprint,
            first_seen: time(first_seen)?,
            active_until: active_until.map(time).transpose()?,
            key_id,
            issued: issued.transpose()?,
            expires: expires.map(time).transpose()?,
        })
    }
}

// === impl KeyMemory ===

impl From<KeyMemory> for MemoryRow {
    fn from(memory: KeyMemory) -> Self {
        let SecretKey {
            namespace,
            name,
            key,
        } = memory.source;
        Self {
            from: format!("{namespace}/{name}/{key}"),
            uid: memory.uid,
            rv: memory.resource_version,
            workspace: memory.workspace.map(|workspace| workspace.to_string()),
            sha256: memory.sha256,
            emptied: memory.emptied,
            since: memory.since.as_second(),
            versions: memory.versions,
        }
    }
}

impl TryFrom<MemoryRow> for KeyMemory {
    type Error = NotARow;

    fn try_from(row: MemoryRow) -> Result<Self, NotARow> {
        let parts: Vec<&str> = row.from.split('/').collect();
        let [namespace, name, key] = parts[..] else {
            return Err(NotARow);
        };
        Ok(Self {
            source: SecretKey {
                namespace: namespace.into(),
                name: name.into(),
                key: key.into(),
            },
            uid: row.uid,
            resource_version: row.rv,
            workspace: row
                .workspace
                .map(|text| NamespacedName::parse(&text).ok_or(NotARow))
                .transpose()?,
            sha256: row.sha256,
            emptied: row.emptied,
            since: time(row.since)?,
            versions: row.versions,
        })
    }
}

/// The version in use, of all that are remembered.
pub fn in_use(versions: &[KeyVersion]) -> Option<Fingerprint> {
    let mut versions = versions.iter();
    let present = versions.find(|version| version.active_until.is_none());
    present.map(|version| version.fingerprint)
}

/// Statuses and annotations hold whole seconds; so does what is remembered.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn time(seconds: i64) -> Result<Timestamp, NotARow> {
    Timestamp::from_second(seconds).map_err(|_| NotARow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::digest::Hex;

    fn memory() -> KeyMemory {
        let at = |text: &str| text.parse().expect("a timestamp");
        KeyMemory {
            source: SecretKey {
                namespace: "claude".into(),
                name: "anthropic-search".into(),
                key: "api-key".into(),
            },
            uid: "u-1".into(),
            resource_version: "7".into(),
            workspace: Some(NamespacedName::new("claude", "production")),
            sha256: Hex([0xab; 32]),
            emptied: false,
            since: at("2026-11-01T00:00:00Z"),
            versions: vec![KeyVersion {
                fingerprint: Hex([0xab; 8]),
                first_seen: at("2026-11-01T00:00:00Z"),
                active_until: None,
                key_id: Some("apikey_1".into()),
                issued: Some((at("2026-10-01T00:00:00Z"), Origin::Spec)),
                expires: None,
            }],
        }
    }

    #[test]
    fn what_is_remembered_reads_back_from_a_short_row() {
        let text = serde_json::to_string(&memory()).expect("plain data");
        let sha256 = "ab".repeat(32);
        let version = r#"["abababababababab",1793491200,null,"apikey_1",[1790812800,"Spec"],null]"#;
        assert_eq!(
            text,
            format!(
                r#"{{"from":"claude/anthropic-search/api-key","uid":"u-1","rv":"7","for":"claude/production","sha256":"{sha256}","since":1793491200,"versions":[{version}]}}"#
            )
        );
        let read: KeyMemory = serde_json::from_str(&text).expect("our own");
        assert_eq!(read, memory());
        let bad = text.replace("claude/anthropic-search", "claude");
        assert!(serde_json::from_str::<KeyMemory>(&bad).is_err());
    }
}

//! What the operator would mount into a gateway, from manifests: its own command writes policy
//! and keys, and its own renderer the gateway's files.
//! Must not change a byte of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anthropic_rbac::gateway::envoy::{self, Inputs, SigningKeys, Upstream};
use anthropic_rbac::gateway::policy_json;
use anthropic_rbac::policy::digest::ContentId;
use anthropic_rbac::policy::name::Name;
use anthropic_rbac::policy::table::Policy;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::mount::Files;

/// The Workspace that all manifests here are about, and its gateway.
pub(crate) const NAMESPACE: &str = "claude";
pub(crate) const WORKSPACE: &str = "production";
pub(crate) const GATEWAY: &str = "edge";

/// Keys that issuers sign with, by issuer.
pub(crate) type Issuers = BTreeMap<Name, Value>;

/// A gateway's files and the policy behind them.
pub(crate) struct Rendered {
    pub(crate) policy: Policy,
    /// What `policy.json` says its revision is.
    pub(crate) revision: ContentId,
    /// Static configuration: `envoy.yaml` and what it names.
    pub(crate) config: Files,
    /// The projected volume, keys included.
    pub(crate) data: Files,
}

/// Renders manifests.
pub(crate) fn render(manifests: &[Value], issuers: &Issuers) -> Result<Rendered> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("manifests.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
    std::fs::write(&input, list.to_string())?;
    let out = folder.path().join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_anthropic-rbac"))
        .args(["render", "--with-keys", "--filename"])
        .arg(&input)
        .arg("--out")
        .arg(&out)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "render: {said}");

    let out = out.join(NAMESPACE);
    let policy = text(
        &out,
        &format!("configmap.{WORKSPACE}.policy.yaml"),
        policy_json::FILE,
    )?;
    let (revision, policy) = policy_json::parse(&policy, &[])?;
    let documents = issuers.iter().map(|(name, keys)| {
        let document = SigningKeys::Document(keys.to_string().into());
        (name.clone(), document)
    });
    let files = envoy::render(&Inputs {
        policy: &policy,
        revision,
        keys: &documents.collect(),
        upstream: &Upstream::default(),
    });
    let bytes = |(name, text): (&str, String)| (name.to_owned(), text.into_bytes());
    let mut data: Files = files.data.into_iter().map(bytes).collect();
    for (i, shard) in files.subjects.into_iter().enumerate() {
        data.insert(format!("subjects-{i:02}.tsv"), shard.into_bytes());
    }
    data.extend(keys(&out)?);
    Ok(Rendered {
        policy,
        revision,
        config: files.config.into_iter().map(bytes).collect(),
        data,
    })
}

/// The keys, under the names that they are mounted by.
fn keys(out: &Path) -> Result<Files> {
    let path = out.join(format!("secret.{WORKSPACE}.{GATEWAY}.keys.yaml"));
    let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
    let data = object["data"].as_object().into_iter().flatten();
    let keys = data.map(|(name, value)| {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default())?;
        Ok((name.clone(), bytes))
    });
    keys.collect()
}

fn text(out: &Path, file: &str, name: &str) -> Result<String> {
    let text = std::fs::read_to_string(out.join(file)).context("no policy was rendered")?;
    let object: Value = serde_saphyr::from_str(&text)?;
    let text = object["data"][name].as_str().context("a policy")?;
    Ok(text.to_owned())
}

// === impl Rendered ===

impl Rendered {
    /// The bytes of the key that an ApiKeyRef stands for.
    pub(crate) fn key(&self, api_key_ref: &str) -> Option<&[u8]> {
        let mut rows = self.policy.keys.iter();
        let (id, _) = rows.find(|(_, row)| *row.api_key_ref == *api_key_ref)?;
        self.data.get(&id.to_string()).map(|bytes| &**bytes)
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let ids = self.policy.keys.keys();
        ids.filter_map(|id| self.data.get(&id.to_string()).map(|bytes| &**bytes))
    }
}

//! What the operator would mount into a gateway, from manifests, as its own command writes it.
//! Must not change a byte of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anthropic_rbac::gateway::policy_json;
use anthropic_rbac::policy::digest::ContentId;
use anthropic_rbac::policy::table::Policy;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::mount::Files;
use crate::worlds::CLUSTER;

/// The Workspace that all manifests here are about, and its gateway.
pub(crate) const NAMESPACE: &str = "claude";
pub(crate) const WORKSPACE: &str = "production";
pub(crate) const GATEWAY: &str = "edge";

/// Where the ConfigMap of an issuer has its keys.
pub(crate) const KEY_SET: &str = "jwks.json";

/// Keys that issuers sign with, by issuer.
pub(crate) type Issuers = BTreeMap<&'static str, Value>;

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

/// Renders manifests, to which the issuers' ConfigMaps are added.
pub(crate) fn render(manifests: &[Value], issuers: &Issuers) -> Result<Rendered> {
    let folder = tempfile::tempdir()?;
    let cluster = folder.path().join("cluster.json");
    let mut items = manifests.to_vec();
    for (name, keys) in issuers {
        if *name == CLUSTER {
            fs::write(&cluster, keys.to_string())?;
            continue;
        }
        let metadata = json!({"namespace": NAMESPACE, "name": name});
        items.push(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                          "data": {KEY_SET: keys.to_string()}}),
        );
    }
    let input = folder.path().join("manifests.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    fs::write(&input, list.to_string())?;
    let out = folder.path().join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_anthropic-rbac"))
        .args(["render", "--with-keys", "--cluster-jwks"])
        .arg(&cluster)
        .arg("--out")
        .arg(&out)
        .arg("--filename")
        .arg(&input)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "render: {said}");

    let out = out.join(NAMESPACE);
    let policy = object(&out.join(format!("configmap.{WORKSPACE}.policy.yaml")))?;
    let policy = policy.get(policy_json::FILE).context("a policy")?;
    let (revision, policy) = policy_json::parse(std::str::from_utf8(policy)?, &[])?;
    let (mut config, mut data) = (Files::new(), Files::new());
    let ours = format!(".{WORKSPACE}.{GATEWAY}.");
    for entry in fs::read_dir(&out)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.split_once(&ours) {
            Some(("configmap", "config.yaml")) => config.extend(object(&path)?),
            Some(_) => data.extend(object(&path)?),
            None => {}
        }
    }
    Ok(Rendered {
        policy,
        revision,
        config,
        data,
    })
}

/// What a ConfigMap or Secret holds.
fn object(path: &Path) -> Result<Files> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let object: Value = serde_saphyr::from_str(&text)?;
    let data = object["data"].as_object().into_iter().flatten();
    let files = data.map(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        let bytes = match object["kind"] == "Secret" {
            true => STANDARD.decode(value)?,
            false => value.as_bytes().to_vec(),
        };
        Ok((name.clone(), bytes))
    });
    files.collect()
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

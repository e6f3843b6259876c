//! The policy of a workspace as it is rendered in a cluster. Must not judge it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::ClusterArgs;
use crate::api::metadata::CONTENT_SHA256;
use crate::cli::failure::Failure;
use crate::facts::OutputId;
use crate::gateway::{policy_json, shards::MAX_SHARDS};
use crate::plan::output::{Content, Output, Owner};
use crate::plan::outputs::policy_name;
use crate::policy::digest::ContentId;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::table::Policy;

/// What is there.
pub enum Rendered {
    /// No ConfigMap of that name.
    Missing,
    /// Whoever asks may not read it.
    Denied,
    /// One that cannot be read as a policy, and why.
    Broken(String),
    /// A policy.
    Policy {
        revision: ContentId,
        policy: Box<Policy>,
        /// Whether somebody else changed it after the operator.
        edited: bool,
    },
}

impl ClusterArgs {
    /// Reads the policy that is rendered for a workspace.
    ///
    /// # Errors
    /// When the cluster cannot be reached.
    pub async fn rendered(&self, workspace: &NamespacedName) -> Result<Rendered, Failure> {
        let client = self.client().await?;
        read(&client, workspace).await.or_else(|error| match error {
            kube::Error::Api(status) if status.is_forbidden() => Ok(Rendered::Denied),
            error => Err(Failure::Failed(format!(
                "cannot read the policy of Workspace {workspace}: {error}"
            ))),
        })
    }
}

async fn read(client: &Client, workspace: &NamespacedName) -> kube::Result<Rendered> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &workspace.namespace);
    let Some(main) = api.get_opt(&policy_name(&workspace.name)).await? else {
        return Ok(Rendered::Missing);
    };
    let mut edited = is_edited(&main);
    let Some(text) = file(&main, policy_json::FILE) else {
        return Ok(Rendered::Broken(format!("it has no {}", policy_json::FILE)));
    };
    let document: Result<policy_json::Document, _> = serde_json::from_str(text);
    let shards = document.map_or(0, |document| document.subject_shards);
    let mut texts = Vec::new();
    for i in 0..shards.min(MAX_SHARDS) {
        let name = format!("{}.subjects-{i:02}", workspace.name);
        let Some(shard) = api.get_opt(&name).await? else {
            return Ok(Rendered::Broken(format!("ConfigMap {name} is missing")));
        };
        edited |= is_edited(&shard);
        let text = file(&shard, &format!("subjects-{i:02}.json"));
        texts.push(text.unwrap_or_default().to_owned());
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(match policy_json::parse(text, &texts) {
        Ok((revision, policy)) => Rendered::Policy {
            revision,
            policy: Box::new(policy),
            edited,
        },
        Err(why) => Rendered::Broken(why.to_string()),
    })
}

fn file<'a>(object: &'a ConfigMap, name: &str) -> Option<&'a str> {
    object.data.as_ref()?.get(name).map(String::as_str)
}

/// Whether its content is not what the operator's own digest says.
fn is_edited(object: &ConfigMap) -> bool {
    let data = object.data.iter().flatten();
    let data = data.map(|(name, text)| (Name::from(&**name), Content::Text((&**text).into())));
    let output = Output {
        id: OutputId::config_map("", ""),
        owner: Owner::Retained(Name::default()),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        data: data.collect(),
        secret_type: None,
    };
    let annotations = object.metadata.annotations.as_ref();
    let written = annotations.and_then(|annotations| annotations.get(CONTENT_SHA256));
    output
        .content_sha256()
        .map(|digest| digest.to_string())
        .as_ref()
        != written
}

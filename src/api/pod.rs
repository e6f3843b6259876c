//! The little of a Pod that is looked at: metadata, volumes, and how far it is. Everything else,
//! such as the environment of its containers, is dropped while it is being read.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;

/// A Pod.
#[derive(Deserialize, Clone, Debug)]
pub struct Pod {
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

/// What is wanted of it.
#[derive(Deserialize, Clone, Debug, Default)]
pub struct PodSpec {
    #[serde(default)]
    pub volumes: Option<Vec<v1::Volume>>,
}

/// What was observed of it.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    #[serde(default)]
    pub phase: Option<String>,
    /// When a kubelet took it on.
    #[serde(default)]
    pub start_time: Option<Time>,
    /// Where it can be reached.
    #[serde(default, rename = "podIP")]
    pub pod_ip: Option<String>,
    #[serde(default)]
    pub container_statuses: Option<Vec<ContainerStatus>>,
}

/// How far one of its containers is.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    #[serde(default)]
    pub restart_count: i64,
    #[serde(default)]
    pub state: ContainerState,
}

/// What it does now.
#[derive(Deserialize, Clone, Debug, Default)]
pub struct ContainerState {
    #[serde(default)]
    pub running: Option<Running>,
}

/// It runs.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Since then.
    #[serde(default)]
    pub started_at: Option<Time>,
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        v1::Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        v1::Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        v1::Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        v1::Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

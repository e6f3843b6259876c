//! Pods of gateways by their volumes and our annotations. Must not look at anything else.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, SecretVolumeSource, Volume};
use kube::api::ObjectMeta;

use super::fields::time;
use crate::api::metadata::{HURRIED_AT, HURRIED_FOR};
use crate::api::pod::Pod;
use crate::facts::{OutputId, PodFacts, PodPhase};
use crate::policy::digest::Digest;
use crate::policy::name::{Name, NamespacedName};

/// A pod; `None` for one without a name, which no API server stores.
pub fn pod(pod: &Pod) -> Option<(NamespacedName, PodFacts)> {
    let meta = &pod.metadata;
    let namespace = meta.namespace.as_deref()?;
    let name = NamespacedName::new(namespace, meta.name.as_deref()?);
    let volumes = pod.spec.volumes.iter().flatten();
    let mut mounts: Vec<_> = volumes
        .flat_map(|volume| mounts(namespace, volume))
        .collect();
    mounts.sort();
    mounts.dedup();
    let finished = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let phase = match &pod.status.start_time {
        _ if finished || meta.deletion_timestamp.is_some() => PodPhase::Ending,
        None => PodPhase::Waiting,
        Some(_) => PodPhase::Mounted,
    };
    let (hurried, hurried_at) = hurried(meta);
    let containers = pod.status.container_statuses.iter().flatten();
    let running = containers
        .clone()
        .filter_map(|container| container.state.running.as_ref()?.started_at.as_ref());
    let started = running.chain(&pod.status.start_time).map(|time| time.0);
    let facts = PodFacts {
        uid: meta.uid.as_deref()?.into(),
        created: time(meta.creation_timestamp.as_ref()),
        phase,
        mounts,
        hurried,
        hurried_at,
        address: pod.status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
        started: started.max(),
        restarts: containers.map(|container| container.restart_count).sum(),
    };
    Some((name, facts))
}

/// What a pod says it was hurried for, and when.
pub fn hurried(meta: &ObjectMeta) -> (BTreeMap<Name, Digest>, Option<jiff::Timestamp>) {
    let annotations = meta.annotations.iter().flatten();
    let contents = annotations.filter_map(|(key, value)| {
        let (prefix, gateway) = key.split_once('/')?;
        (prefix == HURRIED_FOR).then_some(())?;
        Some((Name::from(gateway), Digest::parse(value)?))
    });
    let at = meta.annotations.as_ref().and_then(|a| a.get(HURRIED_AT));
    (contents.collect(), at.and_then(|text| text.parse().ok()))
}

fn mounts(namespace: &str, volume: &Volume) -> Vec<OutputId> {
    let config_map = |name: &str| OutputId::config_map(namespace, name);
    let secret = |name: &str| OutputId::secret(namespace, name);
    if let Some(ConfigMapVolumeSource { name, .. }) = &volume.config_map {
        return vec![config_map(name)];
    }
    if let Some(SecretVolumeSource { secret_name, .. }) = &volume.secret {
        return secret_name.iter().map(|name| secret(name)).collect();
    }
    let projected = volume.projected.iter().flat_map(|volume| &volume.sources);
    let mut mounts = Vec::new();
    for source in projected.flatten() {
        mounts.extend(
            source
                .config_map
                .iter()
                .map(|source| config_map(&source.name)),
        );
        mounts.extend(source.secret.iter().map(|source| secret(&source.name)));
    }
    mounts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(value: Value) -> PodFacts {
        let stored: Pod = serde_json::from_value(value).expect("a Pod");
        pod(&stored).expect("it has a name").1
    }

    fn stored() -> Value {
        json!({
            "metadata": {
                "name": "edge-1", "namespace": "claude", "uid": "u",
                "creationTimestamp": "2026-11-22T23:59:59Z",
                "annotations": {
                    "content.anthropic-rbac.io/production.edge": "ab".repeat(32),
                    "content.anthropic-rbac.io/production.bad": "no digest",
                    "anthropic-rbac.io/hurried-at": "2026-11-24T00:00:00.25Z",
                    "example.com/other": "x",
                },
            },
            "spec": {
                "containers": [{"name": "c", "env": [{"name": "A", "value": "EXAMPLE"}]}],
                "volumes": [
                    {"name": "a", "projected": {"sources": [
                        {"configMap": {"name": "production.policy", "optional": true}},
                        {"secret": {"name": "production.edge.keys"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]}},
                    {"name": "b", "secret": {"secretName": "target"}},
                    {"name": "c", "configMap": {"name": "production.policy"}},
                    {"name": "d", "emptyDir": {}},
                ],
            },
            "status": {
                "phase": "Running", "startTime": "2026-11-23T00:00:00Z", "podIP": "10.0.0.7",
                "containerStatuses": [
                    {"name": "c", "restartCount": 2, "state": {"running": {"startedAt": "2026-11-23T01:00:00Z"}}},
                    {"name": "d", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                ],
            },
        })
    }

    #[test]
    fn a_pod_is_known_by_its_volumes_and_what_it_was_hurried_for() {
        let want = PodFacts {
            uid: "u".into(),
            created: "2026-11-22T23:59:59Z".parse().ok(),
            phase: PodPhase::Mounted,
            mounts: vec![
                OutputId::config_map("claude", "production.policy"),
                OutputId::secret("claude", "production.edge.keys"),
                OutputId::secret("claude", "target"),
            ],
            hurried: [(
                "production.edge".into(),
                crate::policy::digest::Hex([0xab; 32]),
            )]
            .into(),
            hurried_at: "2026-11-24T00:00:00.25Z".parse().ok(),
            address: "10.0.0.7".parse().ok(),
            started: "2026-11-23T01:00:00Z".parse().ok(),
            restarts: 3,
        };
        assert_eq!(facts(stored()), want);
    }

    #[test]
    fn a_pod_has_files_from_when_a_kubelet_took_it_on_until_it_ends() {
        let phase = |change: fn(&mut Value)| {
            let mut value = stored();
            change(&mut value);
            facts(value).phase
        };
        assert_eq!(phase(|_| ()), PodPhase::Mounted);
        assert_eq!(
            phase(|pod| pod["status"] = json!({"phase": "Pending"})),
            PodPhase::Waiting
        );
        assert_eq!(
            phase(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z")),
            PodPhase::Ending
        );
        for finished in ["Succeeded", "Failed"] {
            let mut value = stored();
            value["status"]["phase"] = json!(finished);
            assert_eq!(facts(value).phase, PodPhase::Ending);
        }
    }
}

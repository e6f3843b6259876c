//! Whether an operator is at work, by the Lease that it keeps.
//! Must not take what may not be seen for absent.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde::Serialize;

use crate::api::metadata::{NAME, OPERATOR_NAMESPACE};
use crate::cli::failure::Failure;
use crate::cli::source::ClusterArgs;

/// What the Lease says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    pub state: LeaderState,
    /// Namespace of the Lease.
    pub namespace: Option<String>,
    /// Who holds it, or held it last: the name of a pod.
    pub name: Option<String>,
    /// Seconds since it was renewed, by this machine's clock.
    pub renewed_seconds_ago: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum LeaderState {
    /// It is renewed.
    Leading,
    /// It has run out, or was given back.
    Stopped,
    /// There is none.
    Absent,
    /// It may not be looked at.
    Unknown,
}

/// Looks for the Lease in all namespaces, or else where the manifests put it.
pub async fn leader(cluster: &ClusterArgs) -> Result<Leader, Failure> {
    let client = cluster.client().await?;
    let named = ListParams::default().fields(&format!("metadata.name={NAME}"));
    let everywhere = Api::<Lease>::all(client.clone()).list(&named).await;
    let leases = match everywhere {
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let there = Api::<Lease>::namespaced(client, OPERATOR_NAMESPACE);
            there.list(&named).await
        }
        listed => listed,
    };
    let now = Timestamp::now();
    match leases {
        Ok(leases) => {
            let latest = leases.items.iter().max_by_key(|lease| renewed(lease));
            Ok(latest.map_or(Leader::of(LeaderState::Absent), |lease| told(lease, now)))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(Leader::of(LeaderState::Unknown))
        }
        Err(error) => Err(Failure::Failed(format!("cannot look at Leases: {error}"))),
    }
}

fn renewed(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    spec.renew_time.as_ref().map(|time| time.0)
}

fn told(lease: &Lease, now: Timestamp) -> Leader {
    let nothing = LeaseSpec::default();
    let spec = lease.spec.as_ref().unwrap_or(&nothing);
    let name = spec.holder_identity.clone().filter(|name| !name.is_empty());
    let age = renewed(lease).map(|at| now.duration_since(at).as_secs());
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    let holds = name.is_some() && age.is_some_and(|age| age <= lasts);
    Leader {
        state: match holds {
            true => LeaderState::Leading,
            false => LeaderState::Stopped,
        },
        namespace: lease.namespace(),
        name,
        renewed_seconds_ago: age,
    }
}

// === impl Leader ===

impl Leader {
    fn of(state: LeaderState) -> Self {
        Self {
            state,
            namespace: None,
            name: None,
            renewed_seconds_ago: None,
        }
    }

    /// Whether there may be one at work: what may not be seen is nothing to alarm anybody.
    pub fn may_work(&self) -> bool {
        match self.state {
            LeaderState::Leading | LeaderState::Unknown => true,
            LeaderState::Stopped | LeaderState::Absent => false,
        }
    }

    /// In a sentence.
    pub fn text(&self) -> String {
        let name = self.name.as_deref().unwrap_or("nobody");
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let age = self.renewed_seconds_ago.unwrap_or_default();
        match self.state {
            LeaderState::Leading => {
                format!("{name} leads in namespace {namespace}, renewed {age} s ago")
            }
            LeaderState::Stopped if self.name.is_some() => {
                format!("stopped: {name} led in namespace {namespace} until {age} s ago")
            }
            LeaderState::Stopped => {
                format!("stopped: the Lease in namespace {namespace} was given back {age} s ago")
            }
            LeaderState::Absent => {
                "no Lease: none runs, or one with --leader-elect=false".to_owned()
            }
            LeaderState::Unknown => "not known: you may not look at Leases".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told_of(holder: &str, renewed: &str) -> Leader {
        let lease = serde_json::from_value(json!({
            "metadata": {"name": NAME, "namespace": "system"},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15},
        }));
        let now = "2026-12-01T00:00:20Z".parse().expect("a time");
        told(&lease.expect("a Lease"), now)
    }

    #[test]
    fn a_lease_that_is_renewed_has_a_leader_and_one_that_ran_out_or_was_given_back_has_none() {
        let text = |holder, renewed| told_of(holder, renewed).text();
        assert_eq!(
            text("pod-1", "2026-12-01T00:00:05.000000Z"),
            "pod-1 leads in namespace system, renewed 15 s ago"
        );
        assert_eq!(
            text("pod-1", "2026-12-01T00:00:04.000000Z"),
            "stopped: pod-1 led in namespace system until 16 s ago"
        );
        assert_eq!(
            text("", "2026-12-01T00:00:19.000000Z"),
            "stopped: the Lease in namespace system was given back 1 s ago"
        );
    }
}

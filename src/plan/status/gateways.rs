//! What a Workspace says of its gateways and their pods. Must not decide which pods count.

use super::{Conditions, count};
use crate::api::conditions::{self, reason};
use crate::api::{GatewayPods, GatewayStatus, GatewayType, LaggingPod};
use crate::facts::{Is, Snapshot, WriteFailure};
use crate::plan::output::Plan;
use crate::plan::pods::{GatewayPod, gateway_content};
use crate::policy::name::Name;
use crate::policy::workspace::{GatewayKind, Workspace};

/// Most lagging pods of one gateway in a status.
const MOST_LAGGING: usize = 10;

/// Every gateway of a Workspace, and how far its pods are.
pub fn gateways(snapshot: &Snapshot, workspace: &Workspace, plan: &Plan) -> Vec<GatewayStatus> {
    let gateways = workspace.gateways.iter().map(|gateway| {
        let (content, ids) = gateway_content(snapshot, plan, &gateway.name);
        let outputs = plan.outputs.iter();
        let outputs = outputs.filter(|output| ids.contains(&output.id));
        let pods = plan.pods.gateways.get(&gateway.name);
        GatewayStatus {
            name: gateway.name.to_string(),
            type_: match gateway.kind {
                GatewayKind::Envoy => GatewayType::Envoy,
                GatewayKind::LiteLlm => GatewayType::LiteLLM,
            },
            content_sha256: content.to_string(),
            objects: count(ids.len()),
            bytes: count(outputs.map(|output| output.bytes()).sum()),
            pods: pods.and_then(|pods| pods.as_deref().map(shown)),
            limits: Vec::new(),
        }
    });
    gateways.collect()
}

fn shown(pods: &[GatewayPod]) -> GatewayPods {
    let lagging = pods.iter().filter(|pod| !pod.present);
    GatewayPods {
        total: count(pods.len()),
        hurried: count(pods.iter().filter(|pod| pod.present).count()),
        lagging: lagging
            .take(MOST_LAGGING)
            .map(|pod| LaggingPod {
                name: pod.name.to_string(),
                hurried_for: pod.hurried_for.map(|content| content.to_string()),
            })
            .collect(),
    }
}

/// Adds `PromptProjection` where there are gateways.
pub fn prompt_projection(
    conditions: &mut Conditions<'_>,
    snapshot: &Snapshot,
    workspace: &Workspace,
    plan: &Plan,
) {
    const SLOW: &str = "it reaches its pods when their kubelet next looks, by default within 90 s";
    if workspace.gateways.is_empty() {
        return;
    }
    let of = |wanted: fn(Option<&Option<Vec<GatewayPod>>>) -> bool| {
        let gateways = workspace.gateways.iter();
        gateways
            .map(|gateway| &gateway.name)
            .find(|name| wanted(plan.pods.gateways.get(*name)))
    };
    let refused = snapshot.unhurried.values();
    let refused = refused.filter(|failure| **failure == WriteFailure::Forbidden);
    let unseen: Option<&Name> = of(|pods| matches!(pods, Some(None)));
    let selects_none = workspace
        .gateways
        .iter()
        .find(|gateway| gateway.pods.is_none());
    let namespace = &snapshot.name.namespace;
    let (is, reason, message) = if unseen.is_some() || refused.count() > 0 {
        let message = format!(
            "The operator may not look at or mark gateway pods in namespace {namespace}, so a change is not \
             hurried: {SLOW}. Grant it: kubectl create rolebinding anthropic-rbac-gateway-pods --namespace \
             {namespace} --clusterrole=anthropic-rbac-gateway-pods \
             --serviceaccount=anthropic-rbac-system:anthropic-rbac"
        );
        (Is::False, reason::POD_ACCESS_DENIED, message)
    } else if let Some(gateway) = selects_none {
        let message = format!(
            "Gateway '{}' has no podSelector, so a change is not hurried: {SLOW}. Set podSelector to its \
             pods' labels.",
            gateway.name
        );
        (Is::False, reason::NO_POD_SELECTOR, message)
    } else {
        let message = "Changes are hurried to the gateways' pods.".to_owned();
        (Is::True, reason::HURRIED, message)
    };
    conditions.set(conditions::PROMPT_PROJECTION, is, reason, message);
}

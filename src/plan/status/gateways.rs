//! What a Workspace says of its gateways and their pods. Must not decide which pods count.

use std::collections::BTreeMap;

use super::{Conditions, count};
use crate::api::conditions::{self, reason};
use crate::api::{Enforcement, GatewayPods, GatewayStatus, GatewayType, LaggingPod, LimitStatus};
use crate::facts::{Is, Snapshot, WriteFailure};
use crate::plan::issuers;
use crate::plan::loads::PodLoad;
use crate::plan::output::Plan;
use crate::plan::pods::{GatewayPod, gateway_content};
use crate::policy::name::Name;
use crate::policy::workspace::{GatewayKind, Workspace};

/// Most lagging pods of one gateway in a status.
const MOST_LAGGING: usize = 10;

/// The limit of each subject, and that of all together, as statuses name them.
const ROLE_RATE: &str = "requestsPerMinute";
const SHARED_RATE: &str = "rateLimits.requestsPerMinute";

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
            pods: pods.and_then(|pods| {
                let loads = plan.loads.gateways.get(&gateway.name);
                pods.as_deref().map(|pods| shown(pods, loads))
            }),
            limits: limits(workspace, gateway.kind, pods.and_then(|pods| pods.as_ref())),
        }
    });
    gateways.collect()
}

/// How a gateway holds each limit, by name.
fn limits(
    workspace: &Workspace,
    kind: GatewayKind,
    pods: Option<&Vec<GatewayPod>>,
) -> Vec<LimitStatus> {
    let ceiling = workspace.ceiling_per_minute();
    let limits = [
        ("blockedSubjects", false),
        ("expiresAt", false),
        ("maxTokens", false),
        ("models", false),
        ("notBefore", false),
        (SHARED_RATE, true),
        (ROLE_RATE, true),
        ("state", false),
    ];
    let limits = limits
        .into_iter()
        .filter(|(limit, _)| *limit != SHARED_RATE || ceiling.is_some());
    let alone = pods.is_some_and(|pods| pods.len() == 1);
    let limits = limits.map(|(limit, counts)| LimitStatus {
        limit: limit.to_owned(),
        enforcement: match kind {
            GatewayKind::LiteLlm => Enforcement::NotEnforced,
            // Each pod counts for itself.
            GatewayKind::Envoy if counts && !alone => Enforcement::PerReplica,
            GatewayKind::Envoy => Enforcement::Enforced,
        },
    });
    limits.collect()
}

fn shown(pods: &[GatewayPod], loads: Option<&BTreeMap<Name, PodLoad>>) -> GatewayPods {
    let load = |pod: &GatewayPod| loads.and_then(|loads| loads.get(&pod.name));
    let late = |pod: &GatewayPod| match load(pod) {
        Some(PodLoad::Late { revision, why }) => Some((revision.clone(), why.clone())),
        Some(PodLoad::Loaded | PodLoad::Unasked | PodLoad::NotStarted | PodLoad::Pending)
        | None => None,
    };
    let lagging = pods
        .iter()
        .filter(|pod| !pod.present || late(pod).is_some());
    GatewayPods {
        loaded: loads.and_then(loaded),
        total: count(pods.len()),
        hurried: count(pods.iter().filter(|pod| pod.present).count()),
        lagging: lagging
            .take(MOST_LAGGING)
            .map(|pod| LaggingPod {
                name: pod.name.to_string(),
                hurried_for: pod.hurried_for.map(|content| content.to_string()),
                loaded_revision: late(pod)
                    .and_then(|(revision, _)| revision)
                    .map(|revision| revision.to_string()),
                message: late(pod).map(|(_, why)| format!("It {why}.")),
            })
            .collect(),
    }
}

/// How many pods have loaded; `None` while some still have time, so that it is told once.
fn loaded(loads: &BTreeMap<Name, PodLoad>) -> Option<i64> {
    let settled = |load: &PodLoad| match load {
        PodLoad::Loaded | PodLoad::NotStarted | PodLoad::Late { .. } => true,
        PodLoad::Unasked | PodLoad::Pending => false,
    };
    let loaded = loads.values().filter(|load| **load == PodLoad::Loaded);
    loads.values().all(settled).then(|| count(loaded.count()))
}

/// What is to be said of gateways that are not all as they should be.
pub fn trouble(
    snapshot: &Snapshot,
    workspace: &Workspace,
    plan: &Plan,
) -> Option<(&'static str, String)> {
    let gateways = workspace.gateways.iter();
    let unsupported = gateways.filter(|gateway| gateway.kind == GatewayKind::LiteLlm);
    let unsupported: Vec<String> = unsupported
        .map(|gateway| format!("'{}'", gateway.name))
        .collect();
    if !unsupported.is_empty() {
        let message = format!(
            "This release does not render gateways of type LiteLLM, so nothing enforces the policy at {}; those of type Envoy have their files. Remove them from spec.gateways, or use a release that renders them.",
            unsupported.join(", ")
        );
        return Some((reason::UNSUPPORTED_GATEWAY, message));
    }
    let late = plan.loads.late().map(|(gateway, pod, why)| {
        let message = format!(
            "Pod {pod} of gateway '{gateway}' has not loaded the policy in two minutes: it {why}. Look at its log and at the objects it mounts; restart it if they are right."
        );
        (reason::NOT_LOADED, message)
    });
    late.or_else(|| issuers::missing(snapshot, workspace))
}

/// What is to be said when nothing is wrong.
pub fn progress(plan: &Plan) -> &'static str {
    let mut pods = plan.loads.gateways.values().flatten().peekable();
    if pods.peek().is_none() {
        return "The policy is written.";
    }
    if pods.all(|(_, load)| *load == PodLoad::Loaded) {
        "The policy is written, and loaded by the gateways' pods."
    } else {
        "The policy is written, and about to be loaded by the gateways' pods."
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
             --serviceaccount={}",
            snapshot.operator_account()
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

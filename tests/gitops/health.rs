//! What Argo CD's own evaluator makes of `deploy/gitops/argocd/health.lua`, for each way an object can be.
//! Must not judge by itself.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    argo::SETTINGS,
    cluster::Cluster,
    program::{command, printed},
    suite::{Test, test},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "Argo CD's evaluator says of each state of our objects what the documents say",
        every_state,
    )]
}

/// Health and message that Argo CD is to show, and the object.
struct Case {
    health: &'static str,
    message: &'static str,
    object: Value,
}

async fn every_state(_: &Cluster) -> Result<()> {
    let folder = TempDir::new()?;
    let settings = folder.path().join("argocd-cm.yaml");
    let rendered = printed(command("kustomize/kustomize")?.args(["build", SETTINGS]))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&rendered)?;
    let ours = documents
        .iter()
        .find(|document| document["metadata"]["name"] == "argocd-cm")
        .context("argocd-cm is built")?;
    fs::write(&settings, ours.to_string())?;
    let cases = cases();
    for case in &cases {
        let object = folder.path().join("object.yaml");
        fs::write(&object, case.object.to_string())?;
        let said = printed(
            command("argocd/argocd")?
                .args(["admin", "settings", "resource-overrides", "health"])
                .arg(&object)
                .arg("--argocd-cm-path")
                .arg(&settings)
                .env("HOME", folder.path()),
        )?;
        let wanted = format!("STATUS: {}\nMESSAGE: {}\n", case.health, case.message);
        ensure!(
            said == wanted,
            "{:#}\nis\n{said}and should be\n{wanted}",
            case.object
        );
    }
    Ok(())
}

/// Of an object whose present generation the operator has not seen.
pub(crate) const UNSEEN: &str =
    "Waiting for the anthropic-rbac operator, which has not seen this yet";

fn cases() -> Vec<Case> {
    let case = |health, message, object| Case {
        health,
        message,
        object,
    };
    let ready = ("Ready", "True", "Ready", "It is so.");
    let revoked = ("Ready", "True", "Revoked", "It is revoked.");
    let disabled = ("Ready", "True", "WorkspaceDisabled", "It is Disabled.");
    let due = |is, reason| ("RotationDue", is, reason, "Make a new key.");
    let active = |is, reason| ("Active", is, reason, "About the grant.");
    let mut cases = Vec::new();
    for kind in ["Workspace", "RoleBinding", "ApiKeyRef"] {
        // As nobody stores it: without the default of the custom resource.
        let mut bare = seen(kind, json!({}), &[]);
        bare["status"].take();
        cases.push(case("Progressing", UNSEEN, bare));
        let mut fresh = seen(kind, json!({}), &[]);
        fresh["status"] = json!({"observedGeneration": -1});
        cases.push(case("Progressing", UNSEEN, fresh));
        let mut changed = seen(kind, json!({}), &[ready]);
        changed["status"]["observedGeneration"] = json!(1);
        cases.push(case("Progressing", UNSEEN, changed));
        cases.push(case(
            "Progressing",
            "Waiting for the anthropic-rbac operator, which has not judged this yet",
            seen(kind, json!({}), &[]),
        ));
        cases.push(case(
            "Healthy",
            "It is so.",
            seen(kind, json!({}), &[ready]),
        ));
        cases.push(case(
            "Degraded",
            "NotOurs: Delete it.",
            seen(
                kind,
                json!({}),
                &[("Ready", "False", "NotOurs", "Delete it.")],
            ),
        ));
        cases.push(case(
            "Degraded",
            "InvalidSpec: Correct spec.roles.",
            seen(
                kind,
                json!({}),
                &[
                    ("Ready", "False", "InvalidSpec", "Not this."),
                    ("Stalled", "True", "InvalidSpec", "Correct spec.roles."),
                ],
            ),
        ));
    }
    let off = json!({"state": "Disabled"});
    cases.push(case(
        "Suspended",
        "WorkspaceDisabled: It is Disabled.",
        seen("Workspace", off.clone(), &[disabled]),
    ));
    cases.push(case(
        "Suspended",
        "Disabled: About the grant.",
        seen("RoleBinding", off, &[ready, active("False", "Disabled")]),
    ));
    cases.push(case(
        "Healthy",
        "It is so.",
        seen("RoleBinding", json!({}), &[ready, active("True", "Active")]),
    ));
    cases.push(case(
        "Healthy",
        "Expired: About the grant.",
        seen(
            "RoleBinding",
            json!({}),
            &[ready, active("False", "Expired")],
        ),
    ));
    let key = |conditions: &[_]| seen("ApiKeyRef", json!({}), conditions);
    cases.push(case(
        "Healthy",
        "DueSoon: Make a new key.",
        key(&[ready, due("False", "DueSoon")]),
    ));
    cases.push(case(
        "Healthy",
        "Overdue: Make a new key.",
        key(&[ready, due("True", "Overdue")]),
    ));
    cases.push(case(
        "Degraded",
        "Expired: Make a new key.",
        key(&[ready, due("True", "Expired")]),
    ));
    cases.push(case(
        "Healthy",
        "It is so.",
        key(&[
            ready,
            ("RotationDue", "False", "Fresh", "Young."),
            ("Unique", "Unknown", "Unknown", "-"),
        ]),
    ));
    cases.push(case(
        "Healthy",
        "SharedKey: Make one for each.",
        key(&[
            ready,
            ("Unique", "False", "SharedKey", "Make one for each."),
        ]),
    ));
    cases.push(case(
        "Healthy",
        "Retirable: Disable it.",
        key(&[
            ready,
            ("PreviousKeyRetirable", "True", "Retirable", "Disable it."),
        ]),
    ));
    cases.push(case("Healthy", "It is revoked.", key(&[revoked])));
    cases.push(case(
        "Degraded",
        "Suspended: Taken away.",
        key(&[
            ("Ready", "False", "Suspended", "Taken away."),
            due("True", "Overdue"),
        ]),
    ));
    cases
}

/// An object at its second generation, as an operator that has seen it leaves it.
fn seen(kind: &str, spec: Value, conditions: &[(&str, &str, &str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, reason, message)| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "observedGeneration": 2, "lastTransitionTime": "2026-11-25T00:00:00Z",
            })
        })
        .collect();
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": kind,
        "metadata": {"name": "any", "namespace": "claude", "generation": 2},
        "spec": spec,
        "status": {"observedGeneration": 2, "conditions": conditions},
    })
}

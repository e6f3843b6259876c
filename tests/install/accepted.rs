//! That a real API server takes every form, strictly and without a warning.
//! Must not look at what it does with them; `lifetime` does.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::forms::FORMS;
use crate::helm::{Helm, NAMESPACE};
use crate::kubectl::{Cluster, kustomize};
use crate::objects::Objects;
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "accepted: an API server takes every form strictly, its pods in a restricted namespace",
        every_form,
    )]
}

fn every_form() -> Result<()> {
    let cluster = Cluster::start()?;
    // With the restricted level enforced, and warned of.
    cluster.ok(&["create", "--filename=deploy/base/namespace.yaml"], "")?;
    for namespace in ["claude", "search"] {
        cluster.ok(&["create", "namespace", namespace], "")?;
    }
    for form in FORMS {
        let objects = Helm::V4.render(NAMESPACE, form.values)?;
        accepts(&cluster, &objects).with_context(|| form.name.to_owned())?;
    }
    // The rest is equal, but for the namespace.
    accepts(&cluster, &kustomize(&FORMS[0])?).context("kustomize")?;
    // It does refuse what is misspelt.
    let mut wrong = Helm::V4.render(NAMESPACE, "{}")?;
    let deployment = deployment(&mut wrong)?;
    deployment["spec"]["replica"] = json!(2);
    let error = accepts(&cluster, &wrong)
        .err()
        .context("took a misspelt field")?;
    ensure!(
        format!("{error:#}").contains("unknown field \"replica\""),
        "{error:#}"
    );
    Ok(())
}

fn accepts(cluster: &Cluster, objects: &Objects) -> Result<()> {
    // The Prometheus Operator's kinds are not served here.
    let served = |object: &&Value| object["apiVersion"] != "monitoring.coreos.com/v1";
    let items: Vec<&Value> = objects.values().filter(served).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let dry = "--dry-run=server";
    let flags = ["--validate=strict", "--warnings-as-errors", "--filename=-"];
    let apply = [&["apply", "--server-side", dry][..], &flags].concat();
    cluster.ok(&apply, &list.to_string())?;
    // The Deployment is let in whatever its pods are; they would not be.
    let deployment = objects.get("Deployment anthropic-rbac-system/anthropic-rbac");
    let template = &deployment.context("no Deployment")?["spec"]["template"];
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": NAMESPACE},
        "spec": template["spec"],
    });
    let create = [&["create", dry][..], &flags].concat();
    cluster.ok(&create, &pod.to_string())?;
    Ok(())
}

fn deployment(objects: &mut Objects) -> Result<&mut Value> {
    let deployment = objects.get_mut("Deployment anthropic-rbac-system/anthropic-rbac");
    deployment.context("no Deployment")
}

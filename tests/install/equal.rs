//! That the install forms yield the same objects. Must not know what is in them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::forms::FORMS;
use crate::helm::{CHART, Helm, NAMESPACE, succeeded};
use crate::kubectl::{kubectl, kustomize};
use crate::objects::{self, Objects, differences};
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "equal: Helm and kustomize make the same objects of the same choices",
            helm_and_kustomize,
        ),
        test(
            "equal: the chart and the files of a release make the same objects, of the same bytes each time",
            released,
        ),
        test(
            "equal: old and new Helm make the same objects",
            old_and_new_helm,
        ),
        test(
            "equal: in another namespace nothing is left in the usual one",
            in_another_namespace,
        ),
    ]
}

fn helm_and_kustomize() -> Result<()> {
    let mut all = Vec::new();
    for form in FORMS {
        let mut by_helm = Helm::V4.render(NAMESPACE, form.values)?;
        let mut by_kustomize = kustomize(form)?;
        take_what_only_one_can_have(&mut by_helm, &mut by_kustomize)
            .with_context(|| form.name.to_owned())?;
        ensure!(by_helm.len() > 15, "{}: hardly anything is left", form.name);
        for difference in differences(&by_helm, &by_kustomize) {
            all.push(format!("{}: {difference}", form.name));
        }
    }
    ensure!(all.is_empty(), "{}", all.join("\n"));
    Ok(())
}

/// All that may differ.
fn take_what_only_one_can_have(helm: &mut Objects, kustomize: &mut Objects) -> Result<()> {
    // Helm makes the namespace of a release itself (--create-namespace), and nothing in a chart can.
    let namespace = kustomize.remove(&format!("Namespace {NAMESPACE}"));
    ensure!(namespace.is_some(), "kustomize makes no namespace");
    // By these people and tools see that an object is a release's.
    let own = json!({"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": chart()?});
    for (name, object) in helm {
        let labels = object["metadata"]["labels"].as_object_mut();
        let labels = labels.with_context(|| format!("{name} has no labels"))?;
        for (key, value) in own.as_object().context("a map")? {
            ensure!(labels.remove(key).as_ref() == Some(value), "{name}: {key}");
        }
    }
    Ok(())
}

/// Name and version, which are the operator's.
fn chart() -> Result<String> {
    let text = fs::read_to_string(format!("{CHART}/Chart.yaml"))?;
    let chart: Value = serde_saphyr::from_str(&text)?;
    for field in ["version", "appVersion"] {
        ensure!(
            chart[field] == env!("CARGO_PKG_VERSION"),
            "Chart.yaml: {field}"
        );
    }
    Ok(concat!("anthropic-rbac-", env!("CARGO_PKG_VERSION")).to_owned())
}

fn released() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    for out in [&first, &second] {
        let output = Command::new("scripts/dist.sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("OUT", out)
            .env("KUBECTL", kubectl()?)
            .env("IMAGE", "registry.example:5000/anthropic-rbac")
            .env("DIGEST", format!("sha256:{}", "a".repeat(64)))
            .output()?;
        succeeded(&output).context("scripts/dist.sh")?;
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&first)? {
        let name = entry?.file_name();
        let same = fs::read(first.join(&name))? == fs::read(second.join(&name))?;
        ensure!(same, "{name:?} has other bytes the second time");
        files.push(name);
    }
    ensure!(files.len() == 4, "a release has {files:?}");

    let packed = first.join(chart()? + ".tgz");
    let packed = packed.to_str().context("a path in UTF-8")?;
    let mut by_helm = Helm::V4.render_packed(packed)?;
    let mut static_yaml = objects::read(&fs::read_to_string(first.join("install.yaml"))?)?;
    take_what_only_one_can_have(&mut by_helm, &mut static_yaml)?;
    let differences = differences(&by_helm, &static_yaml);
    ensure!(differences.is_empty(), "{differences:#?}");
    let deployment = &by_helm[&format!("Deployment {NAMESPACE}/anthropic-rbac")];
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let wanted = format!(
        "registry.example:5000/anthropic-rbac@sha256:{}",
        "a".repeat(64)
    );
    ensure!(image == &wanted, "{image}");
    Ok(())
}

fn old_and_new_helm() -> Result<()> {
    for form in FORMS {
        let [old, new] = Helm::ALL.map(|helm| helm.render(NAMESPACE, form.values));
        let differences = differences(&old?, &new?);
        ensure!(differences.is_empty(), "{}: {differences:#?}", form.name);
    }
    Ok(())
}

fn in_another_namespace() -> Result<()> {
    for form in FORMS {
        let usual = Helm::V4.render(NAMESPACE, form.values)?;
        let other = Helm::V4.render("elsewhere", form.values)?;
        let mut moved = Objects::new();
        for (name, object) in usual {
            let text = object.to_string().replace(NAMESPACE, "elsewhere");
            let object = serde_json::from_str(&text)?;
            moved.insert(name.replace(NAMESPACE, "elsewhere"), object);
        }
        let differences = differences(&moved, &other);
        ensure!(differences.is_empty(), "{}: {differences:#?}", form.name);
    }
    Ok(())
}

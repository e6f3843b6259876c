//! That docs/install.md is true: its table of values has all of them, and its commands work.
//! Must not know any command better than the page does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::helm::{CHART, Helm, NAMESPACE, succeeded};
use crate::kubectl::{Cluster, kubectl};
use crate::objects::{self, differences};
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "documented: the table of values has every value with its default",
            table,
        ),
        test(
            "documented: the schema knows every value and no other",
            schema,
        ),
        test(
            "documented: each command works, from top to bottom",
            commands,
        ),
        test(
            "documented: the API server's address is narrowed to the same by Helm and kustomize",
            narrowed,
        ),
    ]
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md");

fn values() -> Result<Value> {
    let text = fs::read_to_string(format!("{CHART}/values.yaml"))?;
    Ok(serde_saphyr::from_str(&text)?)
}

fn table() -> Result<()> {
    let values = values()?;
    let text = fs::read_to_string(PAGE)?;
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, path, default, _, _] = cells[..] else {
            continue;
        };
        let code = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        if let (Some(path), Some(default)) = (code(path), code(default)) {
            rows.insert(path, default);
        }
    }
    let mut there = BTreeSet::new();
    for (path, default) in &rows {
        let found = values.pointer(&format!("/{}", path.replace('.', "/")));
        let default: Value = serde_saphyr::from_str(default)?;
        ensure!(
            found == Some(&default),
            "{path} is {found:?}, the table says {default}"
        );
        there.insert(path.as_str());
    }
    let mut missing = Vec::new();
    without_row("", &values, &there, &mut missing);
    ensure!(missing.is_empty(), "no row for {missing:?}");
    Ok(())
}

/// A value has a row, or each of its parts has.
fn without_row(path: &str, value: &Value, rows: &BTreeSet<&str>, missing: &mut Vec<String>) {
    if rows.contains(path) {
        return;
    }
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                without_row(&format!("{path}{dot}{name}"), value, rows, missing);
            }
        }
        _ => missing.push(path.to_owned()),
    }
}

fn schema() -> Result<()> {
    let text = fs::read_to_string(format!("{CHART}/values.schema.json"))?;
    let mut schema: Value = serde_json::from_str(&text)?;
    let properties = schema["properties"].as_object_mut().context("a map")?;
    // What Helm adds to a dependency's values.
    for own in ["global", "enabled"] {
        properties.remove(own).with_context(|| own.to_owned())?;
    }
    same_names("", &schema, &values()?)
}

fn same_names(path: &str, schema: &Value, values: &Value) -> Result<()> {
    let Some(properties) = schema["properties"].as_object() else {
        return Ok(());
    };
    ensure!(
        schema["additionalProperties"] == false,
        "{path}: anything goes"
    );
    let known: BTreeSet<&String> = properties.keys().collect();
    let there: BTreeSet<&String> = values.as_object().context("a map")?.keys().collect();
    // A default may leave out what Kubernetes lets one leave out.
    let same = if path == ".resources" {
        there.is_subset(&known)
    } else {
        there == known
    };
    ensure!(same, "{path}: schema {known:?}, values {there:?}");
    for (name, schema) in properties {
        same_names(&format!("{path}.{name}"), schema, &values[name])?;
    }
    Ok(())
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A code block of the page.
struct Block {
    section: String,
    /// What the comment above it says, after what it was asked for by.
    said: String,
    text: String,
}

/// The blocks below a comment that begins like this.
fn blocks(comment: &str) -> Result<Vec<Block>> {
    let text = fs::read_to_string(PAGE)?;
    let begin = format!("<!-- test: {comment}");
    let mut blocks = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let (heading, rest) = section.split_once('\n').context("a heading alone")?;
        for rest in rest.split(&begin).skip(1) {
            let block = || {
                let (said, rest) = rest.split_once(" -->\n```")?;
                let (_, block) = rest.split_once('\n')?;
                let (block, _) = block.split_once("```")?;
                let block = block.replace("REGISTRY", "registry.example");
                Some(Block {
                    section: heading.to_owned(),
                    said: said.trim().to_owned(),
                    text: block.replace("sha256:...", DIGEST),
                })
            };
            blocks.push(block().context("a comment without a block")?);
        }
    }
    Ok(blocks)
}

/// A checkout with the files that the page makes, and with kubectl and Helm on its path.
fn checkout() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for part in ["Makefile", "scripts", "deploy", "crds"] {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(part).arg(folder.path());
        succeeded(&copy.current_dir(env!("CARGO_MANIFEST_DIR")).output()?)?;
    }
    for block in blocks("file ")? {
        let file = folder.path().join(block.said);
        fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        fs::write(file, block.text)?;
    }
    let programs = folder.path().join("programs");
    fs::create_dir(&programs)?;
    let helm = Helm::V4.command(&[])?;
    std::os::unix::fs::symlink(helm.get_program(), programs.join("helm"))?;
    std::os::unix::fs::symlink(kubectl()?, programs.join("kubectl"))?;
    Ok(folder)
}

fn commands() -> Result<()> {
    let blocks = blocks("by tests/install/documented.rs")?;
    let ways = ["Helm", "Kustomize", "One file"];
    for way in ways {
        let cluster = Cluster::start()?;
        let checkout = checkout()?;
        let run = |block: &Block| run(&cluster, checkout.path(), &block.text);
        let installs: Vec<&Block> = blocks.iter().filter(|block| block.section == way).collect();
        ensure!(!installs.is_empty(), "the page has no commands for {way}");
        for block in installs {
            run(block)?;
        }
        let there = ["get", "deployment", "anthropic-rbac", "-n", NAMESPACE];
        cluster.ok(&there, "")?;
        let rest = blocks
            .iter()
            .filter(|block| !ways.contains(&block.section.as_str()))
            .filter(|block| block.text.starts_with("helm ") == (way == "Helm"));
        for block in rest {
            run(block)?;
        }
        let left = ["get", "crd,clusterroles,deployments", "-A", "-o=name"];
        let left = cluster.ok(&left, "")?;
        let ours = left.lines().filter(|name| name.contains("anthropic-rbac"));
        // Helm leaves the three CRDs, for whoever made objects of them.
        let expected = if way == "Helm" { 3 } else { 0 };
        ensure!(ours.count() == expected, "{way} leaves {left}");
    }
    Ok(())
}

/// As somebody types it in a checkout.
fn run(cluster: &Cluster, checkout: &Path, commands: &str) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = checkout.join("programs");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(checkout)
        .env_remove("CARGO_TARGET_DIR")
        .env("HOME", checkout)
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()?;
    succeeded(&output).with_context(|| commands.to_owned())?;
    Ok(())
}

fn narrowed() -> Result<()> {
    let checkout = checkout()?;
    let folder = checkout.path().join("my-install");
    fs::rename(
        folder.join("narrowed.yaml"),
        folder.join("kustomization.yaml"),
    )?;
    let output = Command::new(kubectl()?)
        .arg("kustomize")
        .arg(&folder)
        .output()?;
    let mut by_kustomize = objects::read(&succeeded(&output)?)?;

    let text = fs::read_to_string(PAGE)?;
    let flag = text.split_once("`--set 'networkPolicy.apiServer.cidrs={");
    let (addresses, _) = flag
        .and_then(|(_, rest)| rest.split_once('}'))
        .context("no flag")?;
    let values = format!("networkPolicy: {{enabled: true, apiServer: {{cidrs: [{addresses}]}}}}");
    let mut by_helm = Helm::V4.render(NAMESPACE, &values)?;
    let policy = |name: &str| name == "NetworkPolicy anthropic-rbac-system/anthropic-rbac";
    by_helm.retain(|name, _| policy(name));
    by_kustomize.retain(|name, _| policy(name));
    for objects in [&mut by_helm, &mut by_kustomize] {
        for object in objects.values_mut() {
            object["metadata"] = Value::Null;
        }
    }
    let differences = differences(&by_helm, &by_kustomize);
    ensure!(
        by_helm.len() == 1 && differences.is_empty(),
        "{differences:#?}"
    );
    Ok(())
}

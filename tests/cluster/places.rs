//! All there is to read that must not have a key in it, by place.
//! Must not leave out what only people with many rights can read.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use crate::{
    cluster::{Cluster, KINDS},
    command_line,
    needles::Canary,
    operator::Operator,
    resource::{self, api, key},
};

/// What people do by mistake: the key itself where its name or id belongs.
fn mistakes(home: &str, canary: &Canary) -> Vec<Value> {
    let pasted = |path: &str| {
        let mut mistake = key(home, "mistake", "one", "good", "mistake-target");
        mistake["spec"]["keyId"] = "apikey_01EXAMPLE".into();
        if let Some(field) = mistake.pointer_mut(path) {
            *field = canary.text().into();
        }
        mistake
    };
    [
        "/spec/keyId",
        "/spec/service",
        "/spec/source/secretKeyRef/key",
        "/spec/source/secretKeyRef/name",
        "/spec/target/secretName",
    ]
    .map(pasted)
    .into()
}

/// All there is to read, by place: the operator's log comes first.
pub(crate) async fn all(
    cluster: &Cluster,
    operator: &Operator,
    home: &str,
    manifests: &str,
    pasted: &Canary,
) -> Result<Vec<(String, String)>> {
    let (_, calendar) = operator.http_get("/calendar.ics")?;
    ensure!(calendar.contains("BEGIN:VEVENT"), "nothing is due");
    let mut places = vec![
        ("the operator's log".to_owned(), operator.logged()?),
        ("its metrics".to_owned(), operator.metrics()?),
        ("the calendar it serves".to_owned(), calendar),
    ];
    for kind in KINDS
        .map(|(kind, _)| kind)
        .into_iter()
        .chain(["ConfigMap", "Event"])
    {
        places.push((format!("a {kind}"), objects(cluster, kind, "").await?));
    }
    let core = cluster.kubectl_ok(&["get", "--raw=/api/v1/events"])?;
    places.push(("an Event of the core group".to_owned(), core));
    if let Some(audit) = cluster.audit_log_text()? {
        places.push(("the audit log".to_owned(), audit));
    }

    let file = cluster.dir().join("canaries.json");
    fs::write(&file, manifests)?;
    let folder = cluster.dir().join("canaries");
    let path = |path: &Path| Ok::<_, anyhow::Error>(path.to_str().context("UTF-8")?.to_owned());
    let (file, out) = (path(&file)?, path(&folder)?);
    let kubeconfig = path(cluster.kubeconfig())?;
    let subject = format!("serviceaccount:{home}/app");
    let (workspace, key) = (format!("{home}/one"), format!("{home}/kept"));
    let model = ["-w", &workspace, "--model", "claude-haiku-4-5"];
    let from_files = ["-f", &file];
    let from_cluster = ["--kubeconfig", &kubeconfig];
    let check = [&["check", &subject], &model[..]].concat();
    let who_can = [&["who-can"], &model[..]].concat();
    let json = ["-o", "json"];
    for (arguments, source) in [
        (vec!["render", "--out", &out], &from_files),
        (check.clone(), &from_files),
        ([&check[..], &json].concat(), &from_files),
        (check, &from_cluster),
        (who_can, &from_cluster),
        (vec!["access", &subject], &from_files),
        (vec!["offboard", &subject], &from_files),
        (vec!["lint"], &from_files),
        (vec!["lint", "-o", "json"], &from_files),
        (vec!["keys"], &from_files),
        (vec!["keys", "-A"], &from_cluster),
        (vec!["keys", "-A", "-o", "json"], &from_cluster),
        (vec!["calendar"], &from_files),
        (vec!["status"], &from_cluster),
        (vec!["diff"], &from_files),
        (vec!["revoke", &key], &from_files),
        (vec!["revoke", &key, "--yes"], &from_cluster),
    ] {
        let said = said(&[&arguments[..], source].concat())?;
        places.push((format!("what {} says", arguments[0]), said));
    }
    places.push(("what render writes".to_owned(), files(&folder)?));
    for (number, mistake) in mistakes(home, pasted).iter().enumerate() {
        let file = cluster.dir().join(format!("mistake-{number}.json"));
        fs::write(&file, mistake.to_string())?;
        let file = path(&file)?;
        for arguments in [
            vec!["lint", "-f", &file],
            vec!["render", "-f", &file, "--out", &out],
        ] {
            let output = command_line::run(&arguments)?;
            ensure!(!output.status.success(), "mistake {number} is one");
            let place = format!("what {} says of mistake {number}", arguments[0]);
            places.push((place, said(&arguments)?));
        }
    }
    let silent = places.iter().find(|(_, text)| text.is_empty());
    ensure!(silent.is_none(), "nothing in {silent:?}");
    Ok(places)
}

/// What a command prints, wherever it prints it.
fn said(arguments: &[&str]) -> Result<String> {
    let output = command_line::run(arguments)?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// All objects of a kind with all their metadata, managed fields included.
pub(crate) async fn objects(cluster: &Cluster, kind: &str, namespace: &str) -> Result<String> {
    let listed = api(&cluster.client(), kind, namespace)
        .list(&ListParams::default())
        .await?;
    let mut text = String::new();
    for object in &listed.items {
        text.push_str(&serde_json::to_string(object)?);
        // In clear what is encoded.
        text.push_str(&decoded(object));
    }
    Ok(text)
}

fn decoded(object: &DynamicObject) -> String {
    let data = object.data["data"].as_object().into_iter().flatten();
    let values = data.filter_map(|(key, _)| resource::value(object, key));
    values.collect::<Vec<_>>().join("\n")
}

/// All files of a folder and its folders.
fn files(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            text.push_str(&files(&entry.path())?);
        } else {
            text.push_str(&fs::read_to_string(entry.path())?);
        }
    }
    Ok(text)
}

//! What `lint` says of a cluster: the same as of the manifests that were applied to it.
//! Must not know findings of its own: what is compared is what the other side says.

use std::{fs, path::Path, process::Output, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    command_line::run,
    operator::{Operator, Settings, kubeconfig_of},
    resource::{self, api, binding, merge, until, workspace},
    seed,
    suite::{Test, test},
};

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "lint finds on a cluster what it finds in the manifests, but knows no lines there",
            same,
        ),
        test(
            "a reference that leads nowhere fails lint of a cluster, before the operator says so and after",
            broken,
        ),
        test(
            "lint says which right is missing, and needs none to Secrets or ConfigMaps",
            rights,
        ),
    ]
}

/// `lint` of a cluster as somebody.
fn lint(kubeconfig: &Path, namespace: &str, format: &str) -> Result<Output> {
    let kubeconfig = kubeconfig.to_str().context("a path in UTF-8")?;
    let arguments = ["lint", "-n", namespace, "-o", format];
    run(&[&arguments[..], &["--kubeconfig", kubeconfig]].concat())
}

/// Exit code and answer of `lint` in JSON.
fn answer(output: &Output) -> Result<(Option<i32>, Value)> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let answer = serde_json::from_slice(&output.stdout).with_context(|| stderr.into_owned())?;
    Ok((output.status.code(), answer))
}

/// The findings of an answer in one order, without where in files they are.
fn findings(answer: &Value) -> Result<Vec<String>> {
    let findings = answer["findings"].as_array().context("findings")?;
    let mut findings = findings.clone();
    for finding in &mut findings {
        let members = finding.as_object_mut().context("a finding")?;
        for place in ["file", "line", "column"] {
            members.remove(place).context("a place, or null")?;
        }
    }
    let mut findings: Vec<String> = findings.iter().map(Value::to_string).collect();
    findings.sort();
    Ok(findings)
}

/// The lines of an answer for people in one order, without places and what is taken for granted.
fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| !line.starts_with("assumed: "));
    let place = |line: &str| line.starts_with("examples/seed/");
    let said = lines.map(|line| match line.split_once(": ") {
        Some((at, said)) if place(at) => said.to_owned(),
        Some(_) | None => line.to_owned(),
    });
    let mut said: Vec<String> = said.collect();
    said.sort();
    said
}

async fn same(cluster: &Cluster) -> Result<()> {
    let _operator = seed::converged(cluster).await?;
    // An overdue key is a condition of its own, which may come after Ready.
    let keys = api(&cluster.client(), "ApiKeyRef", "claude");
    until(
        &keys,
        "prod-batch",
        ("RotationDue", "True", "Overdue"),
        SOON,
    )
    .await?;
    // All its Workspaces are in this one.
    let of_cluster = |format: &str| lint(cluster.kubeconfig(), "claude", format);
    let of_files = |format: &str| run(&["lint", "-f", "examples/seed", "-o", format]);

    let (exit, files) = answer(&of_files("json")?)?;
    ensure!(exit == Some(0) && files["assumptions"] == json!([]));
    let (exit, answer) = answer(&of_cluster("json")?)?;
    ensure!(exit == Some(0), "warnings only: {answer}");
    assert_eq!(findings(&answer)?, findings(&files)?);
    ensure!(findings(&answer)?.len() > 20, "the seed has findings");
    for count in ["errors", "warnings", "infos"] {
        assert_eq!(answer[count], files[count], "{count}");
    }
    // Only files have lines; only a cluster's keys are taken from statuses.
    let found = answer["findings"].as_array().into_iter().flatten();
    for finding in found {
        let place = [&finding["file"], &finding["line"], &finding["column"]];
        assert_eq!(place, [&Value::Null; 3], "{finding}");
    }
    let assumed = answer["assumptions"].as_array().context("assumptions")?;
    ensure!(
        !assumed.is_empty()
            && assumed.iter().all(|assumed| {
                let assumed = assumed.as_str().unwrap_or_default();
                assumed.starts_with("ApiKeyRef ") && assumed.ends_with(", as its status says")
            }),
        "{assumed:?}"
    );

    let text = of_cluster("text")?;
    assert_eq!(lines(&text), lines(&of_files("text")?));
    ensure!(
        text.stderr.is_empty() && !String::from_utf8_lossy(&text.stdout).contains("examples/seed"),
        "nothing is said of files"
    );
    Ok(())
}

async fn broken(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("lint").await?;
    let mut objects = [
        workspace(&home, "one", json!({})),
        binding(&home, "users", "one", "user", &["app"]),
    ];
    resource::create(cluster, &objects).await?;
    let as_it_is = || answer(&lint(cluster.kubeconfig(), &home, "json")?);
    let (exit, sound) = as_it_is()?;
    ensure!(
        exit == Some(0) && sound["errors"] == 0,
        "all roles are there: {sound}"
    );

    objects[1]["spec"]["roleRef"]["name"] = json!("no-such-role");
    let bindings = api(&cluster.client(), "RoleBinding", &home);
    merge(&bindings, "users", json!({"spec": objects[1]["spec"]})).await?;
    let (exit, before) = as_it_is()?;
    let error = before["findings"].as_array().and_then(|all| {
        let mut errors = all.iter().filter(|found| found["severity"] == "Error");
        errors.next().filter(|_| errors.next().is_none())
    });
    let error = error.with_context(|| format!("one error: {before}"))?;
    assert_eq!(
        (exit, &error["reason"], &error["object"], &error["field"]),
        (
            Some(1),
            &json!("RoleNotFound"),
            &json!(format!("RoleBinding {home}/users")),
            &json!("spec.roleRef")
        ),
    );

    let manifests = cluster.dir().join("lint.yaml");
    fs::write(
        &manifests,
        objects.map(|object| object.to_string()).join("\n---\n"),
    )?;
    let manifests = manifests.to_str().context("a path in UTF-8")?;
    let (exit, of_files) = answer(&run(&["lint", "-f", manifests, "-o", "json"])?)?;
    assert_eq!(
        (exit, findings(&of_files)?),
        (Some(1), findings(&before)?),
        "left: manifests; right: the cluster"
    );

    let _operator = Operator::start(cluster, Settings::default()).await?;
    until(&bindings, "users", ("Ready", "False", "RoleNotFound"), SOON).await?;
    let (exit, after) = as_it_is()?;
    assert_eq!((exit, findings(&after)?), (Some(1), findings(&before)?));

    let text = lint(cluster.kubeconfig(), &home, "text")?;
    ensure!(
        text.status.code() == Some(1)
            && String::from_utf8_lossy(&text.stdout).contains(&format!(
                "Error RoleNotFound RoleBinding {home}/users spec.roleRef: "
            )),
        "{text:?}"
    );
    Ok(())
}

async fn rights(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("lint").await?;
    let objects = [
        workspace(&home, "one", json!({})),
        binding(&home, "users", "one", "no-such-role", &["app"]),
    ];
    resource::create(cluster, &objects).await?;
    cluster.kubectl_ok(&["create", "serviceaccount", "looker", "-n", &home])?;
    let looker = kubeconfig_of(cluster, &home, "looker")?;

    // Who may look into one namespace only cannot know who else may use its Workspaces.
    let subject = format!("--serviceaccount={home}:looker");
    let view = "--clusterrole=anthropic-rbac-view";
    cluster.kubectl_ok(&[
        "create",
        "rolebinding",
        "looker",
        "-n",
        &home,
        view,
        &subject,
    ])?;
    let refused = lint(&looker, &home, "text")?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        refused.status.code() == Some(2)
            && refused.stdout.is_empty()
            && said.contains("you may not list all workspaces, which a decision needs: "),
        "{refused:?}"
    );

    let all = everywhere(cluster, &home, &subject, || {
        let (exit, of_looker) = answer(&lint(&looker, &home, "json")?)?;
        let warned = lint(&looker, &home, "text")?;
        Ok((exit, of_looker, String::from_utf8(warned.stderr)?))
    });
    let (exit, of_looker, warned) = all?;
    ensure!(
        warned.lines().count() == 1 && warned.contains("you may not list ConfigMaps"),
        "{warned}"
    );
    let (_, of_admin) = answer(&lint(cluster.kubeconfig(), &home, "json")?)?;
    assert_eq!((exit, of_looker), (Some(1), of_admin));
    Ok(())
}

/// Does something while somebody may list namespaces and our objects of all namespaces.
fn everywhere<T>(
    cluster: &Cluster,
    name: &str,
    subject: &str,
    then: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let resources = "--resource=namespaces,workspaces.anthropic-rbac.io,\
                     rolebindings.anthropic-rbac.io,apikeyrefs.anthropic-rbac.io";
    cluster.kubectl_ok(&["create", "clusterrole", name, "--verb=list", resources])?;
    let role = format!("--clusterrole={name}");
    let done = cluster
        .kubectl_ok(&["create", "clusterrolebinding", name, &role, subject])
        .and_then(|_| then());
    // These are in no namespace, and would stay.
    cluster.kubectl_ok(&["delete", "clusterrolebinding,clusterrole", name])?;
    done
}

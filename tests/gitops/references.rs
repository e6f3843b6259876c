//! That kustomize moves and renames references with what they name, by `deploy/gitops/kustomize`.
//! Must not do what kustomize does.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cluster::Cluster,
    command_line,
    program::{command, printed},
    suite::{Test, test},
};

/// Everything that can name something else, named every way it can be.
const WHOLE: &str = include_str!("whole.yaml");

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "objects that kustomize moves to another namespace still resolve, and without our component they do not",
            moved,
        ),
        test(
            "every reference follows what is moved and renamed, and one to somebody else's stays",
            followed,
        ),
        test(
            "the example repository builds for every stage, and lint finds nothing wrong with it",
            staged,
        ),
    ]
}

async fn moved(_: &Cluster) -> Result<()> {
    let base = "resources: [../../whole]\nnamespace: claude-staging\n";
    let with = build(base, true)?;
    let said = lint(&with)?;
    // What is somebody else's is elsewhere.
    let only = said.matches(" Error ").count() == 1 && said.contains("claude-staging/elsewhere");
    ensure!(only, "with the component:\n{said}");
    let rendered = TempDir::new()?;
    let folder = rendered.path().join("out");
    let manifests = rendered.path().join("built.yaml");
    fs::write(&manifests, &with)?;
    command_line::render(manifests.to_str().context("UTF-8")?, &folder)?;
    ensure!(
        folder.join("claude-staging").exists(),
        "what is rendered is in the namespace: {:?}",
        fs::read_dir(&folder)?.collect::<Vec<_>>()
    );

    let said = lint(&build(base, false)?)?;
    let lost = [
        "RoleBinding claude-staging/app",
        "ApiKeyRef claude-staging/shared",
    ];
    for object in lost {
        let line = format!("Error RefNotPermitted {object}");
        ensure!(said.contains(&line), "without the component:\n{said}");
    }
    Ok(())
}

async fn followed(_: &Cluster) -> Result<()> {
    let base = "resources: [../../whole]\nnamespace: stage\nnamePrefix: s-\n";
    let built: Vec<Value> = serde_saphyr::from_multiple(&build(base, true)?)?;
    let spec = |kind: &str, name: &str| {
        let found = built.iter().find(|object| {
            object["kind"] == kind
                && object["metadata"]["name"] == name
                && object["spec"].is_object()
        });
        found
            .map(|object| object["spec"].clone())
            .unwrap_or_default()
    };
    let workspace = spec("Workspace", "s-production");
    let issuer = &workspace["authentication"]["issuers"][0];
    let key = spec("ApiKeyRef", "s-shared");
    let binding = spec("RoleBinding", "s-app");
    let found = json!([
        workspace["keys"]["defaultApiKeyRef"],
        workspace["blockedSubjects"],
        issuer["jwksConfigMapRef"]["name"],
        key["workspaceRef"],
        key["source"]["secretKeyRef"],
        key["next"]["secretKeyRef"],
        key["usedBy"],
        binding["workspaceRef"],
        binding["subjects"],
        spec("RoleBinding", "s-elsewhere")["workspaceRef"],
    ]);
    let moved = json!({"kind": "ServiceAccount", "name": "s-app", "namespace": "stage"});
    let wanted = json!([
        {"name": "s-shared"},
        [moved, {"kind": "User", "name": "eve@example.com", "issuer": "corp"}],
        "s-corp-jwks",
        {"name": "s-production", "namespace": "stage"},
        {"name": "s-anthropic", "namespace": "stage", "key": "api-key"},
        {"name": "anthropic-next", "namespace": "vault", "key": "api-key"},
        [moved],
        {"name": "s-production", "namespace": "stage"},
        [
            moved,
            {"kind": "ServiceAccount", "name": "other", "namespace": "search"},
            {"kind": "User", "name": "uma@example.com", "issuer": "corp"},
        ],
        {"name": "production", "namespace": "elsewhere"},
    ]);
    assert_eq!(found, wanted);
    Ok(())
}

async fn staged(_: &Cluster) -> Result<()> {
    let accounts = kustomize(Path::new("deploy/gitops/accounts"))?;
    let platform = kustomize(Path::new("examples/gitops/platform/production"))?;
    let team = kustomize(Path::new("examples/gitops/search/production"))?;
    let said = lint(&[accounts, platform, team].join("---\n"))?;
    ensure!(said.contains("0 errors, 0 warnings"), "{said}");

    // A team's stages differ in where they are and in nothing else.
    let stage = |name: &str| kustomize(&Path::new("examples/gitops/search").join(name));
    let production = stage("production")?;
    let staging = stage("staging")?;
    ensure!(staging.contains("namespace: search-staging"), "{staging}");
    let alike = staging
        .replace("search-staging", "search")
        .replace("name: staging", "name: production");
    assert_eq!(alike, production);
    Ok(())
}

/// Builds the whole with more on top, with or without our component.
fn build(kustomization: &str, taught: bool) -> Result<String> {
    let folder = TempDir::new()?;
    let root = folder.path();
    for part in ["whole", "stages/one"] {
        fs::create_dir_all(root.join(part))?;
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gitops/kustomize");
    symlink(ours, root.join("kustomize"))?;
    fs::write(root.join("whole/whole.yaml"), WHOLE)?;
    let component = if taught {
        "components: [../kustomize]\n"
    } else {
        ""
    };
    let whole = format!("resources: [whole.yaml]\n{component}");
    fs::write(root.join("whole/kustomization.yaml"), whole)?;
    fs::write(root.join("stages/one/kustomization.yaml"), kustomization)?;
    kustomize(&root.join("stages/one"))
}

fn kustomize(folder: &Path) -> Result<String> {
    printed(command("kustomize/kustomize")?.arg("build").arg(folder))
}

/// What lint says of manifests.
fn lint(manifests: &str) -> Result<String> {
    let folder = TempDir::new()?;
    let file = folder.path().join("built.yaml");
    fs::write(&file, manifests)?;
    let output = Command::new(command_line::program())
        .args(["lint", "--at", "2026-11-25T00:00:00Z", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

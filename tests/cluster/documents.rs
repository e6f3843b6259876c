//! What the documents have readers type on a cluster, typed on this one, and their manifests of
//! other kinds than ours. `tests/docs` tries the other blocks, and reads them with the same code.
//! Must not know what a page is about: comments in it say what comes first.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use crate::{
    block::{Block, How, Page},
    cluster::{Cluster, OPERATOR_NAMESPACE},
    command_line::program,
    control_plane::assets,
    install, manifest,
    operator::{Operator, Settings},
    shell::Folder,
    suite::{Test, existing_cluster, test},
    wait,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Namespaces that examples and pages make.
const NAMESPACES: [&str; 4] = ["assistant", "auth", "claude", "search"];

/// How long Kubernetes may take to end a namespace.
const GONE: Duration = Duration::from_secs(90);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "the commands of the documents work on a cluster as printed",
            commands,
        )
        .cluster_wide()
        .needs_controllers()
        // They install, upgrade and uninstall: nothing of that to somebody's cluster.
        .only_if(!existing_cluster())
        .last(),
        test(
            "the API server takes the documents' manifests of other kinds, and kustomize their files",
            manifests,
        )
        .cluster_wide(),
    ]
}

async fn commands(cluster: &Cluster) -> Result<()> {
    let tried = type_all(cluster).await;
    restore(cluster).await?;
    let (pages, blocks, wrong) = tried?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    eprintln!("{blocks} blocks of {pages} pages ran");
    Ok(())
}

/// How many pages and blocks there are, and what went wrong.
async fn type_all(cluster: &Cluster) -> Result<(usize, usize, Vec<String>)> {
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    for name in NAMESPACES {
        // Another test's may be on its way out.
        wait::until_gone(&namespaces, name, GONE).await?;
    }
    // Before the operator starts, which tries again every half a minute only. The binding has
    // another name than the one that readers are told to make.
    for name in NAMESPACES {
        cluster.kubectl_ok(&["create", "namespace", name])?;
        let namespace = format!("--namespace={name}");
        let role = "--clusterrole=anthropic-rbac-secrets";
        let to = format!("--serviceaccount={OPERATOR_NAMESPACE}:anthropic-rbac");
        cluster.kubectl_ok(&["create", "rolebinding", "documents", &namespace, role, &to])?;
    }
    cluster.kubectl_ok(&["apply", "--filename=examples/seed/00-namespaces.yaml"])?;
    let settings = Settings {
        leader_elect: true,
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    let kubectl = assets()?.join("kubectl");
    let (mut pages, mut blocks, mut wrong) = (0, 0, Vec::new());
    // From the end of the book: its quickstart uninstalls everything at its own.
    for page in documents()?.iter().rev() {
        let folder = Folder::new(&program())
            .and_then(|folder| folder.with_cluster(cluster.kubeconfig(), &kubectl))
            .map_err(|error| anyhow!(error))?;
        let of_cluster = page.blocks.iter().filter(|block| block.how == How::Cluster);
        let before = blocks;
        for block in of_cluster {
            blocks += 1;
            for (name, text) in page.files_before(block.line) {
                folder.put(name, text).map_err(|error| anyhow!(error))?;
            }
            if let Err(error) = folder.run(block) {
                wrong.push(format!("{}:{}\n{error}", page.path, block.line));
            }
        }
        pages += usize::from(blocks > before);
    }
    Ok((pages, blocks, wrong))
}

/// Leaves the cluster as `install` made it, whatever a page did to it.
async fn restore(cluster: &Cluster) -> Result<()> {
    for namespace in NAMESPACES {
        cluster.remove_at_end(namespace);
    }
    for leftover in [
        "deployment/anthropic-rbac",
        "configmap/anthropic-rbac-models",
    ] {
        let delete = [
            "delete",
            leftover,
            "--ignore-not-found",
            "--namespace",
            OPERATOR_NAMESPACE,
        ];
        cluster.kubectl_ok(&delete)?;
    }
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let home = namespaces.get_opt(OPERATOR_NAMESPACE).await?;
    if home.is_some_and(|home| home.metadata.deletion_timestamp.is_some()) {
        wait::until_gone(&namespaces, OPERATOR_NAMESPACE, GONE).await?;
    }
    install::install(cluster).await
}

async fn manifests(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    for name in NAMESPACES {
        wait::until_gone(&namespaces, name, GONE).await?;
        cluster.named_namespace(name, &[]).await?;
    }
    let (mut taken, mut built) = (0, 0);
    for page in documents()? {
        let folder = Folder::new(&program()).map_err(|error| anyhow!(error))?;
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            let place = || format!("{}:{}", page.path, block.line);
            if let How::File(name) = &block.how
                && name.ends_with("/kustomization.yaml")
            {
                let before = Block {
                    text: String::new(),
                    how: How::Plain,
                    ..block.clone()
                };
                let put = folder.put(name, &block.text);
                put.and_then(|()| folder.run(&before))
                    .map_err(|error| anyhow!(error))?;
                let overlay = folder.path().join(name);
                let overlay = overlay.parent().context("a folder")?.to_string_lossy();
                cluster
                    .kubectl_ok(&["kustomize", &overlay])
                    .with_context(place)?;
                built += 1;
            }
            for object in manifest::of_other_kinds(block).map_err(|error| anyhow!(error))? {
                let text = object.to_string();
                let strict = ["--dry-run=server", "--validate=strict", "--filename=-"];
                let apply = [&["apply"][..], &strict].concat();
                cluster.kubectl_stdin(&apply, &text).with_context(place)?;
                taken += 1;
            }
        }
    }
    ensure!(
        taken > 0 && built > 0,
        "{taken} manifests, {built} overlays"
    );
    eprintln!("{taken} manifests and {built} overlays were taken");
    Ok(())
}

/// README, and every page that the book lists.
fn documents() -> Result<Vec<Page>> {
    let summary = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md"))?;
    let links = summary
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let pages = links.map(|link| format!("docs/{link}"));
    let paths = std::iter::once("README.md".to_owned()).chain(pages);
    paths
        .map(|path| {
            let text = fs::read_to_string(Path::new(ROOT).join(&path))?;
            Page::parse(&path, &text).map_err(|error| anyhow!(error))
        })
        .collect()
}

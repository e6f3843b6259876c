//! A release on a real API server: installed, upgraded, uninstalled, installed again, and taken over
//! from kustomize. No operator runs: what the forms themselves do to people's objects is seen best
//! while nothing else writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::helm::{CHART, Helm, NAMESPACE, Values, succeeded};
use crate::kubectl::Cluster;
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "lifetime: upgraded, uninstalled and installed again, a release writes nothing of anybody's",
            from_first_to_last,
        ),
        test(
            "lifetime: Helm takes over what kubectl installed",
            taken_over,
        ),
    ]
}

const DEFINITIONS: [&str; 3] = [
    "crd/apikeyrefs.anthropic-rbac.io",
    "crd/rolebindings.anthropic-rbac.io",
    "crd/workspaces.anthropic-rbac.io",
];

const VALUES: &str = "secrets: {access: namespaces, namespaces: [claude]}";

fn from_first_to_last() -> Result<()> {
    for helm in Helm::ALL {
        let cluster = Cluster::start()?;
        cluster.ok(&["create", "namespace", "claude"], "")?;
        let release = Release {
            helm,
            cluster: &cluster,
        };
        let previous = previous()?;
        release.install(previous.path(), VALUES, &["--create-namespace"])?;
        ensure!(
            columns(&cluster)?.is_empty(),
            "the previous chart was to have no columns"
        );
        let made = make_things(&cluster)?;
        upgrade(&release, &made)?;
        reinstall(&release, &made)?;
        keep_nothing(&release)?;
    }
    Ok(())
}

/// An upgrade brings the CRDs up to date.
fn upgrade(release: &Release, made: &Things) -> Result<()> {
    let cluster = release.cluster;
    release.helm("upgrade", Path::new(CHART), VALUES, &[])?;
    ensure!(
        columns(cluster)?.contains("Environment"),
        "the CRDs are the old ones"
    );
    let image = ["get", "deployment", "anthropic-rbac", "-n", NAMESPACE];
    let image = cluster.ok(&[&image[..], &["-o=jsonpath={..image}"]].concat(), "")?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(image == format!("anthropic-rbac:{version}"), "{image}");
    ensure!(
        &things(cluster)? == made,
        "an upgrade wrote to what people made"
    );

    let definitions = || cluster.ok(&["get", "crd", "-o=jsonpath={..metadata.generation}"], "");
    let before = definitions()?;
    release.helm("upgrade", Path::new(CHART), VALUES, &[])?;
    ensure!(
        definitions()? == before,
        "an upgrade to the same changed the CRDs"
    );
    Ok(())
}

/// CRDs and what people made survive, and a release of the same name takes them over.
fn reinstall(release: &Release, made: &Things) -> Result<()> {
    let cluster = release.cluster;
    ensure!(
        released(cluster)?.len() > 20,
        "hardly anything is installed"
    );
    release.uninstall()?;
    let left = released(cluster)?;
    ensure!(
        left == DEFINITIONS.map(long),
        "uninstalling leaves {left:?}"
    );
    ensure!(
        &things(cluster)? == made,
        "uninstalling wrote to what people made"
    );

    release.install(Path::new(CHART), VALUES, &[])?;
    ensure!(
        released(cluster)?.len() > 20,
        "hardly anything is installed again"
    );
    ensure!(
        &things(cluster)? == made,
        "installing again wrote to what people made"
    );
    Ok(())
}

/// Told not to keep the CRDs, it takes them along.
fn keep_nothing(release: &Release) -> Result<()> {
    let values = format!("{VALUES}\ncrds: {{keep: false}}");
    release.helm("upgrade", Path::new(CHART), &values, &[])?;
    release.uninstall()?;
    let gone = ["wait", "--for=delete", "--timeout=60s"];
    release
        .cluster
        .ok(&[&gone[..], &DEFINITIONS].concat(), "")?;
    let left = released(release.cluster)?;
    ensure!(left.is_empty(), "uninstalling leaves {left:?}");
    Ok(())
}

fn taken_over() -> Result<()> {
    for helm in Helm::ALL {
        let cluster = Cluster::start()?;
        cluster.ok(&["apply", "--server-side", "--kustomize=deploy/base"], "")?;
        cluster.ok(&["create", "namespace", "claude"], "")?;
        let made = make_things(&cluster)?;
        let release = Release {
            helm,
            cluster: &cluster,
        };
        let without = release.run("install", Path::new(CHART), VALUES, &[])?;
        ensure!(
            !without.status.success(),
            "{helm:?} takes what is not its own unasked"
        );

        let take: &[&str] = match helm {
            Helm::V3 => &["--take-ownership"],
            Helm::V4 => &["--take-ownership", "--force-conflicts"],
        };
        release.install(Path::new(CHART), VALUES, take)?;
        ensure!(
            released(&cluster)?.len() > 20,
            "hardly anything is the release's"
        );
        ensure!(
            things(&cluster)? == made,
            "taking over wrote to what people made"
        );
    }
    Ok(())
}

/// A release called `anthropic-rbac` in the usual namespace.
struct Release<'a> {
    helm: Helm,
    cluster: &'a Cluster,
}

// === impl Release ===

impl Release<'_> {
    /// Installs a chart, and waits until its custom resources are served.
    fn install(&self, chart: &Path, values: &str, flags: &[&str]) -> Result<()> {
        self.helm("install", chart, values, flags)?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s"];
        let arguments = [&established[..], &DEFINITIONS].concat();
        self.cluster.ok(&arguments, "")?;
        Ok(())
    }

    fn helm(&self, verb: &str, chart: &Path, values: &str, flags: &[&str]) -> Result<()> {
        let output = self.run(verb, chart, values, flags)?;
        succeeded(&output).with_context(|| format!("{:?} {verb}", self.helm))?;
        Ok(())
    }

    fn run(
        &self,
        verb: &str,
        chart: &Path,
        values: &str,
        flags: &[&str],
    ) -> Result<std::process::Output> {
        let values = Values::new(values)?;
        let chart = chart.to_str().context("a path in UTF-8")?;
        let named = [verb, "anthropic-rbac", chart, "--namespace", NAMESPACE];
        let arguments = [&named[..], &["--values", values.path()], flags].concat();
        self.command(&arguments)
    }

    fn uninstall(&self) -> Result<()> {
        let output = self.command(&["uninstall", "anthropic-rbac", "--namespace", NAMESPACE])?;
        succeeded(&output).context("uninstalling")?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut helm = self.helm.command(arguments)?;
        let kubeconfig = self.cluster.kubeconfig();
        let cache = kubeconfig.with_file_name("helm-cache");
        helm.env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", cache);
        Ok(helm.output()?)
    }
}

/// The chart as an earlier release could have had it: an older version, and CRDs that lack something.
fn previous() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    copy(Path::new(CHART), folder.path())?;
    let chart = folder.path().join("Chart.yaml");
    let text = fs::read_to_string(&chart)?;
    fs::write(chart, text.replace(env!("CARGO_PKG_VERSION"), "0.0.9"))?;
    let definition = folder
        .path()
        .join("files/crds/anthropic-rbac.io_workspaces.yaml");
    let mut parsed: Value = serde_saphyr::from_str(&fs::read_to_string(&definition)?)?;
    let version = parsed.pointer_mut("/spec/versions/0");
    let version = version
        .and_then(Value::as_object_mut)
        .context("a version")?;
    version
        .remove("additionalPrinterColumns")
        .context("no columns")?;
    fs::write(definition, parsed.to_string())?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn columns(cluster: &Cluster) -> Result<String> {
    let columns = "-o=jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}";
    cluster.ok(&["get", DEFINITIONS[2], columns], "")
}

/// What people have, by kind and name, with its resourceVersion: that changes with every write.
type Things = BTreeMap<String, String>;

/// Makes what people make, and says what there is then.
fn make_things(cluster: &Cluster) -> Result<Things> {
    cluster.ok(&["apply", "--filename=examples/seed"], "")?;
    let made = things(cluster)?;
    for kind in ["Workspace", "RoleBinding", "ApiKeyRef", "Secret"] {
        let some = made
            .keys()
            .any(|name| name.starts_with(&format!("{kind} ")));
        ensure!(some, "the seed has no {kind}");
    }
    Ok(made)
}

fn things(cluster: &Cluster) -> Result<Things> {
    let kinds = "workspaces.anthropic-rbac.io,rolebindings.anthropic-rbac.io,apikeyrefs.anthropic-rbac.io,secrets,configmaps";
    let list: Value = serde_json::from_str(&cluster.ok(&["get", kinds, "-A", "-o=json"], "")?)?;
    let mut things = Things::new();
    for item in list["items"].as_array().context("a list")? {
        let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
        let (namespace, name) = (text("namespace"), text("name"));
        // Helm's own, and Kubernetes', which come when they come.
        if namespace == NAMESPACE || namespace.starts_with("kube-") || name == "kube-root-ca.crt" {
            continue;
        }
        let kind = item["kind"].as_str().context("a kind")?;
        let key = format!("{kind} {namespace}/{name}");
        things.insert(key, text("resourceVersion").to_owned());
    }
    Ok(things)
}

/// What there is of the release, by kind and name.
fn released(cluster: &Cluster) -> Result<Vec<String>> {
    let kinds = "crd,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,\
        roles,rolebindings.rbac.authorization.k8s.io,serviceaccounts,deployments,services,poddisruptionbudgets";
    let ours = "--selector=app.kubernetes.io/managed-by=Helm";
    let names = cluster.ok(&["get", kinds, "-A", ours, "-o=name"], "")?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// As `kubectl get -o name` has it.
fn long(definition: &str) -> String {
    definition.replace("crd/", "customresourcedefinition.apiextensions.k8s.io/")
}

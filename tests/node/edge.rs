//! Our own sample of an Envoy as the gateway, `deploy/gateways/envoy`, on the node: applied as it is,
//! with the operator as it is shipped but for the address of the API, which is a fake beside the
//! node. Must not change anything of the sample.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::{
    anthropic::{Anthropic, NONCE, Reach},
    cluster::Cluster,
    envoy,
    http::{Connection, Response, request},
    install, operator,
    resource::{self, api, fake_key},
    wait,
};

/// What the sample is for.
pub(crate) const NAMESPACE: &str = "claude";
pub(crate) const WORKSPACE: &str = "production";

const SOON: Duration = Duration::from_secs(30);

/// A pod has two minutes to load what is written.
pub(crate) const LATE: Duration = Duration::from_secs(180);

pub(crate) const CLIENT: &str = "EXAMPLE-client-key-of-the-tests-on-a-node";
pub(crate) const BODY: &[u8] =
    br#"{"model":"claude-haiku-4-5","max_tokens":99999,"messages":[{"role":"user","content":"hi"}]}"#;

/// The key of those whom no ApiKeyRef names, and the one that the ServiceAccount has.
pub(crate) fn keys() -> [String; 2] {
    ["shared", "batch"].map(fake_key)
}

/// Grants a client key access.
pub(crate) const CLIENTS: &str = "
apiVersion: anthropic-rbac.io/v1alpha1
kind: RoleBinding
metadata: {name: clients, namespace: claude}
spec:
  workspaceRef: {name: production}
  roleRef: {kind: ApplicationRole, name: user}
  subjects: [{kind: ClientKey, name: client}]
";

/// A Workspace with the sample's gateway, a ServiceAccount with a key of its own, and Secrets.
fn policy() -> String {
    let [shared, batch] = keys();
    format!(
        "
apiVersion: anthropic-rbac.io/v1alpha1
kind: Workspace
metadata: {{name: production, namespace: claude}}
spec:
  # More than tests ask.
  roles: [{{name: user, requestsPerMinute: 1000000}}]
  keys: {{defaultApiKeyRef: {{name: shared}}}}
  gateways:
  - name: edge
    type: Envoy
    podSelector: {{matchLabels: {{app: claude-gateway}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: batch, namespace: claude}}
---
apiVersion: anthropic-rbac.io/v1alpha1
kind: RoleBinding
metadata: {{name: batch, namespace: claude}}
spec:
  workspaceRef: {{name: production}}
  roleRef: {{kind: ApplicationRole, name: user}}
  subjects: [{{kind: ServiceAccount, name: batch}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: client, namespace: claude, labels: {{anthropic-rbac.io/client-key: 'true'}}}}
stringData: {{present: {CLIENT}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: sources, namespace: claude}}
stringData: {{shared: {shared}, batch: {batch}}}
---
apiVersion: anthropic-rbac.io/v1alpha1
kind: ApiKeyRef
metadata: {{name: shared, namespace: claude}}
spec:
  workspaceRef: {{name: production}}
  service: shared
  source: {{secretKeyRef: {{name: sources, key: shared}}}}
---
apiVersion: anthropic-rbac.io/v1alpha1
kind: ApiKeyRef
metadata: {{name: batch, namespace: claude}}
spec:
  workspaceRef: {{name: production}}
  service: batch
  source: {{secretKeyRef: {{name: sources, key: batch}}}}
  usedBy: [{{kind: ServiceAccount, name: batch}}]
---{CLIENTS}"
    )
}

/// Runs a test with everything in place, and puts the operator back as it is shipped.
pub(crate) async fn with_edge(
    cluster: &Cluster,
    test: impl AsyncFnOnce(&Edge<'_>) -> Result<()>,
) -> Result<()> {
    let tested = async {
        let edge = Edge::set_up(cluster).await?;
        test(&edge).await
    }
    .await;
    // The sample's pods take their time to end, and the namespace is wanted again.
    let removed = cluster.kubectl_ok(&[
        "delete",
        "deployments,replicasets,pods",
        "--all",
        "--namespace",
        NAMESPACE,
        "--grace-period=0",
        "--force",
    ]);
    let restored = install::install(cluster).await;
    tested.and(removed.map(drop)).and(restored)
}

/// The gateway as it runs.
pub(crate) struct Edge<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) anthropic: &'static Anthropic,
}

// === impl Edge ===

impl<'a> Edge<'a> {
    /// The operator, the policy and the sample; returns when all of the sample is ready.
    async fn set_up(cluster: &'a Cluster) -> Result<Self> {
        let anthropic = anthropic(cluster).await?;
        anthropic.set_keys(keys().map(|key| (key, Reach::Workspace)));
        let url = format!("--anthropic-url=http://{}", anthropic.address);
        apply(
            cluster,
            "operator",
            &json!({
                "resources": ["REPOSITORY/deploy/base"],
                "patches": [{
                    "target": {"kind": "Deployment"},
                    "patch": json!([{
                        "op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": url,
                    }]).to_string(),
                }],
            }),
        )?;
        operator::rolled_out(cluster, Duration::from_secs(90))?;

        let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
        cluster.named_namespace(NAMESPACE, &labels).await?;
        operator::grant(cluster, NAMESPACE, "anthropic-rbac-secrets")?;
        operator::grant(cluster, NAMESPACE, "anthropic-rbac-gateway-pods")?;
        cluster.apply_yaml(&policy())?;
        let image = envoy::image(cluster, &envoy::binary().context("it was there")?)?;
        let (name, tag) = image.rsplit_once(':').context("it has a tag")?;
        apply(
            cluster,
            "sample",
            &json!({
                "namespace": NAMESPACE,
                "components": ["REPOSITORY/deploy/gateways/envoy"],
                // The sample's own, unless `ENVOY` named another release.
                "images": [{"name": "envoyproxy/envoy", "newName": name, "newTag": tag}],
            }),
        )?;
        let edge = Self { cluster, anthropic };
        edge.rolled_out()?;
        edge.all_loaded(2).await?;
        Ok(edge)
    }

    /// Waits until all of the Deployment's pods are ready.
    pub(crate) fn rolled_out(&self) -> Result<()> {
        self.kubectl(&[
            "rollout",
            "status",
            "deployment/claude-gateway",
            "--timeout=120s",
        ])?;
        Ok(())
    }

    /// Runs kubectl in the gateway's namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster
            .kubectl_ok(&[arguments, &["--namespace", NAMESPACE]].concat())
    }

    /// Waits until so many pods are there, all of which have loaded what is written.
    pub(crate) async fn all_loaded(&self, pods: i64) -> Result<()> {
        let workspaces = api(&self.cluster.client(), "Workspace", NAMESPACE);
        wait::until(&workspaces, WORKSPACE, SOON, |object| {
            let programmed = resource::condition(object, "Programmed")?["status"] == "True";
            let shown = &object.data["status"]["gateways"][0]["pods"];
            (programmed && shown["total"] == pods && shown["loaded"] == pods).then_some(())
        })
        .await
    }

    /// The gateway's pods that are not about to end.
    pub(crate) async fn pods(&self) -> Result<Vec<DynamicObject>> {
        let labelled = ListParams::default().labels("app=claude-gateway");
        let pods = api(&self.cluster.client(), "Pod", NAMESPACE);
        let mut pods = pods.list(&labelled).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// A client of each pod.
    pub(crate) async fn clients(&self) -> Result<Vec<Client>> {
        self.pods().await?.iter().map(Client::of).collect()
    }

    /// A token of the ServiceAccount, made by the API server for this Workspace.
    pub(crate) fn token(&self) -> Result<String> {
        let audience = format!("--audience=anthropic-rbac/{NAMESPACE}/{WORKSPACE}");
        let token = self.kubectl(&["create", "token", "batch", &audience])?;
        Ok(token.trim().to_owned())
    }

    /// Sends a request that has to be refused, so that nothing of it goes upstream; how it was.
    pub(crate) fn refused(&self, client: &mut Client, credential: &str) -> Result<u16> {
        let before = self.anthropic.requests();
        let answer = client.ask(credential)?;
        ensure!(
            [401, 403, 503].contains(&answer.status) && self.anthropic.requests() == before,
            "not refused: {answer:?}"
        );
        Ok(answer.status)
    }
}

/// A client of one pod, on one connection for as long as Envoy leaves it open: until it refuses.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Connection,
}

// === impl Client ===

impl Client {
    pub(crate) fn of(pod: &DynamicObject) -> Result<Self> {
        let address = address(pod)?;
        let connection = Connection::open(address)?;
        Ok(Self {
            address,
            connection,
        })
    }

    /// Asks for a message.
    pub(crate) fn ask(&mut self, credential: &str) -> Result<Response> {
        let headers = [
            ("x-api-key", credential.as_bytes()),
            ("anthropic-version", b"2023-06-01"),
            ("content-type", b"application/json"),
            (NONCE, b"node"),
        ];
        let bytes = request("POST", "/v1/messages", &headers, BODY);
        let answer = self.connection.ask(&bytes)?;
        if answer.header("connection") == Some("close") {
            self.connection = Connection::open(self.address)?;
        }
        Ok(answer)
    }
}

/// The fake, at the node's address: pods reach it there. There is one for all tests.
async fn anthropic(cluster: &Cluster) -> Result<&'static Anthropic> {
    static ANTHROPIC: OnceLock<Result<Anthropic, String>> = OnceLock::new();
    let address = cluster.kubectl_ok(&[
        "get",
        "nodes",
        "--output=jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
    ])?;
    let address: IpAddr = address.parse().with_context(|| address.clone())?;
    let start = || Anthropic::start_at(address, None).map_err(|error| format!("{error:#}"));
    // It has a runtime of its own.
    let anthropic = block_in_place(|| ANTHROPIC.get_or_init(start));
    anthropic.as_ref().map_err(|why| anyhow!("{why}"))
}

/// Where a pod serves clients.
pub(crate) fn address(pod: &DynamicObject) -> Result<SocketAddr> {
    let address = pod.data["status"]["podIP"].as_str();
    let address = address.with_context(|| format!("{} has no address", pod.name_any()))?;
    Ok(SocketAddr::new(address.parse()?, 8080))
}

/// Whether its probe finds a pod ready.
pub(crate) fn is_ready(pod: &DynamicObject) -> bool {
    pod.data["status"]["containerStatuses"][0]["ready"] == true
}

/// Waits until every client is answered with a status.
pub(crate) async fn until_all(clients: &mut [Client], credential: &str, status: u16) -> Result<()> {
    wait::ask("all pods answer so", SOON, async || {
        for client in clients.iter_mut() {
            if client.ask(credential)?.status != status {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
    .with_context(|| format!("{status} is wanted"))
}

/// Applies a kustomization, as users do. `REPOSITORY` in it is where this repository is.
fn apply(cluster: &Cluster, name: &str, kustomization: &Value) -> Result<()> {
    let folder = cluster.dir().join(name);
    fs::create_dir_all(&folder)?;
    // Kustomize takes no absolute paths.
    let up = "../".repeat(folder.canonicalize()?.components().count() - 1);
    let repository = format!("{up}{}", env!("CARGO_MANIFEST_DIR").trim_start_matches('/'));
    let text = kustomization.to_string().replace("REPOSITORY", &repository);
    fs::write(folder.join("kustomization.yaml"), text)?;
    let folder = format!("--kustomize={}", folder.display());
    cluster.kubectl_ok(&["apply", "--server-side", "--force-conflicts", &folder])?;
    Ok(())
}

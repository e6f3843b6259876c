//! Every way in which a key is taken away: out of the target, the gateway's Secret and the policy.
//! Must not print a value, and starts the clock when kubectl has returned.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::{Api, api::DynamicObject};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, secret, service_account, workspace},
    suite::{Test, test},
    wait,
};

/// How long a key may stay where it should not be, on a machine that does other things too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How long the beginning, and coming back, may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "whatever takes a key away takes it out of target, gateway and policy at once",
            every_way,
        ),
        test(
            "a key that is deleted after what it owns does not make that anew",
            foreground,
        )
        .needs_controllers(),
        test(
            "a target that is retained outlives its key, and one that was lent does not",
            retained,
        )
        .needs_controllers(),
    ]
}

/// A way to take a key away, and the way back.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    act: fn(&Scene<'_>) -> Result<()>,
    undo: fn(&Scene<'_>) -> Result<()>,
}

pub(crate) const WAYS: &[Way] = &[
    Way {
        name: "state: Revoked",
        act: |scene| {
            scene.patch(
                "aikey",
                &scene.tenant,
                "app",
                &json!({"spec": {"state": "Revoked"}}),
            )
        },
        undo: |scene| {
            scene.patch(
                "aikey",
                &scene.tenant,
                "app",
                &json!({"spec": {"state": "Active"}}),
            )
        },
    },
    Way {
        name: "a revoked fingerprint",
        act: |scene| {
            let versions = json!({"spec": {"revokedFingerprints": [fingerprint()]}});
            scene.patch("aikey", &scene.tenant, "app", &versions)
        },
        undo: |scene| {
            let none = json!({"spec": {"revokedFingerprints": null}});
            scene.patch("aikey", &scene.tenant, "app", &none)
        },
    },
    Way {
        name: "Workspace Disabled",
        act: |scene| {
            scene.patch(
                "aiws",
                &scene.home,
                "one",
                &json!({"spec": {"state": "Disabled"}}),
            )
        },
        undo: |scene| {
            scene.patch(
                "aiws",
                &scene.home,
                "one",
                &json!({"spec": {"state": "Enabled"}}),
            )
        },
    },
    Way {
        name: "the Workspace no longer admits the namespace",
        act: |scene| {
            scene.patch(
                "aiws",
                &scene.home,
                "one",
                &json!({"spec": {"allowedNamespaces": null}}),
            )
        },
        undo: |scene| {
            let admitted = json!({"spec": {"allowedNamespaces": scene.admitted()}});
            scene.patch("aiws", &scene.home, "one", &admitted)
        },
    },
    Way {
        name: "the source no longer permits its use",
        act: |scene| scene.annotate("anthropic-rbac.io/allow-namespaces-"),
        undo: |scene| {
            scene.annotate(&format!(
                "anthropic-rbac.io/allow-namespaces={}",
                scene.tenant
            ))
        },
    },
    Way {
        name: "the source in another namespace is deleted",
        act: |scene| {
            scene.kubectl(&[
                "delete",
                "secret",
                "source",
                "-n",
                &scene.home,
                "--wait=false",
            ])
        },
        undo: |scene| scene.apply(&scene.source()),
    },
    Way {
        name: "the source is re-pointed",
        act: |scene| scene.patch("aikey", &scene.tenant, "app", &source_named("not-there")),
        undo: |scene| scene.patch("aikey", &scene.tenant, "app", &source_named("source")),
    },
    Way {
        name: "the Workspace is re-pointed",
        act: |scene| scene.patch("aikey", &scene.tenant, "app", &workspace_named("nowhere")),
        undo: |scene| scene.patch("aikey", &scene.tenant, "app", &workspace_named("one")),
    },
    Way {
        name: "the ApiKeyRef is deleted",
        act: |scene| {
            scene.kubectl(&[
                "delete",
                "aikey",
                "app",
                "-n",
                &scene.tenant,
                "--wait=false",
            ])
        },
        undo: |scene| scene.apply(&scene.key()),
    },
];

fn source_named(name: &str) -> Value {
    json!({"spec": {"source": {"secretKeyRef": {"name": name}}}})
}

fn workspace_named(name: &str) -> Value {
    json!({"spec": {"workspaceRef": {"name": name}}})
}

const VERSION: &str = "revocable";

/// The first 16 hex digits of the version's SHA-256, by another implementation than ours.
fn fingerprint() -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(fake_key(VERSION).as_bytes());
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A Workspace with a gateway, and a key of another namespace that it lends its source to.
pub(crate) struct Scene<'a> {
    cluster: &'a Cluster,
    home: String,
    tenant: String,
    targets: Api<DynamicObject>,
    gateways: Api<DynamicObject>,
    policies: Api<DynamicObject>,
}

// === impl Scene ===

impl<'a> Scene<'a> {
    /// Its objects, in two namespaces of their own.
    pub(crate) async fn set(cluster: &'a Cluster) -> Result<Self> {
        let home = cluster.namespace("revoke-home").await?;
        let tenant = cluster.namespace("revoke-tenant").await?;
        let client = cluster.client();
        let scene = Self {
            targets: api(&client, "Secret", &tenant),
            gateways: api(&client, "Secret", &home),
            policies: api(&client, "ConfigMap", &home),
            cluster,
            home,
            tenant,
        };
        let spec = json!({
            "gateways": [{"name": "edge", "type": "Envoy"}],
            "allowedNamespaces": scene.admitted(),
        });
        let one = workspace(&scene.home, "one", spec);
        resource::create(cluster, &[scene.source(), one, scene.key()]).await?;
        Ok(scene)
    }

    pub(crate) fn namespaces(&self) -> [&str; 2] {
        [&self.home, &self.tenant]
    }

    /// Waits until the key is everywhere it should be.
    pub(crate) async fn given(&self) -> Result<()> {
        let is_here = |object: &DynamicObject| {
            resource::value(object, "ANTHROPIC_API_KEY")
                .is_some_and(|value| value == fake_key(VERSION))
        };
        wait::until(&self.targets, "target", SOON, |object| {
            is_here(object).then_some(())
        })
        .await
        .context("the target")?;
        wait::until(&self.gateways, "one.edge.keys", SOON, |object| {
            values(object).contains(&fake_key(VERSION)).then_some(())
        })
        .await
        .context("the gateway")?;
        wait::until(&self.policies, "one.policy", SOON, |object| {
            (usable(object) == 1).then_some(())
        })
        .await
        .context("the policy")
    }

    /// Takes the key away; how long after kubectl returned it was out of everything, as whoever
    /// watched all the time saw it.
    pub(crate) async fn take_away(&self, way: &Way) -> Result<Duration> {
        let out = [
            // Emptied, or gone with its key.
            self.watch(&self.targets, "target", |object| {
                let value = resource::value(object?, "ANTHROPIC_API_KEY");
                value.filter(|value| !value.is_empty())
            }),
            self.watch(&self.gateways, "one.edge.keys", |object| {
                values(object?).pop()
            }),
            self.watch(&self.policies, "one.policy", |object| {
                (usable(object?) > 0).then(String::new)
            }),
        ];
        (way.act)(self)?;
        let start = Instant::now();
        let mut longest = Duration::ZERO;
        for out in out {
            let at = out.await??;
            longest = longest.max(at.saturating_duration_since(start));
        }
        Ok(longest)
    }

    /// Watches until an object holds nothing any more.
    fn watch(
        &self,
        api: &Api<DynamicObject>,
        name: &'static str,
        held: fn(Option<&DynamicObject>) -> Option<String>,
    ) -> JoinHandle<Result<Instant>> {
        let api = api.clone();
        tokio::spawn(async move {
            // kubectl itself takes its time.
            let gone = |object: Option<&DynamicObject>| held(object).is_none().then(Instant::now);
            let at = wait::watch_until(&api, name, SOON, gone).await;
            at.with_context(|| format!("out of {name}"))
        })
    }

    pub(crate) fn give_back(&self, way: &Way) -> Result<()> {
        (way.undo)(self)
    }

    fn admitted(&self) -> Value {
        json!([{"names": [&self.tenant], "roles": ["user"], "apiKeyRefs": "Allow"}])
    }

    fn source(&self) -> Value {
        let mut source = secret(&self.home, "source", &fake_key(VERSION));
        source["metadata"]["annotations"] =
            json!({"anthropic-rbac.io/allow-namespaces": &self.tenant});
        source
    }

    fn key(&self) -> Value {
        let mut app = key(
            &self.tenant,
            "app",
            &format!("{}/one", self.home),
            "source",
            "target",
        );
        app["spec"]["source"]["secretKeyRef"]["namespace"] = json!(&self.home);
        app["spec"]["usedBy"] = json!([service_account("app")]);
        app
    }

    fn patch(&self, kind: &str, namespace: &str, name: &str, change: &Value) -> Result<()> {
        let change = change.to_string();
        self.kubectl(&[
            "patch",
            kind,
            name,
            "-n",
            namespace,
            "--type=merge",
            "-p",
            &change,
        ])
    }

    fn annotate(&self, annotation: &str) -> Result<()> {
        self.kubectl(&["annotate", "secret", "source", "-n", &self.home, annotation])
    }

    fn apply(&self, object: &Value) -> Result<()> {
        self.cluster
            .kubectl_stdin(&["create", "-f-"], &object.to_string())
            .map(drop)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        self.cluster.kubectl_ok(arguments).map(drop)
    }
}

/// What a gateway's Secret holds.
fn values(secret: &DynamicObject) -> Vec<String> {
    let data = secret.data["data"].as_object().into_iter().flatten();
    data.filter_map(|(key, _)| resource::value(secret, key))
        .collect()
}

/// Keys in a policy with a version that may be used.
fn usable(config_map: &DynamicObject) -> usize {
    let policy = resource::policy(config_map).unwrap_or_default();
    let keys = policy["keys"].as_object().into_iter().flatten();
    keys.filter(|(_, key)| key["fingerprint"].is_string())
        .count()
}

async fn every_way(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let settings = Settings {
        secrets_in: &scene.namespaces(),
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    for way in WAYS {
        scene
            .given()
            .await
            .with_context(|| format!("before: {}", way.name))?;
        let time = scene.take_away(way).await.with_context(|| way.name)?;
        ensure!(time <= AT_ONCE, "{}: it took {time:?}", way.name);
        scene.give_back(way)?;
    }
    scene.given().await
}

async fn foreground(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let settings = Settings {
        secrets_in: &scene.namespaces(),
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    scene.given().await?;
    let delete = [
        "delete",
        "aikey",
        "app",
        "-n",
        &scene.tenant,
        "--cascade=foreground",
        "--timeout=45s",
    ];
    scene.kubectl(&delete)?;
    wait::until_gone(&scene.targets, "target", AT_ONCE).await
}

async fn retained(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let own = secret(&scene.tenant, "own", &fake_key("own"));
    let mut kept = key(
        &scene.tenant,
        "kept",
        &format!("{}/one", scene.home),
        "own",
        "kept",
    );
    kept["spec"]["target"]["deletionPolicy"] = json!("Retain");
    resource::create(cluster, &[own, kept]).await?;
    let retain = json!({"spec": {"target": {"deletionPolicy": "Retain"}}});
    scene.patch("aikey", &scene.tenant, "app", &retain)?;
    let settings = Settings {
        secrets_in: &scene.namespaces(),
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    scene.given().await?;
    let marked = wait::until(&scene.targets, "kept", SOON, |object| {
        let by = object
            .metadata
            .annotations
            .as_ref()?
            .get("anthropic-rbac.io/retained-by")?;
        Some((
            by.clone(),
            object.metadata.owner_references.clone().unwrap_or_default(),
        ))
    })
    .await?;
    ensure!(
        marked == ("kept".to_owned(), Vec::new()),
        "it says by whom, and is owned by nobody"
    );
    scene.kubectl(&["delete", "aikey", "app", "kept", "-n", &scene.tenant])?;
    // What was lent goes, although it was to be retained; by then the other one would be gone, too.
    wait::until_gone(&scene.targets, "target", SOON).await?;
    let left = scene.targets.get("kept").await?;
    ensure!(
        resource::value(&left, "ANTHROPIC_API_KEY").is_some_and(|value| value == fake_key("own")),
        "what is the namespace's own stays as it was"
    );
    Ok(())
}

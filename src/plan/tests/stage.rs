//! A stage to plan on: objects go in as a person would write them, plans come out, and what a
//! plan writes can be put back as the API server would show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::{Guarded, convert};
use crate::facts::{JwksLookup, OutputFacts, OutputKind, Ownership, SecretFacts, Snapshot};
use crate::material::KeyMaterial;
use crate::plan::output::{Content, Output, Owner, Plan, Status};
use crate::plan::plan;
use crate::plan::world::{Access, Affected, Change, Unseen, World};
use crate::plan::write::Write;
use crate::policy::catalogue::Catalogue;
use crate::policy::decide::{Denial, Permit, Request, decide};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::subject::{Subject, SubjectRef};

pub(super) const NOW: &str = "2026-11-24T00:00:00Z";
pub(super) const KEY_A: &str = "sk-ant-api03-EXAMPLE-aaaaaaaaaaaaaaaa";
pub(super) const KEY_B: &str = "sk-ant-api03-EXAMPLE-bbbbbbbbbbbbbbbb";

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) now: Timestamp,
    skew: Option<SignedDuration>,
    versions: u64,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut world = World::new(Arc::new(Catalogue::built_in()), Unseen::Absent);
        world.apply(Change::ClusterKeys(JwksLookup::Known("{}".into())));
        Self {
            world,
            now: NOW.parse().unwrap(),
            skew: None,
            versions: 0,
        }
    }

    pub(super) fn with(objects: &[Value]) -> Self {
        let mut stage = Self::new();
        objects.iter().for_each(|object| drop(stage.apply(object)));
        stage
    }

    pub(super) fn at(&mut self, now: &str) -> &mut Self {
        self.now = now.parse().unwrap();
        self
    }

    /// From now on this clock is ahead of the API server's by so many seconds.
    pub(super) fn skewed(&mut self, seconds: i64) -> &mut Self {
        self.skew = Some(SignedDuration::from_secs(seconds));
        self
    }

    pub(super) fn snapshot(&self, workspace: &NamespacedName) -> Snapshot {
        let snapshot = self.world.snapshot(workspace, self.now);
        Snapshot {
            skew: self.skew,
            ..snapshot.expect("nothing to wait for")
        }
    }

    pub(super) fn apply(&mut self, object: &Value) -> Affected {
        self.versions += 1;
        let mut object = object.clone();
        let meta = object["metadata"].as_object_mut().unwrap();
        let name = meta["name"].as_str().unwrap().to_owned();
        meta.entry("uid")
            .or_insert_with(|| json!(format!("uid-{name}")));
        meta.entry("generation").or_insert(json!(1));
        meta.insert("resourceVersion".into(), json!(self.versions.to_string()));
        self.world.apply(change(&object))
    }

    pub(super) fn remove(&mut self, change: Change) -> Affected {
        self.world.apply(change)
    }

    /// A Secret of ours, as somebody else's edit leaves it.
    pub(super) fn put_secret(&mut self, facts: OutputFacts, name: NamespacedName) {
        self.world.apply(Change::Secret(name, secret_of(facts)));
    }

    pub(super) fn plan_of(&self, workspace: &str) -> Plan {
        let name = NamespacedName::parse(workspace).unwrap();
        plan(&self.snapshot(&name))
    }

    /// Objects that do not even say which workspace they are for.
    pub(super) fn plan_of_nameless(&self, namespace: &str) -> Plan {
        let name = NamespacedName::new(namespace, "");
        plan(&self.snapshot(&name))
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan_of("claude/production")
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.writes_of("claude/production")
    }

    pub(super) fn writes_of(&self, workspace: &str) -> Vec<Write> {
        let name = NamespacedName::parse(workspace).unwrap();
        let snapshot = self.snapshot(&name);
        plan(&snapshot).writes(&snapshot.outputs)
    }

    /// Carries a plan out: what it writes is there afterwards. Its statuses are not.
    pub(super) fn carry_out(&mut self) -> Plan {
        self.carry_out_of("claude/production")
    }

    pub(super) fn carry_out_of(&mut self, workspace: &str) -> Plan {
        let plan = self.plan_of(workspace);
        for write in self.writes_of(workspace) {
            self.versions += 1;
            let (id, output) = match write {
                Write::Create(output) => (output.id.clone(), Some(output)),
                Write::Patch { output, .. } => (output.id.clone(), Some(output)),
                Write::Delete { id, .. } => (id, None),
            };
            let facts = output.map(|output| written(&output, &self.versions.to_string(), self.now));
            self.world.apply(match (id.kind, facts) {
                (OutputKind::ConfigMap, Some(facts)) => Change::ConfigMap(id.name, facts),
                (OutputKind::ConfigMap, None) => Change::ConfigMapGone(id.name),
                (OutputKind::Secret, Some(facts)) => Change::Secret(id.name, secret_of(facts)),
                (OutputKind::Secret, None) => Change::SecretGone(id.name),
            });
        }
        plan
    }

    /// A ConfigMap as it is once it was written.
    pub(super) fn put(&mut self, output: &Output) {
        self.versions += 1;
        let facts = written(output, &self.versions.to_string(), self.now);
        self.world
            .apply(Change::ConfigMap(output.id.name.clone(), facts));
    }

    /// Changes whose a Secret of ours is.
    pub(super) fn disown(&mut self, secret: &str, owner: Ownership) {
        self.edit(secret, |found| found.owner = owner);
    }

    /// Somebody else writes into a Secret of ours.
    pub(super) fn tamper(&mut self, secret: &str) {
        self.edit(secret, |found| {
            found.tampered = found.data_keys.iter().cloned().collect();
        });
    }

    fn edit(&mut self, secret: &str, change: impl FnOnce(&mut OutputFacts)) {
        let name = NamespacedName::new("claude", secret);
        let id = crate::facts::OutputId::secret("claude", secret);
        let workspace = NamespacedName::parse("claude/production").unwrap();
        let snapshot = self.world.snapshot(&workspace, self.now).unwrap();
        let mut found = (*snapshot.outputs[&id]).clone();
        change(&mut found);
        self.world.apply(Change::Secret(name, secret_of(found)));
    }

    pub(super) fn policy_text(&self) -> String {
        text_of(&self.plan(), "production.policy")
    }

    pub(super) fn decide(&self, subject: &str, model: &str) -> Result<Permit, Denial> {
        self.decide_as(subject, &[], model, None)
    }

    pub(super) fn decide_as(
        &self,
        subject: &str,
        groups: &[&str],
        model: &str,
        max_tokens: Option<u64>,
    ) -> Result<Permit, Denial> {
        let resolution = self.plan().resolution.expect("a workspace");
        let groups: Vec<_> = groups.iter().map(|group| known(group).id()).collect();
        let request = Request {
            subject: known(subject).id(),
            groups: &groups,
            model,
            max_tokens,
            at: self.now,
        };
        decide(&resolution.policy, &request)
    }
}

pub(super) fn known(subject: &str) -> Subject {
    match SubjectRef::parse(subject).unwrap() {
        SubjectRef::Known(subject) => subject,
        SubjectRef::ClientKeySecret(_) => panic!("name a subject that has an id"),
    }
}

/// The text of a ConfigMap's only file.
pub(super) fn text_of(plan: &Plan, name: &str) -> String {
    let output = plan
        .outputs
        .iter()
        .find(|output| *output.id.name.name == *name)
        .unwrap();
    match output.data.values().next() {
        Some(Content::Text(text)) => text.to_string(),
        other => panic!("{name} holds {other:?}"),
    }
}

/// Reason and status of one condition.
pub(super) fn condition(plan: &Plan, kind: &str, object: &str) -> (String, String) {
    let object = NamespacedName::parse(object).unwrap();
    let update = plan
        .statuses
        .iter()
        .find(|update| update.name == object)
        .expect("a status");
    let conditions = match &update.status {
        Status::Workspace(status) => &status.conditions,
        Status::RoleBinding(status) => &status.conditions,
        Status::ApiKeyRef(status) => &status.conditions,
    };
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .expect(kind);
    (condition.status.clone(), condition.reason.clone())
}

/// What is under the only data key of a Secret in the plan.
pub(super) fn content_of<'p>(plan: &'p Plan, secret: &str) -> Option<&'p Content> {
    let output = plan
        .outputs
        .iter()
        .find(|output| *output.id.name.name == *secret)?;
    output.data.values().next()
}

fn change(object: &Value) -> Change {
    let kind = object["kind"].as_str().unwrap();
    let name = || {
        let text = |field: &str| object["metadata"][field].as_str().unwrap();
        NamespacedName::new(text("namespace"), text("name"))
    };
    match kind {
        "Workspace" => Change::Workspace(convert::workspace(&guarded(object)).unwrap()),
        "RoleBinding" => Change::Binding(convert::role_binding(&guarded(object)).unwrap()),
        "ApiKeyRef" => Change::KeyRef(convert::api_key_ref(&guarded(object)).unwrap()),
        "Namespace" => {
            let object = serde_json::from_value(object.clone()).unwrap();
            let (name, labels) = convert::namespace(&object).unwrap();
            Change::Namespace(name, labels)
        }
        "Secret" => {
            let meta = serde_json::from_value(object["metadata"].clone()).unwrap();
            let mut facts = convert::secret(&meta);
            let data = object["stringData"].as_object().into_iter().flatten();
            let values = data.map(|(key, value)| {
                let bytes = value.as_str().unwrap().as_bytes().to_vec();
                (Name::from(&**key), KeyMaterial::new(bytes).facts())
            });
            facts.values = Some(Arc::new(values.collect()));
            Change::Secret(name(), facts)
        }
        other => panic!("no such kind on this stage: {other}"),
    }
}

fn guarded<K: kube::core::object::HasStatus>(object: &Value) -> Guarded<K>
where
    Guarded<K>: serde::de::DeserializeOwned,
{
    serde_json::from_value(object.clone()).unwrap()
}

/// An output as the API server shows it after we wrote it.
fn written(output: &Output, version: &str, at: Timestamp) -> OutputFacts {
    let marks = output.labels.iter().chain(&output.annotations);
    let marks: BTreeMap<Name, Name> = marks.map(|(k, v)| (k.clone(), v.clone())).collect();
    let memory = marks.get(crate::api::metadata::KEY_VERSIONS);
    OutputFacts {
        uid: Name::from(format!("uid-{}", output.id.name.name)),
        resource_version: version.into(),
        owner: match &output.owner {
            Owner::Controller {
                kind,
                name,
                uid,
                heirs,
            } => Ownership::Controlled {
                kind: *kind,
                name: name.clone(),
                uid: uid.clone().unwrap(),
                heirs: heirs.clone(),
            },
            Owner::Retained(name) => Ownership::Retained(name.clone()),
        },
        other_owners: Vec::new(),
        memory: memory
            .map(|text| serde_json::from_str(text).unwrap())
            .unwrap_or_default(),
        marks,
        data_keys: output.data.keys().cloned().collect(),
        tampered: BTreeSet::new(),
        written: Some(at),
    }
}

fn secret_of(output: OutputFacts) -> SecretFacts {
    SecretFacts {
        uid: output.uid.clone(),
        resource_version: output.resource_version.clone(),
        created: None,
        is_client_key: false,
        notes: None,
        output: Some(Arc::new(output)),
        values: None,
    }
}

pub(super) fn denied(namespace: &str) -> Change {
    Change::SecretAccess(namespace.into(), Access::Denied)
}

// === objects ===

pub(super) fn object(kind: &str, name: &str, spec: Value) -> Value {
    let name = NamespacedName::parse(name).unwrap();
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": &*name.namespace, "name": &*name.name,
                     "creationTimestamp": "2026-10-01T00:00:00Z"},
        "spec": spec,
    })
}

pub(super) fn workspace(spec: Value) -> Value {
    object("Workspace", "claude/production", spec)
}

pub(super) fn binding(name: &str, role: &str, subjects: Value) -> Value {
    let spec = json!({
        "workspaceRef": {"name": "production", "namespace": "claude"},
        "roleRef": {"kind": "ApplicationRole", "name": role},
        "subjects": subjects,
    });
    object("RoleBinding", name, spec)
}

pub(super) fn service(namespace: &str, name: &str) -> Value {
    json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}])
}

pub(super) fn key(name: &str, spec: Value) -> Value {
    let mut whole = json!({
        "workspaceRef": {"name": "production", "namespace": "claude"},
        "service": "prod-search",
        "source": {"secretKeyRef": {"name": "source", "key": "api-key"}},
        "target": {"secretName": "target"},
        "issuedAt": "2026-10-01T00:00:00Z",
    });
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    object("ApiKeyRef", name, whole)
}

pub(super) fn secret(name: &str, value: &str) -> Value {
    let name = NamespacedName::parse(name).unwrap();
    json!({
        "kind": "Secret",
        "metadata": {"namespace": &*name.namespace, "name": &*name.name,
                     "creationTimestamp": "2026-09-01T00:00:00Z"},
        "stringData": {"api-key": value},
    })
}

pub(super) fn namespace(name: &str, labels: Value) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

//! A stage to plan on, as the operator would: objects go in as manifests, Secrets are read only
//! when a plan asks for it, and what a plan writes is there afterwards.
//! Must not judge.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anthropic_rbac::api::{Guarded, convert, metadata};
use anthropic_rbac::facts::{OutputKind, Snapshot};
use anthropic_rbac::material::KeyMaterial;
use anthropic_rbac::plan::output::{Output, Owner, Plan, Status, StatusUpdate};
use anthropic_rbac::plan::plan;
use anthropic_rbac::plan::world::{Affected, Change, Unseen, World as Facts};
use anthropic_rbac::plan::write::Write;
use anthropic_rbac::policy::catalogue::Catalogue;
use anthropic_rbac::policy::digest::Hex;
use anthropic_rbac::policy::finding::Kind;
use anthropic_rbac::policy::key::ValueFacts;
use anthropic_rbac::policy::name::{Name, NamespacedName};
use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::run::name_of;
use crate::worlds::NOW;

type Values = BTreeMap<Name, ValueFacts>;

/// Facts, and what the API server would hold besides.
pub struct Stage {
    pub facts: Facts,
    pub now: Timestamp,
    /// Secrets whose values a plan asked for, and for which workspace.
    pub read: BTreeSet<(NamespacedName, NamespacedName)>,
    /// What was carried out, by workspace, in order.
    pub done: Vec<(NamespacedName, Plan, Vec<Write>)>,
    reads: usize,
    said: HashMap<(Kind, NamespacedName), Hex<16>>,
    versions: u64,
    objects: BTreeMap<(String, String), Value>,
    values: BTreeMap<NamespacedName, Values>,
}

impl Stage {
    /// All these objects, applied in this order.
    pub fn of(objects: &[Value]) -> Self {
        let mut stage = Self {
            facts: Facts::new(Arc::new(Catalogue::built_in()), Unseen::Absent),
            now: NOW.parse().expect("an instant"),
            read: BTreeSet::new(),
            done: Vec::new(),
            reads: 0,
            said: HashMap::new(),
            versions: 0,
            objects: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        for object in objects {
            stage.apply(object);
        }
        stage
    }

    /// Creates or replaces an object; its status stays.
    pub fn apply(&mut self, object: &Value) -> Affected {
        let mut object = object.clone();
        let id = (kind_of(&object).to_owned(), name_of(&object));
        if object.get("status").is_none()
            && let Some(status) = self
                .objects
                .get(&id)
                .and_then(|before| before.get("status"))
        {
            object["status"] = status.clone();
        }
        self.versions += 1;
        let meta = object["metadata"].as_object_mut().expect("metadata");
        meta.insert("uid".into(), json!(format!("uid-{}-{}", id.0, id.1)));
        meta.entry("generation").or_insert(json!(1));
        meta.insert("resourceVersion".into(), json!(self.versions.to_string()));
        let change = self.change(&object);
        self.objects.insert(id, object);
        self.facts.apply(change)
    }

    /// Deletes an object.
    pub fn delete(&mut self, object: &Value) -> Affected {
        let id = (kind_of(object).to_owned(), name_of(object));
        self.objects.remove(&id);
        let name = || NamespacedName::parse(&id.1).expect("namespace/name");
        self.facts.apply(match &*id.0 {
            "Workspace" => Change::WorkspaceGone(name()),
            "RoleBinding" => Change::BindingGone(name()),
            "ApiKeyRef" => Change::KeyRefGone(name()),
            "Secret" => Change::SecretGone(name()),
            _ => Change::NamespaceGone(id.1.as_str().into()),
        })
    }

    /// What is known of a workspace once every Secret it asks for was read.
    pub fn snapshot(&mut self, workspace: &NamespacedName) -> Snapshot {
        loop {
            let snapshot = self
                .facts
                .snapshot(workspace, self.now)
                .expect("nothing to wait for");
            let unread = snapshot.unread();
            if unread.is_empty() {
                return snapshot;
            }
            for secret in unread {
                self.reads += 1;
                self.read.insert((workspace.clone(), secret.clone()));
                let version = snapshot.secrets[&secret].version().1;
                let values = self.values.get(&secret).cloned().unwrap_or_default();
                self.facts.apply(Change::SecretValues {
                    name: secret,
                    resource_version: version,
                    values,
                });
            }
        }
    }

    pub fn plan(&mut self, workspace: &NamespacedName) -> Plan {
        plan(&self.snapshot(workspace))
    }

    /// Plans of every workspace there is or that something refers to, once all that they ask
    /// for was read: what one workspace's Secrets hold may matter to another.
    pub fn plans(&mut self) -> BTreeMap<NamespacedName, Plan> {
        loop {
            let before = self.reads;
            let all = self.facts.workspaces();
            let plans = all
                .into_iter()
                .map(|name| (name.clone(), self.plan(&name)))
                .collect();
            if self.reads == before {
                return plans;
            }
        }
    }

    /// Carries every plan out, one after another, until none has anything left to do.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            let mut busy = false;
            for workspace in self.facts.workspaces() {
                let snapshot = self.snapshot(&workspace);
                let plan = plan(&snapshot);
                let writes = plan.writes(&snapshot.outputs);
                busy |=
                    !writes.is_empty() || plan.statuses.iter().any(|update| self.is_news(update));
                writes.iter().for_each(|write| self.write(write));
                plan.statuses.iter().for_each(|update| self.report(update));
                self.done.push((workspace, plan, writes));
            }
            if !busy {
                return;
            }
        }
        panic!("plans never come to rest");
    }

    /// What every object says of itself; a Workspace's also counts what is attached to it.
    pub fn statuses(&self, kinds: &[&str]) -> BTreeMap<(String, String), Value> {
        let of = self
            .objects
            .iter()
            .filter(|((kind, _), _)| kinds.contains(&&**kind));
        of.map(|(id, object)| (id.clone(), object["status"].clone()))
            .collect()
    }

    /// Whether a status says anything that was not said before: of an object that cannot be read
    /// its status cannot either, so that the same is said again.
    pub fn is_news(&self, update: &StatusUpdate) -> bool {
        self.said.get(&(update.status.kind(), update.name.clone())) != Some(&update.content)
    }

    fn report(&mut self, update: &StatusUpdate) {
        let status = match &update.status {
            Status::Workspace(status) => serde_json::to_value(status),
            Status::RoleBinding(status) => serde_json::to_value(status),
            Status::ApiKeyRef(status) => serde_json::to_value(status),
        };
        let id = (
            update.status.kind().name().to_owned(),
            update.name.to_string(),
        );
        let mut object = self.objects[&id].clone();
        object["status"] = status.expect("plain data");
        self.said
            .insert((update.status.kind(), update.name.clone()), update.content);
        self.apply(&object);
    }

    fn write(&mut self, write: &Write) {
        self.versions += 1;
        let id = write.id().clone();
        let meta = match write {
            Write::Create(output) | Write::Patch { output, .. } => {
                Some(written(output, self.versions))
            }
            Write::Delete { .. } => None,
        };
        self.facts.apply(match (id.kind, meta) {
            (OutputKind::ConfigMap, Some(meta)) => {
                Change::ConfigMap(id.name, convert::output(&meta))
            }
            (OutputKind::ConfigMap, None) => Change::ConfigMapGone(id.name),
            (OutputKind::Secret, Some(meta)) => Change::Secret(id.name, convert::secret(&meta)),
            (OutputKind::Secret, None) => Change::SecretGone(id.name),
        });
    }

    fn change(&mut self, object: &Value) -> Change {
        match kind_of(object) {
            "Workspace" => Change::Workspace(convert::workspace(&guarded(object)).expect("a name")),
            "RoleBinding" => {
                Change::Binding(convert::role_binding(&guarded(object)).expect("a name"))
            }
            "ApiKeyRef" => Change::KeyRef(convert::api_key_ref(&guarded(object)).expect("a name")),
            "Namespace" => {
                let object = serde_json::from_value(object.clone()).expect("a namespace");
                let (name, labels) = convert::namespace(&object).expect("a name");
                Change::Namespace(name, labels)
            }
            "Secret" => {
                let meta = serde_json::from_value(object["metadata"].clone()).expect("metadata");
                let name = NamespacedName::parse(&name_of(object)).expect("namespace/name");
                let data = object["stringData"].as_object().into_iter().flatten();
                let values = data.map(|(key, value)| {
                    let bytes = value.as_str().expect("text").as_bytes().to_vec();
                    (Name::from(&**key), KeyMaterial::new(bytes).facts())
                });
                self.values.insert(name.clone(), values.collect());
                Change::Secret(name, convert::secret(&meta))
            }
            other => panic!("no such kind on this stage: {other}"),
        }
    }
}

pub fn kind_of(object: &Value) -> &str {
    object["kind"].as_str().expect("every object has a kind")
}

fn guarded<K: kube::core::object::HasStatus>(object: &Value) -> Guarded<K>
where
    Guarded<K>: serde::de::DeserializeOwned,
{
    serde_json::from_value(object.clone()).expect("a name at least")
}

/// An output's metadata as the API server shows it after it was written.
fn written(output: &Output, version: u64) -> ObjectMeta {
    let reference = |kind: Kind, name: &Name, uid: &Name, controller: bool| {
        json!({"apiVersion": "anthropic-rbac.io/v1alpha1", "kind": kind.name(), "name": name,
               "uid": uid, "controller": controller})
    };
    let owners: Vec<Value> = match &output.owner {
        Owner::Controller {
            kind,
            name,
            uid,
            heirs,
        } => {
            let uid = uid.as_ref().expect("everything stored has a uid");
            let heirs = heirs
                .iter()
                .map(|heir| reference(Kind::ApiKeyRef, &heir.name, &heir.uid, false));
            std::iter::once(reference(*kind, name, uid, true))
                .chain(heirs)
                .collect()
        }
        Owner::Retained(_) => Vec::new(),
    };
    let data: serde_json::Map<String, Value> = output
        .data
        .keys()
        .map(|key| (format!("f:{key}"), json!({})))
        .collect();
    let meta = json!({
        "namespace": output.id.name.namespace,
        "name": output.id.name.name,
        "uid": format!("uid-{}", output.id),
        "resourceVersion": version.to_string(),
        "labels": output.labels,
        "annotations": output.annotations,
        "ownerReferences": owners,
        "managedFields": [{"manager": metadata::NAME, "operation": "Apply", "apiVersion": "v1",
                           "fieldsType": "FieldsV1", "fieldsV1": {"f:data": data}}],
    });
    serde_json::from_value(meta).expect("metadata")
}

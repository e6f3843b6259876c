//! Document by document into facts: checks each, converts it, and sees to it that no object is
//! there twice.
//! Must not stop at the first thing that is wrong.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use kube::core::object::HasStatus;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::Document;
use super::fault::Fault;
use super::hint::with_hint;
use super::key_set;
use super::path::FieldPath;
use super::place::{Inner, Mark, Place};
use super::problem::{Problem, reason};
use super::secret::{SecretManifest, take_values};
use super::sort::{Sort, say_kind, sort};
use super::{Manifests, Origin};
use crate::api::admission::{self, admit};
use crate::api::metadata::{MANAGED_BY, NAME, WORKSPACE};
use crate::api::{ApiKeyRef, Guarded, RoleBinding, Workspace, convert};
use crate::facts::Invalid;
use crate::policy::finding::{Kind, ObjectId};
use crate::policy::name::{Name, NamespacedName};

/// Takes documents in.
pub struct Loader {
    default_namespace: String,
    seen: HashMap<(&'static str, NamespacedName), (Arc<str>, Mark)>,
    /// Kept until all Workspaces are known, which say what is in them.
    config_maps: Vec<(NamespacedName, Object)>,
    manifests: Manifests,
    problems: Vec<Problem>,
}

/// One object on its way.
struct Object {
    file: Arc<str>,
    document: Option<usize>,
    /// Kind and name for messages.
    label: String,
    value: Value,
    place: Place,
}

// === impl Loader ===

impl Loader {
    /// `default_namespace` is for objects that name none.
    pub fn new(default_namespace: &str) -> Self {
        Self {
            default_namespace: default_namespace.to_owned(),
            seen: HashMap::new(),
            config_maps: Vec::new(),
            manifests: Manifests::default(),
            problems: Vec::new(),
        }
    }

    /// Takes one document in.
    pub fn take(&mut self, document: Document) {
        let Document {
            file,
            number,
            value,
            place,
        } = document;
        self.object(Object {
            file,
            document: number,
            label: String::new(),
            value,
            place,
        });
    }

    /// What came of it.
    pub fn finish(mut self) -> (Manifests, Vec<Problem>) {
        for id in key_set::wanted(&self.manifests.workspaces) {
            let named = self.config_maps.iter();
            let named = named.filter(|(name, _)| *name == id.config_map);
            let mut named = named.map(|(_, object)| object).peekable();
            let Some(first) = named.peek() else {
                continue;
            };
            let lookup = key_set::lookup(&first.value, &id.key);
            let problems = named.filter_map(|object| {
                let fault = key_set::fault(&object.value, &id.key)?;
                Some(object.problem(fault, reason::INVALID_KEY_SET))
            });
            let problems: Vec<Problem> = problems.collect();
            if !problems.is_empty() {
                self.manifests.key_sets.insert(id.clone(), problems);
            }
            self.manifests.jwks.insert(id, lookup);
        }
        (self.manifests, self.problems)
    }

    fn object(&mut self, mut object: Object) {
        let sort = match sort(&object.value) {
            Sort::Other if object.is_for_kustomize() => Sort::Kustomization,
            sort => sort,
        };
        match sort {
            Sort::Other => {}
            Sort::List => self.list(object),
            Sort::Mistaken(fault) => {
                object.label = label(&object.value, "");
                self.fault(&object, fault);
            }
            Sort::Kustomization => self.manifests.notes.push(format!(
                "{}: skipped: it is for kustomize; to read what it makes, pipe the output of \
                 'kubectl kustomize' into -f -",
                object.file
            )),
            Sort::Namespace => self.namespace(object),
            Sort::Secret => self.secret(object),
            Sort::ConfigMap => {
                if let Some(name) = self.name(&mut object) {
                    self.config_maps.push((name, object));
                }
            }
            Sort::Ours(kind) => self.ours(kind, object),
        }
    }

    fn list(&mut self, mut list: Object) {
        let (Value::Array(values), Inner::Map(fields)) = (
            list.value["items"].take(),
            std::mem::replace(&mut list.place.inner, Inner::Leaf),
        ) else {
            return;
        };
        let items = fields.into_iter().find(|(name, _)| &**name == "items");
        if let Some((
            _,
            Place {
                inner: Inner::List(places),
                ..
            },
        )) = items
        {
            for (mut value, place) in values.into_iter().zip(places) {
                say_kind(&mut value, &list.value);
                let (file, document) = (list.file.clone(), list.document);
                self.object(Object {
                    file,
                    document,
                    label: String::new(),
                    value,
                    place,
                });
            }
        }
    }

    fn ours(&mut self, kind: Kind, mut object: Object) {
        let name = self.name(&mut object);
        let first = name
            .as_ref()
            .is_none_or(|name| self.is_first(kind.name(), name, &object));
        let admitted = self.admitted(&object);
        let (Some(name), true) = (name, first) else {
            return;
        };
        let Some(mut admitted) = admitted else {
            return self.refused(kind, &name, &object.value);
        };
        // What is written in files is what is wanted; a status is what a cluster made of it.
        if let Some(fields) = admitted.as_object_mut() {
            fields.remove("status");
        }
        object.value = admitted;
        let converted = match kind {
            Kind::Workspace => self.convert(&object, |guard: &Guarded<Workspace>, into| {
                let facts = convert::workspace(guard)?;
                let spec = facts.object.spec.clone().map(drop);
                into.workspaces.push(facts);
                Some(spec)
            }),
            Kind::RoleBinding => self.convert(&object, |guard: &Guarded<RoleBinding>, into| {
                let facts = convert::role_binding(guard)?;
                let spec = facts.object.spec.clone().map(drop);
                into.bindings.push(facts);
                Some(spec)
            }),
            Kind::ApiKeyRef => self.convert(&object, |guard: &Guarded<ApiKeyRef>, into| {
                let facts = convert::api_key_ref(guard)?;
                let spec = facts.object.spec.clone().map(drop);
                into.keys.push(facts);
                Some(spec)
            }),
        };
        match converted {
            Ok(()) => {
                let Object {
                    file, place, value, ..
                } = object;
                let origin = Origin::new(file, place, &value);
                self.manifests
                    .origins
                    .insert(ObjectId::new(kind, &name), origin);
            }
            Err(fault) => {
                self.fault(&object, fault);
                self.refused(kind, &name, &object.value);
            }
        }
    }

    /// The object as the API server would store it, if it would.
    fn admitted(&mut self, object: &Object) -> Option<Value> {
        let doubtful = object.place.doubtful();
        let fine = doubtful.is_empty();
        for path in doubtful {
            let message = "readers of YAML take this for different values; put a text in quotes, \
                           write a number without leading zeros and underscores";
            self.problem(object, Fault::of_value(path, message), reason::INVALID_YAML);
        }
        let problems = match admit(&object.value) {
            Ok(admitted) => return Some(admitted).filter(|_| fine),
            Err(problems) => problems,
        };
        let kind = object.value["kind"].as_str().unwrap_or_default();
        let schema = admission::schema(kind).unwrap_or(&Value::Null);
        for admission::Problem { field, message } in problems {
            self.fault(object, with_hint(schema, &object.value, &field, &message));
        }
        None
    }

    /// Remembers an object that is there and not understood, so that nobody calls it missing.
    fn refused(&mut self, kind: Kind, name: &NamespacedName, object: &Value) {
        let workspace = &object["spec"]["workspaceRef"];
        let workspace = match (kind, workspace["name"].as_str()) {
            (Kind::Workspace, _) => Some(name.clone()),
            (Kind::RoleBinding | Kind::ApiKeyRef, Some(of)) => {
                let namespace = workspace["namespace"].as_str();
                Some(NamespacedName::new(
                    namespace.unwrap_or(&name.namespace),
                    of,
                ))
            }
            (Kind::RoleBinding | Kind::ApiKeyRef, None) => None,
        };
        let id = ObjectId::new(kind, name);
        self.manifests.refused.insert(id, workspace);
    }

    fn convert<K: HasStatus + DeserializeOwned>(
        &mut self,
        object: &Object,
        convert: impl FnOnce(&Guarded<K>, &mut Manifests) -> Option<Result<(), Invalid>>,
    ) -> Result<(), Fault> {
        let at = |field: &str, message: String| Fault::of_value(FieldPath::parse(field), message);
        let typed: K = serde_json::from_value(object.value.clone())
            .map_err(|error| at("", error.to_string()))?;
        match convert(&Guarded(Ok(typed)), &mut self.manifests) {
            Some(Ok(())) => Ok(()),
            Some(Err(Invalid { field, message })) => Err(at(&field, message)),
            None => Err(at("metadata", "name and namespace are required".to_owned())),
        }
    }

    fn namespace(&mut self, mut object: Object) {
        object.label = label(&object.value, "");
        if self.admitted(&object).is_none() {
            return;
        }
        let Some(name) = object.value["metadata"]["name"].as_str().map(Name::from) else {
            return;
        };
        let labels = object.value["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flatten();
        let labels = labels
            .map(|(key, value)| {
                (
                    Name::from(&**key),
                    value.as_str().unwrap_or_default().into(),
                )
            })
            .collect();
        if self.is_first("Namespace", &NamespacedName::new("", name.clone()), &object) {
            self.manifests.namespaces.insert(name, labels);
        }
    }

    fn secret(&mut self, mut object: Object) {
        let (values, faults) = take_values(&mut object.value);
        let labels = &object.value["metadata"]["labels"];
        let is_ours = labels[MANAGED_BY] == NAME && labels.get(WORKSPACE).is_some();
        if is_ours || object.value["metadata"].get("generateName").is_some() {
            // Ours are made from the rest, whether exported from a cluster or rendered earlier;
            // what is yet to get a name is nothing anybody can refer to.
            return;
        }
        let name = self.name(&mut object);
        let fine = faults.is_empty();
        faults
            .into_iter()
            .for_each(|fault| self.fault(&object, fault));
        let admitted = self.admitted(&object);
        let first = name
            .as_ref()
            .is_none_or(|name| self.is_first("Secret", name, &object));
        let (Some(name), Some(mut admitted), true, true) = (name, admitted, first, fine) else {
            return;
        };
        match serde_json::from_value(admitted["metadata"].take()) {
            Ok(meta) => drop(
                self.manifests
                    .secrets
                    .insert(name, SecretManifest { meta, values }),
            ),
            Err(error) => self.fault(
                &object,
                Fault::of_value(FieldPath::parse("metadata"), error.to_string()),
            ),
        }
    }

    /// The name of a namespaced object, if it has one, with the namespace filled in and what
    /// only a cluster can know taken out.
    fn name(&mut self, object: &mut Object) -> Option<NamespacedName> {
        object.label = label(&object.value, &self.default_namespace);
        let meta = object.value.get_mut("metadata")?.as_object_mut()?;
        for known_by_cluster in [
            "uid",
            "resourceVersion",
            "generation",
            "managedFields",
            "ownerReferences",
        ] {
            meta.remove(known_by_cluster);
        }
        let namespace = meta.entry("namespace").or_insert(Value::Null);
        if namespace.is_null() {
            *namespace = Value::String(self.default_namespace.clone());
        }
        let text = |field: &str| meta.get(field).and_then(Value::as_str);
        Some(NamespacedName::new(text("namespace")?, text("name")?))
    }

    fn is_first(&mut self, kind: &'static str, name: &NamespacedName, object: &Object) -> bool {
        let here = (object.file.clone(), object.place.value);
        let first = self
            .seen
            .entry((kind, name.clone()))
            .or_insert_with(|| here.clone());
        if *first == here {
            return true;
        }
        let (file, Mark { line, column }) = first.clone();
        let message = format!("is defined twice, first in {file}:{line}:{column}; keep one");
        let fault = Fault::of_value(FieldPath::root(), message);
        self.problem(object, fault, reason::DUPLICATE_OBJECT);
        false
    }

    fn fault(&mut self, object: &Object, fault: Fault) {
        self.problem(object, fault, reason::INVALID_MANIFEST);
    }

    fn problem(&mut self, object: &Object, fault: Fault, reason: &'static str) {
        self.problems.push(object.problem(fault, reason));
    }
}

// === impl Object ===

impl Object {
    /// Of a file that kustomize knows by its name; what is in it need not say what it is.
    fn is_for_kustomize(&self) -> bool {
        let stem = Path::new(&*self.file).file_stem();
        stem.is_some_and(|stem| stem == "kustomization") && self.value.get("kind").is_none()
    }

    fn problem(&self, fault: Fault, reason: &'static str) -> Problem {
        let Fault {
            path,
            name,
            message,
        } = fault;
        let place = &self.place;
        let mark = if name {
            place.name_mark(&path)
        } else {
            place.mark(&path)
        };
        Problem {
            file: self.file.clone(),
            mark: Some(mark),
            document: self.document,
            object: self.label.clone(),
            field: path,
            reason,
            message,
        }
    }
}

/// Kind and name of an object as far as they can be read.
fn label(value: &Value, default_namespace: &str) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let kind = text(&value["kind"]).unwrap_or_else(|| "object".to_owned());
    let name = text(&value["metadata"]["name"]);
    let namespace = text(&value["metadata"]["namespace"])
        .or_else(|| (!default_namespace.is_empty()).then(|| default_namespace.to_owned()));
    match (namespace, name) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (None, Some(name)) => format!("{kind} {name}"),
        (_, None) => kind,
    }
}

//! Document by document into facts: checks each, converts it, and sees to it that no object is
//! there twice.
//! Must not stop at the first thing that is wrong.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::DeserializeGuard;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::Document;
use super::fault::Fault;
use super::path::FieldPath;
use super::place::{Inner, Mark, Place};
use super::problem::Problem;
use super::rules::{Rules, Shape};
use super::secret::{SecretManifest, take_values};
use super::sort::{KINDS, Sort, sort};
use super::{Manifests, Origin, shape};
use crate::api::metadata::{MANAGED_BY, NAME, WORKSPACE};
use crate::api::{ApiKeyRef, RoleBinding, Workspace, convert, crd};
use crate::plan::facts::Invalid;
use crate::policy::finding::{Kind, ObjectId};
use crate::policy::name::{Name, NamespacedName};

/// Takes documents in.
pub struct Loader {
    default_namespace: String,
    rules: HashMap<Kind, Rules>,
    metadata: Shape,
    seen: HashMap<(&'static str, String, String), (Arc<str>, Mark)>,
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
        let definitions = crd::all();
        let rules = |kind: Kind| {
            let of_kind = definitions.iter().find(|crd| crd.spec.names.kind == kind.name());
            (kind, Rules::of(of_kind.expect("every kind has a definition")))
        };
        Self {
            default_namespace: default_namespace.to_owned(),
            rules: KINDS.map(rules).into(),
            metadata: Shape::new(shape::of_metadata()),
            seen: HashMap::new(),
            manifests: Manifests::default(),
            problems: Vec::new(),
        }
    }

    /// Takes one document in.
    pub fn take(&mut self, document: Document) {
        let Document { file, number, value, place } = document;
        self.object(Object { file, document: number, label: String::new(), value, place });
    }

    /// What came of it.
    pub fn finish(self) -> (Manifests, Vec<Problem>) {
        (self.manifests, self.problems)
    }

    fn object(&mut self, mut object: Object) {
        let sort = sort(&object.value);
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
            Sort::Ours(kind) => self.ours(kind, object),
        }
    }

    fn list(&mut self, mut list: Object) {
        let (Value::Array(values), Inner::Map(fields)) =
            (list.value["items"].take(), std::mem::replace(&mut list.place.inner, Inner::Leaf))
        else {
            return;
        };
        let items = fields.into_iter().find(|(name, _)| &**name == "items");
        if let Some((_, Place { inner: Inner::List(places), .. })) = items {
            for (value, place) in values.into_iter().zip(places) {
                let (file, document) = (list.file.clone(), list.document);
                self.object(Object { file, document, label: String::new(), value, place });
            }
        }
    }

    fn ours(&mut self, kind: Kind, mut object: Object) {
        drop_nulls(&mut object.value);
        // What is written in files is what is wanted; a status is what a cluster made of it.
        if let Some(fields) = object.value.as_object_mut() {
            fields.remove("status");
        }
        let Some(name) = self.name(kind.name(), &mut object) else {
            return;
        };
        let faults = self.rules[&kind].check(&object.value);
        if !faults.is_empty() {
            faults.into_iter().for_each(|fault| self.fault(&object, fault));
            return;
        }
        let converted = match kind {
            Kind::Workspace => self.convert(&object, |guard: &DeserializeGuard<Workspace>, into| {
                let facts = convert::workspace(guard)?;
                let spec = facts.object.spec.clone().map(drop);
                into.workspaces.push(facts);
                Some(spec)
            }),
            Kind::RoleBinding => self.convert(&object, |guard: &DeserializeGuard<RoleBinding>, into| {
                let facts = convert::role_binding(guard)?;
                let spec = facts.object.spec.clone().map(drop);
                into.bindings.push(facts);
                Some(spec)
            }),
            Kind::ApiKeyRef => self.convert(&object, |guard: &DeserializeGuard<ApiKeyRef>, into| {
                let facts = convert::api_key_ref(guard)?;
                let spec = facts.object.spec.clone().map(drop);
                into.keys.push(facts);
                Some(spec)
            }),
        };
        match converted {
            Ok(()) => {
                let Object { file, place, .. } = object;
                self.manifests.origins.insert(ObjectId::new(kind, &name), Origin { file, place });
            }
            Err(fault) => self.fault(&object, fault),
        }
    }

    fn convert<K: DeserializeOwned>(
        &mut self,
        object: &Object,
        convert: impl FnOnce(&DeserializeGuard<K>, &mut Manifests) -> Option<Result<(), Invalid>>,
    ) -> Result<(), Fault> {
        let at = |field: &str, message: String| Fault::of_value(FieldPath::parse(field), message);
        let typed: K = serde_json::from_value(object.value.clone())
            .map_err(|error| at("", error.to_string()))?;
        match convert(&DeserializeGuard(Ok(typed)), &mut self.manifests) {
            Some(Ok(())) => Ok(()),
            Some(Err(Invalid { field, message })) => Err(at(&field, message)),
            None => Err(at("metadata", "name and namespace are required".to_owned())),
        }
    }

    fn namespace(&mut self, mut object: Object) {
        drop_nulls(&mut object.value);
        object.label = label(&object.value, "");
        let faults = self.metadata.check(&object.value);
        let Some(name) = object.value["metadata"]["name"].as_str().map(Name::from) else {
            return self.fault(&object, Fault::of_value(FieldPath::parse("metadata.name"), "is required"));
        };
        if !faults.is_empty() {
            return faults.into_iter().for_each(|fault| self.fault(&object, fault));
        }
        let labels = object.value["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels
            .filter_map(|(key, value)| Some((Name::from(&**key), Name::from(value.as_str()?))))
            .collect();
        if self.is_first("Namespace", String::new(), name.to_string(), &object) {
            self.manifests.namespaces.insert(name, labels);
        }
    }

    fn secret(&mut self, mut object: Object) {
        let (values, mut faults) = take_values(&mut object.value);
        drop_nulls(&mut object.value);
        let labels = &object.value["metadata"]["labels"];
        let is_ours = labels[MANAGED_BY] == NAME && labels.get(WORKSPACE).is_some();
        if is_ours || object.value["metadata"].get("generateName").is_some() {
            // Ours are made from the rest, whether exported from a cluster or rendered earlier;
            // what is yet to get a name is nothing anybody can refer to.
            return;
        }
        let Some(name) = self.name("Secret", &mut object) else {
            return;
        };
        faults.extend(self.metadata.check(&object.value));
        if !faults.is_empty() {
            return faults.into_iter().for_each(|fault| self.fault(&object, fault));
        }
        match serde_json::from_value(object.value["metadata"].take()) {
            Ok(meta) => drop(self.manifests.secrets.insert(name, SecretManifest { meta, values })),
            Err(error) => self.fault(&object, Fault::of_value(FieldPath::parse("metadata"), error.to_string())),
        }
    }

    /// The name of a namespaced object, with the namespace filled in and what only a cluster
    /// can know taken out; `None` when it has none, or is not the first of that name.
    fn name(&mut self, kind: &'static str, object: &mut Object) -> Option<NamespacedName> {
        object.label = label(&object.value, &self.default_namespace);
        let path = FieldPath::root().field("metadata");
        let Some(meta) = object.value.get_mut("metadata").and_then(Value::as_object_mut) else {
            let fault = Fault::of_value(path.field("name"), "is required");
            self.fault(object, fault);
            return None;
        };
        for known_by_cluster in ["uid", "resourceVersion", "generation", "managedFields", "ownerReferences"] {
            meta.remove(known_by_cluster);
        }
        let namespace = meta
            .entry("namespace")
            .or_insert_with(|| Value::String(self.default_namespace.clone()))
            .as_str()
            .map(str::to_owned);
        let name = meta.get("name").and_then(Value::as_str).map(str::to_owned);
        let fault = match (&namespace, &name) {
            (Some(namespace), _) if !is_dns_label(namespace) => {
                Some((path.field("namespace"), "must be a namespace's name: a-z, 0-9 and -"))
            }
            (_, Some(name)) if !name.split('.').all(is_dns_label) || name.len() > 253 => {
                Some((path.field("name"), "must consist of a-z, 0-9, - and ., and begin and end with a letter or digit"))
            }
            (_, None) if meta.contains_key("generateName") => {
                Some((path.field("generateName"), "only a cluster can make up a name; write metadata.name"))
            }
            (_, None) => Some((path.field("name"), "is required, as a text")),
            (None, Some(_)) => Some((path.field("namespace"), "want a text; put it in quotes")),
            (Some(_), Some(_)) => None,
        };
        if let Some((path, message)) = fault {
            self.fault(object, Fault::of_value(path, message));
            return None;
        }
        let (namespace, name) = namespace.zip(name)?;
        self.is_first(kind, namespace.clone(), name.clone(), object)
            .then(|| NamespacedName::new(namespace, name))
    }

    fn is_first(&mut self, kind: &'static str, namespace: String, name: String, object: &Object) -> bool {
        let here = (object.file.clone(), object.place.value);
        let first = self.seen.entry((kind, namespace, name)).or_insert_with(|| here.clone());
        if *first == here {
            return true;
        }
        let (file, Mark { line, column }) = first.clone();
        let message = format!("is defined twice, first in {file}:{line}:{column}; keep one");
        self.fault(object, Fault::of_value(FieldPath::root(), message));
        false
    }

    fn fault(&mut self, object: &Object, fault: Fault) {
        let Fault { path, name, message } = fault;
        let place = &object.place;
        let mark = if name { place.name_mark(&path) } else { place.mark(&path) };
        self.problems.push(Problem {
            file: object.file.clone(),
            mark: Some(mark),
            document: object.document,
            object: object.label.clone(),
            field: path,
            message,
        });
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

/// As the API server does with fields that cannot be null.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

//! What each fuzz target does with its bytes: whatever they are, nothing panics, and what is taken
//! holds what it promises. `tests/fuzz_corpus.rs` runs the same on the committed corpus.
//! Must not need more than the library.

use anthropic_rbac::api::{ApiKeyRef, Guarded, RoleBinding, Workspace, admission, convert};
use anthropic_rbac::gateway::policy_json;
use anthropic_rbac::material::KeyMaterial;
use anthropic_rbac::plan::plan;
use anthropic_rbac::plan::world::{Change, Unseen, World};
use anthropic_rbac::policy::catalogue::Catalogue;
use anthropic_rbac::policy::jwks::{Flaw, signing_keys};
use anthropic_rbac::policy::model::ModelPattern;
use anthropic_rbac::policy::name::NamespacedName;
use anthropic_rbac::policy::subject::SubjectRef;
use kube::core::object::HasStatus;
use serde_json::{Value, json};

/// A target: its name, which is that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("manifests", manifests),
    ("models", models),
    ("names", names),
    ("times", times),
    ("keys", keys),
    ("policy", policy),
    ("jwks", jwks),
];

/// Documents are admitted or refused; what is admitted converts, plans and renders, and the
/// policy that comes of it is read back as it was.
pub fn manifests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut reader = text.as_bytes();
    let mut world = World::new(Catalogue::built_in().into(), Unseen::Assumed);
    let documents: Vec<Value> = serde_saphyr::read::<_, Value>(&mut reader)
        .filter_map(Result::ok)
        .take(64)
        .collect();
    for document in documents {
        let Ok(admitted) = admission::admit(&document) else {
            continue;
        };
        if let Some(change) = change(&admitted) {
            world.apply(change);
        }
    }
    for workspace in world.workspaces() {
        let now = "2026-12-01T00:00:00Z".parse().expect("a time");
        let snapshot = world
            .snapshot(&workspace, now)
            .expect("nothing is waited for");
        if let Some(resolution) = plan(&snapshot).resolution {
            read_back(&policy_json::render(&resolution.policy));
        }
    }
}

/// What is admitted is of its Rust type, but for what only a cluster writes.
fn change(admitted: &Value) -> Option<Change> {
    let meta = &admitted["metadata"];
    let namespace = meta["namespace"].as_str().unwrap_or("claude");
    let admitted = &json!({
        "kind": admitted["kind"],
        "metadata": {"name": meta["name"], "namespace": namespace},
        "spec": admitted["spec"],
    });
    fn typed<K: HasStatus + serde::de::DeserializeOwned>(admitted: &Value) -> Guarded<K> {
        Guarded(Ok(
            serde_json::from_value(admitted.clone()).expect("what is admitted has its type")
        ))
    }
    match admitted["kind"].as_str()? {
        "Workspace" => convert::workspace(&typed::<Workspace>(admitted)).map(Change::Workspace),
        "RoleBinding" => {
            convert::role_binding(&typed::<RoleBinding>(admitted)).map(Change::Binding)
        }
        "ApiKeyRef" => convert::api_key_ref(&typed::<ApiKeyRef>(admitted)).map(Change::KeyRef),
        _ => None,
    }
}

/// A model entry reads as it is written, and stands for itself.
pub fn models(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (entry, model) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(pattern) = ModelPattern::parse(entry) else {
        return;
    };
    assert_eq!(pattern.to_string(), entry);
    assert!(pattern.matches(entry.trim_end_matches('*')));
    let by_prefix = entry
        .strip_suffix('*')
        .map(|prefix| model.starts_with(prefix));
    assert_eq!(pattern.matches(model), by_prefix.unwrap_or(model == entry));
}

/// Names and subjects read as they are written.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(name) = NamespacedName::parse(&text) {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(subject) = SubjectRef::parse(&text) {
        assert_eq!(SubjectRef::parse(&subject.to_string()).ok(), Some(subject));
    }
}

/// Times and durations that are admitted are understood: two lines of times, one of days.
pub fn times(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (issued, expires) = (next(), next());
    let days = next()
        .parse::<i64>()
        .map_or_else(|_| json!("x"), Value::from);
    let object = json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef",
        "metadata": {"name": "key", "namespace": "claude"},
        "spec": {
            "workspaceRef": {"name": "production"},
            "service": "search",
            "source": {"secretKeyRef": {"name": "anthropic", "key": "api-key"}},
            "issuedAt": issued,
            "expiresAt": expires,
            "rotation": {"periodDays": days},
        },
    });
    manifests(object.to_string().as_bytes());
}

/// Key material says what it is, whatever it is, and the same every time.
pub fn keys(data: &[u8]) {
    let facts = || KeyMaterial::new(data.to_vec()).facts();
    assert_eq!(facts(), facts());
}

/// What is read as a policy renders, and is read back as it was.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok((_, policy)) = policy_json::parse(&text, &[]) {
        read_back(&policy_json::render(&policy));
    }
}

/// A document is read, or refused with a reason; one that is read is refused once it has a private
/// key as well.
pub fn jwks(data: &[u8]) {
    let keys = match signing_keys(data) {
        Ok(keys) => keys,
        Err(flaw) => return assert_eq!(flaw.to_string().lines().count(), 1),
    };
    assert!(!keys.is_empty());
    let mut document: Value = serde_json::from_slice(data).expect("what is read is JSON");
    let all = document["keys"].as_array_mut().expect("a list of keys");
    all.push(json!({"d": ""}));
    let private = Flaw::Private {
        key: all.len() - 1,
        member: "d",
    };
    let document = document.to_string();
    assert_eq!(signing_keys(document.as_bytes()), Err(private));
}

fn read_back(rendered: &policy_json::Rendered) {
    let shards: Vec<&str> = rendered.shards.iter().map(String::as_str).collect();
    let (revision, policy) =
        policy_json::parse(&rendered.policy, &shards).expect("what is rendered is read");
    assert_eq!(revision, rendered.revision);
    assert_eq!(policy_json::render(&policy).policy, rendered.policy);
}

//! Properties: the order of facts never matters, and what is broken never widens access.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::stage::{KEY_A, Stage, binding, key, namespace, secret, workspace};
use crate::plan::world::Change;
use crate::policy::decide::{Permit, Request, decide};
use crate::policy::name::NamespacedName;

const MODELS: [&str; 4] = [
    "claude-haiku-4-5",
    "claude-sonnet-5",
    "claude-opus-5",
    "gpt-x",
];
const NAMESPACES: [&str; 3] = ["claude", "search", "batch"];
const ROLES: [&str; 6] = ["viewer", "user", "power", "admin", "batch", "no-such-role"];
const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

fn base() -> Vec<Value> {
    vec![
        workspace(json!({
            "keys": {"defaultApiKeyRef": {"name": "shared"}},
            "roles": [{"name": "batch", "apiAccess": "Allowed", "models": ["claude-haiku-*"], "maxTokens": 64, "requestsPerMinute": 7}],
            "allowedNamespaces": [
                {"names": ["search"], "roles": ["user", "batch"]},
                {"selector": {"matchLabels": {"claude": "enabled"}}, "roles": ["power"], "subjects": "Any"},
            ],
        })),
        namespace("search", json!({})),
        namespace("batch", json!({"claude": "enabled"})),
        secret("claude/source", KEY_A),
        key("claude/shared", json!({})),
    ]
}

prop_compose! {
    fn any_binding()(
        i in 0..20_usize,
        home in 0..NAMESPACES.len(),
        role in 0..ROLES.len(),
        subjects in prop::collection::vec((0..NAMESPACES.len(), 0..ACCOUNTS.len()), 1..4),
        enabled in any::<bool>(),
        expired in any::<bool>(),
    ) -> Value {
        let subjects: Vec<Value> = subjects.iter().map(|(namespace, account)| {
            json!({"kind": "ServiceAccount", "namespace": NAMESPACES[*namespace], "name": ACCOUNTS[*account]})
        }).collect();
        let mut made = binding(&format!("{}/b{i}", NAMESPACES[home]), ROLES[role], json!(subjects));
        made["spec"]["state"] = json!(if enabled { "Enabled" } else { "Disabled" });
        if expired {
            made["spec"]["expiresAt"] = json!("2026-11-24T00:00:00Z");
        }
        made
    }
}

fn decisions(stage: &Stage) -> Vec<Option<Permit>> {
    let resolution = stage.plan().resolution.expect("a workspace");
    let mut all = Vec::new();
    for namespace in NAMESPACES {
        for account in ACCOUNTS {
            let subject =
                super::stage::known(&format!("serviceaccount:{namespace}/{account}")).id();
            for model in MODELS {
                let request = Request {
                    subject,
                    groups: &[],
                    model,
                    max_tokens: Some(1 << 20),
                    at: stage.now,
                };
                all.push(decide(&resolution.policy, &request).ok());
            }
        }
    }
    all
}

/// Whether every permit of `narrow` is there in `wide`, with no lower limits.
fn within(narrow: &[Option<Permit>], wide: &[Option<Permit>]) -> bool {
    narrow.iter().zip(wide).all(|pair| match pair {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(narrow), Some(wide)) => {
            narrow.max_tokens() <= wide.max_tokens()
                && narrow.requests_per_minute() <= wide.requests_per_minute()
        }
    })
}

fn stage_of(bindings: &[Value]) -> Stage {
    let objects: Vec<Value> = base().into_iter().chain(bindings.iter().cloned()).collect();
    Stage::with(&objects)
}

/// Later objects of a name replace earlier ones, so each name counts once.
fn distinct(bindings: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    let id = |b: &Value| format!("{}/{}", b["metadata"]["namespace"], b["metadata"]["name"]);
    bindings
        .into_iter()
        .filter(|b| seen.insert(id(b)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_order_of_facts_never_changes_a_byte(
        (forward, shuffled) in prop::collection::vec(any_binding(), 0..8)
            .prop_map(distinct)
            .prop_flat_map(|bindings| (Just(bindings.clone()), Just(bindings).prop_shuffle()))
    ) {
        let mut objects: Vec<Value> = shuffled;
        objects.extend(base().into_iter().rev());
        let backward = Stage::with(&objects);
        prop_assert_eq!(stage_of(&forward).policy_text(), backward.policy_text());
    }

    #[test]
    fn taking_a_binding_away_never_widens(bindings in prop::collection::vec(any_binding(), 1..8)) {
        let bindings = distinct(bindings);
        let mut stage = stage_of(&bindings);
        let before = decisions(&stage);
        let meta = &bindings[0]["metadata"];
        let name = NamespacedName::new(meta["namespace"].as_str().unwrap(), meta["name"].as_str().unwrap());
        stage.remove(Change::BindingGone(name));
        prop_assert!(within(&decisions(&stage), &before));
    }

    #[test]
    fn what_is_broken_changes_nobodys_access(bindings in prop::collection::vec(any_binding(), 0..8)) {
        let bindings = distinct(bindings);
        let before = decisions(&stage_of(&bindings));
        let mut with_broken = bindings;
        let mut odd = binding("claude/broken", "admin", json!([{"kind": "User", "name": "uma"}]));
        with_broken.push(odd.clone());
        odd["metadata"]["name"] = json!("robot");
        odd["spec"]["subjects"] = json!([{"kind": "Robot", "name": "a"}]);
        with_broken.push(odd);
        with_broken.push(binding("elsewhere/stranger", "admin", json!([{"kind": "ServiceAccount", "name": "a", "namespace": "claude"}])));
        prop_assert_eq!(decisions(&stage_of(&with_broken)), before);
    }

    #[test]
    fn a_policy_decides_the_same_after_it_was_written_and_read(bindings in prop::collection::vec(any_binding(), 0..8)) {
        use crate::gateway::policy_json::{parse, render};
        let policy = stage_of(&distinct(bindings)).plan().resolution.expect("a workspace").policy;
        let rendered = render(&policy);
        let (_, read) = parse(&rendered.policy, &[]).expect("our own");
        prop_assert_eq!(read, policy);
    }
}

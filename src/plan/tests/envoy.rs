//! The files of gateways of type Envoy, and the public keys that they check tokens by.

use std::sync::Arc;

use serde_json::{Value, json};

use super::stage::{Stage, binding, condition, service, workspace};
use crate::api::Enforcement;
use crate::facts::{JwksLookup, KeySetId, OutputKind};
use crate::gateway::envoy::Upstream;
use crate::plan::output::{Content, Output, Owner, Plan, Status};
use crate::plan::world::{Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::finding::{Kind, Reason};
use crate::policy::jwks::Flaw;
use crate::policy::name::NamespacedName;

const EDGE: [&str; 3] = [
    "production.edge.config",
    "production.edge.data",
    "production.edge.subjects-00",
];

fn envoy() -> Value {
    json!([{"name": "edge", "type": "Envoy"}])
}

/// Two issuers: this cluster, and one whose keys are in a ConfigMap.
fn issuers() -> Value {
    json!({"issuers": [
        {"name": "cluster", "type": "Kubernetes", "audiences": ["claude"]},
        {"name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
         "jwksConfigMapRef": {"name": "corp-jwks", "key": "jwks.json"}, "audiences": ["claude"]},
    ]})
}

fn key_set() -> KeySetId {
    KeySetId {
        config_map: NamespacedName::new("claude", "corp-jwks"),
        key: "jwks.json".into(),
    }
}

fn stage() -> Stage {
    let mut stage = Stage::with(&[
        workspace(json!({"gateways": envoy(), "authentication": issuers()})),
        binding("claude/b", "user", service("claude", "search")),
    ]);
    put(&mut stage, JwksLookup::Known("{\"keys\":[1]}".into()));
    stage
}

fn put(stage: &mut Stage, lookup: JwksLookup) -> Vec<String> {
    let affected = stage.remove(Change::KeySet(key_set(), lookup));
    affected.iter().map(ToString::to_string).collect()
}

fn cluster(document: Option<&str>, trouble: Option<&str>) -> Change {
    Change::ClusterKeys(match (document, trouble) {
        (Some(document), None) => JwksLookup::Known(document.into()),
        (Some(document), Some(why)) => JwksLookup::Stale(document.into(), why.into()),
        (None, why) => JwksLookup::Unread(why.unwrap_or_default().into()),
    })
}

/// Outputs of gateways of the Workspace, Secrets apart.
fn files(plan: &Plan) -> Vec<&Output> {
    let outputs = plan.outputs.iter();
    let of_gateway = |output: &&Output| output.id.name.name.matches('.').count() == 2;
    let files = outputs.filter(|output| output.id.kind == OutputKind::ConfigMap);
    files.filter(of_gateway).collect()
}

fn names(plan: &Plan) -> Vec<&str> {
    let files = files(plan).into_iter();
    files.map(|output| &*output.id.name.name).collect()
}

fn file(plan: &Plan, object: &str, file: &str) -> String {
    let files = files(plan).into_iter();
    let mut found = files.filter(|output| *output.id.name.name == *object);
    match &found.next().expect(object).data[file] {
        Content::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

fn jwt(stage: &Stage) -> String {
    file(&stage.plan(), "production.edge.data", "jwt.json")
}

fn programmed(stage: &Stage) -> (String, String) {
    condition(&stage.plan(), "Programmed", "claude/production")
}

#[test]
fn a_gateway_has_its_files_in_objects_that_belong_to_its_workspace() {
    let plan = stage().plan();
    assert_eq!(names(&plan), EDGE);
    for output in files(&plan) {
        let (own, _) = output.owner_of_workspace();
        assert!(own, "{}", output.id);
        assert_eq!(output.labels.len(), 2);
        assert!(output.content_sha256().is_some());
    }
    let neutral = Stage::with(&[workspace(json!({}))]).plan();
    assert_eq!(names(&neutral), [""; 0]);
}

#[test]
fn each_gateway_has_files_of_its_own_and_one_that_is_no_longer_wanted_loses_them() {
    let mut stage = stage();
    let two = json!([{"name": "edge", "type": "Envoy"}, {"name": "batch", "type": "Envoy"},
                     {"name": "proxy", "type": "LiteLLM"}]);
    stage.apply(&workspace(json!({"gateways": two})));
    let plan = stage.carry_out();
    assert_eq!(names(&plan).len(), 6);
    assert_eq!(
        file(&plan, "production.edge.data", "policy.tsv"),
        file(&plan, "production.batch.data", "policy.tsv")
    );
    stage.apply(&workspace(json!({"gateways": envoy()})));
    let plan = stage.carry_out();
    let stale = plan.stale.iter().map(|id| &*id.name.name);
    assert_eq!(
        stale.collect::<Vec<_>>(),
        [
            "production.batch.config",
            "production.batch.data",
            "production.batch.subjects-00",
            "production.batch.keys",
            "production.proxy.keys",
        ]
    );
    assert_eq!(names(&stage.plan()), EDGE);
    assert!(stage.writes().is_empty());
}

#[test]
fn parts_of_subjects_that_are_no_longer_needed_are_deleted() {
    let mut stage = stage();
    let plan = stage.carry_out();
    let part = files(&plan)
        .into_iter()
        .find(|output| *output.id.name.name == *EDGE[2]);
    let mut further = part.expect("a part").clone();
    further.id.name.name = "production.edge.subjects-63".into();
    stage.put(&further);
    let stale = stage.carry_out().stale;
    assert_eq!(stale, [further.id]);
    assert!(stage.plan().stale.is_empty());
}

#[test]
fn a_change_of_the_policy_does_not_touch_what_needs_a_restart() {
    let mut stage = stage();
    stage.carry_out();
    stage.apply(&binding("claude/c", "user", service("claude", "other")));
    let written = stage.writes();
    let written: Vec<_> = written.iter().map(|write| &*write.id().name.name).collect();
    assert!(written.contains(&EDGE[1]) && written.contains(&EDGE[2]));
    assert!(!written.contains(&EDGE[0]), "{written:?}");
    let upstream = Upstream {
        host: "127.0.0.1".into(),
        port: 1,
        tls: false,
    };
    let before = file(&stage.plan(), EDGE[0], "envoy.yaml");
    let mut moved = self::stage();
    moved.world =
        World::new(Arc::new(Catalogue::built_in()), Unseen::Absent).with_upstream(upstream);
    moved.apply(&workspace(json!({"gateways": envoy()})));
    assert_ne!(file(&moved.plan(), EDGE[0], "envoy.yaml"), before);
}

#[test]
fn an_issuer_without_keys_is_refused_and_the_others_are_not() {
    let mut stage = stage();
    assert!(jwt(&stage).contains("[1]"));
    assert_eq!(programmed(&stage), ("True".into(), "Programmed".into()));
    for (lookup, says) in [
        (JwksLookup::Absent, "corp-jwks"),
        (JwksLookup::KeyMissing, "jwks.json"),
        (JwksLookup::Flawed(Flaw::NotJson), "is not JSON"),
    ] {
        assert_eq!(put(&mut stage, lookup.clone()), ["claude/production"]);
        assert_eq!(put(&mut stage, lookup), [""; 0], "nothing new");
        let jwt = jwt(&stage);
        assert!(!jwt.contains("[1]") && jwt.contains("cluster"), "{jwt}");
        let want = ("False".into(), "IssuerKeysNotFound".into());
        assert_eq!(programmed(&stage), want);
        let findings = stage.plan().findings;
        let told = findings
            .iter()
            .find(|finding| finding.reason == Reason::IssuerKeysNotFound)
            .expect("a finding");
        assert!(
            told.message.contains(says) && told.message.contains("'corp'"),
            "{}",
            told.message
        );
        // Whoever has no token of that issuer is served as before.
        let binding = condition(&stage.plan(), "Ready", "claude/b");
        assert_eq!(binding, ("True".into(), "Ready".into()));
    }
    put(&mut stage, JwksLookup::Known("{\"keys\":[2]}".into()));
    assert!(self::jwt(&stage).contains("[2]"), "new keys");
    assert_eq!(programmed(&stage), ("True".into(), "Programmed".into()));
}

#[test]
fn an_issuer_whose_url_names_no_server_is_refused_and_the_others_are_not() {
    let fetched = |uri: &str| {
        let mut stage = stage();
        let mut issuers = issuers();
        let corp = issuers["issuers"][1].as_object_mut().unwrap();
        corp.remove("jwksConfigMapRef");
        corp.insert("jwksURI".into(), json!(uri));
        stage.apply(&workspace(
            json!({"gateways": envoy(), "authentication": issuers}),
        ));
        stage
    };
    let good = fetched("https://login.example.com:8443/keys");
    assert_eq!(programmed(&good), ("True".into(), "Programmed".into()));
    assert!(jwt(&good).contains("issuer/corp"), "Envoy fetches them");
    let clusters = |stage: &Stage| file(&stage.plan(), "production.edge.data", "clusters.json");
    assert!(clusters(&good).contains("8443"));
    let bad = fetched("https://login.example.com:99999/keys");
    let want = ("False".into(), "IssuerKeysNotFound".into());
    assert_eq!(programmed(&bad), want);
    // Envoy would refuse a file that names a server it does not have, with the others' keys.
    assert!(!jwt(&bad).contains("corp") && jwt(&bad).contains("cluster"));
    assert!(!clusters(&bad).contains("corp"));
}

#[test]
fn keys_of_the_cluster_stay_when_they_cannot_be_read_any_more_and_that_is_said() {
    let mut stage = stage();
    stage.remove(cluster(Some("{\"keys\":[3]}"), None));
    assert!(jwt(&stage).contains("[3]"));
    stage.remove(cluster(Some("{\"keys\":[3]}"), Some("403 Forbidden")));
    assert!(jwt(&stage).contains("[3]"));
    assert_eq!(programmed(&stage), ("True".into(), "Programmed".into()));
    let findings = stage.plan().findings;
    let stale =
        |finding: &&crate::policy::finding::Finding| finding.reason == Reason::IssuerKeysStale;
    assert!(
        findings
            .iter()
            .find(stale)
            .is_some_and(|told| told.message.contains("403"))
    );
    stage.remove(cluster(None, Some("403 Forbidden")));
    assert!(!jwt(&stage).contains("cluster"));
    assert_eq!(programmed(&stage).1, "IssuerKeysNotFound");
}

#[test]
fn only_who_checks_tokens_waits_for_keys() {
    let mut stage = Stage::new();
    stage.world = World::new(Arc::new(Catalogue::built_in()), Unseen::Waits);
    let name = NamespacedName::new("claude", "production");
    let knows = |stage: &Stage| stage.world.snapshot(&name, stage.now).is_some();
    stage.apply(&workspace(json!({"authentication": issuers()})));
    assert!(knows(&stage) && !stage.world.needs_cluster_keys());
    assert!(stage.world.key_sets().is_empty());
    stage.apply(&workspace(
        json!({"gateways": envoy(), "authentication": issuers()}),
    ));
    stage.remove(Change::SecretAccess(
        "claude".into(),
        crate::plan::world::Access::Listed,
    ));
    assert!(!knows(&stage) && stage.world.needs_cluster_keys());
    assert_eq!(
        stage.world.key_sets().into_iter().collect::<Vec<_>>(),
        [key_set()]
    );
    stage.remove(cluster(Some("{}"), None));
    assert!(!knows(&stage));
    assert_eq!(put(&mut stage, JwksLookup::Absent), ["claude/production"]);
    assert!(knows(&stage));
    stage.apply(&workspace(json!({})));
    assert!(stage.world.key_sets().is_empty() && !stage.world.needs_cluster_keys());
}

#[test]
fn a_workspace_that_is_no_longer_understood_closes_its_gateways() {
    let mut stage = stage();
    let before = stage.carry_out();
    stage.apply(&workspace(
        json!({"gateways": envoy(), "rateLimits": {"tier": "Tier9"}}),
    ));
    let plan = stage.plan();
    assert_eq!(names(&plan), EDGE);
    let policy = |plan: &Plan| file(plan, EDGE[1], "policy.tsv");
    assert_ne!(policy(&plan), policy(&before));
    assert!(policy(&plan).contains("Disabled") && !policy(&before).contains("Disabled"));
    let subjects = |plan: &Plan| file(plan, EDGE[2], "subjects-00.tsv").lines().count();
    assert_eq!(subjects(&plan) + 1, subjects(&before), "one had a role");
    assert!(plan.stale.is_empty());
}

#[test]
fn a_status_says_how_each_limit_is_held() {
    let mut stage = stage();
    let limits = |stage: &Stage, gateway: usize| {
        let statuses = stage.plan().statuses;
        let status = statuses.into_iter().find_map(|update| match update.status {
            Status::Workspace(status) => Some(status),
            _ => None,
        });
        let gateways = status.expect("a status").gateways;
        let limits = gateways[gateway].limits.clone().into_iter();
        limits
            .map(|limit| (limit.limit, limit.enforcement))
            .collect::<Vec<_>>()
    };
    let of = |limits: &[(String, Enforcement)], name: &str| {
        let found = limits.iter().find(|(limit, _)| limit == name);
        found.map(|(_, enforcement)| *enforcement)
    };
    let envoys = limits(&stage, 0);
    assert_eq!(of(&envoys, "models"), Some(Enforcement::Enforced));
    assert_eq!(
        of(&envoys, "requestsPerMinute"),
        Some(Enforcement::PerReplica)
    );
    assert_eq!(
        of(&envoys, "rateLimits.requestsPerMinute"),
        None,
        "there is none"
    );
    stage.apply(&workspace(json!({
        "gateways": [{"name": "edge", "type": "Envoy"}, {"name": "proxy", "type": "LiteLLM"}],
        "rateLimits": {"requestsPerMinute": 9},
    })));
    let shared = of(&limits(&stage, 0), "rateLimits.requestsPerMinute");
    assert_eq!(shared, Some(Enforcement::PerReplica));
    let none = limits(&stage, 1);
    assert!(none.iter().all(|(_, how)| *how == Enforcement::NotEnforced));
    assert_eq!(none.len(), 8);
}

impl Output {
    fn owner_of_workspace(&self) -> (bool, &str) {
        match &self.owner {
            Owner::Controller { kind, name, .. } => (*kind == Kind::Workspace, name),
            Owner::Retained(name) => (false, name),
        }
    }
}

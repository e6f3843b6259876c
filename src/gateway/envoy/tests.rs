use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::*;
use crate::policy::digest::Fingerprint;
use crate::policy::key::Scope;
use crate::policy::limits::{DEFAULT_MAX_TOKENS, MaxTokens, RequestsPerMinute};
use crate::policy::model::ModelPattern;
use crate::policy::subject::{Subject, SubjectId};
use crate::policy::table::{
    AccessRow, GrantRow, IssuerRow, IssuerType, KeyRow, RoleRow, SubjectRow, WorkspaceRow,
    WorkspaceState,
};

fn role(name: &str, rate: i64) -> RoleRow {
    let pattern = |text: &&str| ModelPattern::parse(text).expect("pattern");
    RoleRow {
        name: name.into(),
        access: Some(AccessRow {
            models: ["claude-haiku-*", "claude-opus-5"]
                .iter()
                .map(pattern)
                .collect(),
            max_tokens: MaxTokens::try_from(512).expect("in range"),
            requests_per_minute: RequestsPerMinute::try_from(rate).expect("in range"),
        }),
    }
}

fn key(fingerprint: Option<u8>) -> KeyRow {
    KeyRow {
        api_key_ref: "claude/prod".into(),
        scope: Scope::Organization,
        fingerprint: fingerprint.map(|byte| Fingerprint::of(&[byte])),
    }
}

fn subject(i: usize) -> SubjectId {
    let text = format!("client-key-EXAMPLE-{i:020}");
    Subject::ClientKey(crate::policy::digest::Digest::of(text.as_bytes())).id()
}

fn policy(subjects: usize) -> Policy {
    let user = role("user", 10);
    let viewer = RoleRow {
        name: "viewer".into(),
        access: None,
    };
    let grant = |i: usize| GrantRow {
        role: user.id(),
        binding: format!("search/binding-{i}").into(),
        not_before: "2026-12-01T00:00:00.0005Z".parse().ok(),
        expires_at: "2027-01-01T00:00:00.0005Z".parse().ok(),
    };
    let rows = (0..subjects).map(|i| {
        let row = SubjectRow {
            grants: vec![grant(i)],
            key: Some(key(None).id()),
        };
        (subject(i), row)
    });
    Policy {
        workspace: WorkspaceRow {
            namespace: "claude".into(),
            name: "production".into(),
            environment: None,
            workspace_id: Some("wrkspc_EXAMPLE".into()),
            state: WorkspaceState::Enabled,
            models: Some(
                [ModelPattern::parse("claude-*").expect("pattern")]
                    .into_iter()
                    .collect(),
            ),
            requests_per_minute: RequestsPerMinute::try_from(4000).ok(),
            default_max_tokens: DEFAULT_MAX_TOKENS,
            default_key: Some(key(None).id()),
            issuers: vec![
                IssuerRow {
                    name: "cluster".into(),
                    kind: IssuerType::Kubernetes,
                    audiences: vec!["a".into(), "b".into()],
                    issuer_url: None,
                    user_claim: None,
                    groups_claim: None,
                },
                IssuerRow {
                    name: "corp".into(),
                    kind: IssuerType::Oidc,
                    audiences: vec!["claude".into()],
                    issuer_url: Some("https://login.example.com".into()),
                    user_claim: Some("email".into()),
                    groups_claim: Some("groups".into()),
                },
            ],
        },
        roles: [user.clone(), viewer].map(|role| (role.id(), role)).into(),
        keys: BTreeMap::from([(key(None).id(), key(Some(1)))]),
        blocked: BTreeSet::from([subject(7)]),
        subjects: rows.collect::<HashMap<_, _>>(),
    }
}

fn rendered(policy: &Policy, keys: &BTreeMap<Name, SigningKeys>) -> Files {
    render(&Inputs {
        policy,
        revision: ContentId::of(b"revision"),
        keys,
        upstream: &Upstream::default(),
    })
}

fn json(files: &Files, name: &str) -> Value {
    serde_json::from_str(&files.data[name]).expect("JSON")
}

#[test]
fn the_rows_say_what_the_policy_says() {
    let files = rendered(&policy(1), &BTreeMap::new());
    let user = role("user", 10).id();
    let viewer = policy(0)
        .roles
        .into_iter()
        .find_map(|(id, role)| role.access.is_none().then_some(id))
        .expect("a role without access");
    let key = key(None).id();
    let mut roles = [
        format!("role\t{user}\tuser\t512\t10\tclaude-opus-5 claude-haiku-*"),
        format!("role\t{viewer}\tviewer"),
    ];
    roles.sort();
    let rows = format!(
        "{}\t{key}\t{user} 1796083200001 1798761600000 search/binding-0\n",
        subject(0)
    );
    let shard = ContentId::of(rows.as_bytes());
    let lines = [
        format!("policy\t1\t{}", ContentId::of(b"revision")),
        format!("workspace\tclaude/production\tEnabled\t1024\twrkspc_EXAMPLE\t{key}"),
        "models\tclaude-*".to_owned(),
        "issuer\tcluster\tKubernetes\t\tsub\t\ta\tb".to_owned(),
        "issuer\tcorp\tOIDC\thttps://login.example.com\temail\tgroups\tclaude".to_owned(),
        roles.join("\n"),
        format!("key\t{key}\tclaude/prod\tOrganization\tusable"),
        format!("blocked\t{}", subject(7)),
        format!("shards\t1\t{shard}"),
        "end\n".to_owned(),
    ];
    assert_eq!(files.data["policy.tsv"], lines.join("\n"));
    assert_eq!(
        files.subjects,
        [format!("subjects\t1\t{shard}\n{rows}end\n")]
    );
}

#[test]
fn a_rotation_changes_no_file_and_a_key_taken_away_changes_one() {
    let before = policy(3);
    let with = |fingerprint| Policy {
        keys: BTreeMap::from([(key(None).id(), key(fingerprint))]),
        ..before.clone()
    };
    let none = BTreeMap::new();
    assert_eq!(rendered(&with(Some(2)), &none), rendered(&before, &none));
    let gone = rendered(&with(None), &none);
    assert!(gone.data["policy.tsv"].contains("Organization\tunusable\n"));
}

#[test]
fn one_subject_more_changes_its_shard_and_the_rows_that_name_it() {
    let (before, after) = (
        rendered(&policy(20_000), &BTreeMap::new()),
        rendered(&policy(20_001), &BTreeMap::new()),
    );
    let shards = before.subjects.iter().zip(&after.subjects);
    assert_eq!(shards.filter(|(before, after)| before != after).count(), 1);
    assert!(before.subjects.len() > 1 && before.subjects.len().is_power_of_two());
    let changed = before
        .data
        .iter()
        .filter(|(name, text)| after.data[**name] != **text);
    assert_eq!(
        changed.map(|(name, _)| *name).collect::<Vec<_>>(),
        ["policy.tsv"]
    );
    assert_eq!(before.config, after.config);
}

#[test]
fn every_rate_has_a_bucket_and_the_workspace_one_for_all() {
    let files = rendered(&policy(1), &BTreeMap::new());
    let filter = &json(&files, "ratelimit.json")["resources"][0]["typed_config"];
    let of = |entries: Value, rate: u32| {
        serde_json::json!({
            "entries": entries,
            "token_bucket": {"max_tokens": rate, "tokens_per_fill": rate, "fill_interval": "60s"},
        })
    };
    let subject = serde_json::json!([{"key": "rate", "value": "10"}, {"key": "subject"}]);
    let shared = serde_json::json!([{"key": "workspace", "value": "shared"}]);
    assert_eq!(
        filter["descriptors"],
        serde_json::json!([of(subject, 10), of(shared, 4000)])
    );
}

#[test]
fn only_an_issuer_with_keys_is_asked_and_each_says_who_it_was() {
    let keys = BTreeMap::from([
        (
            Name::from("corp"),
            SigningKeys::Document("{\"keys\":[]}".into()),
        ),
        (Name::from("stranger"), SigningKeys::Document("{}".into())),
    ]);
    let files = rendered(&policy(1), &keys);
    let filter = &json(&files, "jwt.json")["resources"][0]["typed_config"];
    let providers = filter["providers"].as_object().expect("an object");
    assert_eq!(providers.keys().collect::<Vec<_>>(), ["corp"]);
    assert_eq!(
        (
            &providers["corp"]["issuer"],
            &providers["corp"]["payload_in_metadata"]
        ),
        (
            &Value::from("https://login.example.com"),
            &Value::from("corp")
        )
    );
    let without = rendered(&policy(1), &BTreeMap::new());
    assert_eq!(
        json(&without, "jwt.json")["resources"][0]["typed_config"]["rules"],
        serde_json::json!([])
    );
}

#[test]
fn signing_keys_at_a_url_are_fetched_by_tls_from_that_host_alone() {
    let uri = "https://login.example.com:8443/keys?v=1";
    let server = Upstream::of_url(uri).expect("a server");
    let uri = SigningKeys::Fetched(uri.into(), server);
    let keys = BTreeMap::from([(Name::from("corp"), uri)]);
    let files = rendered(&policy(1), &keys);
    let cluster = &json(&files, "clusters.json")["resources"][0];
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    let address = &endpoint["address"]["socket_address"];
    let tls = &cluster["transport_socket"]["typed_config"];
    assert_eq!(
        (&address["address"], &address["port_value"], &tls["sni"]),
        (
            &Value::from("login.example.com"),
            &Value::from(8443),
            &Value::from("login.example.com")
        )
    );
    assert!(tls["common_tls_context"]["validation_context"]["trusted_ca"].is_object());
}

#[test]
fn the_static_files_have_no_place_left_open() {
    for tls in [true, false] {
        let upstream = Upstream {
            tls,
            ..Upstream::default()
        };
        let (_, files) = config(&upstream);
        assert!(
            files
                .values()
                .all(|text| !text.contains("@HOST@") && !text.contains("@TRANSPORT"))
        );
        assert!(files.values().all(|text| !text.contains("@CONFIG@")));
        assert_eq!(files["envoy.yaml"].contains("UpstreamTlsContext"), tls);
    }
}

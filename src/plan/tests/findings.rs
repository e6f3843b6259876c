//! Every finding has something that brings it about, and a twin that is clean.

use serde_json::{Value, json};

use super::stage::{
    KEY_A, KEY_B, NOW, Stage, binding, key, namespace, object, secret, service, workspace,
};
use crate::facts::JwksLookup;
use crate::plan::output::Status;
use crate::plan::world::Change;
use crate::policy::finding::{Finding, Kind, Reason, Severity};

fn corp(url: &str) -> Value {
    json!({"issuers": [{"name": "corp", "type": "OIDC", "issuerURL": url, "jwksURI": "https://login.example.com/keys",
                        "groupsClaim": "groups", "audiences": ["claude"]}]})
}

/// A key that goes to the gateway alone.
fn gateway_key(name: &str, spec: Value) -> Value {
    let mut made = key(name, spec);
    made["spec"].as_object_mut().unwrap().remove("target");
    made
}

fn search_service() -> Value {
    json!([{"kind": "ServiceAccount", "name": "search"}])
}

/// Facts that bring a finding about, or their clean twin. Without an arm here a new reason does
/// not compile.
fn stage_for(reason: Reason, found: bool) -> Stage {
    let pick = |bad: Value, good: Value| if found { bad } else { good };
    let models = |id: &str| vec![workspace(json!({"models": [id]}))];
    let user = |name: &str| binding(name, "user", service("claude", "search"));
    let with_key = |spec: Value| {
        vec![
            workspace(json!({})),
            secret("claude/source", KEY_A),
            key("claude/search", spec),
        ]
    };
    if reason == Reason::GatewayOutdated {
        return super::loads::started(found);
    }
    let mut now = NOW;
    let objects = match reason {
        Reason::UnknownModel => models(if found {
            "claude-opsu-5"
        } else {
            "claude-opus-5"
        }),
        Reason::RetiredModel => {
            now = if found {
                "2026-11-30T00:00:00Z"
            } else {
                "2026-11-29T23:59:59Z"
            };
            models("claude-sonnet-4-5")
        }
        Reason::RetiringModel => {
            now = if found {
                "2026-10-01T00:00:00Z"
            } else {
                "2026-09-30T23:59:59Z"
            };
            models("claude-sonnet-4-5-20250929")
        }
        Reason::MaxTokensAboveModel => vec![workspace(
            json!({"roles": [{"name": "batch", "apiAccess": "Allowed",
            "models": ["claude-haiku-*"], "maxTokens": if found { 64001 } else { 64000 }, "requestsPerMinute": 1}]}),
        )],
        Reason::LegacyTier => {
            vec![workspace(
                json!({"rateLimits": {"tier": pick(json!("Tier1"), json!("Start"))}}),
            )]
        }
        Reason::Oversubscribed => vec![
            workspace(json!({"rateLimits": {"requestsPerMinute": if found { 19 } else { 20 }}})),
            user("claude/a"),
            binding("claude/b", "user", service("claude", "batch")),
        ],
        Reason::UnusedKey => {
            let used = pick(json!({}), json!({"usedBy": search_service()}));
            vec![workspace(json!({})), gateway_key("claude/search", used)]
        }
        Reason::SubjectWithoutKey => {
            let used_by = pick(
                json!([{"kind": "ServiceAccount", "name": "batch"}]),
                search_service(),
            );
            vec![
                workspace(json!({})),
                user("claude/a"),
                gateway_key("claude/search", json!({"usedBy": used_by})),
            ]
        }
        Reason::AmbiguousKey => {
            let other = pick(
                search_service(),
                json!([{"kind": "ServiceAccount", "name": "batch"}]),
            );
            vec![
                workspace(json!({})),
                gateway_key("claude/a", json!({"usedBy": search_service()})),
                gateway_key("claude/b", json!({"usedBy": other})),
            ]
        }
        Reason::SharedKey => vec![
            workspace(json!({})),
            secret("claude/source", KEY_A),
            secret("claude/copy", if found { KEY_A } else { KEY_B }),
            gateway_key("claude/a", json!({})),
            gateway_key(
                "claude/b",
                json!({"service": "other", "source": {"secretKeyRef": {"name": "copy", "key": "api-key"}}}),
            ),
        ],
        Reason::MalformedAnnotation => {
            let date = pick(json!("2026-09-01"), json!("2026-09-01T00:00:00Z"));
            let mut objects = with_key(json!({}));
            objects[1]["metadata"]["annotations"] = json!({"anthropic-rbac.io/issued-at": date});
            objects
        }
        Reason::NoWorkspaceId => {
            let id = pick(json!({}), json!({"workspaceId": "wrkspc_01EXAMPLE"}));
            let mut objects = with_key(json!({"scope": "Organization"}));
            objects[0] = workspace(id);
            objects
        }
        Reason::DuplicateGrant => {
            let role = if found { "user" } else { "power" };
            let again = binding("claude/b", role, service("claude", "search"));
            vec![workspace(json!({})), user("claude/a"), again]
        }
        Reason::EmptyRole => {
            let bound = pick(
                json!(["claude-opus-*"]),
                json!(["claude-haiku-4-5-20251001"]),
            );
            vec![workspace(json!({"models": bound})), user("claude/a")]
        }
        Reason::ExpiredGrant => {
            let mut timed = user("claude/a");
            timed["spec"]["expiresAt"] = pick(json!(NOW), json!("2026-11-24T00:00:01Z"));
            vec![workspace(json!({})), timed]
        }
        Reason::EnvironmentMismatch => {
            let label = pick(json!("staging"), json!("production"));
            vec![
                workspace(json!({"environment": "production"})),
                namespace("claude", json!({"anthropic-rbac.io/environment": label})),
            ]
        }
        Reason::NeverExpiringAdmin => {
            let mut admin = binding("claude/a", "admin", service("claude", "search"));
            if !found {
                admin["spec"]["expiresAt"] = json!("2027-01-01T00:00:00Z");
            }
            vec![workspace(json!({})), admin]
        }
        Reason::KeyWithoutIssueDate => {
            let mut objects = with_key(json!({}));
            if found {
                objects[2]["spec"]
                    .as_object_mut()
                    .unwrap()
                    .remove("issuedAt");
            }
            objects
        }
        Reason::FutureIssueDate => {
            with_key(json!({"issuedAt": pick(json!("2026-11-24T00:00:01Z"), json!(NOW))}))
        }
        Reason::SharedAudience => {
            let own = "https://login.example.com";
            let other = if found {
                own
            } else {
                "https://elsewhere.example.com"
            };
            vec![
                workspace(json!({"authentication": corp(own)})),
                object(
                    "Workspace",
                    "other/staging",
                    json!({"authentication": corp(other)}),
                ),
            ]
        }
        Reason::NamespaceLabelsUnseen => {
            let admitted = json!({"allowedNamespaces": [{"selector": {"matchLabels": {"claude": "enabled"}}, "roles": ["user"]}]});
            let attached = binding("search/a", "user", service("search", "search"));
            let mut objects = vec![
                workspace(admitted),
                attached,
                namespace("search", json!({})),
            ];
            objects.truncate(if found { 2 } else { 3 });
            objects
        }
        Reason::UnresolvedBlock => {
            let mut client = secret("claude/client", &"c".repeat(32));
            client["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
            let blocked = json!({"blockedSubjects": [{"kind": "ClientKey", "name": "client", "namespace": "claude"}]});
            let mut objects = vec![workspace(blocked), client];
            objects.truncate(if found { 1 } else { 2 });
            objects
        }
        Reason::IssuerKeysNotFound | Reason::IssuerKeysStale | Reason::GatewayOutdated => {
            vec![workspace(
                json!({"gateways": [{"name": "edge", "type": "Envoy"}]}),
            )]
        }
        Reason::UnknownConsoleRole => {
            let mut console = binding(
                "claude/a",
                "x",
                json!([{"kind": "User", "name": "ada@example.com"}]),
            );
            let role = pick(json!("Ownr"), json!("Owner"));
            console["spec"]["roleRef"] = json!({"kind": "ConsoleRole", "name": role});
            vec![workspace(json!({})), console]
        }
        Reason::LooserRotation => {
            with_key(json!({"rotation": {"periodDays": if found { 91 } else { 90 }}}))
        }
        Reason::WarnBeyondPeriod => {
            with_key(json!({"rotation": {"periodDays": if found { 14 } else { 15 }}}))
        }
    };
    let mut stage = Stage::with(&objects);
    stage.at(now);
    stage.remove(Change::ClusterKeys(match (reason, found) {
        (Reason::IssuerKeysNotFound, true) => JwksLookup::Unread("403".into()),
        (Reason::IssuerKeysStale, true) => JwksLookup::Stale("{}".into(), "403".into()),
        _ => JwksLookup::Known("{}".into()),
    }));
    stage
}

fn found(stage: &Stage, reason: Reason) -> Vec<Finding> {
    let findings = stage.plan().findings;
    findings
        .into_iter()
        .filter(|f| f.reason == reason)
        .collect()
}

#[test]
fn every_finding_is_found_where_it_is_and_not_in_its_twin() {
    for reason in Reason::ALL {
        let name = reason.name();
        assert!(
            !found(&stage_for(*reason, true), *reason).is_empty(),
            "{name}"
        );
        assert_eq!(found(&stage_for(*reason, false), *reason), [], "{name}");
    }
}

#[test]
fn a_finding_says_what_where_and_what_to_do() {
    let only = |reason| {
        let mut all = found(&stage_for(reason, true), reason);
        assert_eq!(all.len(), 1, "{all:?}");
        let finding = all.remove(0);
        (finding.object.to_string(), finding.field, finding.message)
    };
    let workspace = "Workspace claude/production".to_owned();
    assert_eq!(
        only(Reason::UnknownModel),
        (
            workspace.clone(),
            "spec.models".into(),
            "No known model is 'claude-opsu-5'. It is kept as written; did you mean 'claude-opus-5'?".into()
        )
    );
    assert_eq!(
        only(Reason::MaxTokensAboveModel),
        (
            workspace.clone(),
            "spec.roles[batch].maxTokens".into(),
            "Role 'batch' lets requests ask for 64001 tokens, more than these models put out at most: \
             claude-haiku-4-5 (64000). Lower maxTokens, or give them a role of their own."
                .into()
        )
    );
    assert_eq!(
        only(Reason::EmptyRole),
        (
            workspace,
            "spec.roles[user].models".into(),
            "Role 'user' opens claude-haiku-*, and spec.models allows none of them, so it opens nothing. \
             Widen spec.models, or change the role's models."
                .into()
        )
    );
    assert_eq!(
        only(Reason::MalformedAnnotation),
        (
            "ApiKeyRef claude/search".into(),
            "spec.source".into(),
            "The annotation anthropic-rbac.io/issued-at of Secret claude/source is not understood, so it says \
             nothing. Write a time such as 2026-12-01T00:00:00Z."
                .into()
        )
    );
    assert_eq!(
        only(Reason::UnknownConsoleRole).2,
        "Console role 'Ownr' is not known and is kept as written; did you mean 'Owner'?"
    );
}

#[test]
fn the_models_of_roles_are_looked_at_like_the_workspaces_own() {
    let role = |models: Value| {
        let batch = json!({"name": "batch", "apiAccess": "Allowed", "models": models, "maxTokens": 1, "requestsPerMinute": 1});
        let mut stage = Stage::with(&[workspace(json!({"roles": [batch]}))]);
        stage.at("2026-12-01T00:00:00Z");
        let findings = stage.plan().findings.into_iter();
        let about_models = findings.filter(|f| f.field == "spec.roles[batch].models");
        about_models.map(|f| f.reason).collect::<Vec<_>>()
    };
    assert_eq!(role(json!(["claude-haku-*"])), [Reason::UnknownModel]);
    assert_eq!(role(json!(["claude-sonnet-4-5"])), [Reason::RetiredModel]);
    assert_eq!(
        role(json!(["claude-sonnet-4-2*"])),
        [Reason::RetiredModel],
        "all of it is retired"
    );
    assert_eq!(role(json!(["claude-sonnet-4-*", "claude-opus-5"])), []);
}

#[test]
fn a_plan_wakes_when_there_is_something_new_to_say_of_a_model() {
    let mut stage = Stage::with(&[workspace(json!({"models": ["claude-sonnet-4-5"]}))]);
    let mut wake_at = |now: &str| stage.at(now).plan().wake_at.map(|at| at.to_string());
    let (notice, end) = ("2026-10-01T00:00:00Z", "2026-11-30T00:00:00Z");
    assert_eq!(wake_at("2026-09-01T00:00:00Z").as_deref(), Some(notice));
    assert_eq!(wake_at(notice).as_deref(), Some(end));
    assert_eq!(wake_at(end), None);
    assert_eq!(Stage::with(&[workspace(json!({}))]).plan().wake_at, None);
}

#[test]
fn a_status_shows_the_worst_findings_and_counts_all() {
    let models: Vec<String> = (0..30).map(|i| format!("unheard-of-{i:02}")).collect();
    let stage = Stage::with(&[
        workspace(json!({"models": models, "rateLimits": {"tier": "Tier1"}})),
        binding("claude/a", "user", service("claude", "search")),
    ]);
    let plan = stage.plan();
    let count = |severity| {
        plan.findings
            .iter()
            .filter(|f| f.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let update = plan
        .statuses
        .iter()
        .find(|update| update.status.kind() == Kind::Workspace);
    let Some(Status::Workspace(status)) = update.map(|update| &update.status) else {
        panic!("no status");
    };
    assert_eq!(status.findings.len(), 20);
    assert_eq!(status.findings[0].reason, "EmptyRole");
    let totals = status.finding_totals.as_ref().unwrap();
    assert_eq!((errors, warnings), (1, 31), "{:#?}", plan.findings);
    assert_eq!((totals.error, totals.warning, totals.info), (1, 31, 1));
}

#[test]
fn a_shared_audience_is_told_to_both_and_names_no_stranger() {
    let mut stage = Stage::with(&[workspace(json!({}))]);
    let taken = json!({"issuers": [{"name": "cluster", "type": "Kubernetes", "audiences": ["anthropic-rbac/claude/production"]}]});
    let stranger = object(
        "Workspace",
        "hostile/mine",
        json!({"authentication": taken}),
    );
    let affected = stage.apply(&stranger);
    assert_eq!(affected.len(), 2, "the default audience is claimed too");
    let told = found(&stage, Reason::SharedAudience);
    assert_eq!(told.len(), 1);
    assert!(!told[0].to_string().contains("hostile"), "{}", told[0]);
    let name = crate::policy::name::NamespacedName::new("hostile", "mine");
    let affected = stage.remove(crate::plan::world::Change::WorkspaceGone(name));
    assert_eq!(affected.len(), 2);
    assert_eq!(found(&stage, Reason::SharedAudience), []);
    let neighbour = object(
        "Workspace",
        "claude/staging",
        json!({"authentication": taken}),
    );
    stage.apply(&neighbour);
    assert!(
        found(&stage, Reason::SharedAudience)[0]
            .message
            .contains("claude/staging")
    );
}

#[test]
fn an_attached_namespace_of_another_environment_is_told() {
    let mut stage = Stage::with(&[
        workspace(
            json!({"environment": "production", "allowedNamespaces": [{"names": ["search"], "roles": ["user"]}]}),
        ),
        binding("search/a", "user", service("search", "search")),
        binding("stranger/a", "user", service("stranger", "search")),
        namespace(
            "stranger",
            json!({"anthropic-rbac.io/environment": "staging"}),
        ),
    ]);
    stage.apply(&namespace(
        "search",
        json!({"anthropic-rbac.io/environment": "production"}),
    ));
    assert_eq!(found(&stage, Reason::EnvironmentMismatch), []);
    stage.apply(&namespace(
        "search",
        json!({"anthropic-rbac.io/environment": "staging"}),
    ));
    let told = found(&stage, Reason::EnvironmentMismatch);
    assert_eq!(told.len(), 1);
    assert!(told[0].message.contains("namespace search"));
}

#[test]
fn whose_key_may_come_by_a_group_is_not_said_to_be_without() {
    let group = json!([{"kind": "Group", "name": "science", "issuer": "corp"}]);
    let both = json!([{"kind": "User", "name": "uma", "issuer": "corp"}, {"kind": "ServiceAccount", "name": "search"}]);
    let stage = Stage::with(&[
        workspace(json!({"authentication": {"issuers": [
            {"name": "cluster", "type": "Kubernetes", "audiences": ["x"]},
            corp("https://login.example.com")["issuers"][0],
        ]}})),
        gateway_key("claude/search", json!({"usedBy": group})),
        binding("claude/a", "user", both),
    ]);
    let told = found(&stage, Reason::SubjectWithoutKey);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].message.starts_with(
            "1 subject with API access and no key, serviceaccount:claude/search first"
        )
    );
}

#[test]
fn a_blocked_subject_neither_lacks_a_key_nor_counts_for_the_rate() {
    let blocked = json!([{"kind": "ServiceAccount", "name": "search", "namespace": "claude"}]);
    let stage = Stage::with(&[
        workspace(json!({"blockedSubjects": blocked, "rateLimits": {"requestsPerMinute": 1}})),
        binding("claude/a", "user", service("claude", "search")),
    ]);
    assert_eq!(found(&stage, Reason::SubjectWithoutKey), []);
    assert_eq!(found(&stage, Reason::Oversubscribed), []);
}

//! The rotation clock, from what a person writes to what a status says, case by case.

use serde_json::{Value, json};

use super::keys::status_of;
use super::stage::{KEY_A, KEY_B, Stage, condition, content_of, key, secret, workspace};
use crate::plan::output::{Content, Status};
use crate::plan::world::Change;
use crate::policy::name::NamespacedName;

/// What happened, and what is then to be said: state, due date, origin of the date of issue,
/// and whether the key is there.
type Case = (&'static str, fn(&mut Stage), &'static str);

const DUE: &str = "2026-12-30T00:00:00Z";

/// One key, first seen on 2026-11-24 and issued on 2026-10-01 unless `spec` says otherwise.
fn begin(stage: &mut Stage, spec: Value) {
    stage.apply(&workspace(json!({})));
    stage.apply(&secret("claude/source", KEY_A));
    stage.apply(&key("claude/search", spec));
    stage.carry_out();
}

fn undated() -> Value {
    json!({"issuedAt": null})
}

/// A source with annotations.
fn dated(value: &str, annotations: Value) -> Value {
    let mut source = secret("claude/source", value);
    source["metadata"]["annotations"] = annotations;
    source
}

fn rotation(spec: Value) -> Value {
    json!({"rotation": spec})
}

/// Puts a new value there at a time.
fn replace(stage: &mut Stage, at: &str, value: &str) {
    stage.at(at).apply(&secret("claude/source", value));
    stage.carry_out();
}

const CASES: &[Case] = &[
    (
        "a second before the warning",
        |stage| begin(stage.at("2026-12-15T23:59:59Z"), json!({})),
        "Fresh 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "at the warning",
        |stage| begin(stage.at("2026-12-16T00:00:00Z"), json!({})),
        "DueSoon 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "a second before it is due",
        |stage| begin(stage.at("2026-12-29T23:59:59Z"), json!({})),
        "DueSoon 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "when it is due",
        |stage| begin(stage.at(DUE), json!({})),
        "Overdue 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "over a leap day, ninety days are ninety days",
        |stage| {
            begin(
                stage.at("2028-02-01T00:00:00Z"),
                json!({"issuedAt": "2028-01-31T12:00:00Z"}),
            )
        },
        "Fresh 2028-04-30T12:00:00Z Spec there",
    ),
    (
        "from the 31st of a month",
        |stage| {
            begin(
                stage.at("2027-09-01T00:00:00Z"),
                json!({"issuedAt": "2027-08-31T23:30:00Z"}),
            )
        },
        "Fresh 2027-11-29T23:30:00Z Spec there",
    ),
    (
        "over a change to summer time, at the same hour",
        |stage| {
            begin(
                stage.at("2027-03-02T00:00:00Z"),
                json!({"issuedAt": "2027-03-01T02:30:00+01:00"}),
            )
        },
        "Fresh 2027-05-30T01:30:00Z Spec there",
    ),
    (
        "the clock goes back over a boundary",
        |stage| {
            begin(stage.at(DUE), undated());
            stage.at("2026-11-25T00:00:00Z");
        },
        "DueSoon 2026-11-30T00:00:00Z SecretCreation there",
    ),
    (
        "the clock goes forward and back, and first sight stays the first",
        |stage| {
            begin(stage, json!({}));
            replace(stage, "2026-12-01T00:00:00Z", KEY_B);
            stage.at("2027-12-01T00:00:00Z").carry_out();
            stage.at("2026-12-02T00:00:00Z").carry_out();
        },
        "Fresh 2027-03-01T00:00:00Z FirstSeen there",
    ),
    (
        "an end at Anthropic before the period is over is the due date",
        |stage| begin(stage, json!({"expiresAt": "2026-12-05T00:00:00Z"})),
        "DueSoon 2026-12-05T00:00:00Z Spec there",
    ),
    (
        "at its end at Anthropic it has expired",
        |stage| {
            begin(
                stage.at("2026-12-05T00:00:00Z"),
                json!({"expiresAt": "2026-12-05T00:00:00Z"}),
            )
        },
        "Expired 2026-12-05T00:00:00Z Spec there",
    ),
    (
        "an end after the period is over changes nothing yet",
        |stage| begin(stage.at(DUE), json!({"expiresAt": "2027-03-01T00:00:00Z"})),
        "Overdue 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "a later version is as old as its first sight, whenever it is said to be issued",
        |stage| {
            begin(stage, json!({}));
            let annotations = json!({"anthropic-rbac.io/issued-at": "2026-11-30T00:00:00Z"});
            stage
                .at("2026-12-01T00:00:00Z")
                .apply(&dated(KEY_B, annotations));
            stage.carry_out();
        },
        "Fresh 2027-03-01T00:00:00Z FirstSeen there",
    ),
    (
        "a later version whose dates were not brought up to date is as old as its first sight",
        |stage| {
            begin(stage, json!({}));
            replace(stage, "2026-12-01T00:00:00Z", KEY_B);
        },
        "Fresh 2027-03-01T00:00:00Z FirstSeen there",
    ),
    (
        "a Secret made anew with the same key makes it no newer",
        |stage| {
            begin(stage, undated());
            stage.remove(Change::SecretGone(NamespacedName::new("claude", "source")));
            let mut anew = secret("claude/source", KEY_A);
            anew["metadata"]["creationTimestamp"] = json!("2026-11-25T00:00:00Z");
            anew["metadata"]["uid"] = json!("anew");
            stage.at("2026-11-25T00:00:00Z").apply(&anew);
            stage.carry_out();
        },
        "DueSoon 2026-11-30T00:00:00Z SecretCreation there",
    ),
    (
        "A, B, A renews nothing",
        |stage| {
            begin(stage, json!({}));
            replace(stage, "2026-12-01T00:00:00Z", KEY_B);
            replace(stage, "2026-12-20T00:00:00Z", KEY_A);
        },
        "DueSoon 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "A, B, A renews nothing with a date of today either",
        |stage| {
            begin(stage, undated());
            replace(stage, "2026-11-25T00:00:00Z", KEY_B);
            let annotations = json!({"anthropic-rbac.io/issued-at": "2026-11-25T00:00:00Z"});
            stage
                .at("2026-11-26T00:00:00Z")
                .apply(&dated(KEY_A, annotations));
        },
        "DueSoon 2026-11-30T00:00:00Z SecretCreation there",
    ),
    (
        "a date of issue in the future is ignored",
        |stage| begin(stage, json!({"issuedAt": "2026-11-24T00:00:01Z"})),
        "DueSoon 2026-11-30T00:00:00Z SecretCreation there",
    ),
    (
        "and holds once it is past",
        |stage| {
            begin(stage, json!({"issuedAt": "2026-11-24T00:00:01Z"}));
            stage.at("2026-11-24T00:00:01Z");
        },
        "Fresh 2027-02-22T00:00:01Z Spec there",
    ),
    (
        "the source's annotation beats the spec",
        |stage| {
            begin(stage, json!({}));
            let annotations = json!({"anthropic-rbac.io/issued-at": "2026-09-15T00:00:00Z"});
            stage.apply(&dated(KEY_A, annotations));
        },
        "Fresh 2026-12-14T00:00:00Z Annotation there",
    ),
    (
        "a malformed annotation says nothing",
        |stage| {
            begin(stage, json!({}));
            stage.apply(&dated(
                KEY_A,
                json!({"anthropic-rbac.io/issued-at": "yesterday"}),
            ));
        },
        "Fresh 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "a tenant may tighten",
        |stage| begin(stage, rotation(json!({"periodDays": 60, "warnDays": 20}))),
        "DueSoon 2026-11-30T00:00:00Z Spec there",
    ),
    (
        "a tenant may not loosen",
        |stage| begin(stage, rotation(json!({"periodDays": 365, "warnDays": 1}))),
        "Fresh 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "a Workspace that tightens does so at once",
        |stage| {
            begin(stage, json!({}));
            stage.apply(&workspace(
                json!({"keys": {"rotation": {"periodDays": 30}}}),
            ));
        },
        "Overdue 2026-10-31T00:00:00Z Spec there",
    ),
    (
        "without any date nothing is known",
        |stage| {
            begin(stage, undated());
            let mut source = secret("claude/source", KEY_A);
            source["metadata"]["creationTimestamp"] = json!(null);
            *stage = Stage::with(&[
                workspace(json!({})),
                source,
                key("claude/search", undated()),
            ]);
        },
        "Unknown null null there",
    ),
    (
        "the target remembers what a lost status forgets",
        |stage| {
            begin(stage, json!({}));
            replace(stage, "2026-12-01T00:00:00Z", KEY_B);
            stage.at("2026-12-20T00:00:00Z");
            assert!(status_of(&stage.plan()).get("previous").is_some());
        },
        "Fresh 2027-03-01T00:00:00Z FirstSeen there",
    ),
    (
        "the status remembers what a lost target forgets",
        |stage| {
            begin(stage, json!({}));
            replace(stage, "2026-12-01T00:00:00Z", KEY_B);
            let mut told = key("claude/search", json!({}));
            told["status"] = status_of(&stage.plan());
            stage.apply(&told);
            stage.remove(Change::SecretGone(NamespacedName::new("claude", "target")));
            stage.at("2026-12-20T00:00:00Z");
        },
        "Fresh 2027-03-01T00:00:00Z FirstSeen there",
    ),
    (
        "a second before it is due, a key to be suspended is there",
        |stage| {
            begin(stage, rotation(json!({"onOverdue": "Suspend"})));
            stage.at("2026-12-29T23:59:59Z");
        },
        "DueSoon 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "when it is due, a key to be suspended is away",
        |stage| {
            begin(stage, rotation(json!({"onOverdue": "Suspend"})));
            stage.at(DUE);
        },
        "Overdue 2026-12-30T00:00:00Z Spec away",
    ),
    (
        "a tenant may not turn suspension off",
        |stage| {
            begin(stage, rotation(json!({"onOverdue": "Flag"})));
            let suspend = json!({"keys": {"rotation": {"onOverdue": "Suspend"}}});
            stage.at(DUE).apply(&workspace(suspend));
        },
        "Overdue 2026-12-30T00:00:00Z Spec away",
    ),
    (
        "while the clocks differ, suspension waits",
        |stage| {
            begin(stage, rotation(json!({"onOverdue": "Suspend"})));
            stage.at(DUE).skewed(61);
        },
        "Overdue 2026-12-30T00:00:00Z Spec there",
    ),
    (
        "by a minute, clocks may differ",
        |stage| {
            begin(stage, rotation(json!({"onOverdue": "Suspend"})));
            stage.at(DUE).skewed(-60);
        },
        "Overdue 2026-12-30T00:00:00Z Spec away",
    ),
    (
        "what is away comes not back because clocks differ",
        |stage| {
            begin(stage, rotation(json!({"onOverdue": "Suspend"})));
            stage.at(DUE).carry_out();
            stage.skewed(3600);
        },
        "Overdue 2026-12-30T00:00:00Z Spec away",
    ),
];

#[test]
fn every_case_of_the_clock_is_as_it_is_written_down() {
    let mut wrong = Vec::new();
    for (name, happened, want) in CASES {
        let mut stage = Stage::new();
        happened(&mut stage);
        let plan = stage.plan();
        let status = plan
            .statuses
            .iter()
            .find_map(|update| match &update.status {
                Status::ApiKeyRef(status) => Some(serde_json::to_value(status).unwrap()),
                Status::Workspace(_) | Status::RoleBinding(_) => None,
            });
        let status = status.expect("a status");
        let text = |field: &str| status[field].as_str().unwrap_or("null").to_owned();
        let there = match content_of(&plan, "target") {
            Some(Content::Key(_)) => "there",
            Some(Content::Emptied) => "away",
            other => panic!("{name}: {other:?}"),
        };
        let got = [
            text("rotation"),
            text("dueAt"),
            text("issuedAtOrigin"),
            there.into(),
        ]
        .join(" ");
        if got != *want {
            wrong.push(format!("{name}: {got}, not {want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whoever_waits_for_clocks_to_agree_looks_again_soon() {
    let mut stage = Stage::new();
    begin(&mut stage, rotation(json!({"onOverdue": "Suspend"})));
    let plan = stage.at(DUE).skewed(3600).plan();
    assert_eq!(plan.wake_at.unwrap().to_string(), "2026-12-30T00:00:30Z");
    let (status, _) = condition(&plan, "Ready", "claude/search");
    assert_eq!(status, "True");
    let told = plan
        .statuses
        .iter()
        .find_map(|update| match &update.status {
            Status::Workspace(status) => Some(status.next_transition.clone()),
            Status::ApiKeyRef(_) | Status::RoleBinding(_) => None,
        });
    assert_eq!(told, Some(None), "or it would be written every half minute");
}

#[test]
fn whoever_slept_over_boundaries_tells_of_where_a_key_stands_now_and_once() {
    let mut stage = Stage::new();
    begin(&mut stage, json!({"expiresAt": "2027-01-10T00:00:00Z"}));
    let mut told = key(
        "claude/search",
        json!({"expiresAt": "2027-01-10T00:00:00Z"}),
    );
    told["status"] = status_of(&stage.plan());
    stage.apply(&told);
    stage.at("2027-02-01T00:00:00Z");
    let plan = stage.plan();
    let events: Vec<_> = plan.events.iter().map(|event| event.reason).collect();
    assert_eq!(events, ["KeyExpired"]);
    told["status"] = status_of(&plan);
    stage.apply(&told);
    assert!(stage.plan().events.is_empty());
}

#[test]
fn every_boundary_wakes_the_plan_and_stands_in_the_status() {
    let mut stage = Stage::new();
    begin(&mut stage, json!({"expiresAt": "2027-03-01T00:00:00Z"}));
    for boundary in ["2026-12-16T00:00:00Z", DUE, "2027-03-01T00:00:00Z"] {
        let plan = stage.plan();
        assert_eq!(plan.wake_at.unwrap().to_string(), boundary);
        assert_eq!(status_of(&plan)["nextTransition"], boundary);
        stage.at(boundary);
    }
    assert_eq!(stage.plan().wake_at, None);
}

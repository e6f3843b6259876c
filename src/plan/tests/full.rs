//! What does not fit is told to whom it concerns, and to nobody else.

use serde_json::{Value, json};

use super::stage::{Stage, binding, condition, service, text_of, workspace};
use crate::plan::output::{Content, Status};

const LIMIT: usize = 1024 * 1024;

fn full() -> (String, String) {
    ("False".into(), "WorkspaceFull".into())
}

fn console(name: &str, people: Value) -> Value {
    let mut made = binding(name, "x", people);
    made["spec"]["roleRef"] = json!({"kind": "ConsoleRole", "name": "User"});
    made
}

#[test]
fn of_too_many_people_the_last_are_left_out_and_their_bindings_say_so() {
    let people = |first: usize| -> Value {
        let person = |i: usize| json!({"kind": "User", "name": format!("{i:06}{}@example.com", "p".repeat(220))});
        (first..first + 250).map(person).collect()
    };
    let mut stage = Stage::with(&[
        workspace(json!({})),
        binding("claude/app", "user", service("claude", "search")),
    ]);
    for i in 0..16 {
        stage.apply(&console(&format!("claude/people-{i:02}"), people(1000 * i)));
    }
    let plan = stage.plan();
    assert!(text_of(&plan, "production.console").len() < LIMIT);
    assert_eq!(condition(&plan, "Programmed", "claude/production"), full());
    assert_eq!(condition(&plan, "Ready", "claude/people-15"), full());
    for untouched in ["claude/people-00", "claude/app"] {
        assert_eq!(
            condition(&plan, "Ready", untouched).0,
            "True",
            "{untouched}"
        );
    }
    stage.remove(crate::plan::world::Change::BindingGone(
        crate::policy::name::NamespacedName::new("claude", "people-00"),
    ));
    for i in 1..8 {
        let name = crate::policy::name::NamespacedName::new("claude", format!("people-{i:02}"));
        stage.remove(crate::plan::world::Change::BindingGone(name));
    }
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "Programmed", "claude/production").0,
        "True"
    );
    assert_eq!(condition(&plan, "Ready", "claude/people-15").0, "True");
}

#[test]
fn a_workspace_of_the_largest_roles_can_be_written_with_its_status() {
    let models: Vec<String> = (0..64)
        .map(|i| format!("{i:02}{}", "m".repeat(125)))
        .collect();
    let role = |i: usize| json!({"name": format!("role-{i:02}"), "apiAccess": "Allowed", "models": models, "maxTokens": 1, "requestsPerMinute": 1});
    let roles: Vec<Value> = (0..64).map(role).collect();
    let mut stage = Stage::with(&[workspace(json!({"roles": roles}))]);
    for i in 0..64 {
        let role = format!("role-{i:02}");
        let name = format!("claude/b{i:02}");
        stage.apply(&binding(&name, &role, service("claude", &format!("a{i}"))));
    }
    let plan = stage.plan();
    assert!(text_of(&plan, "production.policy").len() < LIMIT);
    assert_eq!(condition(&plan, "Programmed", "claude/b63"), full());
    assert_eq!(condition(&plan, "Programmed", "claude/b00").0, "True");
    for update in &plan.statuses {
        if let Status::Workspace(status) = &update.status {
            let text = serde_json::to_string(status).unwrap();
            assert!(text.len() < LIMIT / 4, "{}", text.len());
        }
    }
    for output in &plan.outputs {
        let annotations = output
            .annotations
            .iter()
            .map(|(key, value)| key.len() + value.len());
        assert!(annotations.sum::<usize>() < 256 * 1024);
        for content in output.data.values() {
            let Content::Text(text) = content else {
                continue;
            };
            assert!(text.len() < LIMIT);
        }
    }
}

//! The organisation guide's own decisions, against ours on `examples/seed`: for every role,
//! model and `max_tokens` the same answer, in the same words, with the same clamp.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::process::Command;

use serde_json::{Value, json};

use guide::{HAIKU, OPUS, SONNET, create_message, role_config};

#[path = "gateways/guide.rs"]
mod guide;

fn check(subject: &str, model: &str, max_tokens: Option<u64>) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anthropic-rbac"));
    command.args([
        "check",
        subject,
        "-w",
        "claude/production",
        "--model",
        model,
    ]);
    command.args([
        "-f",
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/seed"),
        "-o",
        "json",
    ]);
    if let Some(max_tokens) = max_tokens {
        command.args(["--max-tokens", &max_tokens.to_string()]);
    }
    let output = command.output().expect("the binary runs");
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("an exit code"), answer)
}

#[test]
fn check_says_what_the_guides_create_message_says() {
    let people = [
        ("viewer", "vic"),
        ("user", "uma"),
        ("power", "pat"),
        ("admin", "ada"),
    ];
    let mut allowed = 0;
    for (role, person) in people {
        for model in [HAIKU, SONNET, OPUS, "claude-unheard-of-9"] {
            for max_tokens in [None, Some(1), Some(512), Some(1024), Some(9999)] {
                let subject = format!("user:corp:{person}@example.com");
                let (code, answer) = check(&subject, model, max_tokens);
                let case = format!("{role} {model} {max_tokens:?}: {answer}");
                match create_message(role, model, max_tokens) {
                    Ok(sent) => {
                        allowed += 1;
                        assert_eq!((code, &answer["decision"]), (0, &json!("Allow")), "{case}");
                        assert_eq!(answer["maxTokens"], sent, "{case}");
                        assert_eq!(answer["role"], role, "{case}");
                        assert_eq!(
                            answer["requestsPerMinute"],
                            role_config(role).rpm_limit,
                            "{case}"
                        );
                    }
                    Err(raised) => {
                        assert_eq!((code, &answer["decision"]), (1, &json!("Deny")), "{case}");
                        assert_eq!(
                            (&answer["status"], &answer["message"]),
                            (&json!(403), &json!(raised)),
                            "{case}"
                        );
                        assert_eq!(answer["maxTokens"], Value::Null, "{case}");
                    }
                }
            }
        }
    }
    assert_eq!(allowed, 35, "the guide allows 1 + 3 + 3 models at 5 sizes");
}

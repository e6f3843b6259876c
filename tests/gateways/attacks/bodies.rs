//! Attacks by what is in a body.

use anyhow::Result;

use super::Attack;
use super::Want::{self, Harmless, Passes, Status};
use super::stage::{ALLOWED, CLIENT, FORBIDDEN, Stage, post};

pub(super) const MESSAGES: &str = r#""messages": [{"role": "user", "content": "hi"}]"#;

pub(super) fn attacks(_: &Stage) -> Result<Vec<Attack>> {
    let mut all = Vec::new();
    for (name, want, more) in members() {
        let body = format!(r#"{{"model": "{ALLOWED}", "max_tokens": 9, {MESSAGES}{more}}}"#);
        all.push(attack(name, want, body.as_bytes()));
        // What stands before counts like what stands behind.
        let more = more.trim_start_matches(", ");
        let body = format!(r#"{{{more}, "model": "{ALLOWED}", "max_tokens": 9, {MESSAGES}}}"#);
        all.push(attack(&format!("{name}, first"), want, body.as_bytes()));
    }
    for (name, want, model) in models() {
        let body = format!(r#"{{"model": {model}, "max_tokens": 9, {MESSAGES}}}"#);
        all.push(attack(&format!("model: {name}"), want, body.as_bytes()));
    }
    for (want, number) in numbers() {
        let body = format!(r#"{{"model": "{ALLOWED}", "max_tokens": {number}, {MESSAGES}}}"#);
        let shown: String = number.chars().take(40).collect();
        all.push(attack(
            &format!("max_tokens: {shown}"),
            want,
            body.as_bytes(),
        ));
    }
    Ok(all)
}

pub(super) fn attack(name: &str, want: Want, body: &[u8]) -> Attack {
    let headers = [("x-api-key", CLIENT.as_bytes())];
    Attack::new(name, want, post(&headers, body))
}

/// Members besides, or once more.
fn members() -> Vec<(&'static str, Want, &'static str)> {
    vec![
        (
            "a second model",
            Status(400),
            r#", "model": "claude-opus-5""#,
        ),
        (
            "the same model twice",
            Status(400),
            r#", "model": "claude-haiku-4-5""#,
        ),
        (
            "a second model in escapes",
            Status(400),
            r#", "\u006dodel": "claude-opus-5""#,
        ),
        (
            "a second model in capital escapes",
            Status(400),
            r#", "\u006D\u006F\u0064\u0065\u006C": "claude-opus-5""#,
        ),
        ("a second model of null", Status(400), r#", "model": null"#),
        (
            "a second max_tokens",
            Status(400),
            r#", "max_tokens": 100000"#,
        ),
        (
            "a second max_tokens in escapes",
            Status(400),
            r#", "max\u005ftokens": 100000"#,
        ),
        (
            "fallbacks to a forbidden model",
            Status(403),
            r#", "fallbacks": [{"model": "claude-opus-5"}]"#,
        ),
        (
            "fallbacks above the cap",
            Status(403),
            r#", "fallbacks": [{"model": "claude-haiku-4-5", "max_tokens": 513}]"#,
        ),
        (
            "fallbacks by default",
            Status(403),
            r#", "fallbacks": "default""#,
        ),
        (
            "fallbacks in escapes",
            Status(403),
            r#", "f\u0061llbacks": "default""#,
        ),
        (
            "fallbacks that are names",
            Status(403),
            r#", "fallbacks": ["claude-opus-5"]"#,
        ),
        (
            "fallbacks that are one",
            Status(403),
            r#", "fallbacks": {"model": "claude-haiku-4-5"}"#,
        ),
        (
            "fallbacks in fallbacks",
            Status(403),
            r#", "fallbacks": [[{"model": "claude-haiku-4-5"}]]"#,
        ),
        (
            "fallbacks twice",
            Status(403),
            r#", "fallbacks": [], "fallbacks": [{"model": "claude-opus-5"}]"#,
        ),
        (
            "an advisor of a forbidden model",
            Status(403),
            r#", "tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5", "max_tokens": 1}]"#,
        ),
        (
            "an advisor without max_tokens",
            Status(403),
            r#", "tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-haiku-4-5"}]"#,
        ),
        (
            "an advisor above the cap",
            Status(403),
            r#", "tools": [{"type": "advisor_20260301", "model": "claude-haiku-4-5", "max_tokens": 513}]"#,
        ),
        (
            "an advisor in escapes",
            Status(403),
            r#", "tools": [{"ty\u0070e": "advis\u006fr_20260301", "model": "claude-haiku-4-5"}]"#,
        ),
        (
            "an advisor in escapes throughout",
            Status(403),
            r#", "tools": [{"type": "\u0061\u0064\u0076\u0069\u0073\u006f\u0072\u005f\u0032\u0030\u0032\u0036\u0030\u0033\u0030\u0031", "model": "claude-haiku-4-5"}]"#,
        ),
        (
            "an advisor with much behind",
            Status(403),
            concat!(
                r#", "tools": [{"type": "advisor_20260301xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\ud83d\ude00","#,
                r#" "model": "claude-haiku-4-5"}]"#
            ),
        ),
        (
            "an advisor of two types",
            Status(403),
            r#", "tools": [{"type": "custom", "model": "claude-haiku-4-5", "type": "advisor_20260301"}]"#,
        ),
        (
            "an advisor in the second tools",
            Status(403),
            r#", "tools": [], "tools": [{"type": "advisor_20260301", "model": "claude-opus-5", "max_tokens": 1}]"#,
        ),
        (
            "a model in a tool",
            Status(403),
            r#", "tools": [{"name": "x", "model": "claude-opus-5"}]"#,
        ),
        (
            "a schema that is no tool's",
            Status(403),
            r#", "input_schema": {"model": "claude-opus-5"}"#,
        ),
        (
            "a schema in no list",
            Status(403),
            r#", "tools": {"input_schema": {"model": "claude-opus-5"}}"#,
        ),
        (
            "a schema in a deeper list",
            Status(403),
            r#", "tools": [[{"input_schema": {"model": "claude-opus-5"}}]]"#,
        ),
        (
            "messages that are not the body's",
            Status(403),
            r#", "x": {"messages": [{"model": "claude-opus-5"}]}"#,
        ),
        (
            "a model anywhere",
            Status(403),
            r#", "x": [{"y": {"z": [{"model": "claude-opus-5"}]}}]"#,
        ),
        (
            "a model anywhere in escapes",
            Status(403),
            r#", "x": [{"y": {"z": [{"m\u006fd\u0065l": "claude-opus-5"}]}}]"#,
        ),
        (
            "a model twice in one place",
            Status(400),
            r#", "x": {"model": "claude-haiku-4-5", "model": "claude-opus-5"}"#,
        ),
        (
            "max_tokens anywhere",
            Status(403),
            r#", "x": {"y": [{"max_tokens": 513}]}"#,
        ),
        (
            "max_tokens anywhere beyond 64 bits",
            Status(403),
            r#", "x": {"max_tokens": 18446744073709551617}"#,
        ),
        (
            "max_tokens anywhere that is none",
            Status(400),
            r#", "x": {"max_tokens": 1e9}"#,
        ),
        (
            "decoys in content",
            Passes,
            r#", "metadata": {"model": "claude-opus-5", "max_tokens": 100000}"#,
        ),
        (
            "members in other letters",
            Passes,
            r#", "Model": "claude-opus-5", "MAX_TOKENS": 100000, "model ": "claude-opus-5""#,
        ),
        (
            "half a pair in a name",
            Harmless,
            r#", "mod\ud800el": "claude-opus-5""#,
        ),
        (
            "a name that ends in zero",
            Passes,
            r#", "model\u0000": "claude-opus-5""#,
        ),
        ("a name without value", Status(400), r#", "x""#),
        ("a value without name", Status(400), r#", "model""#),
    ]
}

/// What is no allowed model.
fn models() -> Vec<(&'static str, Want, String)> {
    let quoted = |text: &str| format!("\"{text}\"");
    vec![
        ("a forbidden one", Status(403), quoted(FORBIDDEN)),
        (
            "a forbidden one in escapes",
            Status(403),
            quoted("\\u0063laude-opus-5"),
        ),
        ("in capitals", Status(403), quoted("CLAUDE-HAIKU-4-5")),
        (
            "with the sign of Kelvin",
            Status(403),
            quoted("claude-hai\u{212a}u-4-5"),
        ),
        (
            "in full width",
            Status(403),
            quoted("ｃｌａｕｄｅ-ｈａｉｋｕ-4-5"),
        ),
        (
            "with Cyrillic letters",
            Status(403),
            quoted("сlаudе-hаiku-4-5"),
        ),
        (
            "with a soft hyphen",
            Status(403),
            quoted("claude\u{ad}-haiku-4-5"),
        ),
        (
            "with a space of no width before",
            Status(403),
            quoted("\u{200b}claude-haiku-4-5"),
        ),
        (
            "with a mark of order before",
            Status(403),
            quoted("\u{feff}claude-haiku-4-5"),
        ),
        (
            "from right to left",
            Status(403),
            quoted("\u{202e}5-4-ukiah-edualc"),
        ),
        (
            "with a blank before",
            Status(403),
            quoted(" claude-haiku-4-5"),
        ),
        (
            "with a line end",
            Status(400),
            quoted("claude-haiku-4-5\\n"),
        ),
        (
            "with a zero",
            Status(400),
            quoted("claude-haiku-4-5\\u0000claude-opus-5"),
        ),
        (
            "with a control character of two bytes",
            Status(400),
            quoted("claude-haiku-4-5\\u0085"),
        ),
        (
            "with half a pair",
            Status(400),
            quoted("claude-haiku-\\ud800"),
        ),
        (
            "with halves in the wrong order",
            Status(400),
            quoted("claude-haiku-\\udc00\\ud800"),
        ),
        (
            "too long",
            Status(400),
            quoted(&format!("claude-haiku-{}", "x".repeat(244))),
        ),
        (
            "as long as may be",
            Passes,
            quoted(&format!("claude-haiku-{}", "x".repeat(243))),
        ),
        ("empty", Status(400), quoted("")),
        ("a pattern", Status(403), quoted("claude-*")),
        (
            "several",
            Status(403),
            quoted("claude-opus-5,claude-haiku-4-5"),
        ),
        ("a list", Status(400), "[\"claude-haiku-4-5\"]".to_owned()),
        (
            "an object",
            Status(400),
            "{\"model\": \"claude-haiku-4-5\"}".to_owned(),
        ),
        ("null", Status(400), "null".to_owned()),
        ("a number", Status(400), "5".to_owned()),
        ("without quotes", Status(400), "claude-haiku-4-5".to_owned()),
        (
            "in single quotes",
            Status(400),
            "'claude-haiku-4-5'".to_owned(),
        ),
        (
            "with a tab as it is",
            Status(400),
            quoted("claude-haiku-4-5\t"),
        ),
        (
            "with an unknown escape",
            Status(400),
            quoted("claude-haiku\\x2d4-5"),
        ),
    ]
}

/// What is no number of tokens, and what is one that is to be cut.
fn numbers() -> Vec<(Want, String)> {
    let refused = [
        "0", "-0", "-1", "1.0", "1e3", "1E3", "1e-3", "512.0", "0512", "+512", "0x200", "1_000",
        "NaN", "Infinity", "null", "true", "\"512\"", "[512]", "{}", "5 12", "١٢", "1e400", "",
    ];
    let cut = [
        "513",
        "1000000",
        "2147483648",
        "4294967297",
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551617",
        "340282366920938463463374607431768211457",
    ];
    let refused = refused.map(|number| (Status(400), number.to_owned()));
    let cut = cut.map(|number| (Passes, number.to_owned()));
    let long = [400, 5000, 100_000].map(|digits| (Passes, "9".repeat(digits)));
    refused.into_iter().chain(cut).chain(long).collect()
}

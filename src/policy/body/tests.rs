//! Bodies as people and attackers write them: what is asked, wherever it hides.

use super::*;

const CONTENT: &str =
    r#"[{"role": "user", "model": 1, "max_tokens": "x", "content": {"model": "a", "model": "b"}}]"#;

fn asked(rest: &str) -> Result<Asked, Denial> {
    read(Endpoint::Messages, body(rest).as_bytes())
}

fn body(rest: &str) -> String {
    format!(r#"{{"model": "claude-opus-5", "messages": {CONTENT}{rest}}}"#)
}

fn nested(field: &str, model: Option<&str>, max_tokens: Option<u64>) -> Nested {
    Nested {
        field: field.to_owned(),
        model: model.map(str::to_owned),
        max_tokens,
    }
}

#[test]
fn a_body_asks_for_a_model_and_a_number_of_tokens() {
    let asked_for = |max_tokens| Asked {
        model: "claude-opus-5".to_owned(),
        max_tokens,
        nested: BTreeSet::new(),
    };
    assert_eq!(asked(""), Ok(asked_for(None)));
    assert_eq!(asked(r#", "max_tokens": 512"#), Ok(asked_for(Some(512))));
    let huge = "9".repeat(400);
    let huge = asked(&format!(r#", "max_tokens": {huge}"#));
    assert_eq!(huge, Ok(asked_for(Some(u64::MAX))));
}

#[test]
fn what_is_content_is_not_looked_at() {
    let content = format!(
        r#", "system": {CONTENT}, "metadata": {{"model": 5, "max_tokens": -1, "fallbacks": "default"}},
           "tools": [{{"name": "x", "input_schema": {{"properties": {{"model": {{}}, "max_tokens": null}}}}}}]"#
    );
    assert!(asked(&content).is_ok_and(|asked| asked.nested.is_empty()));
    for elsewhere in [
        r#", "input_schema": {"model": 5}"#,
        r#", "tools": {"input_schema": {"model": 5}}"#,
        r#", "tools": [[{"input_schema": {"model": 5}}]]"#,
        r#", "x": {"messages": {"model": 5}}"#,
        r#", "x": {"tools": [{"input_schema": {"model": 5}}]}"#,
    ] {
        assert_eq!(asked(elsewhere), Err(Denial::InvalidModel), "{elsewhere}");
    }
}

#[test]
fn what_is_no_positive_integer_is_refused_wherever_it_is_read() {
    for bad in [
        "0", "-1", "1.0", "1e3", "-0", "null", "true", r#""512""#, "[1]", "{}",
    ] {
        for place in [
            format!(r#", "max_tokens": {bad}"#),
            format!(r#", "fallbacks": [{{"model": "m", "max_tokens": {bad}}}]"#),
            format!(r#", "x": [[{{"max_tokens": {bad}}}]]"#),
        ] {
            assert_eq!(asked(&place), Err(Denial::InvalidMaxTokens), "{place}");
            assert!(
                read(Endpoint::CountTokens, body(&place).as_bytes()).is_ok(),
                "{place}"
            );
        }
    }
}

#[test]
fn what_is_no_model_is_refused_wherever_it_is_read() {
    for bad in [
        "1",
        "null",
        r#"["m"]"#,
        "{}",
        r#""""#,
        r#""a\nb""#,
        r#""\ud800""#,
    ] {
        let top = format!(r#"{{"model": {bad}}}"#);
        assert_eq!(
            read(Endpoint::Messages, top.as_bytes()),
            Err(Denial::InvalidModel),
            "{bad}"
        );
        let deeper = asked(&format!(r#", "fallbacks": [{{"model": {bad}}}]"#));
        assert_eq!(deeper, Err(Denial::InvalidModel), "{bad}");
    }
    assert_eq!(read(Endpoint::Messages, b"{}"), Err(Denial::InvalidModel));
}

#[test]
fn a_repeated_member_is_refused_however_it_is_written() {
    for (repeated, name) in [
        (r#", "model": "claude-opus-5""#, "model"),
        (r#", "m\u006fdel": "x""#, "model"),
        (r#", "max_tokens": 1, "max_\u0074okens": 1"#, "max_tokens"),
        (r#", "fallbacks": [{"model": "a", "model": "a"}]"#, "model"),
        (
            r#", "x": {"max_tokens": 1, "y": [], "max_tokens": 2}"#,
            "max_tokens",
        ),
    ] {
        assert_eq!(
            asked(repeated),
            Err(Denial::RepeatedField(name)),
            "{repeated}"
        );
    }
    assert!(asked(r#", "fallbacks": [{"model": "a"}, {"model": "a"}]"#).is_ok());
    let twice = read(Endpoint::CountTokens, body(r#", "model": "x""#).as_bytes());
    assert_eq!(twice, Err(Denial::RepeatedField("model")));
}

#[test]
fn every_other_model_and_number_is_given_out_with_its_place() {
    let found = asked(
        r#", "fallbacks": [{"model": "a"}, {"model": "b", "max_tokens": 7}],
           "tools": [{"type": "advisor_20260301", "model": "c", "max_tokens": 9}, {"name": "x"}],
           "x": {"y": [{"max_tokens": 3}]}, "z\u0021": {"model": "d"}, "fallbacks": [{"model": "e"}]"#,
    );
    let want = BTreeSet::from([
        nested("fallbacks", Some("a"), None),
        nested("fallbacks", Some("b"), Some(7)),
        nested("fallbacks", Some("e"), None),
        nested("tools", Some("c"), Some(9)),
        nested("x", None, Some(3)),
        nested("z!", Some("d"), None),
    ]);
    assert_eq!(found.map(|asked| asked.nested), Ok(want));
}

#[test]
fn what_names_no_model_or_number_for_what_it_does_is_not_allowed() {
    for (hidden, field) in [
        (r#", "fallbacks": "default""#, "fallbacks"),
        (r#", "f\u0061llbacks": "default""#, "fallbacks"),
        (r#", "fallbacks": {"model": "a"}"#, "fallbacks"),
        (r#", "fallbacks": ["a"]"#, "fallbacks"),
        (r#", "fallbacks": [[{"model": "a"}]]"#, "fallbacks"),
        (r#", "fallbacks": 1"#, "fallbacks"),
        (r#", "fallbacks": true"#, "fallbacks"),
        (
            r#", "tools": [{"type": "advisor_20260301", "model": "a"}]"#,
            "tools",
        ),
        (
            r#", "tools": [{"type": "x", "model": "a", "t\u0079pe": "advisor_2"}]"#,
            "tools",
        ),
        (
            r#", "tools": [{"type": "advisor_\ud800", "model": "a"}]"#,
            "tools",
        ),
        (r#", "tools": [{"type": "\n", "model": "a"}]"#, "tools"),
    ] {
        let want = Denial::FieldNotAllowed(field.to_owned());
        assert_eq!(asked(hidden), Err(want), "{hidden}");
    }
    for open in [
        r#", "fallbacks": null"#,
        r#", "fallbacks": []"#,
        r#", "tools": [{"type": "advisor_20260301", "model": "a", "max_tokens": 1}]"#,
        r#", "tools": [{"type": "custom", "model": "a"}]"#,
    ] {
        assert!(asked(open).is_ok(), "{open}");
    }
    let counted = r#", "tools": [{"type": "advisor_20260301", "model": "a"}]"#;
    assert!(read(Endpoint::CountTokens, body(counted).as_bytes()).is_ok());
}

#[test]
fn more_models_than_anybody_needs_are_not_allowed() {
    let several = |count: usize| {
        let each = (0..count).map(|i| format!(r#"{{"model": "m{i}"}}"#));
        format!(r#", "x": [{}]"#, each.collect::<Vec<_>>().join(","))
    };
    let allowed = asked(&several(MAX_NESTED)).map(|asked| asked.nested.len());
    assert_eq!(allowed, Ok(MAX_NESTED));
    assert_eq!(
        asked(&several(MAX_NESTED + 1)),
        Err(Denial::FieldNotAllowed("x".into()))
    );
}

#[test]
fn what_is_no_name_is_not_repeated_in_a_message() {
    for (name, field) in [
        ("x".repeat(256), "x".repeat(256)),
        ("x".repeat(257), String::new()),
        (r"x\n".to_owned(), String::new()),
    ] {
        let hidden = format!(r#", "{name}": {{"model": "a"}}"#);
        let nested = asked(&hidden).map(|asked| asked.nested);
        assert_eq!(nested, Ok([self::nested(&field, Some("a"), None)].into()));
    }
}

#[test]
fn what_is_no_object_is_no_body() {
    for bad in [
        "",
        "[]",
        "1",
        "null",
        r#"{"model": "m""#,
        r#"{"model": "m"} {}"#,
        r#"{"model": "m", "x": tru}"#,
    ] {
        assert_eq!(
            read(Endpoint::Messages, bad.as_bytes()),
            Err(Denial::InvalidBody),
            "{bad}"
        );
    }
    let not_utf8 = [b"{\"model\": \"m\", \"x\": \"".as_slice(), b"\xc3", b"\"}"].concat();
    assert_eq!(
        read(Endpoint::Messages, &not_utf8),
        Err(Denial::InvalidBody)
    );
}

/// What is asked for, found the slow way in a value that another reader made.
fn naive(place: &[&str], value: &serde_json::Value, found: &mut BTreeSet<Nested>) {
    let content = matches!(
        place,
        ["messages" | "system" | "metadata"] | ["tools", "[]", "input_schema"]
    );
    if content {
        return;
    }
    for item in value.as_array().into_iter().flatten() {
        naive(&[place, &["[]"]].concat(), item, found);
    }
    let model = value.get("model").and_then(serde_json::Value::as_str);
    let max_tokens = value.get("max_tokens").and_then(serde_json::Value::as_u64);
    if let (Some(field), true) = (place.first(), model.is_some() || max_tokens.is_some()) {
        found.insert(nested(field, model, max_tokens));
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        naive(&[place, &[name]].concat(), member, found);
    }
}

fn any_value() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    let names = prop::sample::select(vec![
        "messages",
        "tools",
        "input_schema",
        "x",
        "metadata",
        "type",
    ]);
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!("a")),
        (1..9_u64).prop_map(|n| json!(n))
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let members = prop::collection::vec((names.clone(), inner.clone()), 0..4);
        let asks = (prop::option::of("[a-c]"), prop::option::of(1..9_u64));
        let object = (members, asks).prop_map(|(members, (model, max_tokens))| {
            let mut object: serde_json::Map<String, Value> = members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            object.extend(model.map(|model| ("model".to_owned(), json!(model))));
            object.extend(max_tokens.map(|n| ("max_tokens".to_owned(), json!(n))));
            Value::Object(object)
        });
        prop_oneof![
            object,
            prop::collection::vec(inner, 0..4).prop_map(Value::Array)
        ]
    })
}

proptest::proptest! {
    #[test]
    fn nothing_hides_from_it(value in any_value()) {
        let mut body = serde_json::json!({"model": "m"});
        if let (Some(body), serde_json::Value::Object(members)) = (body.as_object_mut(), value) {
            body.extend(members.into_iter().filter(|(name, _)| name != "model" && name != "max_tokens"));
        }
        let mut want = BTreeSet::new();
        for (name, member) in body.as_object().into_iter().flatten() {
            naive(&[name], member, &mut want);
        }
        let found = read(Endpoint::Messages, body.to_string().as_bytes());
        proptest::prop_assert_eq!(found.map(|asked| asked.nested), Ok(want));
    }
}

//! What the body of a request asks for: its model, its `max_tokens`, and every other model and
//! number of tokens in it that could reach further than those two.
//! Must not know who asks, nor what they may.
//!
//! Read are all members named `model` or `max_tokens`, at any depth, but for what is under the
//! top level's `messages`, `system` and `metadata` and under `input_schema` of a tool: that is
//! content, and goes to a model as it is. `max_tokens` is a positive integer when it is written
//! as digits alone, without sign, fraction or exponent, and is not 0; one that is too large for
//! 64 bits counts as the largest of them. `null`, `1.0`, `1e3` and `"512"` are none.

use std::collections::BTreeSet;

use super::decide::Denial;
use super::json::{Event, NotJson, Reader, Text};
use super::name::check_name;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`: nothing is put out, so no number of tokens matters.
    CountTokens,
}

/// What a body asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its model.
    pub model: String,
    /// Its `max_tokens`, if it names any.
    pub max_tokens: Option<u64>,
    /// What else it asks for, each once.
    pub nested: BTreeSet<Nested>,
}

/// A model or number of tokens deeper in a body.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Nested {
    /// The member of the top level it is under.
    pub field: String,
    /// The model it names; `None` is the body's own.
    pub model: Option<String>,
    /// The number it names; `None` is the body's own.
    pub max_tokens: Option<u64>,
}

/// An object or array that is open.
struct Open {
    place: Place,
    /// Whether a value is next, and of which member.
    member: Member,
    model: Option<String>,
    max_tokens: Option<u64>,
    is_advisor: bool,
}

/// Where something open stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body itself.
    Top,
    /// The top level's `tools`.
    Tools,
    /// One of them.
    Tool,
    /// The top level's `fallbacks`.
    Fallbacks,
    /// Anywhere else that is looked at.
    Elsewhere,
    /// Content: nothing in it is looked at.
    Content,
}

/// What the value to come is the value of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Model,
    MaxTokens,
    Tools,
    Fallbacks,
    /// `type` of a tool.
    Type,
    Content,
    Other,
}

/// Most models and numbers of tokens deeper in a body: a gateway holds each to the rules.
const MAX_NESTED: usize = 128;

/// Tools of these types send the request to another model, as Anthropic's `advisor_20260301`
/// does.
const ADVISOR: &str = "advisor";

/// Reads a body.
///
/// # Errors
/// 400 when it is no JSON object, names its model or `max_tokens` twice or not as they must be;
/// 403 when it asks for a model or number of tokens without naming it.
pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Asked, Denial> {
    let mut reader = Reader::new(body)?;
    let mut reading = Reading {
        endpoint,
        open: Vec::new(),
        field: String::new(),
        nested: BTreeSet::new(),
        top: None,
    };
    if reader.event()? != Some(Event::ObjectStart) {
        return Err(Denial::InvalidBody);
    }
    reading.open.push(Open::new(Place::Top));
    while let Some(event) = reader.event()? {
        reading.take(event)?;
    }
    let top = reading.top.ok_or(Denial::InvalidBody)?;
    Ok(Asked {
        model: top.model.ok_or(Denial::InvalidModel)?,
        max_tokens: top.max_tokens,
        nested: reading.nested,
    })
}

struct Reading {
    endpoint: Endpoint,
    open: Vec<Open>,
    /// The member of the top level that is being read.
    field: String,
    nested: BTreeSet<Nested>,
    /// The body itself, once it is over.
    top: Option<Open>,
}

// === impl Reading ===

impl Reading {
    fn take(&mut self, event: Event<'_>) -> Result<(), Denial> {
        let Some(open) = self.open.last_mut() else {
            return Err(Denial::InvalidBody);
        };
        let (place, member) = (open.place, open.member);
        match event {
            Event::Name(_) if place == Place::Content => {}
            Event::Name(name) => {
                let name = name.decoded().unwrap_or_default();
                open.member = member_of(place, &name);
                if place == Place::Top {
                    self.field.clear();
                    self.field.push_str(&name);
                }
            }
            Event::ObjectStart | Event::ArrayStart => {
                self.check(place, member, event)?;
                let inner = inner(place, member, event);
                self.open.push(Open::new(inner));
            }
            Event::ObjectEnd | Event::ArrayEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open)?;
                }
            }
            Event::String(_) | Event::Number(_) | Event::Literal(_) => {
                self.check(place, member, event)?;
            }
        }
        Ok(())
    }

    /// Looks at a value, or at the beginning of one.
    fn check(&mut self, place: Place, member: Member, event: Event<'_>) -> Result<(), Denial> {
        let counts = self.endpoint == Endpoint::Messages;
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        match (place, member) {
            (Place::Content, _) => {}
            // Each of them has to name its model in the open.
            (Place::Fallbacks, _) if event != Event::ObjectStart => {
                return Err(Denial::FieldNotAllowed(self.field.clone()));
            }
            (_, Member::Fallbacks)
                if !matches!(event, Event::ArrayStart) && event != Event::Literal("null") =>
            {
                return Err(Denial::FieldNotAllowed(self.field.clone()));
            }
            (_, Member::Model) => {
                if open.model.is_some() {
                    return Err(Denial::RepeatedField("model"));
                }
                open.model = Some(model(event)?);
            }
            (_, Member::MaxTokens) if counts => {
                if open.max_tokens.is_some() {
                    return Err(Denial::RepeatedField("max_tokens"));
                }
                open.max_tokens = Some(max_tokens(event)?);
            }
            (_, Member::Type) => {
                if let Event::String(text) = event {
                    let text = text.decoded().unwrap_or_default();
                    open.is_advisor |= text.starts_with(ADVISOR);
                }
            }
            (
                _,
                Member::MaxTokens
                | Member::Tools
                | Member::Fallbacks
                | Member::Content
                | Member::Other,
            ) => {}
        }
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<(), Denial> {
        if open.place == Place::Top {
            self.top = Some(open);
            return Ok(());
        }
        let counts = self.endpoint == Endpoint::Messages;
        if counts && open.is_advisor && open.max_tokens.is_none() {
            return Err(Denial::FieldNotAllowed(self.field.clone()));
        }
        if open.model.is_some() || open.max_tokens.is_some() {
            self.nested.insert(Nested {
                field: self.field.clone(),
                model: open.model,
                max_tokens: open.max_tokens,
            });
        }
        if self.nested.len() > MAX_NESTED {
            return Err(Denial::FieldNotAllowed(self.field.clone()));
        }
        Ok(())
    }
}

// === impl Open ===

impl Open {
    fn new(place: Place) -> Self {
        Self {
            place,
            member: Member::Other,
            model: None,
            max_tokens: None,
            is_advisor: false,
        }
    }
}

impl From<NotJson> for Denial {
    fn from(_: NotJson) -> Self {
        Self::InvalidBody
    }
}

fn member_of(place: Place, name: &str) -> Member {
    match (place, name) {
        (_, "model") => Member::Model,
        (_, "max_tokens") => Member::MaxTokens,
        (Place::Top, "tools") => Member::Tools,
        (Place::Top, "fallbacks") => Member::Fallbacks,
        (Place::Top, "messages" | "system" | "metadata") | (Place::Tool, "input_schema") => {
            Member::Content
        }
        (Place::Tool, "type") => Member::Type,
        _ => Member::Other,
    }
}

/// The place of what opens in another.
fn inner(place: Place, member: Member, event: Event<'_>) -> Place {
    let array = event == Event::ArrayStart;
    match (place, member) {
        (Place::Content, _) | (_, Member::Content) => Place::Content,
        (Place::Top, Member::Tools) if array => Place::Tools,
        (Place::Top, Member::Fallbacks) if array => Place::Fallbacks,
        (Place::Tools, _) if !array => Place::Tool,
        _ => Place::Elsewhere,
    }
}

fn model(event: Event<'_>) -> Result<String, Denial> {
    let text = match event {
        Event::String(text) => Text::decoded(text),
        Event::ObjectStart
        | Event::ObjectEnd
        | Event::ArrayStart
        | Event::ArrayEnd
        | Event::Name(_)
        | Event::Number(_)
        | Event::Literal(_) => None,
    };
    let named = text.filter(|text| check_name(text).is_ok());
    named.map(Into::into).ok_or(Denial::InvalidModel)
}

fn max_tokens(event: Event<'_>) -> Result<u64, Denial> {
    let Event::Number(digits) = event else {
        return Err(Denial::InvalidMaxTokens);
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits == "0" {
        return Err(Denial::InvalidMaxTokens);
    }
    // Digits alone fail to fit for one reason only.
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = r#"[{"role": "user", "model": 1, "max_tokens": "x", "content": {"model": "a", "model": "b"}}]"#;

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
}

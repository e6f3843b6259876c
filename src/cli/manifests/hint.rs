//! What may help with a field that the schema refuses: the name that was probably meant, quotes
//! that are missing or too many.
//! Must not decide that anything is wrong, nor repeat a value.

use serde_json::Value;

use super::fault::Fault;
use super::path::{FieldPath, Step};
use crate::policy::nearest::{nearest, suggestion};

/// Turns what was said about a field into a fault that also says what may help.
pub fn with_hint(schema: &Value, object: &Value, field: &str, message: &str) -> Fault {
    let path = FieldPath::parse(field);
    if let Some(known) = misnamed(schema, &path) {
        let name = match path.steps().last() {
            Some(Step::Field(name)) => name.as_str(),
            Some(Step::Item(_) | Step::Entry(_)) | None => "",
        };
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = suggestion(name, &known);
        return Fault::of_name(path, format!("{message}; {hint}"));
    }
    let hint = path
        .steps()
        .iter()
        .try_fold((schema, object), |(schema, value), step| {
            Some((below(schema, step)?, value_below(value, step)?))
        });
    let hint = hint
        .and_then(|(schema, value)| about_value(schema, value))
        .or_else(|| {
            let nameless =
                field == "metadata.name" && object["metadata"].get("generateName").is_some();
            nameless.then(|| "only a cluster can make one up from generateName".to_owned())
        });
    let message = match hint {
        Some(hint) => format!("{message}; {hint}"),
        None => message.to_owned(),
    };
    Fault::of_value(path, message)
}

/// The names that are known beside a field that is not.
fn misnamed(schema: &Value, path: &FieldPath) -> Option<Vec<String>> {
    let (last, before) = path.steps().split_last()?;
    let parent = before.iter().try_fold(schema, below)?;
    let known = parent.get("properties")?.as_object()?;
    match last {
        Step::Field(name)
            if !known.contains_key(name) && parent.get("additionalProperties").is_none() =>
        {
            Some(known.keys().cloned().collect())
        }
        Step::Field(_) | Step::Item(_) | Step::Entry(_) => None,
    }
}

fn about_value(schema: &Value, value: &Value) -> Option<String> {
    match (schema["type"].as_str()?, value) {
        ("string", Value::Bool(_)) => {
            Some("put it in quotes (without them yes, no, on and off are booleans, too)".to_owned())
        }
        ("string", Value::Number(_)) => Some("put it in quotes".to_owned()),
        ("string", Value::String(text)) if schema["format"] == "date-time" => {
            (!is_date_time(text)).then(|| "write it as 2027-01-31T00:00:00Z".to_owned())
        }
        ("string", Value::String(text)) => {
            let options = schema["enum"].as_array()?.iter().filter_map(Value::as_str);
            let meant = nearest(text, options).filter(|meant| meant != text)?;
            Some(format!("did you mean '{meant}'?"))
        }
        ("integer", Value::String(text)) if is_plain_integer(text) => {
            Some("leave out the quotes".to_owned())
        }
        _ => None,
    }
}

/// Whether it has the form at least; what else may be wrong with it is said in words.
fn is_date_time(text: &str) -> bool {
    let (Some(local), Some(zone)) = (text.get(..19), text.get(19..)) else {
        return false;
    };
    let is_local = local.get(10..11) == Some("T") && local.parse::<jiff::civil::DateTime>().is_ok();
    is_local && (zone.ends_with('Z') || zone.contains(['+', '-']))
}

/// Neither `010` nor `1_000`: what those are worth depends on who reads them.
fn is_plain_integer(text: &str) -> bool {
    text.parse::<i64>()
        .is_ok_and(|number| number.to_string() == text)
}

fn below<'a>(schema: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Field(name) => match schema.get("properties") {
            Some(fields) => fields.get(name),
            None => schema.get("additionalProperties"),
        },
        Step::Item(_) | Step::Entry(_) => schema.get("items"),
    }
}

fn value_below<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Field(name) => value.get(name),
        Step::Item(index) => value.get(index),
        Step::Entry(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hinted(field: &str, object: Value) -> (bool, String) {
        let schema = json!({"properties": {"spec": {"properties": {
            "maxTokens": {"type": "integer"},
            "state": {"type": "string", "enum": ["Enabled", "Disabled"]},
            "expiresAt": {"type": "string", "format": "date-time"},
            "roles": {"items": {"properties": {"name": {"type": "string"}}}},
        }}}});
        let fault = with_hint(&schema, &object, field, "no");
        (fault.name, fault.message)
    }

    #[test]
    fn a_wrong_name_is_pointed_at_with_the_right_one() {
        let object = json!({"spec": {"maxToken": 1}});
        assert_eq!(
            hinted("spec.maxToken", object),
            (true, "no; did you mean 'maxTokens'?".into())
        );
        let (name, message) = hinted("spec.roles[0].budget", json!({}));
        assert_eq!((name, message.as_str()), (true, "no; known: name"));
    }

    #[test]
    fn a_wrong_value_is_pointed_at_with_what_is_wrong_with_its_form() {
        let of = |value: Value, field: &str, form: fn(Value) -> Value| hinted(field, form(value)).1;
        let state = |value| json!({"spec": {"state": value}});
        assert_eq!(
            of(json!("Enable"), "spec.state", state),
            "no; did you mean 'Enabled'?"
        );
        assert_eq!(of(json!("Off"), "spec.state", state), "no");
        assert!(of(json!(false), "spec.state", state).starts_with("no; put it in quotes ("));
        let expires = |value| json!({"spec": {"expiresAt": value}});
        for other in [
            "2027-01-31",
            "2027-01-31 00:00:00Z",
            "2027-01-31T00:00:00",
            "2027-01-31t00:00:00z",
            "2027-02-29T00:00:00Z",
        ] {
            assert_eq!(
                of(json!(other), "spec.expiresAt", expires),
                "no; write it as 2027-01-31T00:00:00Z",
                "{other}"
            );
        }
        for form in ["9999-12-31T23:59:59Z", "2027-01-31T00:00:00.5+01:00"] {
            assert_eq!(of(json!(form), "spec.expiresAt", expires), "no", "{form}");
        }
        let tokens = |value| json!({"spec": {"maxTokens": value}});
        assert_eq!(
            of(json!("12"), "spec.maxTokens", tokens),
            "no; leave out the quotes"
        );
        assert_eq!(of(json!("012"), "spec.maxTokens", tokens), "no");
        let role = |value| json!({"spec": {"roles": [{"name": value}]}});
        assert_eq!(
            of(json!(7), "spec.roles[0].name", role),
            "no; put it in quotes"
        );
    }
}

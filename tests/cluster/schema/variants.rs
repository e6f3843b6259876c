//! Variants of a good object, each with one thing about it changed: every field left out, emptied,
//! of every other type, too long, twice. Most are bad; which, the API server is asked.
//! Must not know what any field means.

use serde_json::{Value, json};

/// A step into an object.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Item(usize),
}

/// An object and what was done to it.
pub(crate) struct Variant {
    pub(crate) what: String,
    pub(crate) object: Value,
}

/// All of them.
pub(crate) fn variants(good: &Value) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut places = Vec::new();
    walk(good, &mut Vec::new(), &mut places);
    for place in places {
        let name = text(&place);
        // The address of a request names these as well, so that more than one thing would change.
        if ["apiVersion", "kind", "metadata.namespace"].contains(&name.as_str()) {
            continue;
        }
        let value = at(good, &place).clone();
        if let Some(without) = without(good, &place) {
            variants.push(Variant {
                what: format!("without {name}"),
                object: without,
            });
        }
        for other in others(&value) {
            let shown: String = other.to_string().chars().take(60).collect();
            let mut object = good.clone();
            *at_mut(&mut object, &place) = other;
            variants.push(Variant {
                what: format!("{name}: {shown}"),
                object,
            });
        }
    }
    variants
}

/// What may stand in place of a value.
fn others(value: &Value) -> Vec<Value> {
    let mut others = vec![
        Value::Null,
        json!(true),
        json!(7),
        json!(1.5),
        json!("x"),
        json!(""),
        json!([]),
        json!(["x"]),
        json!([{}]),
        json!([null]),
        json!({}),
        json!({"x": "y"}),
    ];
    match value {
        Value::String(text) => others.extend(texts(text).into_iter().map(Value::from)),
        Value::Number(number) => {
            others.extend([
                json!(0),
                json!(1),
                json!(-1),
                json!(3649),
                json!(3650),
                json!(3651),
                json!(1_000_000),
                json!(1_000_001),
                json!(i64::from(i32::MAX) + 1),
                json!(i64::MAX),
                json!(i64::MIN),
                json!(u64::MAX),
                json!(1e30),
                json!(number.to_string()),
            ]);
        }
        Value::Array(items) => {
            let twice = |n: usize| {
                let first = items.first().into_iter();
                Value::Array(first.cycle().take(n).chain(items).cloned().collect())
            };
            others.extend([twice(1), twice(70), twice(300)]);
            others.push(items.iter().rev().cloned().collect());
            others.extend([json!([7]), json!([""]), json!([[]])]);
            others.push(items.iter().cloned().chain([Value::Null]).collect());
        }
        Value::Object(fields) => {
            for (name, value) in [("x", json!("y")), ("", json!("y")), ("Ü", json!(1))] {
                let mut fields = fields.clone();
                fields.insert(name.to_owned(), value);
                others.push(fields.into());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    others.retain(|other| other != value);
    others
}

fn texts(text: &str) -> Vec<String> {
    if text.ends_with("00Z") {
        return TIMES.map(str::to_owned).into();
    }
    let mut texts = TEXTS.map(str::to_owned).to_vec();
    texts.extend([
        text.to_uppercase(),
        text.to_lowercase(),
        format!("{text} "),
        format!("{text}\n"),
    ]);
    let lengths = [
        15, 16, 40, 41, 63, 64, 65, 128, 129, 253, 254, 256, 257, 512, 513,
    ];
    texts.extend(lengths.map(|length| "a".repeat(length)));
    texts.extend(["é".repeat(128), "é".repeat(129)]);
    texts
}

/// What names, ids, addresses and patterns trip over.
const TEXTS: [&str; 21] = [
    "-",
    ".",
    "*",
    "a.b",
    "a_b",
    "a/b",
    "-a",
    "A",
    "é",
    "a b",
    "a\u{7}",
    "a\u{85}",
    "\u{feff}a",
    "admin",
    "sk-ant-api03-EXAMPLE",
    "https://example.com",
    "http://example.com",
    "https://example.com/?q",
    "https://u@example.com",
    "https://",
    "kubernetes",
];

/// What readers of times trip over.
const TIMES: [&str; 26] = [
    "2027-01-01",
    "2027-01-01T00:00:00",
    "2027-01-01t00:00:00z",
    "2027-01-01 00:00:00Z",
    "2027-01-01T00:00:00+01:00",
    "2027-01-01T00:00:00+0100",
    "2027-01-01T00:00:00-00:00",
    "2027-01-01T00:00:00+23:59",
    "2027-01-01T00:00:00+24:00",
    "2027-01-01T00:00:00+00:60",
    "2027-01-01T00:00:00.5Z",
    "2027-01-01T00:00:00,5Z",
    "2027-01-01T00:00:00.Z",
    "2027-01-01T00:00:00.1234567891Z",
    "2027-01-01T00:00:00.123456789Z",
    "2027-01-01T24:00:00Z",
    "2027-01-01T23:59:60Z",
    "2027-02-29T00:00:00Z",
    "2028-02-29T00:00:00Z",
    "2027-1-1T00:00:00Z",
    "2027-01-01T00:00Z",
    "+2027-01-01T00:00:00Z",
    "1999-12-31T23:59:59Z",
    "2000-01-01T00:00:00Z",
    "2999-12-31T23:59:59Z",
    "3000-01-01T00:00:00Z",
];

fn walk(value: &Value, here: &mut Vec<Step>, places: &mut Vec<Vec<Step>>) {
    if !here.is_empty() {
        places.push(here.clone());
    }
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (Step::Field(name.clone()), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, value)| (Step::Item(i), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (step, value) in below {
        here.push(step);
        walk(value, here, places);
        here.pop();
    }
}

fn at<'a>(value: &'a Value, place: &[Step]) -> &'a Value {
    place.iter().fold(value, |value, step| match step {
        Step::Field(name) => &value[name],
        Step::Item(i) => &value[i],
    })
}

fn at_mut<'a>(value: &'a mut Value, place: &[Step]) -> &'a mut Value {
    place.iter().fold(value, |value, step| match step {
        Step::Field(name) => &mut value[name],
        Step::Item(i) => &mut value[i],
    })
}

fn without(good: &Value, place: &[Step]) -> Option<Value> {
    let (last, before) = place.split_last()?;
    let mut object = good.clone();
    match (at_mut(&mut object, before), last) {
        (Value::Object(fields), Step::Field(name)) => drop(fields.remove(name)),
        (Value::Array(items), Step::Item(i)) => drop(items.remove(*i)),
        _ => return None,
    }
    Some(object)
}

fn text(place: &[Step]) -> String {
    let mut text = String::new();
    for step in place {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => text.push_str(&format!(".{name}")),
            Step::Item(i) => text.push_str(&format!("[{i}]")),
        }
    }
    text
}

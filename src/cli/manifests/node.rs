//! Values as the reader hands them out, each with where it is.
//! Must not judge a value that JSON can hold.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use super::place::{Inner, Mark, Place};

/// A value and where it is.
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it is.
    pub place: Place,
}

/// A value of which only the inside is known to be where.
struct Bare {
    value: Value,
    inner: Inner,
}

// === impl Node ===

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned {
            value: Bare { value, inner },
            referenced,
            ..
        } = Spanned::<Bare>::deserialize(deserializer)?;
        let place = Place {
            key: None,
            value: mark(referenced),
            inner,
        };
        Ok(Self { value, place })
    }
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Bare;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bare, E> {
        Ok(leaf(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bare, E> {
        Ok(leaf(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Bare, E> {
        Ok(leaf(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Bare, E> {
        match value.is_finite() {
            true => Ok(leaf(value)),
            // JSON, and with it the API server, has no such number.
            false => Err(E::custom("a number must be finite")),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Bare, E> {
        Ok(leaf(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Bare, E> {
        Ok(leaf(value))
    }

    fn visit_unit<E>(self) -> Result<Bare, E> {
        Ok(leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Bare, E> {
        Ok(leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bare, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bare, A::Error> {
        let (mut values, mut places) = (Vec::new(), Vec::new());
        while let Some(Node { value, place }) = items.next_element()? {
            values.push(value);
            places.push(place);
        }
        Ok(Bare {
            value: Value::Array(values),
            inner: Inner::List(places),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Bare, A::Error> {
        let (mut values, mut places) = (Map::new(), Vec::new());
        while let Some((name, key)) = fields.next_key_seed(Key)? {
            let Node { value, mut place } = fields.next_value()?;
            place.key = Some(key);
            places.push((name.as_str().into(), place));
            values.insert(name, value);
        }
        Ok(Bare {
            value: Value::Object(values),
            inner: Inner::Map(places),
        })
    }
}

/// The name of a field and where it is.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = (String, Mark);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let name = Spanned::<String>::deserialize(deserializer)?;
        Ok((name.value, mark(name.referenced)))
    }
}

fn leaf(value: impl Into<Value>) -> Bare {
    Bare {
        value: value.into(),
        inner: Inner::Leaf,
    }
}

/// A place as the reader has it.
pub fn mark(location: Location) -> Mark {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Mark {
        line: number(location.line()),
        column: number(location.column()),
    }
}

//! JSON schemas of the types that write themselves as text or numbers, for `policy.json`.
//! Must not be in the core build: it is about documenting, not deciding.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::digest::Hex;
use super::limits::{MaxTokens, RequestsPerMinute};
use super::model::ModelSet;

impl<const N: usize> JsonSchema for Hex<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("Hex{}", 2 * N).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * N)})
    }
}

impl JsonSchema for ModelSet {
    fn schema_name() -> Cow<'static, str> {
        "ModelSet".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": {"type": "string", "pattern": "^[^*\\s]*\\*?$"}})
    }
}

macro_rules! limit_schema {
    ($($limit:ident),*) => {$(
        impl JsonSchema for $limit {
            fn schema_name() -> Cow<'static, str> {
                stringify!($limit).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "integer", "minimum": 1, "maximum": u32::MAX})
            }
        }
    )*};
}

limit_schema!(MaxTokens, RequestsPerMinute);

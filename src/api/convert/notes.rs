//! What the annotations of a source Secret say and permit.
//! Must not see a Secret's data.

use kube::api::ObjectMeta;

use crate::api::admission::metadata::Naming;
use crate::api::metadata::{ALLOW_NAMESPACES, ALLOW_WORKSPACES, EXPIRES_AT, ISSUED_AT, KEY_ID};
use crate::facts::{SourceNotes, whole_second};
use crate::policy::name::{Name, NamespacedName};

/// Annotations of a source; a malformed one says nothing and grants nothing.
pub(super) fn notes(meta: &ObjectMeta) -> Option<SourceNotes> {
    let annotation = |key: &str| {
        meta.annotations
            .as_ref()?
            .get(key)
            .map(|value| value.trim())
    };
    let date = |key: &str| annotation(key).and_then(|text| text.parse().ok().map(whole_second));
    let mut notes = SourceNotes {
        allow_namespaces: list(annotation(ALLOW_NAMESPACES), |text| {
            (text == "*" || Naming::Label.allows(text)).then(|| Name::from(text))
        }),
        allow_workspaces: list(annotation(ALLOW_WORKSPACES), |text| {
            let allowed = |name: &Name| Naming::Label.allows(name);
            NamespacedName::parse(text)
                .filter(|name| allowed(&name.namespace) && allowed(&name.name))
        }),
        key_id: annotation(KEY_ID)
            .filter(|id| is_key_id(id))
            .map(Name::from),
        issued_at: date(ISSUED_AT),
        expires_at: date(EXPIRES_AT),
        malformed: Vec::new(),
    };
    let understood = [
        (ALLOW_NAMESPACES, !notes.allow_namespaces.is_empty()),
        (ALLOW_WORKSPACES, !notes.allow_workspaces.is_empty()),
        (KEY_ID, notes.key_id.is_some()),
        (ISSUED_AT, notes.issued_at.is_some()),
        (EXPIRES_AT, notes.expires_at.is_some()),
    ];
    let says = |key: &str| annotation(key).is_some_and(|text| !text.is_empty());
    let malformed = understood
        .into_iter()
        .filter(|(key, understood)| !understood && says(key));
    notes.malformed = malformed.map(|(key, _)| key).collect();
    (notes != SourceNotes::default()).then_some(notes)
}

/// A comma-separated list; one bad entry spoils the whole.
fn list<T>(text: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let parts = text.into_iter().flat_map(|text| text.split(','));
    parts
        .map(|part| parse(part.trim()))
        .collect::<Option<Vec<T>>>()
        .unwrap_or_default()
}

/// An id ends up in statuses and logs, so nothing but an id may.
fn is_key_id(text: &str) -> bool {
    let rest = text.strip_prefix("apikey_");
    rest.is_some_and(|rest| {
        (1..=64).contains(&rest.len()) && rest.bytes().all(|c| c.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).expect("metadata")
    }

    #[test]
    fn a_malformed_grant_grants_nothing() {
        let allow = |text: &str| {
            let meta =
                meta(json!({"annotations": {ALLOW_NAMESPACES: text, ALLOW_WORKSPACES: "a/b"}}));
            notes(&meta).expect("one is fine").allow_namespaces.len()
        };
        assert_eq!(
            (allow("search"), allow("search, batch"), allow("*")),
            (1, 2, 1)
        );
        for bad in [
            "",
            "search,",
            "Search",
            "a b",
            "search,*x",
            "../kube-system",
        ] {
            assert_eq!(allow(bad), 0, "{bad:?}");
        }
    }

    #[test]
    fn only_something_like_a_key_id_is_taken_for_one() {
        for (text, want) in [
            ("apikey_01AbC", true),
            ("sk-ant-api03-x", false),
            ("apikey_", false),
            ("apikey_a b", false),
        ] {
            let notes = notes(&meta(json!({"annotations": {KEY_ID: text}})));
            let id = notes.and_then(|notes| notes.key_id);
            assert_eq!(id.is_some(), want, "{text}");
        }
    }

    #[test]
    fn what_says_something_and_is_not_understood_is_remembered() {
        let malformed = |annotations: Value| {
            let notes = notes(&meta(json!({"annotations": annotations})));
            notes.map(|notes| notes.malformed).unwrap_or_default()
        };
        let bad = json!({ALLOW_NAMESPACES: "a;b", ALLOW_WORKSPACES: "w", KEY_ID: "1",
                         ISSUED_AT: "2026-11-01", EXPIRES_AT: "soon"});
        assert_eq!(
            malformed(bad),
            [
                ALLOW_NAMESPACES,
                ALLOW_WORKSPACES,
                KEY_ID,
                ISSUED_AT,
                EXPIRES_AT
            ]
        );
        let good = json!({ALLOW_NAMESPACES: "a, b", ALLOW_WORKSPACES: "a/w", KEY_ID: "apikey_1",
                          ISSUED_AT: "2026-11-01T00:00:00Z", EXPIRES_AT: "", "other/x": "?"});
        assert_eq!(malformed(good), [""; 0]);
    }
}

//! Single values: names, ids, addresses, times.
//! A length beside each rule is what keeps the rule's cost bounded; it is part of the contract.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::{DNS_LABEL, DNS_SUBDOMAIN, with_rules};

/// A string of 1 to `max` characters that keeps the rules.
pub(super) fn text(max: u32, rules: impl IntoIterator<Item = Rule>) -> Schema {
    with_rules(
        json_schema!({"type": "string", "minLength": 1, "maxLength": max}),
        rules,
    )
}

/// A string that matches the pattern, or the message says what to do.
pub(super) fn matching(max: u32, pattern: &str, message: &str) -> Schema {
    text(
        max,
        [Rule::new(format!("self.matches('{pattern}')")).message(message)],
    )
}

fn free_text(max: u32) -> Schema {
    text(
        max,
        [
            Rule::new(r"self.matches(r'^\P{Cc}*$')")
                .message("must not contain control characters, such as line breaks: remove them"),
            Rule::new(format!("bytes(self).size() <= {max}"))
                .message(format!("must be at most {max} bytes: shorten it").as_str()),
        ],
    )
}

/// The name of a subject.
pub fn subject_name(_: &mut SchemaGenerator) -> Schema {
    free_text(256)
}

/// The name of a claim in a token.
pub fn claim(_: &mut SchemaGenerator) -> Schema {
    free_text(128)
}

/// A name for people.
pub fn display_name(_: &mut SchemaGenerator) -> Schema {
    free_text(128)
}

/// The name of a namespace, a service, an issuer.
pub fn dns_label(_: &mut SchemaGenerator) -> Schema {
    matching(
        63,
        DNS_LABEL,
        "must be a DNS label: a-z, 0-9 and '-', with a letter or digit at both ends",
    )
}

/// The name of a Workspace: short, because names of its outputs are made from it.
pub fn workspace_name(_: &mut SchemaGenerator) -> Schema {
    matching(
        40,
        DNS_LABEL,
        "must be the name of a Workspace: a-z, 0-9 and '-', with a letter or digit at both ends",
    )
}

/// The name of a gateway: short, because names of its outputs are made from it.
pub fn gateway_name(_: &mut SchemaGenerator) -> Schema {
    matching(
        15,
        DNS_LABEL,
        "must be a DNS label: a-z, 0-9 and '-', with a letter or digit at both ends",
    )
}

/// The name of a Secret, ConfigMap or ApiKeyRef.
pub fn object_name(_: &mut SchemaGenerator) -> Schema {
    matching(
        253,
        DNS_SUBDOMAIN,
        "must be an object's name: a-z, 0-9, '-' and '.', with a letter or digit at both ends",
    )
}

/// The name of a role of either kind.
pub fn role_name(_: &mut SchemaGenerator) -> Schema {
    matching(
        63,
        "^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$",
        "must be a role's name: letters, digits and '-', with a letter or digit at both ends",
    )
}

/// A data key of a Secret or ConfigMap.
pub fn data_key(_: &mut SchemaGenerator) -> Schema {
    text(
        253,
        [
            Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
                "must be a data key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'",
            ),
            // Whoever mixes the two up has written a key where everybody may read it.
            Rule::new("!self.startsWith('sk-ant-')").message(
                "must be the name of a data key, not the API key itself: put the key into a Secret, \
                 name its data key here, and replace the key, which others may have seen",
            ),
        ],
    )
}

/// The value of a label.
pub fn label_value(_: &mut SchemaGenerator) -> Schema {
    matching(
        63,
        "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        "must be a label value: letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    )
}

/// Anthropic's id of a workspace.
pub fn workspace_id(_: &mut SchemaGenerator) -> Schema {
    matching(
        128,
        "^wrkspc_[A-Za-z0-9]+$",
        "must be Anthropic's id of the workspace, which starts with wrkspc_: copy it from the Console",
    )
}

/// Anthropic's id of a key. Not the key.
pub fn key_id(_: &mut SchemaGenerator) -> Schema {
    matching(
        128,
        "^apikey_[A-Za-z0-9]+$",
        "must be Anthropic's id of the key, which starts with apikey_: copy it from the Console, and never put a key's value here",
    )
}

/// The iss claim of an OpenID Connect provider, which has no query and no fragment
/// (OpenID Connect Core 1.0, section 2).
pub fn issuer_url(_: &mut SchemaGenerator) -> Schema {
    matching(
        512,
        r#"^https://[-A-Za-z0-9._]+(:[0-9]{1,5})?(/[!-"$->@-~]*)?$"#,
        "must be an https:// address without user, query or fragment, exactly as in the tokens",
    )
}

/// Where public keys are fetched from. Some providers need a query.
pub fn jwks_uri(_: &mut SchemaGenerator) -> Schema {
    matching(
        512,
        r#"^https://[-A-Za-z0-9._]+(:[0-9]{1,5})?(/[!-"$-~]*)?$"#,
        "must be an https:// address without user or fragment",
    )
}

/// A moment.
///
/// `date-time` alone lets pass what is no RFC 3339 time, and the years at either end do not fit
/// the time types of all readers: an object with such a time could not be read back.
pub fn point_in_time(_: &mut SchemaGenerator) -> Schema {
    with_rules(
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$",
        }),
        [Rule::new(
            "self >= timestamp('2000-01-01T00:00:00Z') && self < timestamp('3000-01-01T00:00:00Z')",
        )
        .message("must lie in the years 2000 to 2999: for no limit, leave it out")],
    )
}

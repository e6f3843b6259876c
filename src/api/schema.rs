//! The shapes of values that several fields share, each with words that say what to do when a
//! value does not fit. Describes values only: rules between fields stand beside those fields.

mod lists;
mod selectors;
mod strings;

pub use lists::{
    audiences, binding_subjects, blocked_subjects, fingerprints, key_digests, key_users, models,
    namespaces, role_names,
};
pub use selectors::{label_selector, pod_selector};
pub use strings::{
    claim, data_key, display_name, dns_label, gateway_name, issuer_url, jwks_uri, key_id,
    label_value, object_name, point_in_time, role_name, subject_name, workspace_id, workspace_name,
};

use kube::core::{Rule, validate};
use schemars::Schema;

/// One DNS label: what namespaces, Workspaces and gateways are called.
pub const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Dot-separated DNS labels: what most objects are called.
pub const DNS_SUBDOMAIN: &str =
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Adds rules to a schema, in order.
fn with_rules(mut schema: Schema, rules: impl IntoIterator<Item = Rule>) -> Schema {
    for rule in rules {
        validate(&mut schema, rule).expect("a rule is strings only, so it is JSON");
    }
    schema
}

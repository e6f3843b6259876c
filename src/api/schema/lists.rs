//! Lists of values. One that may be left out is never empty: empty and unset would look alike
//! and mean different things. The lengths keep the rules' cost bounded; they are the contract.

use kube::core::{Reason, Rule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::strings::{dns_label, matching, text};
use super::with_rules;
use crate::api::Subject;

fn list(max: u32, kind: &str, items: Schema) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": max,
        "x-kubernetes-list-type": kind,
        "items": items,
    })
}

/// What roles and Workspaces allow.
pub fn models(_: &mut SchemaGenerator) -> Schema {
    list(
        64,
        "set",
        matching(
            128,
            "^([A-Za-z0-9][-A-Za-z0-9._:/@]*[*]?|[*])$",
            "must be an exact model id, or a prefix that ends in its only '*': put the '*' at the end, or name each model",
        ),
    )
}

/// Namespaces by name.
pub fn namespaces(generator: &mut SchemaGenerator) -> Schema {
    list(256, "set", dns_label(generator))
}

/// ApplicationRoles by name.
pub fn role_names(generator: &mut SchemaGenerator) -> Schema {
    list(64, "set", dns_label(generator))
}

/// Audiences of tokens, of which none opens a Kubernetes API server.
///
/// Which audiences an API server takes is its operator's choice and cannot be seen from a
/// schema. These are the usual ones: the in-cluster names of kubeadm and most distributions,
/// `api` of the Kubernetes documentation, k3s and RKE2, and the issuers of EKS, GKE and AKS.
pub fn audiences(_: &mut SchemaGenerator) -> Schema {
    let api_servers = "^((https://)?kubernetes([.]default([.]svc([.].*)?)?)?(:443)?/?|api|k3s|rke2\
        |https://container[.]googleapis[.]com/.*|https://oidc[.]eks[.].*|https://.*[.]azmk8s[.]io.*)$";
    let item = text(
        256,
        [
            Rule::new(r"self.matches(r'^\P{Cc}*$')")
                .message("must not contain control characters, such as line breaks: remove them"),
            Rule::new(format!("!self.matches('{api_servers}')"))
                .message(
                    "is an audience of Kubernetes API servers, so the gateway would collect tokens that open the cluster: choose one of your own, such as anthropic-rbac/NAMESPACE/NAME",
                )
                .reason(Reason::FieldValueForbidden),
        ],
    );
    list(16, "set", item)
}

/// Short digests of key versions.
pub fn fingerprints(_: &mut SchemaGenerator) -> Schema {
    list(
        64,
        "set",
        matching(
            16,
            "^[0-9a-f]{16}$",
            "must be the first 16 hex digits, in lower case, of the key's SHA-256: copy it from status.fingerprint",
        ),
    )
}

/// Full digests of client keys.
pub fn key_digests(_: &mut SchemaGenerator) -> Schema {
    list(
        16,
        "set",
        matching(
            64,
            "^[0-9a-f]{64}$",
            "must be the 64 hex digits, in lower case, of the client key's SHA-256, and never the client key itself",
        ),
    )
}

/// Subjects with further rules for each, which may need more than a subject alone tells.
fn subjects(generator: &mut SchemaGenerator, rules: impl IntoIterator<Item = Rule>) -> Schema {
    let item = with_rules(Subject::json_schema(generator), rules);
    list(256, "atomic", item)
}

/// Every subject once, fields compared as written.
///
/// `self.all(a, self.exists_one(b, a == b))` says the same and also fits the cost budget, but
/// keeps an API server busy for about two seconds at 256 subjects, on every write to the object
/// or its status. Comparing lists of strings instead takes a tenth of that, and a comparison of
/// lists is charged by their length and not by that of the strings in them.
fn each_once() -> Rule {
    let fields = "[s.kind, has(s.__namespace__) ? s.__namespace__ : '', has(s.issuer) ? s.issuer : '', has(s.name) ? s.name : '', has(s.sha256) ? s.sha256.join(',') : '']";
    // The list around the list gives it a name. The reason is not FieldValueDuplicate because the
    // API server drops the message of that one.
    Rule::new(format!(
        "[self.map(s, {fields})].all(keys, keys.all(a, keys.exists_one(b, a == b)))"
    ))
    .message("lists a subject twice: remove the repeated entry")
}

fn client_key_is_here() -> Rule {
    Rule::new("self.kind != 'ClientKey' || !has(self.__namespace__)")
        .message("a ClientKey's Secret is in the namespace of this object: leave namespace out")
        .field_path(".namespace")
        .reason(Reason::FieldValueForbidden)
}

fn issuer_vouches() -> Rule {
    Rule::new("!(self.kind in ['User', 'Group']) || has(self.issuer)")
        .message("a User or Group needs the issuer that vouches for it: set issuer to a name from the Workspace's authentication.issuers")
        .field_path(".issuer")
        .reason(Reason::FieldValueRequired)
}

/// Who a RoleBinding is for. Whether an issuer is needed depends on the kind of role.
pub fn binding_subjects(generator: &mut SchemaGenerator) -> Schema {
    let schema = subjects(generator, [client_key_is_here()]);
    with_rules(schema, [each_once()])
}

/// Whose requests are sent with a key.
pub fn key_users(generator: &mut SchemaGenerator) -> Schema {
    let schema = subjects(generator, [client_key_is_here(), issuer_vouches()]);
    with_rules(schema, [each_once()])
}

/// Who is denied whatever is granted. Blocking somebody twice is harmless, and in an incident a
/// refusal would not be; a ClientKey may be another namespace's, because that is where it leaks.
pub fn blocked_subjects(generator: &mut SchemaGenerator) -> Schema {
    subjects(generator, [issuer_vouches()])
}

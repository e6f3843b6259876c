//! Workspace to domain. Must not fill in what a role or tier amounts to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::ObjectMeta;

use super::fields::{ClientKeysOf, limit, models, namespace_or_own, rotation, subjects};
use super::invalid;
use crate::api::admission::metadata::{is_label_key, is_label_value};
use crate::api::{
    ApiAccess, Authentication, Gateway as GatewayField, GatewayType, Issuer as IssuerField,
    IssuerType, NamespaceGrant, Permission, RateLimits, RoleDefinition, State, SubjectScope,
    Tier as TierField, WorkspaceKeys, WorkspaceSpec,
};
use crate::facts::Invalid;
use crate::policy::limits::{DEFAULT_MAX_TOKENS, Tier};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::role::RoleChange;
use crate::policy::selector::{Operator, Requirement, Selector};
use crate::policy::workspace::{
    AllowedNamespaces, Gateway, GatewayKind, Issuer, IssuerKind, Jwks, WhichNamespaces, Workspace,
};

/// The workspace a spec asks for.
pub fn convert(meta: &ObjectMeta, spec: &WorkspaceSpec) -> Result<Workspace, Invalid> {
    let WorkspaceSpec {
        display_name: _,
        environment,
        workspace_id,
        rate_limits,
        models: bound,
        default_max_tokens,
        roles,
        keys,
        allowed_namespaces,
        blocked_subjects,
        authentication,
        gateways,
        state,
    } = spec;
    let (tier, requests_per_minute) = match rate_limits {
        None => (None, None),
        Some(RateLimits {
            tier: None,
            requests_per_minute: None,
        }) => {
            return Err(invalid(
                "spec.rateLimits",
                "set tier, requestsPerMinute, or both",
            ));
        }
        Some(RateLimits {
            tier,
            requests_per_minute,
        }) => (*tier, *requests_per_minute),
    };
    let WorkspaceKeys {
        default_api_key_ref,
        rotation: wish,
    } = keys.clone().unwrap_or_default();
    let default_api_key_ref = default_api_key_ref
        .map(|reference| NamespacedName::new(namespace_or_own(meta, None), reference.name));
    let allowed = allowed_namespaces.iter().flatten().enumerate();
    let blocked = blocked_subjects.as_deref().unwrap_or_default();
    Ok(Workspace {
        environment: environment.as_deref().map(Name::from),
        workspace_id: workspace_id.as_deref().map(Name::from),
        tier: tier.map(convert_tier),
        requests_per_minute: limit(requests_per_minute, || {
            "spec.rateLimits.requestsPerMinute".into()
        })?,
        models: models(bound.as_ref(), "spec.models")?,
        default_max_tokens: limit(*default_max_tokens, || "spec.defaultMaxTokens".into())?
            .unwrap_or(DEFAULT_MAX_TOKENS),
        roles: role_changes(roles.as_deref().unwrap_or_default())?,
        default_api_key_ref,
        rotation: rotation(wish.as_ref(), "spec.keys.rotation")?,
        allowed_namespaces: allowed
            .map(|(i, entry)| allowed_entry(i, entry))
            .collect::<Result<_, _>>()?,
        blocked: subjects(
            meta,
            blocked,
            "spec.blockedSubjects",
            ClientKeysOf::AnyNamespace,
        )?,
        issuers: convert_issuers(authentication.as_ref())?,
        gateways: convert_gateways(gateways.as_deref())?,
        enabled: *state != Some(State::Disabled),
    })
}

fn convert_tier(tier: TierField) -> Tier {
    match tier {
        TierField::Tier1 => Tier::Tier1,
        TierField::Tier2 => Tier::Tier2,
        TierField::Tier3 => Tier::Tier3,
        TierField::Tier4 => Tier::Tier4,
        TierField::Start => Tier::Start,
        TierField::Build => Tier::Build,
        TierField::Scale => Tier::Scale,
    }
}

fn role_changes(roles: &[RoleDefinition]) -> Result<BTreeMap<Name, RoleChange>, Invalid> {
    let mut changes = BTreeMap::new();
    for (i, role) in roles.iter().enumerate() {
        let RoleDefinition {
            name,
            api_access,
            models: opened,
            max_tokens,
            requests_per_minute,
        } = role;
        let field = |name: &str| format!("spec.roles[{i}].{name}");
        let change = RoleChange {
            api_access: api_access.map(|access| match access {
                ApiAccess::Allowed => true,
                ApiAccess::None => false,
            }),
            models: models(opened.as_ref(), &field("models"))?,
            max_tokens: limit(*max_tokens, || field("maxTokens"))?,
            requests_per_minute: limit(*requests_per_minute, || field("requestsPerMinute"))?,
        };
        if changes.insert(Name::from(&**name), change).is_some() {
            return Err(invalid(
                field("name"),
                "is there twice; give every role one entry",
            ));
        }
    }
    Ok(changes)
}

fn allowed_entry(i: usize, entry: &NamespaceGrant) -> Result<AllowedNamespaces, Invalid> {
    let NamespaceGrant {
        selector,
        names,
        roles,
        subjects,
        api_key_refs,
    } = entry;
    let field = format!("spec.allowedNamespaces[{i}]");
    let names_of = |names: &[String]| names.iter().map(|name| Name::from(&**name)).collect();
    let which = match (selector, names) {
        (Some(selector), None) => {
            WhichNamespaces::Selector(convert_selector(selector, &format!("{field}.selector"))?)
        }
        (None, Some(names)) => WhichNamespaces::Names(names_of(names)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid(field, "set exactly one of selector and names"));
        }
    };
    Ok(AllowedNamespaces {
        which,
        roles: names_of(roles.as_deref().unwrap_or_default()),
        any_subject: *subjects == Some(SubjectScope::Any),
        api_key_refs: *api_key_refs == Some(Permission::Allow),
    })
}

fn convert_selector(selector: &LabelSelector, field: &str) -> Result<Selector, Invalid> {
    let LabelSelector {
        match_labels,
        match_expressions,
    } = selector;
    let mut requirements = Vec::new();
    for (key, value) in match_labels.iter().flatten() {
        requirements.push(Requirement {
            key: Name::from(&**key),
            operator: Operator::In(vec![Name::from(&**value)]),
        });
    }
    for (i, expression) in match_expressions.iter().flatten().enumerate() {
        let LabelSelectorRequirement {
            key,
            operator,
            values,
        } = expression;
        let values = || {
            values
                .iter()
                .flatten()
                .map(|value| Name::from(&**value))
                .collect()
        };
        requirements.push(Requirement {
            key: Name::from(&**key),
            operator: match &**operator {
                "In" => Operator::In(values()),
                "NotIn" => Operator::NotIn(values()),
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let field = format!("{field}.matchExpressions[{i}].operator");
                    let message =
                        format!("'{other}' is none of In, NotIn, Exists and DoesNotExist");
                    return Err(invalid(field, message));
                }
            },
        });
    }
    if !requirements.iter().all(is_of_labels) {
        let message = "has a key or value that no label can have; correct it";
        return Err(invalid(field, message));
    }
    Ok(Selector(requirements))
}

/// Whether labels can be so. In a list of pods the API server refuses others, and nobody would ever
/// know the pods; of namespaces a NotIn would have all.
fn is_of_labels(requirement: &Requirement) -> bool {
    let Requirement { key, operator } = requirement;
    let values = match operator {
        Operator::In(values) | Operator::NotIn(values) => &**values,
        Operator::Exists | Operator::DoesNotExist => &[],
    };
    is_label_key(key) && values.iter().all(|value| is_label_value(value))
}

/// No two may vouch for the same subjects.
fn convert_issuers(authentication: Option<&Authentication>) -> Result<Vec<Issuer>, Invalid> {
    let mut issuers: Vec<Issuer> = Vec::new();
    let fields = authentication.iter().flat_map(|field| &field.issuers);
    for (i, field) in fields.enumerate() {
        let issuer = convert_issuer(i, field)?;
        let same = |other: &Issuer| match (&other.kind, &issuer.kind) {
            (IssuerKind::Kubernetes, IssuerKind::Kubernetes) => true,
            (IssuerKind::Oidc { issuer_url: a, .. }, IssuerKind::Oidc { issuer_url: b, .. }) => {
                a == b
            }
            (IssuerKind::Kubernetes, IssuerKind::Oidc { .. })
            | (IssuerKind::Oidc { .. }, IssuerKind::Kubernetes) => false,
        };
        if issuers
            .iter()
            .any(|other| other.name == issuer.name || same(other))
        {
            let message = "has the name, or vouches for the subjects, of one before it; keep one";
            return Err(invalid(
                format!("spec.authentication.issuers[{i}]"),
                message,
            ));
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

fn convert_issuer(i: usize, issuer: &IssuerField) -> Result<Issuer, Invalid> {
    let IssuerField {
        name,
        type_,
        issuer_url,
        jwks_config_map_ref,
        jwks_uri,
        user_claim,
        groups_claim,
        audiences,
    } = issuer;
    let field = format!("spec.authentication.issuers[{i}]");
    let kind = match type_ {
        IssuerType::Kubernetes => IssuerKind::Kubernetes,
        IssuerType::Oidc => IssuerKind::Oidc {
            issuer_url: issuer_url.as_deref().map(Name::from).ok_or_else(|| {
                invalid(
                    format!("{field}.issuerURL"),
                    "is missing; an OIDC issuer needs it",
                )
            })?,
            user_claim: user_claim.as_deref().map(Name::from),
            groups_claim: groups_claim.as_deref().map(Name::from),
            jwks: match (jwks_config_map_ref, jwks_uri) {
                (Some(reference), None) => Jwks::ConfigMap {
                    name: Name::from(&*reference.name),
                    key: Name::from(&*reference.key),
                },
                (None, Some(uri)) => Jwks::Uri(Name::from(&**uri)),
                (Some(_), Some(_)) | (None, None) => {
                    return Err(invalid(
                        field,
                        "set exactly one of jwksConfigMapRef and jwksURI",
                    ));
                }
            },
        },
    };
    Ok(Issuer {
        name: Name::from(&**name),
        audiences: audiences
            .iter()
            .map(|audience| Name::from(&**audience))
            .collect(),
        kind,
    })
}

fn convert_gateways(gateways: Option<&[GatewayField]>) -> Result<Vec<Gateway>, Invalid> {
    let gateways = gateways.into_iter().flatten().enumerate();
    let gateways = gateways.map(|(i, gateway)| {
        let GatewayField {
            name,
            type_,
            pod_selector,
        } = gateway;
        let field = format!("spec.gateways[{i}].podSelector");
        let selector = pod_selector.as_ref();
        let selector = selector.map(|selector| convert_selector(selector, &field));
        Ok(Gateway {
            name: Name::from(&**name),
            kind: match type_ {
                GatewayType::Envoy => GatewayKind::Envoy,
                GatewayType::LiteLLM => GatewayKind::LiteLlm,
            },
            pods: selector.transpose()?,
        })
    });
    gateways.collect()
}

//! A Workspace as the domain sees it.
//! Must not know what is attached to it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::grant::RoleRef;
use super::limits::{DEFAULT_MAX_TOKENS, MaxTokens, RequestsPerMinute, Tier};
use super::model::ModelSet;
use super::name::{Name, NamespacedName};
use super::role::{BUILT_IN, RoleChange};
use super::rotation::RotationWish;
use super::selector::{Labels, Selector};
use super::subject::SubjectRef;

/// What a Workspace's spec says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workspace {
    /// `production`, say; compared with the namespace label of that name.
    pub environment: Option<Name>,
    /// Anthropic's id of it.
    pub workspace_id: Option<Name>,
    /// The usage tier it was given, if by tier.
    pub tier: Option<Tier>,
    /// Ceiling shared by all subjects, if written out.
    pub requests_per_minute: Option<RequestsPerMinute>,
    /// Upper bound for every role; `None` bounds nothing.
    pub models: Option<ModelSet>,
    /// For requests that name none.
    pub default_max_tokens: MaxTokens,
    /// Changes to built-in roles and added roles.
    pub roles: BTreeMap<Name, RoleChange>,
    /// The key of subjects that no ApiKeyRef names.
    pub default_api_key_ref: Option<NamespacedName>,
    /// Rotation as the platform team wants it.
    pub rotation: RotationWish,
    /// Who besides its own namespace may attach.
    pub allowed_namespaces: Vec<AllowedNamespaces>,
    /// Denied whatever grants them access.
    pub blocked: Vec<SubjectRef>,
    /// Who vouches for callers.
    pub issuers: Vec<Issuer>,
    /// Gateways to render for.
    pub gateways: Vec<Gateway>,
    /// False denies every request and takes its keys away.
    pub enabled: bool,
}

/// Some namespaces and how far they may go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllowedNamespaces {
    /// Which.
    pub which: WhichNamespaces,
    /// ApplicationRoles they may bind. None named, none allowed.
    pub roles: Vec<Name>,
    /// True lets them name subjects that are not their own.
    pub any_subject: bool,
    /// True lets their ApiKeyRefs attach.
    pub api_key_refs: bool,
}

/// Namespaces by name or by label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhichNamespaces {
    /// Exactly these.
    Names(Vec<Name>),
    /// Those with such labels.
    Selector(Selector),
}

/// Who vouches for a caller's identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issuer {
    /// What subjects call it.
    pub name: Name,
    /// Tokens must be meant for one of these.
    pub audiences: Vec<Name>,
    /// How its tokens are verified.
    pub kind: IssuerKind,
}

/// How an issuer's tokens are verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IssuerKind {
    /// This cluster's ServiceAccounts.
    Kubernetes,
    /// OpenID Connect.
    Oidc {
        /// Must equal the token's `iss`.
        issuer_url: Name,
        /// Claim with the user's name; `None` is `sub`.
        user_claim: Option<Name>,
        /// Claim with the groups; `None` is no groups.
        groups_claim: Option<Name>,
        /// Where its signing keys are.
        jwks: Jwks,
    },
}

/// Where signing keys are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Jwks {
    /// In a ConfigMap of the Workspace's namespace.
    ConfigMap { name: Name, key: Name },
    /// At a URL the gateway fetches.
    Uri(Name),
}

/// A gateway to render for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Names its files.
    pub name: Name,
    /// Whose language.
    pub kind: GatewayKind,
    /// Its pods in the Workspace's namespace; `None` looks at no pods.
    pub pods: Option<Selector>,
}

/// Gateways the contract knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatewayKind {
    Envoy,
    LiteLlm,
}

/// How far one namespace may go in a workspace. Entries are not merged: what a binding asks
/// for must fit one entry whole, so that two narrow entries never add up to a wide one.
#[derive(Clone, Debug)]
pub enum Ceiling<'a> {
    /// The Workspace's own namespace: no ceiling.
    Home,
    /// The entries that name the namespace, at least one.
    Entries(Vec<&'a AllowedNamespaces>),
}

// === impl Workspace ===

impl Default for Workspace {
    fn default() -> Self {
        Self {
            environment: None,
            workspace_id: None,
            tier: None,
            requests_per_minute: None,
            models: None,
            default_max_tokens: DEFAULT_MAX_TOKENS,
            roles: BTreeMap::new(),
            default_api_key_ref: None,
            rotation: RotationWish::default(),
            allowed_namespaces: Vec::new(),
            blocked: Vec::new(),
            issuers: Vec::new(),
            gateways: Vec::new(),
            enabled: true,
        }
    }
}

impl Workspace {
    /// The shared ceiling: as written, else the tier's, else none.
    pub fn ceiling_per_minute(&self) -> Option<RequestsPerMinute> {
        self.requests_per_minute
            .or(self.tier.map(Tier::requests_per_minute))
    }

    /// Who vouches for callers: as written, else this cluster's ServiceAccounts with an audience
    /// of the Workspace's own. `own` is the Workspace's name.
    pub fn effective_issuers(&self, own: &NamespacedName) -> Cow<'_, [Issuer]> {
        if !self.issuers.is_empty() {
            return Cow::Borrowed(&self.issuers);
        }
        Cow::Owned(vec![Issuer {
            name: "cluster".into(),
            audiences: vec![format!("anthropic-rbac/{own}").into()],
            kind: IssuerKind::Kubernetes,
        }])
    }

    /// Whether a binding of `namespace` may give this role here at all. `own` is the Workspace's
    /// namespace.
    pub fn admits(
        &self,
        own: &str,
        namespace: &str,
        labels: Option<&Labels>,
        role: &RoleRef,
    ) -> bool {
        let RoleRef::Application(role) = role else {
            return own == namespace;
        };
        let exists = BUILT_IN.contains(&&**role) || self.roles.contains_key(role);
        let ceiling = self.ceiling_of(own, namespace, labels);
        exists && ceiling.is_some_and(|ceiling| ceiling.may_bind(role))
    }

    /// How far `namespace` may go in this Workspace, which lives in `home`;
    /// `None` when it may not attach at all. Of labels that nobody has seen no selector is sure.
    pub fn ceiling_of(
        &self,
        home: &str,
        namespace: &str,
        labels: Option<&Labels>,
    ) -> Option<Ceiling<'_>> {
        if home == namespace {
            return Some(Ceiling::Home);
        }
        let entries: Vec<_> = self
            .allowed_namespaces
            .iter()
            .filter(|entry| entry.which.contains(namespace, labels))
            .collect();
        (!entries.is_empty()).then_some(Ceiling::Entries(entries))
    }
}

// === impl Ceiling ===

impl Ceiling<'_> {
    /// Whether this ApplicationRole may be bound at all.
    pub fn may_bind(&self, role: &str) -> bool {
        self.any(|entry| entry.opens(role))
    }

    /// Whether this ApplicationRole may be bound to subjects of elsewhere.
    pub fn may_bind_to_anyone(&self, role: &str) -> bool {
        self.any(|entry| entry.any_subject && entry.opens(role))
    }

    /// Whether ApiKeyRefs may attach.
    pub fn may_attach_keys(&self) -> bool {
        self.any(|entry| entry.api_key_refs)
    }

    /// Whether this is the Workspace's own namespace.
    pub fn is_home(&self) -> bool {
        matches!(self, Self::Home)
    }

    fn any(&self, test: impl Fn(&AllowedNamespaces) -> bool) -> bool {
        match self {
            Self::Home => true,
            Self::Entries(entries) => entries.iter().any(|entry| test(entry)),
        }
    }
}

impl AllowedNamespaces {
    fn opens(&self, role: &str) -> bool {
        self.roles.iter().any(|name| **name == *role)
    }
}

// === impl WhichNamespaces ===

impl WhichNamespaces {
    /// Whether a namespace of this name and these labels is meant. While its labels are not
    /// known, only a selector of all means it: "not labelled" is not the same as "not seen".
    pub fn contains(&self, namespace: &str, labels: Option<&Labels>) -> bool {
        match (self, labels) {
            (Self::Names(names), _) => names.iter().any(|name| **name == *namespace),
            (Self::Selector(selector), Some(labels)) => selector.matches(labels),
            (Self::Selector(selector), None) => selector.0.is_empty(),
        }
    }

    /// Whether it takes labels to tell.
    pub fn is_by_label(&self) -> bool {
        matches!(self, Self::Selector(selector) if !selector.0.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::selector::{Operator, Requirement};

    fn entry(names: &[&str], roles: &[&str], any_subject: bool) -> AllowedNamespaces {
        AllowedNamespaces {
            which: WhichNamespaces::Names(names.iter().map(|n| Name::from(*n)).collect()),
            roles: roles.iter().map(|n| Name::from(*n)).collect(),
            any_subject,
            api_key_refs: false,
        }
    }

    #[test]
    fn a_namespace_that_no_entry_names_may_not_attach() {
        let workspace = Workspace {
            allowed_namespaces: vec![entry(&["search"], &["user"], false)],
            ..Workspace::default()
        };
        assert!(
            workspace
                .ceiling_of("claude", "batch", Some(&Labels::new()))
                .is_none()
        );
        assert!(
            workspace
                .ceiling_of("claude", "claude", Some(&Labels::new()))
                .is_some_and(|c| c.is_home())
        );
        let search = workspace
            .ceiling_of("claude", "search", Some(&Labels::new()))
            .expect("named");
        assert!(search.may_bind("user") && !search.may_bind("admin"));
        assert!(!search.may_bind_to_anyone("user") && !search.may_attach_keys());
    }

    #[test]
    fn labels_that_nobody_saw_match_no_selector_but_that_of_all() {
        let unlabelled = Requirement {
            key: "restricted".into(),
            operator: Operator::DoesNotExist,
        };
        let without = WhichNamespaces::Selector(Selector(vec![unlabelled]));
        let all = WhichNamespaces::Selector(Selector::default());
        let none = Labels::new();
        assert!(without.contains("search", Some(&none)) && !without.contains("search", None));
        assert!(all.contains("search", Some(&none)) && all.contains("search", None));
        assert!(without.is_by_label() && !all.is_by_label());
    }

    #[test]
    fn two_narrow_entries_never_add_up_to_a_wide_one() {
        let workspace = Workspace {
            allowed_namespaces: vec![
                entry(&["search"], &["admin"], false),
                entry(&["search"], &["user"], true),
            ],
            ..Workspace::default()
        };
        let search = workspace
            .ceiling_of("claude", "search", Some(&Labels::new()))
            .expect("named");
        assert!(search.may_bind("admin") && search.may_bind_to_anyone("user"));
        assert!(!search.may_bind_to_anyone("admin"));
    }

    #[test]
    fn the_ceiling_is_as_written_else_the_tiers() {
        let tier = Workspace {
            tier: Some(Tier::Tier2),
            ..Workspace::default()
        };
        let both = Workspace {
            requests_per_minute: RequestsPerMinute::try_from(7).ok(),
            ..tier.clone()
        };
        let rpm = |w: &Workspace| w.ceiling_per_minute().map(RequestsPerMinute::get);
        assert_eq!(
            (rpm(&Workspace::default()), rpm(&tier), rpm(&both)),
            (None, Some(1000), Some(7))
        );
    }
}

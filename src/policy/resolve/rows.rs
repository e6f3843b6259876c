//! Rows of the policy from the domain's values. Must not decide which rows there are.

use super::{Facts, KeyFacts};
use crate::policy::catalogue::Catalogue;
use crate::policy::digest::ContentId;
use crate::policy::model::ModelSet;
use crate::policy::name::Name;
use crate::policy::role::Role;
use crate::policy::table::{
    AccessRow, IssuerRow, IssuerType, KeyRow, RoleRow, WorkspaceRow, WorkspaceState,
};
use crate::policy::workspace::IssuerKind;

pub(super) fn role_row(role: &Role, catalogue: &Catalogue) -> RoleRow {
    RoleRow {
        name: role.name.clone(),
        access: role.access.as_ref().map(|access| AccessRow {
            models: catalogue.with_aliases(&access.models),
            max_tokens: access.max_tokens,
            requests_per_minute: access.requests_per_minute,
        }),
    }
}

pub(super) fn key_row(facts: &KeyFacts<'_>) -> KeyRow {
    KeyRow {
        api_key_ref: Name::from(facts.name.to_string()),
        scope: facts.key.scope,
        fingerprint: facts.usable,
    }
}

pub(super) fn workspace_row(facts: &Facts<'_>, default_key: Option<ContentId>) -> WorkspaceRow {
    let Facts {
        name,
        workspace,
        catalogue,
        ..
    } = facts;
    let issuers = workspace.effective_issuers(name);
    WorkspaceRow {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        environment: workspace.environment.clone(),
        workspace_id: workspace.workspace_id.clone(),
        state: if workspace.enabled {
            WorkspaceState::Enabled
        } else {
            WorkspaceState::Disabled
        },
        models: workspace
            .models
            .as_ref()
            .map(|models: &ModelSet| catalogue.with_aliases(models)),
        requests_per_minute: workspace.ceiling_per_minute(),
        default_max_tokens: workspace.default_max_tokens,
        default_key,
        issuers: issuers.iter().map(issuer_row).collect(),
    }
}

pub(super) fn issuer_row(issuer: &crate::policy::workspace::Issuer) -> IssuerRow {
    let (kind, issuer_url, user_claim, groups_claim) = match &issuer.kind {
        IssuerKind::Kubernetes => (IssuerType::Kubernetes, None, None, None),
        IssuerKind::Oidc {
            issuer_url,
            user_claim,
            groups_claim,
            jwks: _,
        } => (
            IssuerType::Oidc,
            Some(issuer_url.clone()),
            Some(user_claim.clone().unwrap_or_else(|| "sub".into())),
            groups_claim.clone(),
        ),
    };
    IssuerRow {
        name: issuer.name.clone(),
        kind,
        audiences: issuer.audiences.clone(),
        issuer_url,
        user_claim,
        groups_claim,
    }
}

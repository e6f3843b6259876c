//! RoleBinding to grant. Must not decide whether it is permitted.

use kube::api::ObjectMeta;

use super::fields::{ClientKeysOf, subjects, time, workspace_ref};
use super::invalid;
use crate::api::{RoleBindingSpec, RoleKind, RoleRef, State};
use crate::facts::Invalid;
use crate::policy::grant::{Grant, RoleRef as Role, Window};
use crate::policy::name::Name;

/// The grant a spec asks for.
pub fn convert(meta: &ObjectMeta, spec: &RoleBindingSpec) -> Result<Grant, Invalid> {
    let RoleBindingSpec {
        workspace_ref: workspace,
        role_ref: RoleRef { kind, name: role },
        subjects: named,
        not_before,
        expires_at,
        state,
    } = spec;
    let window = Window {
        not_before: time(not_before.as_ref()),
        expires_at: time(expires_at.as_ref()),
    };
    if let (Some(start), Some(end)) = (window.not_before, window.expires_at)
        && end <= start
    {
        return Err(invalid("spec.expiresAt", "must be after notBefore"));
    }
    let mut grant = Grant {
        workspace: workspace_ref(meta, workspace),
        role: Role::Application(Name::from(&**role)),
        subjects: Vec::new(),
        console_members: Vec::new(),
        window,
        enabled: *state != Some(State::Disabled),
    };
    match kind {
        RoleKind::ApplicationRole => {
            grant.subjects = subjects(meta, named, "spec.subjects", ClientKeysOf::OwnNamespace)?
        }
        RoleKind::ConsoleRole => {
            grant.role = Role::Console(Name::from(&**role));
            for (i, subject) in named.iter().enumerate() {
                let field = format!("spec.subjects[{i}]");
                if subject.kind != crate::api::SubjectKind::User || subject.issuer.is_some() {
                    let fix = "a ConsoleRole is for Users without issuer, named by e-mail address";
                    return Err(invalid(field, fix));
                }
                let name = subject.name.as_deref().unwrap_or_default();
                crate::policy::name::check_name(name)
                    .map_err(|why| invalid(format!("{field}.name"), why))?;
                grant.console_members.push(Name::from(name));
            }
        }
    }
    Ok(grant)
}

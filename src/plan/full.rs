//! What of a workspace does not fit into its objects, and who is told.
//! Must not choose what is left out; `gateway::fit` does.

use std::borrow::Cow;

use super::keys::{Settled, Trouble};
use crate::api::conditions::reason;
use crate::facts::{BindingFacts, Snapshot};
use crate::gateway::fit::{self, Ages, Lost};
use crate::policy::grant::{Grant, RoleRef};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::Resolution;

/// Takes away what does not fit.
pub fn fit(snapshot: &Snapshot, resolution: &mut Resolution) -> Lost {
    let named = |name: &NamespacedName| Name::from(name.to_string());
    // Only needed past the limits; building them is nothing beside resolving.
    let bindings = snapshot.bindings.iter().map(|facts| &facts.object);
    let bindings: Ages = bindings
        .filter_map(|object| Some((named(&object.name), object.created?)))
        .collect();
    let keys = snapshot.keys.iter().map(|facts| &facts.object);
    let keys: Ages = keys
        .filter_map(|object| Some((named(&object.name), object.created?)))
        .collect();
    fit::fit(resolution, &bindings, &keys)
}

/// What becomes of the keys then: those that were left out are programmed nowhere at the gateway.
pub fn settle<'s>(
    snapshot: &Snapshot,
    lost: &Lost,
    settled: &'s [Option<Settled>],
) -> Cow<'s, [Option<Settled>]> {
    if lost.keys.is_empty() {
        return Cow::Borrowed(settled);
    }
    let mut settled = settled.to_vec();
    for (facts, settled) in snapshot.keys.iter().zip(&mut settled) {
        let gone = lost.keys.contains(&*facts.object.name.to_string());
        if let (Some(settled), true) = (settled, gone) {
            settled.usable = None;
            settled.unprogrammed.get_or_insert_with(|| Trouble {
                reason: reason::WORKSPACE_FULL,
                message: format!(
                    "Workspace {} has no room for more keys, and this namespace has the most there, so no request \
                     is sent with this one. Delete ApiKeyRefs that are not needed, or use a second Workspace.",
                    snapshot.name
                ),
                wanted: false,
            });
        }
    }
    Cow::Owned(settled)
}

/// What a binding is told of which something was left out.
pub fn of_binding(
    snapshot: &Snapshot,
    lost: &Lost,
    facts: &BindingFacts,
) -> Option<(&'static str, String)> {
    if lost.is_nothing() {
        return None;
    }
    let workspace = &snapshot.name;
    let grant = facts.object.spec.as_ref().ok()?;
    let left_out = lost.grants.get(&*facts.object.name.to_string());
    let message = if lost.everything {
        format!(
            "Workspace {workspace} does not fit into its objects, so everything is denied. Its status says more."
        )
    } else if let Some(grants) = left_out {
        format!(
            "Workspace {workspace} has no room for {grants} of the grants of this binding: the namespaces with \
             the most lose first, and the newest bindings in them. Remove bindings or subjects, bind groups \
             instead of people, or use a second Workspace."
        )
    } else if loses_people(lost, grant) {
        format!(
            "Workspace {workspace} names more people for the Console than one object holds, and some of this \
             binding are left out. Remove people, or use a second Workspace."
        )
    } else {
        return None;
    };
    Some((reason::WORKSPACE_FULL, message))
}

/// What the Workspace says of it.
pub fn of_workspace(lost: &Lost) -> Option<(&'static str, String)> {
    if lost.is_nothing() {
        return None;
    }
    let message = if lost.everything {
        "The Workspace's own settings, or keys named for people, do not fit into its objects, so every \
         request is denied. Shorten spec.authentication and spec.models, or name fewer people in usedBy."
            .to_owned()
    } else {
        let people: usize = lost
            .people
            .values()
            .map(std::collections::BTreeSet::len)
            .sum();
        format!(
            "Its objects have no room for {} bindings, {} ApiKeyRefs, {} roles and {people} people of the \
             Console, which are left out in whole or part; their statuses say so. Remove what is not needed, or \
             use a second Workspace.",
            lost.grants.len(),
            lost.keys.len(),
            lost.roles.len()
        )
    };
    Some((reason::WORKSPACE_FULL, message))
}

fn loses_people(lost: &Lost, grant: &Grant) -> bool {
    let RoleRef::Console(role) = &grant.role else {
        return false;
    };
    let people = lost.people.get(role);
    people.is_some_and(|people| grant.console_members.iter().any(|one| people.contains(one)))
}

//! Blocks a subject in a cluster. Must not write anything but `spec.blockedSubjects`, and never
//! over what somebody else blocks meanwhile.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::answer::{Answer, ToBlock, entry};
use crate::api::Workspace;
use crate::cli::failure::{Exit, Failure};
use crate::cli::revoke::tracked;
use crate::cli::screen::{GOOD, error_prefix, say, styled, warning_prefix};
use crate::cli::source::ClusterArgs;
use crate::policy::name::NamespacedName;
use crate::policy::subject::SubjectRef;

/// Who changed the Workspace, in the eyes of the API server.
const FIELD_MANAGER: &str = "anthropic-rbac-offboard";

/// How often it is tried again when the object changes under the hand.
const TRIES: usize = 50;

/// Blocks the subject wherever it is to be blocked. What fails in one workspace does not stop
/// the others.
pub async fn block(
    args: &ClusterArgs,
    subject: &SubjectRef,
    answer: &Answer,
) -> Result<Exit, Failure> {
    let client = args.client().await?;
    let mut exit = Exit::Done;
    for ToBlock { workspace, .. } in answer.blocks.iter().filter(|block| !block.already) {
        let Some(name) = NamespacedName::parse(workspace) else {
            continue;
        };
        match in_workspace(&client, &name, &entry(subject)).await {
            Ok(tracked) => {
                say(format_args!("{} in {workspace}", styled(GOOD, "blocked")));
                if let Some(tool) = tracked {
                    say(format_args!(
                        "{}{tool} keeps this object and may undo it with the next sync: commit it, too",
                        warning_prefix()
                    ));
                }
            }
            Err(why) => {
                say(format_args!(
                    "{}not blocked in {workspace}: {why}",
                    error_prefix()
                ));
                exit = Exit::No;
            }
        }
    }
    Ok(exit)
}

/// Adds one entry; the tool that keeps the object, if any.
async fn in_workspace(
    client: &Client,
    name: &NamespacedName,
    entry: &Value,
) -> Result<Option<String>, String> {
    let resource = ApiResource::erase::<Workspace>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &name.namespace, &resource);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    for _ in 0..TRIES {
        let object = api.get(&name.name).await.map_err(|error| said(&error))?;
        let list = object.data.pointer("/spec/blockedSubjects");
        let mut list = list.and_then(Value::as_array).cloned().unwrap_or_default();
        let tracked = tracked::by(&object.metadata);
        if list.contains(entry) {
            return Ok(tracked);
        }
        list.push(entry.clone());
        let patch = json!({
            "metadata": {"resourceVersion": object.metadata.resource_version},
            "spec": {"blockedSubjects": list},
        });
        match api.patch(&name.name, &params, &Patch::Merge(patch)).await {
            Ok(_) => return Ok(tracked),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(said(&error)),
        }
    }
    Err("it changes all the time; try again".to_owned())
}

fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

//! Waiting until the operator has carried a revocation out, by what it says in the status: that
//! comes after what takes a key away.
//! Must not take silence for an answer.

use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use serde_json::Value;

use super::change::Change;
use crate::api::conditions::{self, reason};

/// How waiting ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Waited {
    TakenAway,
    Deleted,
    /// What is known, and what to do.
    InVain(String),
}

/// Waits until the status of the object, as it was written, says that the key is away.
pub async fn until_taken_away(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    change: &Change,
    timeout: Duration,
) -> Waited {
    let generation = object.metadata.generation.unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let mut seen = object.clone();
    let watched = async {
        let mut changes = std::pin::pin!(watch_object(api.clone(), name).default_backoff());
        while let Some(change_of_object) = changes.next().await {
            match change_of_object {
                Ok(None) => return Waited::Deleted,
                Ok(Some(object)) if object.metadata.uid != seen.metadata.uid => {
                    return Waited::Deleted;
                }
                Ok(Some(object)) => match standing(&object.data["status"], generation, change) {
                    Ok(()) => return Waited::TakenAway,
                    Err(_) => seen = object,
                },
                // It comes back by itself; the time is up when it is up.
                Err(_) => {}
            }
        }
        std::future::pending().await
    };
    match tokio::time::timeout(timeout, watched).await {
        Ok(waited) => waited,
        Err(_) => Waited::InVain(
            standing(&seen.data["status"], generation, change)
                .err()
                .unwrap_or_default(),
        ),
    }
}

/// Whether a status says that the key is away; if not, what it does say.
fn standing(status: &Value, generation: i64, change: &Change) -> Result<(), String> {
    if status["observedGeneration"].as_i64().unwrap_or(-1) < generation {
        return Err(
            "no operator has answered. The revocation is stored and is carried out once one runs; \
             until then the target Secret and the gateway keep the key. Disable it at Anthropic."
                .to_owned(),
        );
    }
    let in_use = status["fingerprint"].as_str();
    let away = match change.version {
        None => in_use.is_none(),
        Some(version) => in_use != Some(&*version.to_string()),
    };
    let condition = |kind: &str| {
        let mut all = status["conditions"].as_array().into_iter().flatten();
        all.find(|condition| condition["type"] == kind)
    };
    let written = condition(conditions::PROGRAMMED);
    let failed = written.is_some_and(|written| written["reason"] == reason::WRITE_FAILED);
    if away && !failed {
        return Ok(());
    }
    let told = if failed {
        written
    } else {
        condition(conditions::READY)
    };
    let message = told.and_then(|told| told["message"].as_str());
    Err(format!(
        "the operator has answered, but the key is still there: {} Disable it at Anthropic.",
        message.unwrap_or("it gives no reason.")
    ))
}

/// Anthropic's id of an earlier version, as the status remembers it.
pub fn previous_key_id<'a>(object: &'a DynamicObject, version: &str) -> Option<&'a str> {
    let mut previous = object.data["status"]["previous"].as_array()?.iter();
    let version = previous.find(|previous| previous["fingerprint"] == version)?;
    version["keyId"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::digest::Fingerprint;
    use serde_json::json;

    const VERSION: &str = "1a2b3c4d5e6f7081";

    fn stands(status: Value, version: Option<&str>) -> Result<(), String> {
        let change = Change {
            version: version.and_then(Fingerprint::parse),
        };
        standing(&status, 3, &change)
    }

    #[test]
    fn a_key_is_away_when_the_operator_says_so_of_this_very_generation() {
        let away = |generation: i64| json!({"observedGeneration": generation});
        assert_eq!(stands(away(3), None), Ok(()));
        let silent = stands(away(2), None).expect_err("an older answer");
        assert!(silent.starts_with("no operator has answered"), "{silent}");
        assert_eq!(stands(json!({}), None), Err(silent));
    }

    #[test]
    fn a_version_is_away_when_another_one_is_in_use_or_none() {
        let in_use = |version: &str| json!({"observedGeneration": 3, "fingerprint": version});
        assert_eq!(stands(in_use("00000000000000ff"), Some(VERSION)), Ok(()));
        assert_eq!(
            stands(json!({"observedGeneration": 3}), Some(VERSION)),
            Ok(())
        );
        assert!(stands(in_use(VERSION), Some(VERSION)).is_err());
        assert!(stands(in_use("00000000000000ff"), None).is_err());
    }

    #[test]
    fn a_target_that_could_not_be_written_is_not_away_and_the_reason_is_told() {
        let failed = json!({"observedGeneration": 3, "conditions": [
            {"type": "Programmed", "reason": "WriteFailed", "message": "Secret a/b is immutable."},
        ]});
        let told = stands(failed, None).expect_err("it failed");
        assert!(told.contains("Secret a/b is immutable."), "{told}");
    }
}

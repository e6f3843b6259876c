//! Writes of a plan, sent to the API server: what takes away first, each on the condition that
//! the object is still as it was when the plan was made.
//! Must not decide what is written, nor touch an object that is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::body::{Unready, create_body, delete_body, patch_body};
use super::object::ObjectKey;
use super::read::{Found, Reader, Stored};
use super::request::{Answer, Failure, Payload, Request, Verb};
use super::vault::Vault;
use crate::api::metadata::NAME;
use crate::facts::{OutputFacts, OutputId, WriteFailure};
use crate::plan::output::{Content, Output};
use crate::plan::world::Change;
use crate::plan::write::Write;
use crate::policy::name::NamespacedName;

/// How many writes of one workspace are on their way at a time.
const WRITES_AT_A_TIME: usize = 8;

/// What became of the writes.
#[derive(Debug, Default)]
pub struct Executed {
    /// Those that did not go through and will not before something changes.
    pub failures: BTreeMap<OutputId, WriteFailure>,
    /// Those that may go through in a while.
    pub later: BTreeMap<OutputId, Delay>,
    /// How many went through.
    pub written: usize,
}

/// Why something is tried again, and when at the earliest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delay {
    pub why: String,
    pub after: Duration,
}

enum Outcome {
    Written,
    Failed(WriteFailure),
    Later(Delay),
}

// === impl Executed ===

impl Executed {
    /// Carries the writes out. Keys come from `vault`, or from their source if they are not
    /// in it yet.
    pub async fn all(reader: &Reader, writes: &[Write], vault: &mut Vault) -> Self {
        let mut executed = Self::default();
        // A failure of one does not hold up the others: a policy that takes something away
        // must not wait for a Secret that nobody can write.
        for rank in writes.chunk_by(|a, b| a.rank() == b.rank()) {
            // What takes away needs no key, and waits for none.
            fetch(reader, rank, vault).await;
            let vault = &*vault;
            let one = async |write| (Write::id(write), execute(reader, write, vault).await);
            let sent: Vec<_> = rank.iter().map(one).collect();
            let sent = futures::stream::iter(sent).buffer_unordered(WRITES_AT_A_TIME);
            let outcomes: Vec<_> = sent.collect().await;
            for (id, outcome) in outcomes {
                match outcome {
                    Outcome::Written => executed.written += 1,
                    Outcome::Failed(failure) => drop(executed.failures.insert(id.clone(), failure)),
                    Outcome::Later(delay) => drop(executed.later.insert(id.clone(), delay)),
                }
            }
        }
        executed
    }
}

/// Reads the sources of all keys that are to be written and were not read for the plan.
async fn fetch(reader: &Reader, writes: &[Write], vault: &mut Vault) {
    let missing: BTreeSet<NamespacedName> = writes
        .iter()
        .flat_map(Write::keys)
        .filter(|handle| !vault.has(&handle.source))
        .map(|handle| handle.source.secret())
        .collect();
    let opened: Vec<_> = missing.iter().map(|name| reader.open(name)).collect();
    let mut opened = futures::stream::iter(opened).buffer_unordered(WRITES_AT_A_TIME);
    while let Some(opened) = opened.next().await {
        // One that cannot be read leaves its key unresolved, which its write finds.
        for (source, material) in opened.into_iter().flat_map(|opened| opened.materials) {
            vault.insert(source, material);
        }
    }
}

async fn execute(reader: &Reader, write: &Write, vault: &Vault) -> Outcome {
    let key = ObjectKey::from(write.id());
    let result = send(reader, &key, write, vault).await;
    let outcome = match result {
        Ok(()) => Outcome::Written,
        Err(failure) => resolve(reader, &key, write, failure).await,
    };
    match &outcome {
        Outcome::Written => tracing::info!(object = %key, what = verb(write).1, "written"),
        Outcome::Failed(failure) => tracing::warn!(object = %key, ?failure, "not written"),
        Outcome::Later(delay) => tracing::debug!(object = %key, why = delay.why, "written later"),
    }
    outcome
}

async fn send(
    reader: &Reader,
    key: &ObjectKey,
    write: &Write,
    vault: &Vault,
) -> Result<(), Failure> {
    let nameless = || Failure::Refused("no object can have such a name".into());
    let path = key.path().ok_or_else(nameless)?;
    let (path, body) = match write {
        Write::Create(output) => {
            let path = key.collection().ok_or_else(nameless)?;
            (path, create_body(output, vault))
        }
        Write::Patch {
            output,
            found,
            remove,
            data,
        } => (path, patch_body(output, found, remove, *data, vault)),
        Write::Delete { id: _, found } => (path, Ok(delete_body(found))),
    };
    let body: Payload = match body {
        Ok(body) => body,
        Err(why @ Unready::Moved(_)) => {
            if let Some(rest) = write.without_keys() {
                Box::pin(send(reader, key, &rest, vault)).await?;
            }
            return Err(Failure::later(&why.to_string()));
        }
        Err(why @ (Unready::NoUid | Unready::KeyInConfigMap)) => {
            return Err(Failure::Refused(why.to_string()));
        }
    };
    let (verb, _) = verb(write);
    let path = match verb {
        Verb::Delete => path,
        Verb::Get | Verb::Create | Verb::Merge | Verb::Apply => {
            format!("{path}?fieldManager={NAME}")
        }
    };
    let request = Request {
        verb,
        kind: key.kind,
        path,
        answer: Answer::Metadata,
        body,
    };
    reader.teller.begun(key);
    let answer = reader.requester.send(reader.lane, request).await;
    let stored = answer.and_then(|body| match write {
        Write::Delete { found, .. } => Ok(deleted(key, found)),
        Write::Create(_) => Stored::parse(key, &body).map(Some),
        Write::Patch {
            output,
            found,
            data,
            ..
        } => {
            let mut stored = Stored::parse(key, &body)?;
            let before = found.resource_version.parse().ok();
            if *data && before.is_some() && before == stored.version {
                intact(&mut stored, output);
            }
            Ok(Some(stored))
        }
    });
    match stored {
        Ok(Some(stored)) => {
            reader.teller.learned(key.clone(), stored, false);
            Ok(())
        }
        Ok(None) => {
            reader.teller.ended(key.clone());
            Ok(())
        }
        Err(failure) => {
            reader.teller.ended(key.clone());
            Err(failure)
        }
    }
}

/// Up to the version that was deleted, everything is history.
fn deleted(key: &ObjectKey, found: &OutputFacts) -> Option<Stored> {
    let version = found.resource_version.parse().ok();
    Some(Stored {
        version,
        ..Stored::nothing(key)?
    })
}

/// A write that changed nothing has shown that all it says is there. Who wrote that stays the
/// manager of it: without this, what somebody edited and put back, or brought back from a backup,
/// would be restored for ever.
fn intact(stored: &mut Stored, output: &Output) {
    let facts = match &mut stored.change {
        Change::ConfigMap(_, facts) => facts,
        Change::Secret(_, secret) => match &mut secret.output {
            Some(facts) => Arc::make_mut(facts),
            None => return,
        },
        _ => return,
    };
    for (key, content) in &output.data {
        if matches!(content, Content::Kept(_)) {
            continue;
        }
        facts.tampered.remove(key);
        if let Err(place) = facts.data_keys.binary_search(key) {
            facts.data_keys.insert(place, key.clone());
        }
    }
}

/// What a failure means, after another look where our facts may be out of date.
async fn resolve(reader: &Reader, key: &ObjectKey, write: &Write, failure: Failure) -> Outcome {
    let stale = |why: &str| {
        Outcome::Later(Delay {
            why: why.into(),
            after: Duration::ZERO,
        })
    };
    match failure {
        Failure::Transient { why, after } => Outcome::Later(Delay { why, after }),
        Failure::Forbidden => Outcome::Failed(WriteFailure::Forbidden),
        Failure::Refused(why) => Outcome::Failed(WriteFailure::Refused(why)),
        Failure::NotFound => match (write, reader.look(key, false).await) {
            (Write::Delete { .. }, Ok(Found::Nothing | Found::Foreign)) => Outcome::Written,
            // It is the namespace that is not there.
            (Write::Create(_), _) => {
                Outcome::Failed(WriteFailure::Refused("there is no such namespace".into()))
            }
            _ => stale("it was deleted meanwhile"),
        },
        Failure::Conflict => {
            let _ = reader.look(key, false).await;
            stale("it changed meanwhile")
        }
        Failure::AlreadyExists => match reader.look(key, false).await {
            Ok(Found::Ours) => stale("it is there already"),
            Ok(Found::Foreign) => Outcome::Failed(WriteFailure::NotOurs),
            Ok(Found::Nothing) => stale("it is gone again"),
            Err(Failure::Forbidden) => Outcome::Failed(WriteFailure::NotOurs),
            Err(_) => stale("it is there already and could not be read"),
        },
    }
}

fn verb(write: &Write) -> (Verb, &'static str) {
    match write {
        Write::Create(_) => (Verb::Create, "created"),
        Write::Patch { data: true, .. } => (Verb::Merge, "data and metadata patched"),
        Write::Patch { data: false, .. } => (Verb::Merge, "metadata patched"),
        Write::Delete { .. } => (Verb::Delete, "deleted"),
    }
}

#[cfg(test)]
mod tests;

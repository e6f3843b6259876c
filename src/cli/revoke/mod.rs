//! `revoke`: takes a key, or one version of it, away now: says what that does, does it, and
//! waits until the operator has carried it out.
//! Must not touch anything but the ApiKeyRef: all else follows from it.

mod change;
mod consequences;
pub(super) mod tracked;
mod wait;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::screen::{BAD, GOOD, answer, say, styled, table, warning_prefix};
use super::source::{ClusterArgs, Source, SourceArgs};
use crate::api::{API_VERSION, ApiKeyRef};
use crate::policy::digest::Fingerprint;
use crate::policy::finding::{Kind, ObjectId};
use crate::policy::name::NamespacedName;
use crate::policy::nearest::suggestion;
use change::Change;
use consequences::Consequences;
use wait::Waited;

/// Take a key away now: out of its target Secret and out of the gateway
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Says what it will do, asks, sets spec.state: Revoked (or adds to spec.revokedFingerprints), and waits
until the operator has taken the key away. With -f it changes nothing and prints the patch, for
whoever keeps manifests in Git.

A revoked key is still valid at Anthropic: disable it there, too. With --version, the next version
that is put into the source works by itself.

Examples:
  anthropic-rbac revoke search/prod-search-service
  anthropic-rbac revoke prod-search-service -n search --version 1a2b3c4d5e6f7081 --yes
  anthropic-rbac revoke search/prod-search-service -f manifests > revoke.yaml

Exit codes: 0 revoked and taken away, 1 not done, or not known to have been carried out, 2 bad
input.")]
pub struct Args {
    /// The ApiKeyRef: NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// Only this version, by its fingerprint as 'keys' shows it [default: the key with all
    /// versions, also later ones]
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    version: Option<Fingerprint>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long to wait for the operator
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// Print the patch for manifests instead: files, folders with all below them, or - for stdin
    #[arg(short = 'f', long = "filename", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// The ApiKeyRef's namespace [default: the context's; of manifests, default]
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Who changed the ApiKeyRef, in the eyes of the API server.
const FIELD_MANAGER: &str = "anthropic-rbac-revoke";

/// How often it is tried again when the object changes under the hand: a busy object must not
/// keep a key alive.
const TRIES: usize = 50;

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.files.is_empty() {
        super::block_on(in_cluster(args))
    } else {
        in_files(args)
    }
}

async fn in_cluster(args: &Args) -> Result<Exit, Failure> {
    let client = args.cluster.client().await?;
    let name = match NamespacedName::parse(&args.name) {
        Some(name) => same_namespace(name, args.namespace.as_deref())?,
        None => {
            let namespace = args.namespace.as_deref();
            NamespacedName::new(namespace.unwrap_or(client.default_namespace()), &*args.name)
        }
    };
    let resource = ApiResource::erase::<ApiKeyRef>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client, &name.namespace, &resource);
    let object = get(&api, &name).await?;
    let change = Change {
        version: args.version,
    };
    let Some(_) = change.of(&object.data["spec"]) else {
        answer(&format!("{} is revoked already.\n", change.what(&name)))?;
        return confirm_taken_away(&api, &object, &change, args.timeout, Instant::now()).await;
    };

    let mut text = format!("{} {}\n", styled(BAD, "Revoke"), change.what(&name));
    text += &table(about(&object, &change));
    text += &expected(args, &name, &change).await;
    answer(&text)?;
    if let Some(tool) = tracked::by(&object.metadata) {
        say(format_args!(
            "{}{tool} keeps this object and may undo it with the next sync: commit {}, too",
            warning_prefix(),
            change.in_words(&object.data["spec"]),
        ));
    }
    if !args.yes && !agreed()? {
        say("Nothing was changed.");
        return Ok(Exit::No);
    }

    let (before, patched) = patch(&api, object, &change).await?;
    let since = Instant::now();
    let revoked = styled(GOOD, "Revoked");
    answer(&format!("{revoked}; waiting for the operator.\n"))?;
    let ended = confirm_taken_away(&api, &patched, &change, args.timeout, since).await?;
    answer(&format!(
        "To undo: kubectl patch apikeyrefs.anthropic-rbac.io {} -n {} --type=merge -p '{}'\n",
        name.name,
        name.namespace,
        json!({ "spec": change.undone(&before) }),
    ))?;
    Ok(ended)
}

fn same_namespace(name: NamespacedName, wanted: Option<&str>) -> Result<NamespacedName, Failure> {
    match wanted {
        Some(wanted) if *wanted != *name.namespace => Err(Failure::BadInput(format!(
            "'{name}' is in another namespace than -n says, {wanted}; leave one of the two out"
        ))),
        Some(_) | None => Ok(name),
    }
}

async fn get(api: &Api<DynamicObject>, name: &NamespacedName) -> Result<DynamicObject, Failure> {
    match api.get_opt(&name.name).await {
        Ok(Some(object)) => Ok(object),
        Ok(None) => {
            let all = api.list_metadata(&kube::api::ListParams::default()).await;
            let all: Vec<String> = all
                .map(|all| all.items.iter().map(|object| object.name_any()).collect())
                .unwrap_or_default();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            Err(Failure::BadInput(format!(
                "there is no ApiKeyRef '{}' in namespace {}; {}",
                name.name,
                name.namespace,
                suggestion(&name.name, &all)
            )))
        }
        Err(error) => Err(failed("read", name, &error)),
    }
}

fn failed(doing: &str, name: &NamespacedName, error: &kube::Error) -> Failure {
    Failure::Failed(match error {
        kube::Error::Api(status) => format!("cannot {doing} ApiKeyRef {name}: {}", status.message),
        error => format!("cannot {doing} ApiKeyRef {name}: {error}"),
    })
}

/// What the object itself says of the key.
fn about(object: &DynamicObject, change: &Change) -> Vec<(&'static str, String)> {
    let text = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_str);
    let in_use = text("/status/fingerprint");
    let wanted = change.version.map(|version| version.to_string());
    let key_id = match &wanted {
        Some(version) if Some(&**version) != in_use => wait::previous_key_id(object, version),
        Some(_) | None => text("/status/keyId").or(text("/spec/keyId")),
    };
    let in_use = match (in_use, &wanted) {
        (Some(in_use), Some(wanted)) if in_use != wanted => format!("{in_use}, which stays"),
        (Some(in_use), _) => in_use.to_owned(),
        (None, _) => "none".to_owned(),
    };
    let key_id = match key_id {
        Some(id) => format!("{id}: disable it there, too"),
        None => "its id is not known here: find it there, and disable it".to_owned(),
    };
    vec![
        ("service", text("/spec/service").unwrap_or("-").to_owned()),
        ("version in use", in_use),
        ("at Anthropic", key_id),
    ]
}

/// What follows from it, or that this cannot be told. It is no reason not to revoke.
async fn expected(args: &Args, name: &NamespacedName, change: &Change) -> String {
    let source = args.cluster.read().await;
    let told = source.and_then(|source| Consequences::of(&source, name, change, Timestamp::now()));
    match told {
        Ok(consequences) => consequences.text(),
        Err(failure) => {
            say(format_args!(
                "{}who uses it cannot be told: {}",
                warning_prefix(),
                failure.reason()
            ));
            String::new()
        }
    }
}

/// Asks whoever sits at the terminal; where nobody does, nobody agrees.
fn agreed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        say("Add --yes to do it.");
        return Ok(false);
    }
    let prompt = |error| Failure::Failed(format!("cannot ask: {error}"));
    eprint!("Do it? [y/N] ");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(prompt)?;
    Ok(["y", "yes"].contains(&line.trim().to_lowercase().as_str()))
}

/// Writes it, on top of whatever anybody changes meanwhile: a list of versions holds only for the
/// object as it was made from. The spec it was made from, and the object.
async fn patch(
    api: &Api<DynamicObject>,
    mut object: DynamicObject,
    change: &Change,
) -> Result<(Value, DynamicObject), Failure> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let meta = &object.metadata;
    let name = NamespacedName::new(
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let uid = meta.uid.clone();
    for _ in 0..TRIES {
        let Some(spec) = change.of(&object.data["spec"]) else {
            return Ok((object.data["spec"].clone(), object));
        };
        let mut patch = json!({"metadata": {"uid": uid}, "spec": spec});
        if change.version.is_some() {
            patch["metadata"]["resourceVersion"] = json!(object.metadata.resource_version);
        }
        match api.patch(&name.name, &params, &Patch::Merge(patch)).await {
            Ok(patched) => return Ok((object.data["spec"].take(), patched)),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(failed("revoke", &name, &error)),
        }
        object = get(api, &name).await?;
        if object.metadata.uid != uid {
            let message = format!("ApiKeyRef {name} was replaced by another meanwhile; look again");
            return Err(Failure::Failed(message));
        }
    }
    let message = format!("ApiKeyRef {name} changes all the time; try again");
    Err(Failure::Failed(message))
}

async fn confirm_taken_away(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    change: &Change,
    timeout: Duration,
    since: Instant,
) -> Result<Exit, Failure> {
    let waited = wait::until_taken_away(api, object, change, timeout).await;
    let seconds = since.elapsed().as_secs_f64();
    Ok(match waited {
        Waited::TakenAway => {
            answer(&format!(
                "The operator has taken it away, after {seconds:.2} s. Pods that mount the Secret see it \
                 empty within about a minute; those that have it in a variable keep it until they are \
                 restarted.\n"
            ))?;
            Exit::Done
        }
        Waited::Deleted => {
            answer("The ApiKeyRef was deleted meanwhile, which takes the key away, too.\n")?;
            Exit::Done
        }
        Waited::InVain(why) => {
            say(format_args!(
                "{}not known to have been taken away after {seconds:.0} s: {why}",
                super::screen::error_prefix()
            ));
            Exit::No
        }
    })
}

/// Prints the patch; what it does goes to stderr, so that the patch can be piped.
fn in_files(args: &Args) -> Result<Exit, Failure> {
    let cluster = args.cluster.clone();
    let source = SourceArgs::of(args.files.clone(), args.namespace.clone(), cluster).read()?;
    let name = in_source(&source, args)?;
    let change = Change {
        version: args.version,
    };
    let consequences = Consequences::of(&source, &name, &change, Timestamp::now())?;
    let spec = consequences.spec().clone();
    let Some(changed) = change.of(&spec) else {
        say(format_args!("{} is revoked already.", change.what(&name)));
        return Ok(Exit::Done);
    };
    let origin = source.origins.get(&ObjectId::new(Kind::ApiKeyRef, &name));
    let place = origin.map(|origin| {
        let (file, mark) = origin.of("spec");
        format!(" in {file}:{}", mark.line)
    });
    say(format_args!(
        "{} {}: set {}{}, or apply this patch.",
        styled(BAD, "Revoke"),
        change.what(&name),
        change.in_words(&spec),
        place.unwrap_or_default()
    ));
    say(consequences.text().trim_end());
    let patch = json!({
        "apiVersion": API_VERSION,
        "kind": "ApiKeyRef",
        "metadata": {"name": &*name.name, "namespace": &*name.namespace},
        "spec": changed,
    });
    let yaml = serde_saphyr::to_string(&patch)
        .map_err(|error| Failure::Failed(format!("cannot write YAML: {error}")))?;
    answer(&yaml)?;
    Ok(Exit::Done)
}

/// The one ApiKeyRef of that name among the manifests.
fn in_source(source: &Source, args: &Args) -> Result<NamespacedName, Failure> {
    let keys = source
        .origins
        .keys()
        .filter(|id| id.kind == Kind::ApiKeyRef);
    let keys: Vec<&NamespacedName> = keys.map(|id| &id.name).collect();
    let wanted = |name: &&&NamespacedName| match NamespacedName::parse(&args.name) {
        Some(full) => ***name == full,
        None => {
            let namespace = args.namespace.as_deref();
            *name.name == *args.name && namespace.is_none_or(|wanted| *name.namespace == *wanted)
        }
    };
    let found: Vec<&&NamespacedName> = keys.iter().filter(wanted).collect();
    match found.as_slice() {
        [one] => Ok((**one).clone()),
        [] => {
            let all: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let message = format!(
                "there is no ApiKeyRef '{}'; {}",
                args.name,
                suggestion(&args.name, &all)
            );
            Err(Failure::BadInput(message))
        }
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Failure::BadInput(format!(
                "there are several ApiKeyRefs '{}'; name one of {}",
                args.name,
                names.join(", ")
            )))
        }
    }
}

fn fingerprint(text: &str) -> Result<Fingerprint, &'static str> {
    Fingerprint::parse(text).ok_or("want 16 lower-case hex digits, as 'keys' shows them")
}

fn time(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse::<SignedDuration>().ok();
    let time = time.and_then(|time| Duration::try_from(time).ok());
    time.ok_or("want a time such as 30s or 2m")
}

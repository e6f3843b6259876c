//! `revoke`: takes a key, or one version of it, away now: says what that does, does it, and
//! waits until the operator has carried it out.
//! Must not touch anything but the ApiKeyRef: all else follows from it.

mod change;
mod consequences;
mod files;
mod report;
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
use super::screen::{
    BAD, Format, GOOD, answer, json as printed, say, styled, table, warning_prefix,
};
use super::source::ClusterArgs;
use crate::api::ApiKeyRef;
use crate::policy::digest::Fingerprint;
use crate::policy::name::NamespacedName;
use crate::policy::nearest::suggestion;
use change::Change;
use consequences::Consequences;
use report::Report;
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
  anthropic-rbac revoke search/prod-search-service --yes -o json | jq .takenAway

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
    /// How what came of it is written; with json, what is for people goes to stderr
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
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
        files::revoke(args)
    }
}

impl Args {
    /// Says something for people.
    fn tell(&self, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Text => answer(text),
            Format::Json => {
                say(text.trim_end());
                Ok(())
            }
        }
    }

    /// Ends with what came of it, for programs.
    fn end(&self, report: &Report, exit: Exit) -> Result<Exit, Failure> {
        if self.format == Format::Json {
            answer(&printed(report))?;
        }
        Ok(exit)
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
    let mut report = Report::of(&name, &change);
    report.key_id = key_id(&object, &change).map(str::to_owned);
    let Some(_) = change.of(&object.data["spec"]) else {
        args.tell(&format!("{} is revoked already.\n", change.what(&name)))?;
        (report.already, report.revoked) = (true, true);
        let ended = confirm_taken_away(args, &api, &object, &change, &mut report).await?;
        return args.end(&report, ended);
    };

    let mut text = format!("{} {}\n", styled(BAD, "Revoke"), change.what(&name));
    text += &table(about(&object, &change));
    report.consequences = expected(args, &name, &change).await;
    text += &report
        .consequences
        .as_ref()
        .map_or_else(String::new, Consequences::text);
    args.tell(&text)?;
    if let Some(tool) = tracked::by(&object.metadata) {
        say(format_args!(
            "{}{tool} keeps this object and may undo it with the next sync: commit {}, too",
            warning_prefix(),
            change.in_words(&object.data["spec"]),
        ));
    }
    if !args.yes && !agreed()? {
        say("Nothing was changed.");
        report.message = Some("nobody agreed".to_owned());
        return args.end(&report, Exit::No);
    }

    let (before, patched) = patch(&api, object, &change).await?;
    let revoked = styled(GOOD, "Revoked");
    args.tell(&format!("{revoked}; waiting for the operator.\n"))?;
    report.revoked = true;
    report.patch = change.of(&before).map(|spec| json!({ "spec": spec }));
    let undo = json!({ "spec": change.undone(&before) });
    let ended = confirm_taken_away(args, &api, &patched, &change, &mut report).await?;
    args.tell(&format!(
        "To undo: kubectl patch apikeyrefs.anthropic-rbac.io {} -n {} --type=merge -p '{undo}'\n",
        name.name, name.namespace,
    ))?;
    report.undo = Some(undo);
    args.end(&report, ended)
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
    let in_use = match (in_use, &wanted) {
        (Some(in_use), Some(wanted)) if in_use != wanted => format!("{in_use}, which stays"),
        (Some(in_use), _) => in_use.to_owned(),
        (None, _) => "none".to_owned(),
    };
    let key_id = match key_id(object, change) {
        Some(id) => format!("{id}: disable it there, too"),
        None => "its id is not known here: find it there, and disable it".to_owned(),
    };
    vec![
        ("service", text("/spec/service").unwrap_or("-").to_owned()),
        ("version in use", in_use),
        ("at Anthropic", key_id),
    ]
}

/// Anthropic's id of what is revoked, as far as known.
fn key_id<'a>(object: &'a DynamicObject, change: &Change) -> Option<&'a str> {
    let text = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_str);
    let wanted = change.version.map(|version| version.to_string());
    match &wanted {
        Some(version) if Some(&**version) != text("/status/fingerprint") => {
            wait::previous_key_id(object, version)
        }
        Some(_) | None => text("/status/keyId").or(text("/spec/keyId")),
    }
}

/// What follows from it, or that this cannot be told. It is no reason not to revoke.
async fn expected(args: &Args, name: &NamespacedName, change: &Change) -> Option<Consequences> {
    let source = args.cluster.read().await;
    let told = source.and_then(|source| Consequences::of(&source, name, change, Timestamp::now()));
    match told {
        Ok(consequences) => Some(consequences),
        Err(failure) => {
            say(format_args!(
                "{}who uses it cannot be told: {}",
                warning_prefix(),
                failure.reason()
            ));
            None
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

/// Waits until it is so, and says what came of it.
async fn confirm_taken_away(
    args: &Args,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    change: &Change,
    report: &mut Report,
) -> Result<Exit, Failure> {
    let since = Instant::now();
    let waited = wait::until_taken_away(api, object, change, args.timeout).await;
    let seconds = since.elapsed().as_secs_f64();
    report.taken_away = matches!(waited, Waited::TakenAway | Waited::Deleted);
    report.seconds = report.taken_away.then_some(seconds);
    Ok(match waited {
        Waited::TakenAway => {
            args.tell(&format!(
                "The operator has taken it away, after {seconds:.2} s. Pods that mount the Secret see it \
                 empty within about a minute; those that have it in a variable keep it until they are \
                 restarted.\n"
            ))?;
            Exit::Done
        }
        Waited::Deleted => {
            let deleted = "The ApiKeyRef was deleted meanwhile, which takes the key away, too.";
            args.tell(&format!("{deleted}\n"))?;
            report.message = Some(deleted.to_owned());
            Exit::Done
        }
        Waited::InVain(why) => {
            say(format_args!(
                "{}not known to have been taken away after {seconds:.0} s: {why}",
                super::screen::error_prefix()
            ));
            report.message = Some(why);
            Exit::No
        }
    })
}

fn fingerprint(text: &str) -> Result<Fingerprint, &'static str> {
    Fingerprint::parse(text).ok_or("want 16 lower-case hex digits, as 'keys' shows them")
}

fn time(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse::<SignedDuration>().ok();
    let time = time.and_then(|time| Duration::try_from(time).ok());
    time.ok_or("want a time such as 30s or 2m")
}

//! Revoking in manifests: the patch is printed, and whoever keeps them applies it.
//! Must not change a file.

use jiff::Timestamp;
use serde_json::json;

use super::Args;
use super::change::Change;
use super::consequences::Consequences;
use super::report::Report;
use crate::api::API_VERSION;
use crate::cli::failure::{Exit, Failure};
use crate::cli::screen::{BAD, Format, answer, json as printed, say, styled};
use crate::cli::source::{Source, SourceArgs};
use crate::policy::finding::{Kind, ObjectId};
use crate::policy::name::NamespacedName;
use crate::policy::nearest::suggestion;

/// Prints the patch; what it does goes to stderr, so that the patch can be piped.
pub fn revoke(args: &Args) -> Result<Exit, Failure> {
    let cluster = args.cluster.clone();
    let source = SourceArgs::of(args.files.clone(), args.namespace.clone(), cluster).read()?;
    let name = in_source(&source, args)?;
    let change = Change {
        version: args.version,
    };
    let consequences = Consequences::of(&source, &name, &change, Timestamp::now())?;
    let spec = consequences.spec().clone();
    let mut report = Report::of(&name, &change);
    report.key_id = consequences.key_id();
    let Some(changed) = change.of(&spec) else {
        say(format_args!("{} is revoked already.", change.what(&name)));
        (report.already, report.revoked) = (true, true);
        if args.format == Format::Json {
            answer(&printed(&report))?;
        }
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
    match args.format {
        Format::Text => {
            let yaml = serde_saphyr::to_string(&patch)
                .map_err(|error| Failure::Failed(format!("cannot write YAML: {error}")))?;
            answer(&yaml)?;
        }
        Format::Json => {
            report.undo = Some(json!({"spec": change.undone(&spec)}));
            report.consequences = Some(consequences);
            report.patch = Some(patch);
            answer(&printed(&report))?;
        }
    }
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

//! What the API server accepts and refuses: the corpus of `tests/cases/crds` and hundreds of
//! variants of it, and that the offline check says the same. Must not store anything.

mod variants;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anthropic_rbac::api::admission;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use kube::{
    Client,
    api::PostParams,
    core::{Request, Status},
};
use serde_json::Value;

use crate::{
    cluster::Cluster,
    command_line,
    suite::{Test, test},
};
use variants::{Variant, variants};

/// How many are asked about at a time.
const AT_A_TIME: usize = 16;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("every accepted example is accepted", accepted),
        test(
            "every rejected example is rejected in the expected words",
            rejected,
        ),
        test("YAML means the same to the API server and to lint", yaml),
        test(
            "every variant of a complete example is accepted or rejected as offline",
            varied,
        ),
    ]
}

/// A refusal.
struct Refused {
    said: String,
    /// Paths of fields, where the API server gives them.
    fields: BTreeSet<String>,
}

struct Case {
    /// The file's name.
    name: String,
    text: String,
    expected: Vec<String>,
}

fn folder(name: &str) -> String {
    format!("{}/tests/cases/crds/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn cases(of: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for file in fs::read_dir(folder(of)).context("the corpus")? {
        let file = file?.path();
        let text = fs::read_to_string(&file)?;
        cases.push(Case {
            name: file.file_name().context("a name")?.to_string_lossy().into(),
            expected: text
                .lines()
                .map_while(|line| line.strip_prefix("# expect: "))
                .map(ToOwned::to_owned)
                .collect(),
            text,
        });
    }
    ensure!(!cases.is_empty(), "no cases in {of}");
    Ok(cases)
}

/// What the API server says to each, `Ok` if it would store it. It reads the YAML itself.
async fn asked(cluster: &Cluster, cases: Vec<Case>) -> Vec<(Case, Result<(), Refused>)> {
    let client = cluster.client();
    stream::iter(cases)
        .map(|case| async {
            let kind = case.text.lines().find_map(|line| {
                let line = line.replace(['"', ','], "");
                line.strip_prefix("kind: ").map(str::to_owned)
            });
            // The API server creates nothing in a namespace that is not there.
            let body = case.text.replace("namespace: claude", "namespace: default");
            let kind = kind.unwrap_or_default();
            let answer = dry_run(&client, &kind, "application/yaml", body).await;
            (case, answer)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await
}

/// As `kubectl create --dry-run=server` does it, unknown fields refused.
async fn dry_run(
    client: &Client,
    kind: &str,
    content_type: &'static str,
    body: String,
) -> Result<(), Refused> {
    let plural = format!("{}s", kind.to_lowercase());
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut request = Request::new(format!(
        "/apis/anthropic-rbac.io/v1alpha1/namespaces/default/{plural}"
    ))
    .create(&parameters, body.into_bytes())
    .expect("a request");
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict.parse().expect("a URI with one parameter more");
    let content_type = http::HeaderValue::from_static(content_type);
    let headers = request.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, content_type);
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => Err(refused(*status)),
        Err(error) => Err(Refused {
            said: format!("not a refusal: {error}"),
            fields: BTreeSet::new(),
        }),
    }
}

/// What `lint` says to each file of a folder: fields and messages of what would be refused.
fn linted(of: &str) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let output = command_line::run(&["lint", "-f", &folder(of), "-o", "json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let mut said: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let findings = report["findings"].as_array().context("findings")?.iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for finding in findings.filter(|finding| {
        ["InvalidManifest", "InvalidYAML"].contains(&text(&finding["reason"]).as_str())
    }) {
        let file = text(&finding["file"]);
        let file = file.rsplit('/').next().context("a name")?.to_owned();
        let of_file = said.entry(file).or_default();
        of_file.push((text(&finding["field"]), text(&finding["message"])));
    }
    Ok(said)
}

fn refused(status: Status) -> Refused {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    // That rules were not looked at is said of no field; that one could not be evaluated follows
    // from something else that is said.
    let told =
        causes.filter(|cause| cause.field != "<nil>" && !cause.message.contains("evaluating rule"));
    Refused {
        fields: told.map(|cause| cause.field.clone()).collect(),
        said: status.message,
    }
}

async fn accepted(cluster: &Cluster) -> Result<()> {
    let linted = linted("accepted")?;
    let mut refused = Vec::new();
    for (Case { name, .. }, answer) in asked(cluster, cases("accepted")?).await {
        if let Err(Refused { said, .. }) = answer {
            refused.push(format!("{name}: {said}"));
        }
        if let Some(said) = linted.get(&name) {
            refused.push(format!("{name}: lint says {said:?}"));
        }
    }
    ensure!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
    Ok(())
}

async fn rejected(cluster: &Cluster) -> Result<()> {
    let linted = linted("rejected")?;
    let mut wrong = Vec::new();
    for (case, answer) in asked(cluster, cases("rejected")?).await {
        let Case { name, expected, .. } = case;
        let Err(Refused { said, fields }) = answer else {
            wrong.push(format!("{name}: accepted"));
            continue;
        };
        let missing: Vec<_> = expected.iter().filter(|e| !said.contains(*e)).collect();
        if expected.is_empty() || !missing.is_empty() {
            wrong.push(format!("{name}: {missing:?} not in: {said}"));
        }
        let here = linted.get(&name).cloned().unwrap_or_default();
        let named: Vec<&str> = here.iter().map(|(field, _)| field.as_str()).collect();
        if here.is_empty() || !all_named(&fields, &named) {
            wrong.push(format!("{name}: lint says {here:?} and not: {said}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// Files about which readers of YAML disagree; where they do, what lint refuses is all the same
/// refused.
async fn yaml(cluster: &Cluster) -> Result<()> {
    let mut wrong = Vec::new();
    for (of, good) in [("yaml-accepted", true), ("yaml-rejected", false)] {
        let linted = linted(of)?;
        for (Case { name, .. }, answer) in asked(cluster, cases(of)?).await {
            let here = linted.get(&name);
            if here.is_none() != good || answer.is_ok() != good {
                let there = answer.err().map(|refused| refused.said);
                wrong.push(format!("{of}/{name}: here {here:?}, there {there:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Whether every field that the API server names is named here. Which label of an object's own
/// metadata is wrong, only we say.
fn all_named(there: &BTreeSet<String>, here: &[&str]) -> bool {
    let plain = |field: &str| field.replace("[\"", ".").replace("\"]", "");
    let here: Vec<String> = here.iter().copied().map(plain).collect();
    there.iter().all(|field| {
        here.iter().any(|ours| {
            let below = ours.strip_prefix(field.as_str());
            below.is_some_and(|rest| rest.is_empty() || field.starts_with("metadata."))
        })
    })
}

/// What both say of each variant: in or out, and for which field.
async fn varied(cluster: &Cluster) -> Result<()> {
    let client = cluster.client();
    let mut all = Vec::new();
    for case in cases("accepted")?
        .iter()
        .filter(|case| case.name.contains("-complete"))
    {
        let good: Value = serde_saphyr::from_str(&case.text)?;
        for Variant { what, mut object } in variants(&good) {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.insert("namespace".to_owned(), "default".into());
            }
            all.push((format!("{}: {what}", case.name), object));
        }
    }
    ensure!(all.len() > 1000, "only {} variants", all.len());
    let asked: Vec<_> = stream::iter(all)
        .map(|(what, object)| async {
            let kind = object["kind"].as_str().unwrap_or_default();
            let body = object.to_string();
            let answer = dry_run(&client, kind, "application/json", body).await;
            (what, object, answer)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let wrong: Vec<String> = asked
        .iter()
        .filter_map(|(what, object, answer)| {
            let problems = admission::admit(object).err().unwrap_or_default();
            let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
            let there = match answer {
                Ok(()) if problems.is_empty() => return None,
                Ok(()) => "accepted",
                Err(Refused { fields: named, .. })
                    if !problems.is_empty() && all_named(named, &fields) =>
                {
                    return None;
                }
                Err(Refused { said, .. }) => said,
            };
            Some(format!("{what}\n  here: {problems:?}\n  there: {there}"))
        })
        .collect();
    ensure!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        asked.len(),
        wrong.join("\n")
    );
    Ok(())
}

//! What the API server accepts and refuses: the corpus of `tests/cases/crds`, and that its
//! words are the offline check's. Must not store anything.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use kube::{Client, api::PostParams, core::Request};
use serde_json::Value;

use crate::{
    cluster::Cluster,
    suite::{Test, test},
};

/// How many are asked about at a time.
const AT_A_TIME: usize = 16;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("every accepted example is accepted", accepted),
        test(
            "every rejected example is rejected in the expected words",
            rejected,
        ),
    ]
}

struct Case {
    name: String,
    object: Value,
    expected: Vec<String>,
}

fn cases(folder: &str) -> Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases/crds")
        .join(folder);
    let mut cases = Vec::new();
    for file in fs::read_dir(&folder).context("the corpus")? {
        let file = file?.path();
        let text = fs::read_to_string(&file)?;
        cases.push(Case {
            name: file.display().to_string(),
            object: whole_numbers(
                serde_saphyr::from_str(&text).with_context(|| file.display().to_string())?,
            ),
            expected: text
                .lines()
                .map_while(|line| line.strip_prefix("# expect: "))
                .map(ToOwned::to_owned)
                .collect(),
        });
    }
    ensure!(!cases.is_empty(), "no cases in {}", folder.display());
    Ok(cases)
}

/// `4000.0` as kubectl sends it: as `4000`.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole")]
            Some(float) if float.fract() == 0.0 => (float as i64).into(),
            Some(_) | None => number.into(),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, whole_numbers(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// What the API server says to each, `Ok` if it would store it.
async fn asked(cluster: &Cluster, cases: Vec<Case>) -> Vec<(Case, Result<(), String>)> {
    let client = cluster.client();
    stream::iter(cases)
        .map(|case| async {
            let answer = dry_run(&client, &case.object).await;
            (case, answer)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await
}

/// As `kubectl create --dry-run=server` does it, unknown fields refused.
async fn dry_run(client: &Client, object: &Value) -> Result<(), String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let plural = format!("{}s", kind.to_lowercase());
    // The API server creates nothing in a namespace that is not there.
    let mut object = object.clone();
    object["metadata"]["namespace"] = "default".into();
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut request = Request::new(format!(
        "/apis/anthropic-rbac.io/v1alpha1/namespaces/default/{plural}"
    ))
    .create(&parameters, object.to_string().into_bytes())
    .map_err(|error| error.to_string())?;
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict.parse().expect("a URI with one parameter more");
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => Err(status.message),
        Err(error) => Err(format!("not a refusal: {error}")),
    }
}

async fn accepted(cluster: &Cluster) -> Result<()> {
    let asked = asked(cluster, cases("accepted")?).await;
    let refused: Vec<String> = asked
        .iter()
        .filter_map(|(case, answer)| Some(format!("{}: {}", case.name, answer.as_ref().err()?)))
        .collect();
    ensure!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
    Ok(())
}

async fn rejected(cluster: &Cluster) -> Result<()> {
    let mut wrong = Vec::new();
    for (case, answer) in asked(cluster, cases("rejected")?).await {
        match answer {
            Ok(()) => wrong.push(format!("{}: accepted", case.name)),
            Err(said) => {
                let missing: Vec<_> = case
                    .expected
                    .iter()
                    .filter(|e| !said.contains(*e))
                    .collect();
                if case.expected.is_empty() || !missing.is_empty() {
                    wrong.push(format!("{}: {missing:?} not in: {said}", case.name));
                }
            }
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

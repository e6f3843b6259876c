//! YAML of the documents, held to what the API server says of our kinds.
//! Must not know a rule of a kind: `lint` does.

use serde_json::Value;

use crate::block::{Block, How};
use crate::shell::Folder;

/// Tries what can be tried without a cluster.
pub(crate) fn check(folder: &Folder, block: &Block) -> Result<(), String> {
    match &block.how {
        How::OfAnotherProgram => of_another_program(folder, block),
        How::PartOf(file) => {
            let whole = completed(file, &read(&block.text)?)?;
            admitted(folder, block, &whole)
        }
        _ => {
            let documents = read(&block.text)?;
            if documents.is_empty() {
                return Err("there is nothing in it".to_owned());
            }
            for document in &documents {
                let named = |field: &str| document[field].as_str().is_some();
                let whole = named("apiVersion") && named("kind");
                if !whole && !matches!(block.how, How::File(_)) {
                    return Err("no whole manifest: say what it is part of".to_owned());
                }
            }
            admitted(folder, block, &documents)
        }
    }
}

/// The documents of a block that are none of our kinds nor files of kustomize: for an API server.
#[allow(dead_code, reason = "tests/cluster does")]
pub(crate) fn of_other_kinds(block: &Block) -> Result<Vec<Value>, String> {
    let documents = match &block.how {
        How::Plain => read(&block.text)?,
        How::PartOf(file) => completed(file, &read(&block.text)?)?,
        _ => Vec::new(),
    };
    let other = |document: &Value| {
        let version = document["apiVersion"].as_str().unwrap_or_default();
        !version.starts_with("anthropic-rbac.io/")
            && !version.starts_with("kustomize.config.k8s.io/")
    };
    Ok(documents.into_iter().filter(other).collect())
}

fn read(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

/// What a file of the project says, with fields of a document in the place of its own.
fn completed(file: &str, parts: &[Value]) -> Result<Vec<Value>, String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
    let [part] = parts else {
        return Err("one document is part of one manifest".to_owned());
    };
    let mut wholes = read(&text)?;
    let whole = wholes.first_mut().ok_or(format!("{file} is empty"))?;
    merge(whole, part);
    wholes.truncate(1);
    Ok(wholes)
}

fn merge(whole: &mut Value, part: &Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                merge(whole.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (whole, part) => *whole = part.clone(),
    }
}

/// Fails with what the API server would say. References that lead nowhere are none of its business.
fn admitted(folder: &Folder, block: &Block, documents: &[Value]) -> Result<(), String> {
    let ours = |document: &&Value| {
        let version = document["apiVersion"].as_str().unwrap_or_default();
        version.starts_with("anthropic-rbac.io/")
    };
    if documents.iter().filter(ours).count() == 0 {
        return Ok(());
    }
    // As it is written, where it is whole: what YAML's readers disagree about is a fault, too.
    let text = match block.how {
        How::PartOf(_) => documents
            .iter()
            .map(|document| format!("---\n{document}\n"))
            .collect(),
        _ => block.text.clone(),
    };
    folder.put("block.yaml", &text)?;
    let block = Block {
        how: How::Plain,
        text: "anthropic-rbac lint -f block.yaml -o json || [ $? = 1 ]\n".to_owned(),
        ..block.clone()
    };
    let said = folder.run(&block)?;
    let report: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let findings = report["findings"].as_array().ok_or("lint has findings")?;
    let refused = |finding: &&Value| {
        let reason = finding["reason"].as_str().unwrap_or_default();
        [
            "InvalidYAML",
            "InvalidManifest",
            "DuplicateObject",
            "UnreadableFile",
        ]
        .contains(&reason)
    };
    let refused: Vec<String> = findings
        .iter()
        .filter(refused)
        .map(Value::to_string)
        .collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(refused.join("\n")),
    }
}

/// A file of a pipeline: it is YAML, and what it has our binary do works.
fn of_another_program(folder: &Folder, block: &Block) -> Result<(), String> {
    fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::String(text) => found.push(text),
            Value::Array(entries) => entries.iter().for_each(|entry| texts(entry, found)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let documents = read(&block.text)?;
    let mut found = Vec::new();
    documents
        .iter()
        .for_each(|document| texts(document, &mut found));
    let ours = found
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let at = line.find("anthropic-rbac ")?;
            let command = line[at..].split(['|', '>', ';', '&']).next()?;
            Some(command.trim())
        });
    let commands: Vec<&str> = ours.filter(|command| command.contains(" -")).collect();
    if commands.is_empty() && block.text.contains("anthropic-rbac ") {
        return Err("it names the program and has it do nothing".to_owned());
    }
    // It works or says what it found; 2 is that it could not.
    let text = commands
        .iter()
        .map(|command| format!("{command} >/dev/null || [ $? = 1 ]\n"))
        .collect();
    let block = Block {
        how: How::Plain,
        text,
        ..block.clone()
    };
    folder.run(&block).map(drop)
}

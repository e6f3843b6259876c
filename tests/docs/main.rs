//! The documents: every code block of README, CONTRIBUTING, SECURITY and `docs` is run or checked,
//! one test each, or ignored with a reason that its page gives. `block` says how a page says so;
//! blocks for an API server are run by `tests/cluster/docs.rs`. Must not need a network or cluster.

mod block;
mod links;
mod manifest;
mod shell;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use block::{Block, How, Page};
use shell::{Folder, same};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_anthropic-rbac");

/// Whose blocks are tried.
const PAGES: [&str; 4] = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        whole(
            "links, headings and make targets of the documents are there",
            links::broken,
        ),
        whole("the book lists every page once", links::missing_pages),
    ];
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in documents(&PAGES) {
        match Page::parse(&path, &read(&path)) {
            Ok(page) => {
                let page = Arc::new(page);
                for at in 0..page.blocks.len() {
                    *counts.entry(treatment(&page.blocks[at])).or_default() += 1;
                    trials.push(trial(Arc::clone(&page), at));
                }
            }
            Err(error) => trials.push(whole(&format!("{path} is understood"), move || {
                vec![error.clone()]
            })),
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let counts: Vec<String> = counts
            .iter()
            .map(|(what, n)| format!("{n} {what}"))
            .collect();
        println!("blocks of the documents: {}\n", counts.join(", "));
    }
    conclusion.exit_code()
}

/// A test of all documents together.
fn whole(name: &str, wrong: impl FnOnce() -> Vec<String> + Send + 'static) -> Trial {
    Trial::test(name, move || match wrong() {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(Failed::from(wrong.join("\n"))),
    })
}

/// A test of one block.
fn trial(page: Arc<Page>, at: usize) -> Trial {
    let block = &page.blocks[at];
    let name = format!("{}:{} {}", page.path, block.line, block.language);
    let (kind, ignored) = match &block.how {
        How::Cluster => ("cluster", true),
        How::NotRun(reason) => (*reason, true),
        How::Logs if !at_hand("jq") => ("no jq", true),
        _ => ("", false),
    };
    Trial::test(name, move || Ok(attempt(&page, at)?))
        .with_kind(kind)
        .with_ignored_flag(ignored)
}

fn treatment(block: &Block) -> String {
    match (&*block.language, &block.how) {
        (_, How::Cluster) => "run on an API server by tests/cluster".to_owned(),
        (_, How::By(_)) => "run by another test".to_owned(),
        (_, How::NotRun(reason)) => {
            let meant = block::REASONS.iter().find(|(name, _)| name == reason);
            format!(
                "not run ({reason}: it {})",
                meant.map_or("", |(_, meant)| meant)
            )
        }
        (_, How::Logs) if !at_hand("jq") => "not run (there is no jq here)".to_owned(),
        ("sh", _) => "run".to_owned(),
        ("text", _) => "compared with what is printed".to_owned(),
        (language, _) => format!("of {language} checked"),
    }
}

fn attempt(page: &Page, at: usize) -> Result<(), String> {
    let block = &page.blocks[at];
    let folder = Folder::new(Path::new(PROGRAM))?;
    for (name, text) in page.files_before(block.line) {
        folder.put(name, text)?;
    }
    match (&*block.language, &block.how) {
        (_, How::By(file)) => by_another(page, file),
        ("yaml", _) => manifest::check(&folder, block),
        ("json", how) => json(block, how),
        ("sh", How::Logs) => {
            let json = page.blocks.iter().filter(|block| block.language == "json");
            let lines = json.map(|block| block.text.replace('\n', "") + "\n");
            folder.put("lines", &lines.collect::<String>())?;
            let logs = "#!/bin/sh\n[ \"$1\" = logs ] && exec cat lines\n";
            folder.put(".bin/kubectl", logs)?;
            match folder.run(block)?.trim() {
                "" => Err("it finds nothing in the lines that the page shows".to_owned()),
                _ => Ok(()),
            }
        }
        ("text", How::Output) => {
            let before = page.blocks[..at].last().ok_or("there is no block before")?;
            same(&block.text, &folder.run(before)?)
        }
        ("text", _) => same(&block.text, &folder.run(block)?),
        _ => folder.run(block).map(drop),
    }
}

/// A test that tries a page's blocks names the page.
fn by_another(page: &Page, file: &str) -> Result<(), String> {
    let there = Path::new(ROOT).join(file).is_file();
    match there && read(file).contains(&page.path) {
        true => Ok(()),
        false => Err(format!("{file} does not read {}", page.path)),
    }
}

fn json(block: &Block, how: &How) -> Result<(), String> {
    let parse = |text: &str| serde_json::from_str(text).map_err(|error| error.to_string());
    let value = parse(&block.text)?;
    let How::Schema(file) = how else {
        return Ok(());
    };
    let validator = jsonschema::validator_for(&parse(&read(file))?);
    let validator = validator.map_err(|error| error.to_string())?;
    validator
        .validate(&value)
        .map_err(|error| error.to_string())
}

/// Whether a program is on this machine.
fn at_hand(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The documents that Git knows, or would take up.
fn documents(patterns: &[&str]) -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .args(patterns)
        .current_dir(ROOT)
        .output()
        .expect("git lists files");
    let listed = String::from_utf8(output.stdout).expect("names in UTF-8");
    let there = |path: &&str| Path::new(ROOT).join(path).exists();
    let mut paths: Vec<String> = listed.lines().filter(there).map(str::to_owned).collect();
    paths.sort();
    paths
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).expect(path)
}

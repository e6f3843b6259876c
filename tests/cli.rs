//! The command line from outside: golden cases under `tests/cases`, run by one loop, and what
//! a golden file cannot show. `UPDATE_CASES=1 cargo test --test cli` writes what is said now.
//!
//! A case is a folder. `cmd` has a command a line, without the program's name, `< FILE` for
//! stdin; the other files are its input, and every one of them must be named, or be in a folder
//! that is. `stdout`, `stderr` and `exit` hold what is expected, `out/` the folder that is
//! written; what is in `before/` is in that folder from the start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_anthropic-rbac");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
/// Folders there that belong to other tests.
const OTHERS: [&str; 1] = ["crds"];
/// What is expected, and so is no input.
const EXPECTED: [&str; 4] = ["cmd", "stdout", "stderr", "exit"];

#[test]
fn cases_say_what_they_said() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for folder in entries(Path::new(CASES)) {
        let name = file_name(&folder);
        if OTHERS.contains(&name.as_str()) {
            continue;
        }
        cases += 1;
        let actual = run_case(&folder);
        if update {
            write_expected(&folder, &actual);
        }
        let expected = read_expected(&folder);
        for file in actual
            .keys()
            .chain(expected.keys())
            .collect::<BTreeSet<_>>()
        {
            let (want, got) = (expected.get(file), actual.get(file));
            if want != got {
                let text =
                    |text: Option<&String>| text.map_or("(no file)", String::as_str).to_owned();
                wrong.push(format!(
                    "{name}/{file}\n--- want\n{}\n--- got\n{}",
                    text(want),
                    text(got)
                ));
            }
        }
    }
    assert!(cases > 10, "the cases are where they are looked for");
    assert!(
        wrong.is_empty(),
        "{} differ; if they should, run UPDATE_CASES=1 cargo test --test cli\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// Runs a case in a copy of its folder; what came of it, by the file that expects it.
fn run_case(folder: &Path) -> BTreeMap<String, String> {
    let copy = tempfile::tempdir().expect("a folder");
    let mut inputs = BTreeSet::new();
    for file in files(folder) {
        let relative = file.strip_prefix(folder).expect("below");
        let first = relative
            .iter()
            .next()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if first == "out" || EXPECTED.contains(&first.as_str()) {
            continue;
        }
        let to = match relative.strip_prefix("before") {
            Ok(inside) => copy.path().join("out").join(inside),
            Err(_) => {
                inputs.insert(relative.to_string_lossy().into_owned());
                copy.path().join(relative)
            }
        };
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&file, &to).expect("a copy");
    }
    let script = fs::read_to_string(folder.join("cmd")).expect("every case has a cmd");
    let lines: Vec<&str> = script
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let mut unused = inputs;
    let mut said = BTreeMap::from([("stdout", String::new()), ("stderr", String::new())]);
    let mut exits = String::new();
    for line in &lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        unused.retain(|input| {
            !words
                .iter()
                .any(|word| Path::new(input).starts_with(word.trim_end_matches('/')))
        });
        let (args, stdin) = match words.iter().position(|word| *word == "<") {
            Some(at) => (
                &words[..at],
                Some(fs::File::open(copy.path().join(words[at + 1])).expect("stdin")),
            ),
            None => (&words[..], None),
        };
        let output = run_in(
            copy.path(),
            args,
            stdin.map_or_else(Stdio::null, Stdio::from),
        );
        for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let text = String::from_utf8(bytes.clone()).expect("text");
            // Every key in a case is an example; none is ever said.
            assert!(
                !text.contains("EXAMPLE"),
                "{line} says a key on {stream}: {text}"
            );
            assert!(!text.contains('\u{1b}'), "{line} colours a pipe: {text:?}");
            let so_far = said.get_mut(stream).expect("both are there");
            if lines.len() > 1 && !text.is_empty() {
                so_far.push_str(&format!("$ {line}\n"));
            }
            so_far.push_str(&text);
        }
        exits.push_str(&format!(
            "{}\n",
            output.status.code().expect("an exit code")
        ));
    }
    assert!(
        unused.is_empty(),
        "{}: no command names {unused:?}",
        folder.display()
    );
    let mut actual: BTreeMap<String, String> = said
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(stream, text)| (stream.to_owned(), text))
        .collect();
    actual.insert("exit".to_owned(), exits);
    let out = copy.path().join("out");
    if out.exists() {
        actual.extend(files(&out).into_iter().map(|file| {
            let name = file
                .strip_prefix(copy.path())
                .expect("below")
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(&file).expect("text"))
        }));
    }
    actual
}

fn read_expected(folder: &Path) -> BTreeMap<String, String> {
    let relative = |file: &PathBuf| {
        file.strip_prefix(folder)
            .expect("below")
            .to_string_lossy()
            .into_owned()
    };
    files(folder)
        .iter()
        .map(|file| (relative(file), file))
        .filter(|(name, _)| {
            name.starts_with("out/") || name != "cmd" && EXPECTED.contains(&name.as_str())
        })
        .map(|(name, file)| (name, fs::read_to_string(file).expect("text")))
        .collect()
}

fn write_expected(folder: &Path, actual: &BTreeMap<String, String>) {
    for name in read_expected(folder).keys() {
        fs::remove_file(folder.join(name)).expect("removed");
    }
    for (name, text) in actual {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("written");
    }
}

fn run_in(folder: &Path, args: &[&str], stdin: Stdio) -> Output {
    Command::new(BINARY)
        .args(args)
        .current_dir(folder)
        .stdin(stdin)
        .env_clear()
        .env("HOME", folder)
        .output()
        .expect("the binary runs")
}

fn run(args: &[&str]) -> Output {
    run_in(Path::new(env!("CARGO_MANIFEST_DIR")), args, Stdio::null())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries(folder).into_iter().flat_map(below).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

#[test]
fn the_starter_sets_are_valid_and_ready_but_for_their_secrets() {
    for layout in ["single", "teams"] {
        let folder = tempfile::tempdir().expect("a folder");
        let init = run_in(
            folder.path(),
            &["init", "--layout", layout, "--out", "set"],
            Stdio::null(),
        );
        assert!(init.status.success(), "{}", stderr(&init));
        let again = run_in(
            folder.path(),
            &["init", "--layout", layout, "--out", "set"],
            Stdio::null(),
        );
        assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
        let args = ["render", "-f", "set", "--out", "out", "-o", "json"];
        let render = run_in(folder.path(), &args, Stdio::null());
        assert!(render.status.success(), "{}", stderr(&render));
        let report: serde_json::Value = serde_json::from_str(stdout(&render)).expect("JSON");
        assert_eq!(report["notReady"], serde_json::json!([]), "{layout}");
        let errors = report["findings"].as_array().expect("a list").iter();
        assert_eq!(
            errors
                .filter(|finding| finding["severity"] != "Info")
                .count(),
            0,
            "{report}"
        );
        assert!(!report["assumptions"].as_array().expect("a list").is_empty());
    }
}

#[test]
fn the_next_steps_of_a_starter_set_work_as_printed() {
    for layout in ["single", "teams"] {
        let folder = tempfile::tempdir().expect("a folder");
        let init = run_in(
            folder.path(),
            &["init", "--layout", layout, "--out", "set"],
            Stdio::null(),
        );
        let steps = stdout(&init)
            .lines()
            .filter_map(|line| line.trim().strip_prefix("anthropic-rbac "));
        let mut ran = 0;
        for step in steps {
            let args: Vec<&str> = step.split_whitespace().collect();
            let output = run_in(folder.path(), &args, Stdio::null());
            assert!(output.status.success(), "{step}: {}", stderr(&output));
            ran += 1;
        }
        assert_eq!(ran, 2, "render and check");
    }
}

#[cfg(unix)]
#[test]
fn keys_are_written_only_when_asked_for_and_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    const KEY: &str = "sk-ant-api03-EXAMPLE-canary";
    let folder = tempfile::tempdir().expect("a folder");
    let input = fs::read_to_string(Path::new(CASES).join("render/input.yaml")).expect("a case");
    let input = input.replace("sk-ant-api03-EXAMPLE-search", KEY);
    assert!(
        input.contains(KEY),
        "the case has the key this test replaces"
    );
    fs::write(folder.path().join("in.yaml"), input).expect("written");
    let render = |more: &[&str]| {
        let args = [&["render", "-f", "in.yaml", "--out", "out"], more].concat();
        let output = run_in(folder.path(), &args, Stdio::null());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stdout(&output).contains("canary") && !stderr(&output).contains("canary"));
        output
    };
    let secret = folder
        .path()
        .join("out/search/secret.search-anthropic.yaml");
    let text = || fs::read_to_string(&secret).expect("a Secret");
    let encoded = "c2stYW50LWFwaTAzLUVYQU1QTEUtY2FuYXJ5";
    render(&[]);
    for file in files(&folder.path().join("out")) {
        let text = fs::read_to_string(&file).expect("text");
        assert!(
            !text.contains(encoded) && !text.contains("canary"),
            "{}",
            file.display()
        );
    }
    let warned = render(&["--with-keys"]);
    assert!(
        stderr(&warned).contains("holds API keys now"),
        "{}",
        stderr(&warned)
    );
    assert!(text().contains(encoded), "{}", text());
    let mode = secret.metadata().expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    render(&[]);
    assert!(!text().contains(encoded), "taken out again");
}

#[test]
fn no_input_however_broken_makes_it_say_a_key() {
    const KEY: &str = "sk-ant-api03-CANARY";
    let folder = tempfile::tempdir().expect("a folder");
    let ours = "apiVersion: anthropic-rbac.io/v1alpha1\nkind: ApiKeyRef\nmetadata: {name: k, namespace: a}\nspec:\n";
    for broken in [
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{k: {KEY}}}\n"),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{k: [{KEY}]}}\n"
        ),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, lables: {KEY}}}\nstringData: {{k: {KEY}}}\n"
        ),
        format!("apiVersion: v1\nkind: Secret\nstringData:\n  k: {KEY}\n bad: [\n"),
        format!("{ours}  service: {KEY}\n  keyId: {KEY}\n  source: {KEY}\n"),
        format!("{ours}  workspaceRef: {{name: {KEY}}}\n  state: {KEY}\n  usedBy: {KEY}\n"),
        format!("{ours}  issuedAt: {KEY}\n  revokedFingerprints: [{KEY}]\n  service: 1\n"),
    ] {
        fs::write(folder.path().join("in.yaml"), &broken).expect("written");
        let output = run_in(
            folder.path(),
            &["render", "-f", "in.yaml", "--out", "out"],
            Stdio::null(),
        );
        assert_eq!(output.status.code(), Some(2), "{broken}");
        assert!(!stderr(&output).is_empty());
        for said in [stdout(&output), stderr(&output)] {
            assert!(!said.contains("CANARY"), "{broken}\n{said}");
        }
    }
}

#[test]
fn a_reader_that_has_heard_enough_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(BINARY)
        .arg("crds")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("the binary runs");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

/// Ends with the test, whatever becomes of it.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_watched_is_rendered_again_when_it_changes_and_a_broken_change_takes_nothing_away() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = |spec: &str| {
        format!(
            "apiVersion: anthropic-rbac.io/v1alpha1\nkind: Workspace\n\
             metadata: {{name: one, namespace: claude}}\nspec: {spec}\n"
        )
    };
    fs::create_dir(folder.path().join("in")).expect("a folder");
    let write = |spec: &str| {
        // At once, so that nobody reads half of it.
        let half = folder.path().join("in/half");
        fs::write(&half, workspace(spec)).expect("written");
        fs::rename(&half, folder.path().join("in/one.yaml")).expect("renamed");
    };
    write("{}");
    let child = Command::new(BINARY)
        .args(["render", "-f", "in", "--out", "out", "--watch"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut child = Running(child);
    let child = &mut child.0;
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut wrong = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut next = || said.next().expect("a line").expect("text");
    let rendered = folder.path().join("out/claude/configmap.one.policy.yaml");
    let state = || {
        let text = fs::read_to_string(&rendered).expect("a file");
        ["Enabled", "Disabled"].map(|state| text.contains(state))
    };
    let one = "1 object of 1 workspace in out: 1 written, 0 unchanged, 0 removed";
    assert_eq!((next().as_str(), state()), (one, [true, false]));
    write("{state: Disabled}");
    assert_eq!((next().as_str(), state()), (one, [false, true]));
    write("{state: Gone}");
    let line = wrong.next().expect("a line").expect("text");
    assert!(line.starts_with("error: in/one.yaml:4:15"), "{line}");
    assert_eq!(state(), [false, true], "what was rendered last stays");
    write("{}");
    assert_eq!((next().as_str(), state()), (one, [true, false]));
    for args in [
        ["render", "--watch", "--out", "out", "-f", "-"],
        ["render", "--watch", "--out", "-", "-f", "in"],
    ] {
        let output = run_in(folder.path(), &args, Stdio::null());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("name both"), "{}", stderr(&output));
    }
}

#[test]
fn the_definitions_that_are_printed_are_those_that_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run_in(folder.path(), &["crds", "--out", "crds"], Stdio::null());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = |file: PathBuf| fs::read_to_string(file).expect("text");
    let written: BTreeSet<String> = files(&folder.path().join("crds"))
        .into_iter()
        .map(text)
        .collect();
    let all = run(&["crds"]);
    let printed: BTreeSet<String> = stdout(&all).split("---\n").map(str::to_owned).collect();
    assert_eq!((printed.len(), printed), (3, written));
}

#[test]
fn every_shell_gets_a_script_that_knows_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success());
        for word in [
            "render",
            "check",
            "max-tokens",
            "access",
            "who-can",
            "explain",
            "diff",
            "fail-on",
            "offboard",
        ] {
            assert!(stdout(&output).contains(word), "{shell} lacks {word}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn without_files_and_without_a_cluster_there_is_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = [
        "check",
        "user:corp:uma",
        "-w",
        "w",
        "--model",
        "m",
        "--kubeconfig",
        "absent",
    ];
    let output = run_in(folder.path(), &args, Stdio::null());
    assert_eq!(output.status.code(), Some(2), "never 1, which is a denial");
    assert!(
        stderr(&output).contains("name manifests with -f"),
        "{}",
        stderr(&output)
    );
}

/// The same files go to a real API server in `tests/cluster/schema.rs`.
#[test]
fn lint_refuses_every_file_of_the_corpus_that_an_api_server_refuses_and_no_other() {
    for (of, good) in [
        ("accepted", true),
        ("yaml-accepted", true),
        ("rejected", false),
        ("yaml-rejected", false),
    ] {
        let folder = format!("{CASES}/crds/{of}");
        let output = run(&["lint", "-f", &folder, "-o", "json"]);
        let report: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
        let findings = report["findings"].as_array().expect("a list").iter();
        let refused: BTreeSet<PathBuf> = findings
            .filter(|finding| {
                finding["reason"] == "InvalidManifest" || finding["reason"] == "InvalidYAML"
            })
            .map(|finding| {
                assert!(
                    finding["line"].is_u64() && finding["column"].is_u64(),
                    "{finding}"
                );
                PathBuf::from(finding["file"].as_str().expect("a file"))
            })
            .collect();
        let expected = match good {
            true => BTreeSet::new(),
            false => files(Path::new(&folder)).into_iter().collect(),
        };
        assert_eq!(refused, expected, "{of}");
    }
}

#[test]
fn the_files_of_an_envoy_gateway_are_rendered_with_the_keys_that_are_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = |kid: &str, more: &str| {
        let n = "n".repeat(342);
        format!(r#"{{"keys":[{{"kty":"RSA","kid":"{kid}","n":"{n}","e":"AQAB"{more}}}]}}"#)
    };
    let manifest = format!(
        "apiVersion: anthropic-rbac.io/v1alpha1\nkind: Workspace\n\
         metadata: {{name: one, namespace: claude}}\nspec:\n\
         \x20 gateways: [{{name: edge, type: Envoy}}]\n\
         \x20 authentication:\n    issuers:\n\
         \x20   - {{name: cluster, type: Kubernetes, audiences: [claude]}}\n\
         \x20   - {{name: corp, type: OIDC, issuerURL: 'https://login.example.com', audiences: [claude],\n\
         \x20      jwksConfigMapRef: {{name: corp, key: jwks.json}}}}\n\
         ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: corp, namespace: claude}}\n\
         data:\n  jwks.json: '{}'\n",
        key("kid-corp", "")
    );
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("all.yaml", &manifest);
    write("cluster.json", &key("kid-cluster", ""));
    write("private.json", &key("kid-cluster", r#","d":"EXAMPLE""#));
    let render = |more: &[&str]| {
        let mut args = vec!["render", "-f", "all.yaml", "--out", "out"];
        args.extend(more);
        run_in(folder.path(), &args, Stdio::null())
    };
    let file = |name: &str| {
        let path = format!("out/claude/configmap.one.edge.{name}.yaml");
        fs::read_to_string(folder.path().join(path)).expect(name)
    };
    let output = render(&["-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("issuer 'cluster'"),
        "an assumption"
    );
    assert!(file("data").contains("kid-corp") && !file("data").contains("kid-cluster"));
    assert!(!file("subjects-00").is_empty());
    let before = file("config");
    let output = render(&[
        "--cluster-jwks",
        "cluster.json",
        "--anthropic-url",
        "http://fake:8000",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stdout(&output).contains("issuer 'cluster'"));
    assert!(file("data").contains("kid-corp") && file("data").contains("kid-cluster"));
    assert!(file("config").contains("fake") && before != file("config"));
    for (bad, says) in [
        (["--cluster-jwks", "private.json"], "private member 'd'"),
        (["--cluster-jwks", "absent.json"], "cannot be read"),
        (
            ["--anthropic-url", "https://api.anthropic.com/v1"],
            "has a path",
        ),
    ] {
        let output = render(&bad);
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
        assert!(!stderr(&output).contains("EXAMPLE"));
    }
}

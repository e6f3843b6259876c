//! The steps of `deploy/ci`, run by bash in a small Git repository as a runner runs them.
//! Must not repeat what the steps say: they are read from the files that users take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const WORKSPACE: &str = "\
apiVersion: anthropic-rbac.io/v1alpha1
kind: Workspace
metadata: {name: production, namespace: claude}
spec:
  keys: {defaultApiKeyRef: {name: shared}}
---
apiVersion: anthropic-rbac.io/v1alpha1
kind: ApiKeyRef
metadata: {name: shared, namespace: claude}
spec:
  workspaceRef: {name: production}
  service: shared
  source: {secretKeyRef: {name: anthropic, key: api-key}}
";

const BINDING: &str = "\
apiVersion: anthropic-rbac.io/v1alpha1
kind: RoleBinding
metadata: {name: app, namespace: claude}
spec:
  workspaceRef: {name: production}
  roleRef: {kind: ApplicationRole, name: user}
  subjects:
  - {kind: ServiceAccount, name: app}
";

#[test]
fn a_pull_request_that_takes_access_away_passes_on_github() {
    let change = Change::to(&BINDING.replace("name: user", "name: viewer"));
    let (code, said) = change.github("false");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("serviceaccount:claude/app"), "{said}");
}

#[test]
fn a_pull_request_that_gives_more_fails_on_github_and_says_who_gets_what() {
    let change = Change::to(&BINDING.replace("name: user", "name: power"));
    let (code, said) = change.github("false");
    assert_eq!(code, 1, "{said}");
    for words in [
        "serviceaccount:claude/app",
        "claude-opus",
        "::error title=Access gets wider::Somebody gets more than before",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    let (code, said) = change.github("true");
    assert_eq!(code, 0, "allowed by a label:\n{said}");
}

#[test]
fn a_broken_manifest_fails_on_github_at_its_line() {
    let change = Change::to(&BINDING.replace("name: user", "name: usr"));
    let (code, said) = change.github("false");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("::error file=access/app.yaml,line=6,"),
        "{said}"
    );
    let log = fs::read_to_string(change.temporary().join("claude-access/lint.sarif")).unwrap();
    let sarif: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "RoleNotFound");
}

#[test]
fn the_first_pull_request_with_manifests_counts_as_giving_more() {
    let change = Change::from(None, Some(BINDING));
    let (code, said) = change.github("false");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Access gets wider"), "{said}");
}

#[test]
fn a_pull_request_that_takes_all_manifests_out_passes_on_github_and_gitlab() {
    let change = Change::from(Some(BINDING), None);
    for (code, said) in [change.github("false"), change.gitlab()] {
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("serviceaccount:claude/app"), "{said}");
    }
}

#[test]
fn a_merge_request_fails_on_gitlab_when_it_gives_more_and_else_passes() {
    let more = Change::to(&BINDING.replace("name: user", "name: power"));
    let (code, said) = more.gitlab();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("serviceaccount:claude/app"), "{said}");
    let less = Change::to(&BINDING.replace("name: user", "name: viewer"));
    let (code, said) = less.gitlab();
    assert_eq!(code, 0, "{said}");
}

/// A clone of a repository at a commit that somebody proposes, and the commit it is to be merged into.
struct Change {
    folder: TempDir,
    base: String,
}

impl Change {
    /// From one good binding to another one.
    fn to(binding: &str) -> Self {
        Self::from(Some(BINDING), Some(binding))
    }

    /// From a binding, or no manifests at all.
    fn from(before: Option<&str>, after: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let origin = folder.path().join("origin");
        fs::create_dir_all(&origin).unwrap();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        symlink(
            env!("CARGO_BIN_EXE_anthropic-rbac"),
            folder.path().join("bin/anthropic-rbac"),
        )
        .unwrap();
        git(&origin, &["init", "--quiet", "--initial-branch=main"]);
        // As the forges have it: any commit can be fetched.
        git(
            &origin,
            &["config", "uploadpack.allowAnySHA1InWant", "true"],
        );
        let write = |binding: Option<&str>| {
            fs::write(origin.join("README.md"), "Access to Claude").unwrap();
            let _ = fs::remove_dir_all(origin.join("access"));
            if let Some(binding) = binding {
                fs::create_dir(origin.join("access")).unwrap();
                fs::write(origin.join("access/workspace.yaml"), WORKSPACE).unwrap();
                fs::write(origin.join("access/app.yaml"), binding).unwrap();
            }
            git(&origin, &["add", "--all"]);
            git(&origin, &["commit", "--quiet", "--message=Change"]);
            git(&origin, &["rev-parse", "HEAD"])
        };
        let base = write(before);
        git(&origin, &["checkout", "--quiet", "-b", "proposed"]);
        write(after);
        let url = format!("file://{}", origin.display());
        let clone = [
            "clone",
            "--quiet",
            "--depth=1",
            "--branch=proposed",
            &url,
            "clone",
        ];
        git(folder.path(), &clone);
        Self { folder, base }
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("temporary")
    }

    /// What the action ends with and prints.
    fn github(&self, allow_widened: &str) -> (i32, String) {
        let action = read("deploy/ci/github/action.yml");
        let _ = fs::remove_dir_all(self.temporary());
        fs::create_dir_all(self.temporary()).unwrap();
        let (mut code, mut said) = (0, String::new());
        for step in action["runs"]["steps"].as_array().unwrap() {
            // One that does not say otherwise is left out after a failure.
            let condition = step["if"].as_str().unwrap_or_default();
            if code != 0 && !condition.contains("!cancelled()") {
                continue;
            }
            let mut bash = self.bash(step["run"].as_str().unwrap());
            bash.env(
                "GITHUB_ACTION_PATH",
                Path::new(ROOT).join("deploy/ci/github"),
            )
            .env("RUNNER_TEMP", self.temporary())
            .env("GITHUB_STEP_SUMMARY", self.temporary().join("summary.md"))
            .env("GITHUB_PATH", self.temporary().join("path"));
            for (name, expression) in step["env"].as_object().into_iter().flatten() {
                let value = match expression.as_str().unwrap() {
                    "${{ inputs.paths }}" => action["inputs"]["paths"]["default"].as_str().unwrap(),
                    "${{ inputs.allow-widened }}" => allow_widened,
                    "${{ github.event.pull_request.base.sha }}" => &self.base,
                    other => panic!("nobody gives a value to {other}"),
                };
                bash.env(name, value);
            }
            let output = bash.output().unwrap();
            said.push_str(&text(&output));
            if !output.status.success() {
                code = output.status.code().unwrap();
            }
        }
        (code, said)
    }

    /// What the jobs end with and print, one after the other.
    fn gitlab(&self) -> (i32, String) {
        let jobs = read("deploy/ci/gitlab/claude-access.yml");
        let (mut code, mut said) = (0, String::new());
        for job in ["claude-lint", "claude-diff"] {
            for script in jobs[job]["script"].as_array().unwrap() {
                let output = self
                    .bash(script.as_str().unwrap())
                    .env(
                        "CLAUDE_PATHS",
                        jobs["variables"]["CLAUDE_PATHS"].as_str().unwrap(),
                    )
                    .env("CLAUDE_CI", Path::new(ROOT).join("deploy/ci"))
                    .env("CI_BUILDS_DIR", self.temporary())
                    .env("CI_MERGE_REQUEST_DIFF_BASE_SHA", &self.base)
                    .output()
                    .unwrap();
                said.push_str(&text(&output));
                code = code.max(output.status.code().unwrap());
            }
        }
        (code, said)
    }

    /// bash as runners call it, in the clone.
    fn bash(&self, script: &str) -> Command {
        let mut path = self.folder.path().join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .current_dir(self.folder.path().join("clone"))
            .env("PATH", path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        bash
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn read(file: &str) -> Value {
    let text = fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        text(&output)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

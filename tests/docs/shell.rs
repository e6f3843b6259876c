//! Commands of a document, run as a reader would: in a folder that looks like the project's, with
//! the binary on PATH. Must not know where commands come from.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::block::{Block, How};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a reader of the documents has at hand.
const AT_HAND: [&str; 7] = [
    "Makefile",
    "README.md",
    "crds",
    "deploy",
    "docs",
    "examples",
    "src",
];

/// `cargo run` is the binary that is there already.
const CARGO: &str = r#"#!/bin/sh
[ "$1 $2" = "run --" ] || { echo "cargo $*: not here" >&2; exit 97; }
shift 2
exec anthropic-rbac "$@"
"#;

/// What targets do is for CI; that they exist is seen here.
const MAKE: &str = r#"#!/bin/sh
for target; do
  case $target in
  *=*) ;;
  *) grep -q "^$target:" Makefile || { echo "make $target: no such target" >&2; exit 96; } ;;
  esac
done
"#;

/// A folder to run commands in. It goes when this does.
pub(crate) struct Folder {
    inside: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

// === impl Folder ===

impl Folder {
    /// One with this binary and nothing of a cluster.
    pub(crate) fn new(program: &Path) -> Result<Self, String> {
        let inside = tempfile::tempdir().map_err(|error| error.to_string())?;
        let folder = Self {
            inside,
            variables: Vec::new(),
        };
        folder.put(".bin/cargo", CARGO)?;
        folder.put(".bin/make", MAKE)?;
        folder.link(program, ".bin/anthropic-rbac")?;
        for name in AT_HAND {
            folder.link(&Path::new(ROOT).join(name), name)?;
        }
        Ok(folder)
    }

    /// Writes a file; one in `.bin` is a program.
    pub(crate) fn put(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.inside.path().join(name);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(self.inside.path()))?;
            fs::write(&path, text)?;
            let program = name.starts_with(".bin/");
            fs::set_permissions(
                &path,
                fs::Permissions::from_mode(if program { 0o755 } else { 0o644 }),
            )
        };
        write().map_err(|error| format!("{name}: {error}"))
    }

    /// Puts a program or file there under another name.
    pub(crate) fn link(&self, to: &Path, name: &str) -> Result<(), String> {
        symlink(to, self.inside.path().join(name)).map_err(|error| format!("{name}: {error}"))
    }

    /// Where it is.
    #[allow(dead_code, reason = "tests/cluster asks")]
    pub(crate) fn path(&self) -> &Path {
        self.inside.path()
    }

    /// Gives its commands a cluster.
    #[allow(dead_code, reason = "tests/cluster does")]
    pub(crate) fn with_cluster(
        mut self,
        kubeconfig: &Path,
        kubectl: &Path,
    ) -> Result<Self, String> {
        self.link(kubectl, ".bin/kubectl")?;
        let path = kubeconfig.display().to_string();
        self.variables.push(("KUBECONFIG", path));
        Ok(self)
    }

    /// Runs the commands of a block, one after another in one shell; what they print.
    pub(crate) fn run(&self, block: &Block) -> Result<String, String> {
        let mut script = String::from(
            "set -o pipefail\nended() { local code=$?; [ $code = $2 ] || { echo \"line $1: exit code $code, not $2\" >&2; exit 99; }; }\n",
        );
        for command in &block.before {
            script += &format!("{{ {command}\n}} >/dev/null\nended {} 0\n", block.line);
        }
        let commands = match &block.how {
            How::OutputOf(command) => {
                return self.bash(&format!("{script}{command}\nended {} 0\n", block.line));
            }
            _ => block.commands(),
        };
        for command in commands {
            script += &format!("{}ended {} {}\n", command.text, command.line, command.code);
        }
        self.bash(&script)
    }

    fn bash(&self, script: &str) -> Result<String, String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.inside.path().join(".bin");
        let output = Command::new("bash")
            .args(["-c", script])
            .current_dir(self.inside.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", self.inside.path())
            .env("KUBECACHEDIR", self.inside.path().join(".kube-cache"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => Err(format!("{}{said}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

/// Whether something was printed as a document shows it; `...` alone on a line is any lines.
pub(crate) fn same(shown: &str, printed: &str) -> Result<(), String> {
    fn fits(shown: &[&str], printed: &[&str]) -> bool {
        match shown {
            [] => printed.is_empty(),
            ["...", rest @ ..] => {
                (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..]))
            }
            [line, rest @ ..] => printed.first() == Some(line) && fits(rest, &printed[1..]),
        }
    }
    let lines = |text| str::lines(text).map(str::trim_end).collect::<Vec<_>>();
    match fits(&lines(shown.trim_end()), &lines(printed.trim_end())) {
        true => Ok(()),
        false => Err(format!("shown:\n{shown}\nprinted:\n{printed}")),
    }
}

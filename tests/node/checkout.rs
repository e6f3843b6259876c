//! The repository as somebody has it who follows its documents, and a shell in it. Must not run
//! anything but what a document says.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{cluster::Cluster, control_plane, document::Block};

/// What documents refer to.
const PARTS: [&str; 5] = ["Makefile", "crds", "deploy", "examples", "scripts"];

/// A copy of the repository's files, and what stands for the placeholders of its documents.
pub(crate) struct Checkout {
    dir: PathBuf,
    kubeconfig: PathBuf,
    path: String,
    filled: Vec<(String, String)>,
}

// === impl Checkout ===

impl Checkout {
    /// A fresh copy, for this cluster. kubectl and helm are what users have.
    pub(crate) fn new(cluster: &Cluster) -> Result<Self> {
        let dir = cluster.dir().join("checkout");
        fs::create_dir(&dir)?;
        let copied = Command::new("cp")
            .arg("-r")
            .args(PARTS)
            .arg(&dir)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()?;
        ensure!(copied.success(), "cp: {copied}");
        let programs = dir.join("programs");
        fs::create_dir(&programs)?;
        symlink(
            control_plane::assets()?.join("kubectl"),
            programs.join("kubectl"),
        )?;
        symlink(
            control_plane::built()?.join("helm/helm4"),
            programs.join("helm"),
        )?;
        let usual = env::var_os("PATH").unwrap_or_default();
        let paths = [programs].into_iter().chain(env::split_paths(&usual));
        let path = env::join_paths(paths)?.into_string();
        Ok(Self {
            dir,
            kubeconfig: cluster.kubeconfig().to_owned(),
            path: path.ok().context("a PATH in UTF-8")?,
            filled: Vec::new(),
        })
    }

    /// Puts something in the place of a placeholder from now on.
    pub(crate) fn fill(&mut self, placeholder: &str, value: &str) {
        self.filled.push((placeholder.to_owned(), value.to_owned()));
    }

    /// Does what the blocks say, in their order: commands are run, and a file is written that
    /// begins with a comment of its name. What is printed, of all of them.
    pub(crate) fn follow(&self, blocks: &[Block]) -> Result<String> {
        let mut printed = String::new();
        for block in blocks {
            match &*block.language {
                "" | "sh" | "bash" => printed.push_str(&self.run(&block.text)?),
                "yaml" => self.write(&block.text)?,
                language => bail!("what to do with {language}? {}", block.text),
            }
        }
        Ok(printed)
    }

    /// Runs commands; what they print.
    pub(crate) fn run(&self, commands: &str) -> Result<String> {
        let commands = self.filled(commands);
        for line in commands.lines() {
            eprintln!("    $ {line}");
        }
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &commands])
            .current_dir(&self.dir)
            .env("PATH", &self.path)
            .env("HOME", &self.dir)
            .env_remove("CARGO_TARGET_DIR")
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{commands}\n{stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(stdout)
    }

    fn write(&self, text: &str) -> Result<()> {
        let first = text.lines().next().unwrap_or_default();
        let name = first
            .strip_prefix("# ")
            .and_then(|rest| rest.split(',').next());
        let name = name.filter(|name| name.contains('.') && !name.contains(' '));
        let path = self
            .dir
            .join(name.with_context(|| format!("no name of a file in {first:?}"))?);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, self.filled(text))?;
        Ok(())
    }

    fn filled(&self, text: &str) -> String {
        let filled = self.filled.iter();
        filled.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

//! A Git repository, served over HTTP on loopback as any Git server does it.
//! Must not know who reads it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::program::printed;

/// A work tree whose commits are served at once.
pub(crate) struct Repository {
    folder: TempDir,
    port: u16,
}

// === impl Repository ===

impl Repository {
    /// Holds what `examples/gitops` does, in its first commit.
    pub(crate) fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let repository = Self { folder, port };
        // Links are followed: what one leads to is part of the repository.
        let copied = Command::new("cp")
            .args(["-rL", "examples/gitops"])
            .arg(repository.tree())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()?;
        ensure!(copied.success(), "copying examples/gitops");
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit("Begin")?;
        let root = repository.folder.path().to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                // A client that goes away early is no business of the next one.
                thread::spawn(move || serve(&root, stream));
            }
        });
        Ok(repository)
    }

    /// Where it is served.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/access/.git", self.port)
    }

    /// The work tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.path().join("access")
    }

    /// Writes a file, to be committed.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.tree().join(path);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, text).context("writing into the repository")
    }

    /// Replaces a text that a file has exactly once, to be committed.
    pub(crate) fn edit(&self, path: &str, old: &str, new: &str) -> Result<()> {
        let text = fs::read_to_string(self.tree().join(path))?;
        ensure!(text.matches(old).count() == 1, "{path} has {old:?} once");
        self.write(path, &text.replace(old, new))
    }

    /// Commits what was changed; the commit's id.
    pub(crate) fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Commits the opposite of the last commit.
    pub(crate) fn revert(&self) -> Result<String> {
        self.git(&["revert", "--no-edit", "HEAD"])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        printed(git(&self.tree()).args(arguments))
    }
}

/// git as if nobody had configured it.
pub(crate) fn git(tree: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(tree)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    for whose in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{whose}_NAME"), "Dev")
            .env(format!("GIT_{whose}_EMAIL"), "dev@example.com");
    }
    git
}

/// Answers one request with what `git http-backend` says to it.
fn serve(root: &Path, stream: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().context("a method")?.to_owned();
    let target = words.next().context("a target")?.to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let header = |name: &str| {
        let found = headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let body = if header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        chunks(&mut reader)?
    } else {
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body)?;
        body
    };
    let mut backend = git(root)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", &method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    backend
        .stdin
        .take()
        .context("stdin is piped")?
        .write_all(&body)?;
    let answer = backend.wait_with_output()?.stdout;
    let blank = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("an answer has headers")?;
    let head = String::from_utf8_lossy(&answer[..blank]);
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let length = answer.len() - blank - 4;
    let stream = reader.get_mut();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n"
    )?;
    for line in head.lines().filter(|line| !line.starts_with("Status: ")) {
        write!(stream, "{line}\r\n")?;
    }
    stream.write_all(&answer[blank + 2..])?;
    Ok(())
}

/// A body whose length is told piece by piece.
fn chunks(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16)?;
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend(&chunk[..length]);
    }
}

//! What is left of a node when the tests that run on it are killed: nothing. This program starts
//! itself again with a node of its own, kills that, and looks for what it had started.
//! Must not end anything itself but the processes that it kills on purpose.

use std::{
    collections::BTreeSet,
    env, fs,
    future::pending,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cluster::Cluster,
    control_plane, pod,
    suite::{Test, existing_cluster, test},
    wait,
};

/// Makes this program hold a node until it is killed.
pub(crate) const HOLDS: &str = "NODE_HOLDS";

/// What it says when everything runs that can be left behind.
const HELD: &str = "the node is held";

/// How long the kernel and `run.sh` may take.
const GONE: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "nothing is left of a node when the tests are killed",
            killed,
        )
        .only_if(!existing_cluster()),
    ]
}

/// The only test of the program that is to be killed.
pub(crate) fn holder() -> Vec<Test> {
    vec![test("a node is held", hold)]
}

async fn hold(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("held").await?;
    pod::run(cluster, &pod::pod(&namespace, "held", "held", &[])).await?;
    // A program that talks to the node must go, too.
    let _watching = pod::until(cluster, &namespace, "held", "false")?;
    println!("{HELD}");
    pending().await
}

async fn killed(_: &Cluster) -> Result<()> {
    // Everything at once that could clean up; only the cgroups stay, without a process.
    let (mut tests, left) = held()?;
    let script = left.script().context("run.sh runs")?;
    let status = Command::new("kill")
        .args(["-KILL", &tests.0.id().to_string(), &script.pid.to_string()])
        .status()?;
    ensure!(status.success(), "kill: {status}");
    tests.0.wait()?;
    left.until_gone().await?;
    let cgroups = cgroups(script.pid);
    ensure!(!cgroups.is_empty(), "there was nobody to remove them");

    // Only the tests; and a node that starts removes what the one before has left.
    let (mut tests, left) = held()?;
    ensure!(
        cgroups.iter().all(|path| !path.exists()),
        "left: {cgroups:?}"
    );
    let script = left.script().context("run.sh runs")?;
    tests.0.kill()?;
    tests.0.wait()?;
    left.until_gone().await?;
    wait::poll("its cgroups are gone", GONE, || {
        Ok(self::cgroups(script.pid).is_empty().then_some(()))
    })
    .await
}

/// This program with a node on which a pod runs, and all that this has started.
fn held() -> Result<(Tests, Started)> {
    let mut tests = Command::new("unshare")
        .args(["--net", "--"])
        .arg(env::current_exe()?)
        .arg("--nocapture")
        .env(HOLDS, "true")
        .env(crate::BUILT, control_plane::built()?)
        .stdin(Stdio::null())
        // kubectl complains when it loses the API server.
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = tests.stdout.take().context("stdout is piped")?;
    let mut tests = Tests(tests);
    for line in BufReader::new(stdout).lines() {
        if line?.contains(HELD) {
            let started = Started::by(tests.0.id())?;
            return Ok((tests, started));
        }
    }
    bail!("it ended early: {}", tests.0.wait()?)
}

/// The program that is to be killed; it is, however this test ends.
struct Tests(Child);

impl Drop for Tests {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The cgroups of the node that a `run.sh` runs.
fn cgroups(script: u32) -> Vec<PathBuf> {
    let name = format!("anthropic-rbac-node-{script}");
    let root = Path::new("/sys/fs/cgroup");
    let trees = fs::read_dir(root).into_iter().flatten().flatten();
    let trees = trees.map(|tree| tree.path()).chain([root.to_owned()]);
    let named = trees.map(|tree| tree.join(&name));
    named.filter(|path| path.exists()).collect()
}

/// Processes, and the namespaces they are in but not this one.
struct Started {
    tests: u32,
    processes: Vec<Process>,
    namespaces: BTreeSet<PathBuf>,
}

// === impl Started ===

impl Started {
    /// All that a process has started, and their children, in whatever namespace.
    fn by(tests: u32) -> Result<Self> {
        let all = Process::all();
        let mut processes: Vec<Process> = Vec::new();
        let mut parents = BTreeSet::from([tests]);
        loop {
            let found = all.iter().filter(|process| {
                let known = processes.iter().any(|other| other.pid == process.pid);
                !known && (process.pid == tests || parents.contains(&process.parent))
            });
            let found: Vec<_> = found.cloned().collect();
            if found.is_empty() {
                break;
            }
            parents.extend(found.iter().map(|process| process.pid));
            processes.extend(found);
        }
        // What a node consists of is among them, or this would look for nothing.
        let names: BTreeSet<&str> = processes.iter().map(|process| &*process.name).collect();
        for program in ["etcd", "kube-apiserver", "kubelet", "containerd", "kubectl"] {
            ensure!(names.contains(program), "no {program}: {names:?}");
        }
        let has = |start: &str| names.iter().any(|name| name.starts_with(start));
        ensure!(
            has("containerd-shim") && has("anthropic-rbac") && names.contains("sleep"),
            "{names:?}"
        );
        let own = namespaces(&std::process::id().to_string());
        let theirs = processes
            .iter()
            .flat_map(|process| namespaces(&process.pid.to_string()));
        let namespaces: BTreeSet<PathBuf> = theirs.filter(|one| !own.contains(one)).collect();
        ensure!(namespaces.len() >= 8, "{namespaces:?}");
        Ok(Self {
            tests,
            processes,
            namespaces,
        })
    }

    /// The `run.sh` among them: the shell that the tests started.
    fn script(&self) -> Option<&Process> {
        let mut processes = self.processes.iter();
        processes.find(|process| process.parent == self.tests && process.name == "bash")
    }

    /// Waits until no process, namespace or mount is left.
    async fn until_gone(&self) -> Result<()> {
        let mut left = Vec::new();
        let gone = wait::poll("all is gone", GONE, || {
            left = self.left()?;
            Ok(left.is_empty().then_some(()))
        })
        .await;
        gone.with_context(|| format!("left: {left:?}"))
    }

    fn left(&self) -> Result<Vec<String>> {
        let now = Process::all();
        let mut left: Vec<String> = Vec::new();
        for process in &now {
            let here = namespaces(&process.pid.to_string());
            if self.processes.iter().any(|one| one.is(process))
                || here.iter().any(|one| self.namespaces.contains(one))
            {
                left.push(process.name.clone());
            }
        }
        let folder = format!("/cluster-{}/", self.tests);
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mounts = mounts.lines().filter(|mount| mount.contains(&folder));
        left.extend(mounts.map(str::to_owned));
        Ok(left)
    }
}

/// A process of this machine.
#[derive(Clone)]
struct Process {
    pid: u32,
    parent: u32,
    /// When it started: process ids come back.
    start: String,
    name: String,
}

// === impl Process ===

impl Process {
    /// All but those that have ended and are only still counted.
    fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let read = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Self::parse(pid, &stat)
        });
        read.collect()
    }

    fn parse(pid: u32, stat: &str) -> Option<Self> {
        let (start, rest) = stat.rsplit_once(')')?;
        let (_, name) = start.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            start: (*fields.get(19)?).to_owned(),
            name: name.to_owned(),
        })
    }

    fn is(&self, other: &Self) -> bool {
        (self.pid, &self.start) == (other.pid, &other.start)
    }
}

/// The namespaces of a process that a node makes anew.
fn namespaces(pid: &str) -> BTreeSet<PathBuf> {
    let kinds = ["net", "mnt", "pid", "ipc"];
    let links = kinds.map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")));
    links.into_iter().flatten().collect()
}

//! `anthropic-rbac operator` as a child process with its real ServiceAccount.
//! Must not lend it any right that `deploy/base` does not give.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::{cluster::Cluster, command_line, faketime::Clock, tap::Tap, wait};

pub(crate) use crate::cluster::{OPERATOR_NAMESPACE, OPERATOR_USER};

/// Its ServiceAccount, in whichever namespace it runs.
const ACCOUNT: &str = "anthropic-rbac";

/// How to run it.
pub(crate) struct Settings<'a> {
    /// Namespaces in which it may touch Secrets.
    pub(crate) secrets_in: &'a [&'a str],
    pub(crate) leader_elect: bool,
    /// `RUST_LOG`: `trace` to see everything it could ever print.
    pub(crate) log: &'a str,
    /// More flags of `operator`.
    pub(crate) arguments: &'a [&'a str],
    /// Where it runs; its ServiceAccount is there.
    pub(crate) namespace: &'a str,
    /// Talks to the API server through this.
    pub(crate) through: Option<&'a Tap>,
    /// Goes by this clock, not the machine's.
    pub(crate) clock: Option<&'a Clock>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            secrets_in: &[],
            leader_elect: false,
            log: "info",
            arguments: &[],
            namespace: OPERATOR_NAMESPACE,
            through: None,
            clock: None,
        }
    }
}

/// A running operator. Ends when it is dropped.
pub(crate) struct Operator {
    process: Child,
    number: usize,
    command: Vec<String>,
    rust_log: String,
    namespace: String,
    address: SocketAddr,
    log: PathBuf,
}

// === impl Operator ===

impl Operator {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(cluster: &Cluster, settings: Settings<'_>) -> Result<Self> {
        let mut operator = Self::spawn(cluster, settings)?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts it; [`Operator::ready`] tells when it works.
    pub(crate) fn spawn(cluster: &Cluster, settings: Settings<'_>) -> Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let Settings {
            secrets_in,
            leader_elect,
            log: rust_log,
            arguments,
            namespace,
            through,
            clock,
        } = settings;
        for secrets in secrets_in {
            allow_secrets(cluster, secrets)?;
        }
        let kubeconfig = match through {
            Some(tap) => tap.kubeconfig(cluster)?,
            None => kubeconfig_of(cluster, namespace, ACCOUNT)?,
        };
        let mut command = clock.map(Clock::command).unwrap_or_default();
        command.extend([
            command_line::program().display().to_string(),
            "operator".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--leader-elect={leader_elect}"),
        ]);
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        if cluster.is_namespaced() {
            let models = "deploy/overlays/namespaced/models-role.yaml";
            apply(cluster, OPERATOR_NAMESPACE, models)?;
            let namespaces = cluster.test_namespaces();
            for namespace in &namespaces {
                apply(cluster, namespace, "deploy/namespace/role.yaml")?;
            }
            command.push(format!("--namespaces={}", namespaces.join(",")));
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = cluster.dir().join(format!("operator-{number}.log"));
        let address = free_address()?;
        Ok(Self {
            process: launch(&command, number, rust_log, namespace, address, &log)?,
            number,
            command,
            rust_log: rust_log.to_owned(),
            namespace: namespace.to_owned(),
            address,
            log,
        })
    }

    /// Who it is among operators: the name of its pod.
    pub(crate) fn name(&self) -> String {
        pod_name(self.number)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        wait::poll("the operator is ready", Duration::from_secs(30), || {
            // A refused connection means not yet, unless there is nobody to wait for.
            if let Ok((200, _)) = self.http_get("/readyz") {
                return Ok(Some(()));
            }
            match self.process.try_wait()? {
                Some(status) => bail!("the operator has ended: {status}"),
                None => Ok(None),
            }
        })
        .await
        .map_err(|error| anyhow!("{error}; the end of its log:\n{}", self.log_tail()))
    }

    /// Ends it (SIGTERM), starts it again with the same settings, waits until it is ready.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.launch_again().await
    }

    /// Starts it again after [`Operator::kill`] or [`Operator::stop`], and waits until it
    /// is ready.
    pub(crate) async fn launch_again(&mut self) -> Result<()> {
        ensure!(
            self.process.try_wait()?.is_some(),
            "the operator is still running"
        );
        self.address = free_address()?;
        self.process = launch(
            &self.command,
            self.number,
            &self.rust_log,
            &self.namespace,
            self.address,
            &self.log,
        )?;
        self.ready().await
    }

    /// Ends it without warning (SIGKILL), as a crash would.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus> {
        self.process.kill()?;
        Ok(self.process.wait()?)
    }

    /// Asks it to end (SIGTERM), as Kubernetes does, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus> {
        let pid = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(asked.success(), "the operator had ended already");
        wait::poll("the operator has ended", Duration::from_secs(15), || {
            Ok(self.process.try_wait()?)
        })
        .await
    }

    /// Everything it has logged, over restarts.
    pub(crate) fn logged(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Its metrics in text form.
    pub(crate) fn metrics(&self) -> Result<String> {
        match self.http_get("/metrics")? {
            (200, body) => Ok(body),
            (status, body) => bail!("/metrics answers {status}: {body}"),
        }
    }

    /// Resident memory. Linux only.
    pub(crate) fn rss_bytes(&self) -> Result<u64> {
        self.memory("status", "VmRSS:")
    }

    /// The most resident memory since its last start. Linux only.
    pub(crate) fn peak_rss_bytes(&self) -> Result<u64> {
        self.memory("status", "VmHWM:")
    }

    /// Resident memory, with its share of what it shares. Linux only.
    pub(crate) fn pss_bytes(&self) -> Result<u64> {
        self.memory("smaps_rollup", "Pss:")
    }

    fn memory(&self, file: &str, field: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.process.id()))?;
        let kilobytes = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_suffix("kB"))
            .with_context(|| format!("no {field} in /proc/PID/{file}"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    /// Processor time used since its last start, user and system. Linux only.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The second field, the name in parentheses, may hold blanks. Of those after it,
        // utime is the 12th and stime the 13th (proc(5): 14 and 15 of all).
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| -> Result<u32> { Ok(fields[field].parse()?) };
        // USER_HZ, which is 100 on every architecture Rust and Kubernetes share.
        Ok(f64::from(ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Status and body of a GET on its metrics port.
    pub(crate) fn http_get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("not an HTTP answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    fn log_tail(&self) -> String {
        let log = self.logged().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.kill();
    }
}

/// A kubeconfig that makes its holder the operator, with a token as a pod would have it.
pub(crate) fn kubeconfig(cluster: &Cluster) -> Result<PathBuf> {
    kubeconfig_of(cluster, OPERATOR_NAMESPACE, ACCOUNT)
}

/// A kubeconfig that makes its holder this ServiceAccount.
pub(crate) fn kubeconfig_of(cluster: &Cluster, namespace: &str, name: &str) -> Result<PathBuf> {
    let token = cluster.kubectl_ok(&[
        "create",
        "token",
        name,
        "--namespace",
        namespace,
        "--duration=24h",
    ])?;
    let admin: Value = serde_json::from_str(&cluster.kubectl_ok(&[
        "config",
        "view",
        "--minify",
        "--raw",
        "--flatten",
        "--output=json",
    ])?)?;
    let path = cluster.dir().join(format!("{namespace}.{name}.kubeconfig"));
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": admin["clusters"][0]["cluster"]}],
        "users": [{"name": name, "user": {"token": token.trim()}}],
        "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name}}],
        "current-context": name,
    });
    fs::write(&path, kubeconfig.to_string())?;
    Ok(path)
}

/// Binds the Secrets role in a namespace, with the command that users are told.
pub(crate) fn allow_secrets(cluster: &Cluster, namespace: &str) -> Result<()> {
    if cluster.is_namespaced() {
        return apply(cluster, namespace, "deploy/namespace/secrets-role.yaml");
    }
    grant(cluster, namespace, "anthropic-rbac-secrets")
}

/// Binds the role for gateways' pods in a namespace, with the command that users are told.
pub(crate) fn allow_pods(cluster: &Cluster, namespace: &str) -> Result<()> {
    grant(cluster, namespace, "anthropic-rbac-gateway-pods")
}

fn grant(cluster: &Cluster, namespace: &str, role: &str) -> Result<()> {
    cluster.kubectl_ok(&[
        "create",
        "rolebinding",
        role,
        "--namespace",
        namespace,
        &format!("--clusterrole={role}"),
        &format!("--serviceaccount={OPERATOR_NAMESPACE}:{ACCOUNT}"),
    ])?;
    Ok(())
}

/// One of the project's manifests, into a namespace.
fn apply(cluster: &Cluster, namespace: &str, file: &str) -> Result<()> {
    cluster.kubectl_ok(&["apply", "--namespace", namespace, "--filename", file])?;
    Ok(())
}

/// Kept over restarts, as a container keeps its pod's.
fn pod_name(number: usize) -> String {
    format!("operator-{number}")
}

fn launch(
    command: &[String],
    number: usize,
    rust_log: &str,
    namespace: &str,
    address: SocketAddr,
    log: &Path,
) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    // Where Linux offers it, the kernel ends the operator with this process: Drop does not
    // run when a test run is killed. setpriv becomes the operator, so the id stays.
    let leash = ["setpriv", "--pdeathsig", "KILL"];
    let leashed = Command::new(leash[0])
        .args(&leash[1..])
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut words = if leashed { &leash[..] } else { &[] }
        .iter()
        .copied()
        .chain(command.iter().map(String::as_str));
    Command::new(words.next().expect("a command has a program"))
        .args(words)
        .arg(format!("--metrics-bind-address={address}"))
        .env("RUST_LOG", rust_log)
        .env("RUST_BACKTRACE", "full")
        .env("POD_NAMESPACE", namespace)
        .env("POD_NAME", pod_name(number))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the operator")
}

/// A loopback address that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

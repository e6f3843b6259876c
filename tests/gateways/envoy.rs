//! A real Envoy as a child process, with a configuration that is meant for a pod: its paths,
//! ports, upstream and trusted authority are put where this machine has them, nothing else.
//! Must not know what the configuration says besides.

use std::fs::{self, File};
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::anthropic::Anthropic;
use crate::authority::{Authority, HOST};
use crate::http::{Connection, Response, request};
use crate::mount::{Files, Mount, Order};

/// What a configuration calls what is elsewhere here.
const FOLDER: &str = "/etc/anthropic-rbac";
const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";
const UPSTREAM_PORT: u64 = 443;
const ADMIN_PORT: u64 = 9901;
/// Ports that listeners have: of clients, and of whoever asks how it is.
const LISTENER_PORTS: [u64; 2] = [8080, 8081];

/// How long it may take to start, or to take a change over.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Envoy. It ends when dropped.
pub(crate) struct Envoy {
    /// Where it serves clients.
    pub(crate) address: SocketAddr,
    /// Where it says how it is, if it does.
    pub(crate) status: Option<SocketAddr>,
    admin: SocketAddr,
    mount: Mount,
    /// What is mounted of a file that the data does not have.
    absent: Files,
    root: PathBuf,
    trusted: Option<PathBuf>,
    process: Child,
    log: Arc<Log>,
    folder: tempfile::TempDir,
}

/// Lines of its access log, as they come.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    grown: Condvar,
}

// === impl Envoy ===

impl Envoy {
    /// Starts the configuration `envoy.yaml` of these files, which lie beside each other in a
    /// folder of [`FOLDER`], with these files mounted as `gateway`, in front of a fake.
    ///
    /// # Errors
    /// When it does not become ready; what it says is in the error.
    pub(crate) fn start(
        binary: &Path,
        config: &Files,
        data: &Files,
        (upstream, authority): (&Anthropic, Option<&Authority>),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("etc");
        let trusted = authority.map(Authority::root);
        let absent = config.iter().filter_map(|(name, content)| {
            let name = name.strip_prefix("absent.")?.to_owned();
            Some((name, content.clone()))
        });
        let absent = absent.collect();
        let data = placed(&over(&absent, data), &root, trusted.as_deref());
        let mount = Mount::new(&root.join("gateway"), &data)?;
        let place = root.join("envoy");
        fs::create_dir_all(&place)?;
        for (name, content) in &placed(config, &root, trusted.as_deref()) {
            fs::write(place.join(name), content)?;
        }
        let text = fs::read_to_string(place.join("envoy.yaml")).context("envoy.yaml")?;
        let mut bootstrap: Value = serde_saphyr::from_str(&text)?;
        let places = Places {
            upstream: upstream.address,
            admin: free()?,
        };
        places.adapt(&mut bootstrap);
        let bootstrap_path = folder.path().join("bootstrap.json");
        fs::write(&bootstrap_path, bootstrap.to_string())?;

        let mut command = Command::new(binary);
        command
            .arg("--config-path")
            .arg(&bootstrap_path)
            .args(["--disable-hot-restart", "--concurrency", "2"])
            .args(["--file-flush-interval-msec", "20", "--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("stderr"))?);
        let mut process = spawn(command).with_context(|| binary.display().to_string())?;
        let log = Arc::<Log>::default();
        let stdout = process.stdout.take().context("stdout is piped")?;
        let lines = log.clone();
        std::thread::spawn(move || lines.follow(BufReader::new(stdout)));

        let mut envoy = Self {
            // Known once it is ready.
            address: upstream.address,
            status: None,
            admin: places.admin,
            mount,
            absent,
            root,
            trusted,
            process,
            log,
            folder,
        };
        match envoy.await_ready() {
            Ok(()) => Ok(envoy),
            Err(error) => Err(error.context(envoy.stderr())),
        }
    }

    fn await_ready(&mut self) -> Result<()> {
        until("Envoy is ready", || {
            if let Some(status) = self.process.try_wait()? {
                bail!("Envoy ended: {status}");
            }
            let ready = self.admin("GET", "/ready");
            Ok(ready.is_ok_and(|ready| ready.status == 200).then_some(()))
        })?;
        let listeners = self.admin("GET", "/listeners?format=json")?.json();
        let listeners = listeners["listener_statuses"].as_array();
        for listener in listeners.into_iter().flatten() {
            let address = &listener["local_address"]["socket_address"];
            let port = address["port_value"].as_u64().context("a port")?;
            let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?));
            match listener["name"].as_str() {
                Some("status") => self.status = Some(address),
                _ => self.address = address,
            }
        }
        Ok(())
    }

    /// Replaces what is mounted, as the kubelet does. Returns at once.
    pub(crate) fn swap(&mut self, data: &Files, order: Order) -> Result<()> {
        let data = over(&self.absent, data);
        let data = placed(&data, &self.root, self.trusted.as_deref());
        self.mount.swap(&data, order)
    }

    /// Replaces what is mounted, and returns once every file that Envoy watches was looked at.
    pub(crate) fn swap_and_wait(&mut self, data: &Files, order: Order) -> Result<()> {
        let before = self.watched()?;
        self.swap(data, order)?;
        until("Envoy has looked at all that changed", || {
            let now = self.watched()?;
            let seen = before
                .iter()
                .all(|(name, count)| now.iter().any(|(other, now)| other == name && now > count));
            Ok(seen.then_some(()))
        })
    }

    /// How often Envoy looked at each file that it watches.
    fn watched(&self) -> Result<Vec<(String, u64)>> {
        let stats = self.stats("update_attempt")?;
        let of_files = |(name, _): &(String, u64)| {
            let kinds = [
                "extension_config_discovery.",
                "cluster_manager.cds.",
                "sds.",
            ];
            kinds.iter().any(|kind| name.starts_with(kind))
        };
        Ok(stats.into_iter().filter(of_files).collect())
    }

    /// Its counters and gauges with these words in their names.
    pub(crate) fn stats(&self, words: &str) -> Result<Vec<(String, u64)>> {
        let answer = self.admin("GET", &format!("/stats?filter={words}"))?;
        let text = String::from_utf8(answer.body)?;
        let lines = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(lines.collect())
    }

    /// Asks its admin interface.
    pub(crate) fn admin(&self, method: &str, path: &str) -> Result<Response> {
        Connection::open(self.admin)?.ask(&request(method, path, &[], b""))
    }

    /// What it says of itself to the operator.
    pub(crate) fn loaded(&self) -> Result<Value> {
        let status = self.status.context("a listener that says what is loaded")?;
        let answer = Connection::open(status)?.ask(&request("GET", "/loaded", &[], b""))?;
        Ok(answer.json())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How many lines the access log has.
    pub(crate) fn logged(&self) -> usize {
        self.log.lines().len()
    }

    /// Forgets what the access log has so far: a million lines would fill the memory.
    pub(crate) fn forget_logged(&self) {
        self.log.lines().clear();
    }

    /// The access log from this line on, once it holds one that is looked for.
    pub(crate) fn log_until(
        &self,
        from: usize,
        found: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines();
        loop {
            if lines[from..].iter().any(&found) {
                return Ok(lines[from..].to_vec());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the line is not in the access log: {:?}", &lines[from..]);
            }
            lines = match self.log.grown.wait_timeout(lines, left) {
                Ok((lines, _)) => lines,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// What it said.
    pub(crate) fn stderr(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // An error says that it is gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

// === impl Log ===

impl Log {
    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Value>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, stdout: impl std::io::BufRead) {
        for line in stdout.lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.lines().push(line);
            self.grown.notify_all();
        }
    }
}

/// What a projected volume has of two sources: of files of one name that of the later.
fn over(earlier: &Files, later: &Files) -> Files {
    let mut all = earlier.clone();
    all.extend(later.clone());
    all
}

/// Files with paths that are good here.
fn placed(files: &Files, root: &Path, trusted: Option<&Path>) -> Files {
    let root = root.to_string_lossy();
    let placed = files.iter().map(|(name, content)| {
        let Ok(text) = std::str::from_utf8(content) else {
            return (name.clone(), content.clone());
        };
        let mut text = text.replace(FOLDER, &root);
        if let Some(trusted) = trusted {
            text = text.replace(TRUSTED, &trusted.to_string_lossy());
        }
        (name.clone(), text.into_bytes())
    });
    placed.collect()
}

/// Where on this machine is what a configuration names.
struct Places {
    upstream: SocketAddr,
    admin: SocketAddr,
}

// === impl Places ===

impl Places {
    /// Puts them in.
    fn adapt(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                let host = members.get("address").and_then(Value::as_str);
                let port = members.get("port_value").and_then(Value::as_u64);
                let at = match (host, port) {
                    (Some(HOST), Some(UPSTREAM_PORT)) => Some(self.upstream),
                    (Some(_), Some(ADMIN_PORT)) => Some(self.admin),
                    // Envoy takes any that is free.
                    (Some(_), Some(port)) if LISTENER_PORTS.contains(&port) => {
                        Some(SocketAddr::from(([127, 0, 0, 1], 0)))
                    }
                    _ => None,
                };
                if let Some(at) = at {
                    members.insert("address".to_owned(), json!(at.ip()));
                    members.insert("port_value".to_owned(), json!(at.port()));
                }
                members.values_mut().for_each(|member| self.adapt(member));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.adapt(item)),
            _ => {}
        }
    }
}

/// An address that is free now.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Starts a child from a thread that never ends: Envoy asks the kernel to be killed when the
/// thread that started it is gone.
fn spawn(command: Command) -> Result<Child> {
    type Start = (Command, Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<Mutex<Sender<Start>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (send, receive) = channel::<Start>();
        std::thread::spawn(move || {
            for (mut command, reply) in receive {
                drop(reply.send(command.spawn()));
            }
        });
        Mutex::new(send)
    });
    let (reply, started) = channel();
    let sent = starter
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, reply));
    sent.ok().context("the starter is gone")?;
    Ok(started.recv()??)
}

/// Asks again and again until there is an answer; an error ends it.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {PATIENCE:?} in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

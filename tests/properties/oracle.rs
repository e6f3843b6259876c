//! The contract once more, read from its sentences and straight from the manifests: what a
//! request must be answered, whose Secrets may be read, where a key's bytes may go. It shares
//! no rule with the code it judges.

mod court;

use std::collections::{BTreeMap, BTreeSet};

use anthropic_rbac::policy::catalogue::Catalogue;
use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::subject::{Subject, SubjectId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::run::name_of;
use crate::stage::kind_of;
use crate::worlds::WORKSPACES;

/// What a request must be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Allow {
        role: String,
        binding: String,
        key: String,
        max_tokens: u64,
        per_minute: u64,
    },
    Deny(String),
}

/// The manifests of a world, at one instant.
pub struct Oracle<'a> {
    objects: &'a [Value],
    now: Timestamp,
    catalogue: Catalogue,
}

/// One workspace of it.
pub struct Court<'a> {
    world: &'a Oracle<'a>,
    name: String,
    home: &'a str,
    spec: &'a Value,
    roles: BTreeMap<String, Option<Access>>,
    grants: Vec<Given>,
    /// By caller: the key that names it.
    keys: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Access {
    models: Vec<String>,
    max_tokens: u64,
    per_minute: u64,
}

struct Given {
    binding: String,
    role: String,
    /// As callers write themselves.
    to: String,
}

/// As [`Subject`] writes itself, with the whole digest.
fn caller(subject: &Subject) -> String {
    match subject {
        Subject::ClientKey(digest) => format!("clientkey:{digest}"),
        Subject::ServiceAccount(_) | Subject::User { .. } | Subject::Group { .. } => {
            subject.to_string()
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"])
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// Oldest first, then by name: who was there first.
fn seniority(object: &Value) -> (Option<Timestamp>, (String, String)) {
    let name = (
        namespace(object).to_owned(),
        text(&object["metadata"]["name"]).to_owned(),
    );
    (instant(&object["metadata"]["creationTimestamp"]), name)
}

/// The object a reference names, as `namespace/name`; its own namespace unless it says another.
fn referred(reference: &Value, from: &Value) -> String {
    let own = namespace(from);
    format!(
        "{}/{}",
        reference["namespace"].as_str().unwrap_or(own),
        text(&reference["name"])
    )
}

/// Whether it is of the form that is stored at all.
fn can_be_read(object: &Value) -> bool {
    let kinds = ["ServiceAccount", "User", "Group", "ClientKey"];
    named(object).all(|subject| kinds.contains(&text(&subject["kind"])))
}

fn named(object: &Value) -> impl Iterator<Item = &Value> {
    list(&object["spec"]["subjects"])
        .iter()
        .chain(list(&object["spec"]["usedBy"]))
}

/// Whether its spec can be understood.
fn makes_sense(object: &Value) -> bool {
    let spec = &object["spec"];
    // A ClientKey's Secret is a Secret *here*.
    let own = named(object).all(|s| {
        s["kind"] != "ClientKey"
            || s["namespace"]
                .as_str()
                .is_none_or(|n| n == namespace(object))
    });
    let (start, end) = (instant(&spec["notBefore"]), instant(&spec["expiresAt"]));
    let ordered =
        kind_of(object) != "RoleBinding" || start.zip(end).is_none_or(|(start, end)| start < end);
    can_be_read(object) && own && ordered
}

impl<'a> Oracle<'a> {
    pub fn of(objects: &'a [Value], now: Timestamp) -> Self {
        Self {
            objects,
            now,
            catalogue: Catalogue::built_in(),
        }
    }

    pub fn all(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.objects
            .iter()
            .filter(move |object| kind_of(object) == kind)
    }

    pub fn find(&self, kind: &'static str, name: &str) -> Option<&'a Value> {
        self.all(kind).find(|object| name_of(object) == name)
    }

    /// The workspace, if it exists.
    pub fn court(&'a self, name: &str) -> Option<Court<'a>> {
        let mut court = self.bare_court(self.find("Workspace", name)?);
        let owners = self.client_key_owners();
        for binding in court.attached("RoleBinding") {
            for to in court.reached(binding, &owners) {
                let role = text(&binding["spec"]["roleRef"]["name"]).to_owned();
                court.grants.push(Given {
                    binding: name_of(binding),
                    role,
                    to,
                });
            }
        }
        let mut keys = court.attached("ApiKeyRef");
        keys.sort_by_key(|key| seniority(key));
        keys.retain(|key| court.key_permitted(key));
        for key in keys {
            for subject in list(&key["spec"]["usedBy"]) {
                for who in court.named(key, subject, &owners) {
                    court.keys.entry(who).or_insert_with(|| name_of(key));
                }
            }
        }
        Some(court)
    }

    fn bare_court(&'a self, object: &'a Value) -> Court<'a> {
        let mut court = Court {
            world: self,
            name: name_of(object),
            home: namespace(object),
            spec: &object["spec"],
            roles: BTreeMap::new(),
            grants: Vec::new(),
            keys: BTreeMap::new(),
        };
        court.roles = court.effective_roles();
        court
    }

    /// The namespace each client key belongs to: whose binding was there first, in whatever
    /// workspace. One that may not give its role, is disabled or over claims nothing.
    fn client_key_owners(&'a self) -> BTreeMap<Digest, &'a str> {
        let mut claims = Vec::new();
        for court in self.all("Workspace").map(|object| self.bare_court(object)) {
            for binding in court.attached("RoleBinding") {
                let spec = &binding["spec"];
                let over = instant(&spec["expiresAt"]).is_some_and(|end| end <= self.now);
                if court.may_bind(binding) && spec["state"] != "Disabled" && !over {
                    let named = list(&spec["subjects"]).iter();
                    let keys = named.flat_map(|subject| court.client_keys(binding, subject));
                    claims.push((
                        seniority(binding),
                        namespace(binding),
                        keys.collect::<Vec<_>>(),
                    ));
                }
            }
        }
        claims.sort();
        let mut owners = BTreeMap::new();
        for (_, namespace, keys) in claims {
            for key in keys {
                owners.entry(key).or_insert(namespace);
            }
        }
        owners
    }

    // === keys: whose, from where ===

    /// "The source Secret's annotations say: allow-namespaces lets ApiKeyRefs of those namespaces
    /// use it, `*` all. Without it only its own namespace may. Malformed = no grant."
    pub fn may_use(&self, key: &Value, secret: &str) -> bool {
        let Some(secret) = self.find("Secret", secret) else {
            return false;
        };
        namespace(secret) == namespace(key)
            || annotated(secret, "allow-namespaces", |entry| {
                entry == "*" || is_label(entry)
            })
            .iter()
            .any(|entry| *entry == "*" || *entry == namespace(key))
    }

    /// "Bytes reach a Workspace's gateway only when the Workspace is in the source's namespace, or
    /// `allow-workspaces` names it."
    pub fn may_reach(&self, secret: &str, workspace: &str) -> bool {
        let Some(secret) = self.find("Secret", secret) else {
            return false;
        };
        let parts = |entry: &str| {
            entry
                .split_once('/')
                .is_some_and(|(a, b)| is_label(a) && is_label(b))
        };
        workspace.split('/').next() == Some(namespace(secret))
            || annotated(secret, "allow-workspaces", parts).contains(&workspace)
    }

    /// Whether a Workspace that exists and is open lets this ApiKeyRef attach, and it is not
    /// revoked: only then is there anything to do with its source.
    pub fn wanted(&self, key: &Value) -> bool {
        let spec = &key["spec"];
        let workspace = referred(&spec["workspaceRef"], key);
        let court = self.find("Workspace", &workspace);
        let admits = court.is_some_and(|court| {
            court["spec"]["state"] != "Disabled"
                && (namespace(court) == namespace(key)
                    || self
                        .entries(court, namespace(key))
                        .any(|entry| entry["apiKeyRefs"] == "Allow"))
        });
        makes_sense(key) && admits && spec["state"] != "Revoked"
    }

    /// The source and the successor whose time has come, as Secret and data key.
    pub fn sources(&self, key: &Value) -> Vec<(String, String)> {
        let spec = &key["spec"];
        let at = |part: &Value| {
            let reference = &part["secretKeyRef"];
            (referred(reference, key), text(&reference["key"]).to_owned())
        };
        let due = instant(&spec["next"]["activateAt"]).is_none_or(|at| at <= self.now);
        let next = spec.get("next").filter(|_| due);
        next.map(at)
            .into_iter()
            .chain([at(&spec["source"])])
            .collect()
    }

    /// The digest of an API key that this ApiKeyRef may use and that may be handed on.
    pub fn good_value(&self, key: &Value, (secret, data_key): &(String, String)) -> Option<Digest> {
        let value = self.find("Secret", secret)?["stringData"]
            .get(data_key)?
            .as_str()?;
        let value = value.strip_suffix('\n').unwrap_or(value);
        let shape = value.starts_with("sk-ant-api")
            && !value.starts_with("sk-ant-api01-")
            && !value.contains(char::is_whitespace);
        let digest = Digest::of(value.as_bytes());
        let revoked = list(&key["spec"]["revokedFingerprints"]);
        let revoked = revoked
            .iter()
            .any(|entry| text(entry) == digest.fingerprint().to_string());
        (self.may_use(key, secret) && shape && !revoked).then_some(digest)
    }

    /// The version in use where nothing was written before, and the Secret it comes from.
    fn in_use(&self, key: &Value) -> Option<(String, Digest)> {
        let of =
            |source: (String, String)| Some((source.0.clone(), self.good_value(key, &source)?));
        let spec = &key["spec"];
        let sources = self.sources(key);
        // Only the successor gives way to the source; a bad source is not replaced by it.
        let (secret, digest) = sources.into_iter().find_map(of)?;
        let dates = self.find("Secret", &secret).expect("it was read");
        let note = |name: &str| {
            instant(&dates["metadata"]["annotations"][format!("anthropic-rbac.io/{name}")])
        };
        let given = note("issued-at")
            .or(instant(&spec["issuedAt"]))
            .filter(|at| *at <= self.now);
        let issued = given.or(instant(&dates["metadata"]["creationTimestamp"]));
        let expires = note("expires-at").or(instant(&spec["expiresAt"]));
        let court = self.find("Workspace", &referred(&spec["workspaceRef"], key))?;
        let set = &court["spec"]["keys"]["rotation"];
        let wished = &spec["rotation"];
        let days = [&set["periodDays"], &wished["periodDays"]].map(Value::as_i64);
        let period = days[0].unwrap_or(90).min(days[1].unwrap_or(i64::MAX));
        let suspends = set["onOverdue"] == "Suspend" || wished["onOverdue"] == "Suspend";
        let day = |at: Timestamp| at + SignedDuration::from_hours(24 * period);
        let due = issued.map(day).into_iter().chain(expires).min();
        let overdue = due.is_some_and(|due| due <= self.now);
        (!(suspends && overdue)).then_some((secret, digest))
    }

    /// "In two workspaces, without both being `scope: Organization`: (none being in use) the
    /// source's namespace, else oldest, else name."
    fn lost_to_another(&self, key: &Value, digest: Digest) -> bool {
        let workspace = |key: &Value| referred(&key["spec"]["workspaceRef"], key);
        let rank = |key: &Value| {
            let source = referred(&key["spec"]["source"]["secretKeyRef"], key);
            (
                source.split('/').next() != Some(namespace(key)),
                seniority(key),
            )
        };
        let both = |other: &Value| {
            key["spec"]["scope"] == "Organization" && other["spec"]["scope"] == "Organization"
        };
        self.all("ApiKeyRef").any(|other| {
            workspace(other) != workspace(key)
                && self.wanted(other)
                && self.held(other).contains(&digest)
                && !both(other)
                && rank(other) < rank(key)
        })
    }

    /// Digests an ApiKeyRef holds a claim to: what it may use and names, now or next.
    fn held(&self, key: &Value) -> Vec<Digest> {
        let parts = [key["spec"].get("source"), key["spec"].get("next")]
            .into_iter()
            .flatten();
        let at = |part: &Value| {
            (
                referred(&part["secretKeyRef"], key),
                text(&part["secretKeyRef"]["key"]).to_owned(),
            )
        };
        parts
            .filter_map(|part| self.good_value(key, &at(part)))
            .collect()
    }

    /// Whether something of its own namespace names it for the client keys in it.
    pub fn is_asked_for_at_home(&self, secret: &Value) -> bool {
        let label = secret["metadata"]["labels"]["anthropic-rbac.io/client-key"] == "true";
        let mut all = self.all("RoleBinding").chain(self.all("ApiKeyRef"));
        label
            && all.any(|object| {
                let own = namespace(object) == namespace(secret);
                own && named(object)
                    .any(|s| s["kind"] == "ClientKey" && referred(s, object) == name_of(secret))
            })
    }

    fn entries(&self, workspace: &'a Value, namespace: &str) -> impl Iterator<Item = &'a Value> {
        let labels = self
            .find("Namespace", namespace)
            .map(|object| &object["metadata"]["labels"]);
        let namespace = namespace.to_owned();
        list(&workspace["spec"]["allowedNamespaces"])
            .iter()
            .filter(move |entry| {
                let names = list(&entry["names"]);
                if !names.is_empty() {
                    return names.iter().any(|name| text(name) == namespace);
                }
                entry
                    .get("selector")
                    .is_some_and(|selector| selects(selector, labels))
            })
    }
}

/// What Kubernetes says a selector means; of labels that nobody has seen, only that of all.
fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    let Some(labels) = labels else {
        return selector.as_object().is_some_and(serde_json::Map::is_empty);
    };
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let pairs = selector["matchLabels"].as_object();
    let pairs = pairs
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == value.as_str());
    let expressions = list(&selector["matchExpressions"])
        .iter()
        .all(|expression| {
            let value = label(text(&expression["key"]));
            let among =
                value.is_some_and(|v| list(&expression["values"]).iter().any(|w| text(w) == v));
            match text(&expression["operator"]) {
                "In" => among,
                "NotIn" => !among,
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        });
    pairs && expressions
}

/// The entries of a comma-separated annotation; none if any is malformed.
fn annotated<'v>(secret: &'v Value, name: &str, fits: impl Fn(&str) -> bool) -> Vec<&'v str> {
    let written = &secret["metadata"]["annotations"][format!("anthropic-rbac.io/{name}")];
    let Some(written) = written.as_str() else {
        return Vec::new();
    };
    let entries: Vec<&str> = written.split(',').map(str::trim).collect();
    if entries.iter().all(|entry| fits(entry)) {
        entries
    } else {
        Vec::new()
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Callers whose client key more than one namespace binds in some workspace or has in a Secret:
/// whose it is depends on who is there.
pub fn contested_client_keys(objects: &[Value]) -> BTreeSet<SubjectId> {
    let world = Oracle::of(objects, Timestamp::MIN);
    let mut named = Vec::new();
    for court in WORKSPACES.iter().filter_map(|name| world.court(name)) {
        for binding in court.attached("RoleBinding") {
            let subjects = list(&binding["spec"]["subjects"]).iter();
            let keys = subjects.flat_map(|subject| court.client_keys(binding, subject));
            named.extend(keys.map(|digest| (digest, namespace(binding))));
        }
    }
    for secret in world.all("Secret") {
        let values = secret["stringData"].as_object().into_iter().flatten();
        let keys = values.map(|(_, value)| Digest::of(text(value).as_bytes()));
        named.extend(keys.map(|digest| (digest, namespace(secret))));
    }
    let mut namespaces: BTreeMap<Digest, BTreeSet<&str>> = BTreeMap::new();
    for (digest, by) in named {
        namespaces.entry(digest).or_default().insert(by);
    }
    namespaces.retain(|_, by| by.len() > 1);
    let contested = namespaces.into_keys();
    contested
        .map(|digest| Subject::ClientKey(digest).id())
        .collect()
}

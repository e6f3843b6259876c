//! How a workspace decides, from the contract's sentences.

use std::collections::{BTreeMap, BTreeSet};

use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::subject::Subject;
use serde_json::Value;

use super::{
    Access, Court, Given, Verdict, caller, can_be_read, instant, list, makes_sense, named,
    namespace, referred, text,
};
use crate::asking::Question;
use crate::run::name_of;

impl<'a> Court<'a> {
    pub(super) fn attached(&self, kind: &'static str) -> Vec<&'a Value> {
        let here = |object: &&Value| referred(&object["spec"]["workspaceRef"], object) == self.name;
        self.world
            .all(kind)
            .filter(here)
            .filter(|object| makes_sense(object))
            .collect()
    }

    fn object(&self) -> &'a Value {
        self.world.find("Workspace", &self.name).expect("it exists")
    }

    /// The built-in table, changed field by field; a role with access and a limit missing is none.
    pub(super) fn effective_roles(&self) -> BTreeMap<String, Option<Access>> {
        let families = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let open = |models, max_tokens, per_minute| {
            Some(Access {
                models,
                max_tokens,
                per_minute,
            })
        };
        let mut roles = BTreeMap::from([
            ("viewer".to_owned(), None),
            (
                "user".to_owned(),
                open(families(&["claude-haiku-*"]), 512, 10),
            ),
            (
                "power".to_owned(),
                open(
                    families(&["claude-haiku-*", "claude-sonnet-*", "claude-opus-*"]),
                    4096,
                    60,
                ),
            ),
            ("admin".to_owned(), open(families(&["*"]), 8192, 200)),
        ]);
        for entry in list(&self.spec["roles"]) {
            let name = text(&entry["name"]).to_owned();
            let before = roles.get(&name).cloned().flatten();
            let may = match entry["apiAccess"].as_str() {
                Some(access) => access == "Allowed",
                None => before.is_some(),
            };
            let models = entry["models"]
                .as_array()
                .map(|models| models.iter().map(|m| text(m).to_owned()).collect());
            let models = models.or(before.as_ref().map(|b| b.models.clone()));
            let tokens = entry["maxTokens"]
                .as_u64()
                .or(before.as_ref().map(|b| b.max_tokens));
            let rate = entry["requestsPerMinute"]
                .as_u64()
                .or(before.as_ref().map(|b| b.per_minute));
            let access = match (models, tokens, rate) {
                (Some(models), Some(tokens), Some(rate)) if may => open(models, tokens, rate),
                _ => None,
            };
            roles.insert(name, access);
        }
        roles
    }

    /// Whether a binding may give its role here at all.
    pub(super) fn may_bind(&self, binding: &Value) -> bool {
        let (role, from) = (&binding["spec"]["roleRef"], namespace(binding));
        let name = text(&role["name"]);
        let opens = |entry: &Value| list(&entry["roles"]).iter().any(|r| text(r) == name);
        role["kind"] == "ApplicationRole"
            && self.roles.contains_key(name)
            && (from == self.home || self.world.entries(self.object(), from).any(opens))
    }

    /// Whether a binding may name subjects that are not its namespace's own: one entry whole.
    fn may_name_anyone(&self, binding: &Value) -> bool {
        let (name, from) = (
            text(&binding["spec"]["roleRef"]["name"]),
            namespace(binding),
        );
        let opens = |entry: &Value| {
            entry["subjects"] == "Any" && list(&entry["roles"]).iter().any(|r| text(r) == name)
        };
        from == self.home || self.world.entries(self.object(), from).any(opens)
    }

    /// The client keys a subject stands for: digests as written, or "a Secret here with label
    /// client-key: true; every data key of it". One that is none spoils the Secret.
    pub(super) fn client_keys(&self, from: &Value, subject: &Value) -> Vec<Digest> {
        if subject["kind"] != "ClientKey" {
            return Vec::new();
        }
        if let Some(digests) = subject["sha256"].as_array() {
            return digests
                .iter()
                .filter_map(|digest| Digest::parse(text(digest)))
                .collect();
        }
        let secret = self.world.find("Secret", &referred(subject, from));
        let secret = secret.filter(|secret| {
            secret["metadata"]["labels"]["anthropic-rbac.io/client-key"] == "true"
        });
        let values = secret
            .and_then(|secret| secret["stringData"].as_object())
            .into_iter()
            .flatten();
        let values: Vec<&str> = values.map(|(_, value)| text(value)).collect();
        let good = |value: &&str| {
            (32..=256).contains(&value.len())
                && !value.starts_with("sk-ant-")
                && !value.starts_with("ey")
        };
        if values.iter().all(good) {
            values
                .iter()
                .map(|value| Digest::of(value.as_bytes()))
                .collect()
        } else {
            Vec::new()
        }
    }

    /// Whom a subject of an object of this namespace stands for, if somebody vouches for it.
    pub(super) fn named(
        &self,
        from: &Value,
        subject: &Value,
        owners: &BTreeMap<Digest, &str>,
    ) -> Vec<String> {
        let issuers = list(&self.spec["authentication"]["issuers"]);
        let (kind, name) = (text(&subject["kind"]), text(&subject["name"]));
        match kind {
            "ServiceAccount" => {
                let vouched =
                    issuers.is_empty() || issuers.iter().any(|i| i["type"] == "Kubernetes");
                vouched
                    .then(|| format!("serviceaccount:{}", referred(subject, from)))
                    .into_iter()
                    .collect()
            }
            "ClientKey" => {
                let keys = self.client_keys(from, subject);
                // But for those that another namespace was first to use.
                let own = |digest: &Digest| {
                    owners
                        .get(digest)
                        .is_none_or(|owner| *owner == namespace(from))
                };
                keys.into_iter()
                    .filter(own)
                    .map(|digest| format!("clientkey:{digest}"))
                    .collect()
            }
            _ => {
                let issuer = text(&subject["issuer"]);
                let vouched = issuers.iter().any(|i| {
                    i["type"] == "OIDC"
                        && text(&i["name"]) == issuer
                        && (kind == "User" || i.get("groupsClaim").is_some())
                });
                let who = format!("{}:{issuer}:{name}", kind.to_lowercase());
                vouched.then_some(who).into_iter().collect()
            }
        }
    }

    /// Whom a binding reaches now.
    pub(super) fn reached(&self, binding: &Value, owners: &BTreeMap<Digest, &str>) -> Vec<String> {
        let spec = &binding["spec"];
        let started = instant(&spec["notBefore"]).is_none_or(|start| start <= self.world.now);
        let over = instant(&spec["expiresAt"]).is_some_and(|end| end <= self.world.now);
        if !self.may_bind(binding) || spec["state"] == "Disabled" || !started || over {
            return Vec::new();
        }
        let anyone = self.may_name_anyone(binding);
        let own = |subject: &&Value| match text(&subject["kind"]) {
            "ServiceAccount" => {
                referred(subject, binding).split('/').next() == Some(namespace(binding))
            }
            kind => kind == "ClientKey",
        };
        let subjects = list(&spec["subjects"])
            .iter()
            .filter(|subject| anyone || own(subject));
        subjects
            .flat_map(|subject| self.named(binding, subject, owners))
            .collect()
    }

    /// "From another namespace than the Workspace's, `usedBy` may name only ServiceAccounts and
    /// ClientKeys of the ApiKeyRef's own namespace", else it serves nobody.
    pub(super) fn key_permitted(&self, key: &Value) -> bool {
        let from = namespace(key);
        let own = |subject: &Value| match text(&subject["kind"]) {
            "ServiceAccount" => referred(subject, key).split('/').next() == Some(from),
            kind => kind == "ClientKey",
        };
        let attach = |entry: &Value| entry["apiKeyRefs"] == "Allow";
        from == self.home
            || (self.world.entries(self.object(), from).any(attach)
                && list(&key["spec"]["usedBy"]).iter().all(own))
    }

    /// "An ApiKeyRef naming the subject; else one naming a group of it (bytewise lowest name); else
    /// `defaultApiKeyRef`", whatever its state.
    fn key_of(&self, question: &Question) -> Option<String> {
        let named = |subject: &Subject| self.keys.get(&caller(subject)).cloned();
        let default = || {
            let name = self.spec["keys"]["defaultApiKeyRef"]["name"].as_str()?;
            let name = format!("{}/{name}", self.home);
            self.attached("ApiKeyRef")
                .into_iter()
                .map(name_of)
                .find(|key| *key == name)
        };
        let of_groups = || question.caller.groups.iter().filter_map(named).min();
        named(&question.caller.subject)
            .or_else(of_groups)
            .or_else(default)
    }

    /// A client key is blocked by its Secret where something of that namespace attaches: nobody
    /// learns anything of the Secrets of others by blocking them.
    fn involves(&self, subject: &Value) -> bool {
        let secret = referred(subject, self.object());
        let of = secret.split('/').next().unwrap_or_default();
        let here = |object: &Value| {
            can_be_read(object)
                && namespace(object) == of
                && referred(&object["spec"]["workspaceRef"], object) == self.name
        };
        let mut all = self
            .world
            .all("RoleBinding")
            .chain(self.world.all("ApiKeyRef"));
        subject["kind"] != "ClientKey"
            || subject["sha256"].is_array()
            || of == self.home
            || all.any(here)
    }

    /// Whether its Secret may be read for the client keys in it: "a Secret here with label
    /// client-key", named by something of its own namespace, or blocked.
    pub fn may_read_client_keys(&self, secret: &Value) -> bool {
        let label = secret["metadata"]["labels"]["anthropic-rbac.io/client-key"] == "true";
        let name = name_of(secret);
        let names = |object: &Value, subject: &Value| {
            subject["kind"] == "ClientKey" && referred(subject, object) == name
        };
        let bound = ["RoleBinding", "ApiKeyRef"]
            .into_iter()
            .flat_map(|kind| self.attached(kind))
            .any(|object| {
                namespace(object) == namespace(secret)
                    && named(object).any(|subject| names(object, subject))
            });
        let blocked = list(&self.spec["blockedSubjects"]).iter();
        let mut blocked = blocked.filter(|subject| self.involves(subject));
        label && (bound || blocked.any(|subject| names(self.object(), subject)))
    }

    /// Whether the gateway may send requests with it, where nothing was written before.
    pub fn usable(&self, key: &str) -> bool {
        let key = self.world.find("ApiKeyRef", key).expect("it was chosen");
        self.world.wanted(key)
            && self.world.in_use(key).is_some_and(|(secret, digest)| {
                self.world.may_reach(&secret, &self.name)
                    && !self.world.lost_to_another(key, digest)
            })
    }

    /// Whether no role is as true an answer as being blocked: of a client key in a Secret of
    /// elsewhere that has no role here, nobody is told that it is blocked.
    pub fn may_say_no_role(&self, question: &Question) -> bool {
        let subject = &question.caller.subject;
        let caller = caller(subject);
        matches!(subject, Subject::ClientKey(_))
            && self.grants.iter().all(|given| given.to != caller)
    }

    fn covers(&self, entries: impl Iterator<Item = impl AsRef<str>>, model: &str) -> bool {
        let alias = self
            .world
            .catalogue
            .get(model)
            .and_then(|model| model.alias.as_deref());
        let mut entries = entries;
        entries.any(|entry| match entry.as_ref().strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => [Some(model), alias].contains(&Some(entry.as_ref())),
        })
    }

    /// The answer.
    pub fn judge(&self, question: &Question) -> Verdict {
        let deny = |why: &str| Verdict::Deny(why.to_owned());
        if self.spec["state"] == "Disabled" {
            return deny("Workspace is disabled");
        }
        let who: BTreeSet<String> = [&question.caller.subject]
            .into_iter()
            .chain(&question.caller.groups)
            .map(caller)
            .collect();
        let blocked = list(&self.spec["blockedSubjects"]).iter().any(|subject| {
            if !self.involves(subject) {
                return false;
            }
            let keys = self.client_keys(self.object(), subject);
            let keys = keys.into_iter().map(|digest| format!("clientkey:{digest}"));
            let (kind, name) = (
                text(&subject["kind"]).to_lowercase(),
                text(&subject["name"]),
            );
            let plain = match &*kind {
                "serviceaccount" => format!("serviceaccount:{}", referred(subject, self.object())),
                _ => format!("{kind}:{}:{name}", text(&subject["issuer"])),
            };
            keys.chain([plain]).any(|blocked| who.contains(&blocked))
        });
        if blocked {
            return deny("Subject is blocked");
        }
        let held: Vec<&Given> = self
            .grants
            .iter()
            .filter(|given| who.contains(&given.to))
            .collect();
        if held.is_empty() {
            return deny("Subject has no role in this workspace");
        }
        let open: Vec<(&Given, &Access)> = held
            .into_iter()
            .filter_map(|given| Some((given, self.roles[&given.role].as_ref()?)))
            .collect();
        if open.is_empty() {
            return deny("Role does not allow API access");
        }
        let model = question.model;
        if let Some(bound) = self.spec["models"].as_array()
            && !self.covers(bound.iter().map(text), model)
        {
            return Verdict::Deny(format!("Workspace does not allow model: {model}"));
        }
        let per_minute = open
            .iter()
            .map(|(_, access)| access.per_minute)
            .max()
            .unwrap_or(0);
        let allow = open
            .into_iter()
            .filter(|(_, access)| self.covers(access.models.iter(), model));
        // Of equals the binding that sorts first is named.
        let best = allow
            .min_by_key(|(given, access)| (u64::MAX - access.max_tokens, given.binding.clone()));
        let Some((given, access)) = best else {
            return Verdict::Deny(format!("Role cannot access model: {model}"));
        };
        let Some(key) = self.key_of(question).filter(|key| self.usable(key)) else {
            return deny("No API key is mapped for this subject");
        };
        let default = self.spec["defaultMaxTokens"].as_u64().unwrap_or(1024);
        Verdict::Allow {
            role: given.role.clone(),
            binding: given.binding.clone(),
            key,
            max_tokens: question
                .max_tokens
                .unwrap_or(default)
                .min(access.max_tokens),
            per_minute,
        }
    }
}

//! Who may read and write what, from the sentences of the contract and nothing else.
//! Must not use the project's own code: a mistake in it would hide here.

use std::collections::BTreeSet;

/// One organisation, and somebody who wants its key.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) workspaces: Vec<Workspace>,
    pub(super) source: Lender,
    pub(super) keys: Vec<ApiKeyRef>,
    pub(super) client: Client,
    /// A Secret of somebody else: namespace, name, value.
    pub(super) foreign: (String, String, String),
}

#[derive(Clone, Debug)]
pub(super) struct Workspace {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    pub(super) enabled: bool,
    pub(super) gateway: bool,
}

/// An entry of `allowedNamespaces`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) which: Which,
    pub(super) keys: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Which {
    Named(String),
    /// `tier: gold`.
    Labelled,
    /// Without `tier`.
    Unlabelled,
    All,
}

/// The Secret with the key.
#[derive(Clone, Debug)]
pub(super) struct Lender {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) allow_namespaces: Option<String>,
    pub(super) allow_workspaces: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct ApiKeyRef {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) workspace: (String, String),
    pub(super) source: (String, String),
    pub(super) target: String,
    /// The namespace of the ServiceAccount.
    pub(super) used_by: Option<String>,
    pub(super) revoked: bool,
}

/// A Secret with a client key, named by a RoleBinding of its namespace.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) labelled: bool,
}

/// What holds for all topologies.
pub(super) struct Grounds {
    /// Namespaces with the label `tier: gold`; the others have no `tier`. `None` where the operator
    /// may not look at the labels of namespaces: then no label admits anybody, nor does lack of one.
    pub(super) gold: Option<BTreeSet<String>>,
    /// Namespaces in which the operator may touch Secrets.
    pub(super) granted: BTreeSet<String>,
}

/// Namespace and name.
pub(super) type Place = (String, String);

impl Grounds {
    /// "Who besides this namespace may attach, and how far; unset = nobody."
    fn admits(&self, workspace: &Workspace, namespace: &str) -> bool {
        let gold = self.gold.as_ref();
        let named = |entry: &Entry| match &entry.which {
            Which::Named(name) => name == namespace,
            Which::Labelled => gold.is_some_and(|gold| gold.contains(namespace)),
            Which::Unlabelled => gold.is_some_and(|gold| !gold.contains(namespace)),
            Which::All => true,
        };
        workspace.namespace == namespace
            || workspace
                .entries
                .iter()
                .any(|entry| entry.keys && named(entry))
    }
}

impl Topology {
    fn workspace(&self, key: &ApiKeyRef) -> &Workspace {
        let is = |workspace: &&Workspace| {
            (&workspace.namespace, &workspace.name) == (&key.workspace.0, &key.workspace.1)
        };
        self.workspaces
            .iter()
            .find(is)
            .expect("a key names a workspace of its topology")
    }

    /// "The source Secret's annotations say: allow-namespaces … lets ApiKeyRefs of those namespaces
    /// use it, `*` all. Without it only its own namespace may. Our own outputs are never sources."
    fn may_use(&self, grounds: &Grounds, key: &ApiKeyRef) -> bool {
        let source = &self.source;
        let lent = listed(source.allow_namespaces.as_deref(), |name| {
            name == "*" || is_label(name)
        });
        let lent = lent
            .iter()
            .any(|name| *name == "*" || *name == key.namespace);
        key.source == (source.namespace.clone(), source.name.clone())
            && (source.namespace == key.namespace || lent)
            && grounds.admits(self.workspace(key), &key.namespace)
            && grounds.granted.contains(&source.namespace)
    }

    /// Taken away when "revoked …, grant withdrawn …, Workspace Disabled".
    fn may_hold(&self, grounds: &Grounds, key: &ApiKeyRef) -> bool {
        self.may_use(grounds, key) && !key.revoked && self.workspace(key).enabled
    }

    /// "Anything else is never written."
    fn target(&self, key: &ApiKeyRef) -> Option<Place> {
        let place = (key.namespace.clone(), key.target.clone());
        let foreign = (self.foreign.0.clone(), self.foreign.1.clone());
        (place != foreign).then_some(place)
    }

    /// Secrets whose values may be read.
    pub(super) fn readable(&self, grounds: &Grounds) -> BTreeSet<Place> {
        let mut readable = BTreeSet::new();
        if self.keys.iter().any(|key| self.may_use(grounds, key)) {
            readable.insert((self.source.namespace.clone(), self.source.name.clone()));
        }
        // "A Secret here with label anthropic-rbac.io/client-key".
        if self.client.labelled {
            readable.insert((self.client.namespace.clone(), self.client.name.clone()));
        }
        readable
    }

    /// Secrets that may be written, whatever is written.
    pub(super) fn writable(&self, grounds: &Grounds) -> BTreeSet<Place> {
        let holding = self.keys.iter().filter(|key| self.may_hold(grounds, key));
        let targets = holding.filter_map(|key| self.target(key));
        let gateways = self.workspaces.iter().filter(|workspace| workspace.gateway);
        targets.chain(gateways.map(gateway)).collect()
    }

    /// Secrets that may have the key's value in them.
    pub(super) fn may_have(&self, grounds: &Grounds) -> BTreeSet<Place> {
        let mut places = self.eligible(grounds);
        for key in self.keys.iter().filter(|key| self.may_hold(grounds, key)) {
            let workspace = self.workspace(key);
            if workspace.gateway && self.may_be_sent(key, workspace) {
                places.insert(gateway(workspace));
            }
        }
        places.insert((self.source.namespace.clone(), self.source.name.clone()));
        places
    }

    /// Whether a target surely has the key: "in two workspaces … the one in use stays", and that
    /// may be one that cannot write its target.
    pub(super) fn is_somewhere(&self, grounds: &Grounds) -> bool {
        let holding = self.keys.iter().filter(|key| self.may_hold(grounds, key));
        let holding = holding.count();
        // Whoever may use it and was told not to, keeps the place.
        let using = self.keys.iter().filter(|key| self.may_use(grounds, key));
        let eligible = self.eligible(grounds).len();
        eligible > 0 && eligible == holding && holding == using.count()
    }

    /// Targets that may have the key.
    pub(super) fn eligible(&self, grounds: &Grounds) -> BTreeSet<Place> {
        let holding = self
            .keys
            .iter()
            .filter(|key| self.may_hold(grounds, key) && grounds.granted.contains(&key.namespace));
        holding.filter_map(|key| self.target(key)).collect()
    }

    /// "Bytes reach a Workspace's gateway Secret only when the Workspace is in the source's
    /// namespace, or allow-workspaces names it." And "usedBy may name only ServiceAccounts … of
    /// the ApiKeyRef's own namespace".
    fn may_be_sent(&self, key: &ApiKeyRef, workspace: &Workspace) -> bool {
        let named = listed(self.source.allow_workspaces.as_deref(), |text| {
            text.split_once('/')
                .is_some_and(|(a, b)| is_label(a) && is_label(b))
        });
        let own = format!("{}/{}", workspace.namespace, workspace.name);
        let lent = self.source.namespace == workspace.namespace || named.contains(&&*own);
        let elsewhere = key.namespace != workspace.namespace;
        let stranger = key
            .used_by
            .as_ref()
            .is_some_and(|namespace| *namespace != key.namespace);
        lent && !(elsewhere && stranger)
    }
}

/// `<ws>.<gw>.keys`.
fn gateway(workspace: &Workspace) -> Place {
    (
        workspace.namespace.clone(),
        format!("{}.edge.keys", workspace.name),
    )
}

/// "Malformed = no grant."
fn listed(text: Option<&str>, well_formed: impl Fn(&str) -> bool) -> Vec<&str> {
    let parts: Vec<&str> = text
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .collect();
    if parts.iter().all(|part| well_formed(part)) {
        parts
    } else {
        Vec::new()
    }
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

//! Organisations made up at random, each with somebody who tries to get at another's key.
//! Must not know what is permitted.

use serde_json::{Value, json};

use super::oracle::{ApiKeyRef, Client, Entry, Lender, Topology, Which, Workspace};

/// Numbers that only depend on their seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea and Flood 2014): good enough to pick from lists.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let length = u64::try_from(list.len()).expect("a short list");
        let index = usize::try_from(self.next() % length).expect("an index");
        &list[index]
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}

/// The `number`th topology in these namespaces.
pub(super) fn topology(random: &mut Random, number: usize, namespaces: &[String]) -> Topology {
    let name = format!("t{number}");
    let home = random.of(namespaces).clone();
    let tenant = random.of(namespaces).clone();
    let anywhere = random.of(namespaces).clone();
    let vault = random.of(&[home.clone(), tenant.clone(), anywhere]).clone();
    let thief = random.of(namespaces).clone();
    let source = Lender {
        namespace: vault.clone(),
        name: format!("{name}-source"),
        value: format!("sk-ant-api03-EXAMPLE-{number:06}-not-a-real-key"),
        allow_namespaces: lent_to(random, &tenant, &thief),
        allow_workspaces: lent_for(random, &home, &name),
    };
    let workspace = Workspace {
        namespace: home.clone(),
        name: name.clone(),
        entries: entries(random, &tenant, namespaces),
        enabled: random.percent(92),
        gateway: random.percent(50),
    };
    // A Workspace of his own, to read a key that is not his.
    let hideout = Workspace {
        namespace: thief.clone(),
        name: format!("{name}-hideout"),
        entries: Vec::new(),
        enabled: true,
        gateway: true,
    };
    let foreign = random.percent(15);
    let mut keys = vec![
        ApiKeyRef {
            namespace: tenant.clone(),
            name: name.clone(),
            workspace: (home.clone(), workspace.name.clone()),
            source: (vault.clone(), source.name.clone()),
            target: format!("{name}-{}", if foreign { "foreign" } else { "target" }),
            used_by: random
                .percent(50)
                .then(|| random.of(&[tenant.clone(), home.clone()]).clone()),
            revoked: random.percent(6),
        },
        ApiKeyRef {
            namespace: thief.clone(),
            name: format!("{name}-thief"),
            workspace: (thief.clone(), hideout.name.clone()),
            source: (vault, source.name.clone()),
            target: format!("{name}-loot"),
            used_by: None,
            revoked: false,
        },
    ];
    if random.percent(30) {
        // What the operator wrote, copied once more.
        keys.push(ApiKeyRef {
            namespace: thief.clone(),
            name: format!("{name}-chain"),
            workspace: (thief, hideout.name.clone()),
            source: (tenant.clone(), format!("{name}-target")),
            target: format!("{name}-copy"),
            used_by: None,
            revoked: false,
        });
    }
    let client = Client {
        namespace: tenant.clone(),
        name: format!("{name}-client"),
        value: format!("client-EXAMPLE-{number:06}-long-enough-for-one"),
        labelled: random.percent(70),
    };
    let foreign = (
        tenant,
        format!("{name}-foreign"),
        format!("foreign-EXAMPLE-{number:06}-value"),
    );
    Topology {
        workspaces: vec![workspace, hideout],
        source,
        keys,
        client,
        foreign,
    }
}

/// Takes something away, or gives something.
pub(super) fn change(random: &mut Random, topology: &mut Topology) {
    let (tenant, thief) = (
        topology.keys[0].namespace.clone(),
        topology.keys[1].namespace.clone(),
    );
    let (home, name) = topology.keys[0].workspace.clone();
    match random.of(&[0, 1, 2, 3, 4]) {
        0 => topology.source.allow_namespaces = lent_to(random, &tenant, &thief),
        1 => topology.source.allow_workspaces = lent_for(random, &home, &name),
        2 => topology.workspaces[0].entries = entries(random, &tenant, &[thief]),
        3 => topology.workspaces[0].enabled = !topology.workspaces[0].enabled,
        _ => topology.keys[0].revoked = !topology.keys[0].revoked,
    }
}

fn lent_to(random: &mut Random, tenant: &str, thief: &str) -> Option<String> {
    random
        .of(&[
            None,
            Some(tenant.to_owned()),
            Some(tenant.to_owned()),
            Some(format!(" {tenant} , elsewhere")),
            Some("elsewhere".to_owned()),
            Some("*".to_owned()),
            Some(thief.to_owned()),
            // Malformed.
            Some(format!("{tenant},")),
            Some(format!("{tenant};{thief}")),
            Some(format!("{thief},Not_A_Namespace")),
            Some(format!("{tenant}*")),
        ])
        .clone()
}

fn lent_for(random: &mut Random, namespace: &str, name: &str) -> Option<String> {
    random
        .of(&[
            None,
            Some(format!("{namespace}/{name}")),
            Some(format!("elsewhere/other, {namespace}/{name}")),
            Some(format!("elsewhere/{name}")),
            // Malformed.
            Some("*".to_owned()),
            Some(format!("{namespace}/*")),
            Some(format!("{namespace}/{name},")),
            Some(name.to_owned()),
        ])
        .clone()
}

fn entries(random: &mut Random, tenant: &str, others: &[String]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for _ in 0..*random.of(&[0, 1, 1, 2]) {
        let which = match random.of(&[0, 0, 0, 1, 2, 3, 4]) {
            0 => Which::Named(tenant.to_owned()),
            1 => Which::Named(random.of(others).clone()),
            2 => Which::Labelled,
            3 => Which::Unlabelled,
            _ => Which::All,
        };
        entries.push(Entry {
            which,
            keys: random.percent(75),
        });
    }
    entries
}

// === manifests ===

impl Workspace {
    pub(super) fn spec(&self) -> Value {
        let entries = self.entries.iter().map(|entry| {
            let (field, value) = match &entry.which {
                Which::Named(name) => ("names", json!([name])),
                Which::Labelled => ("selector", json!({"matchLabels": {"tier": "gold"}})),
                Which::Unlabelled => {
                    let absent = json!({"key": "tier", "operator": "DoesNotExist"});
                    ("selector", json!({"matchExpressions": [absent]}))
                }
                Which::All => ("selector", json!({})),
            };
            let keys = if entry.keys { "Allow" } else { "Deny" };
            json!({field: value, "roles": ["user"], "apiKeyRefs": keys})
        });
        let entries: Vec<Value> = entries.collect();
        let gateway = json!([{"name": "edge", "type": "Envoy"}]);
        json!({
            "displayName": self.name,
            "allowedNamespaces": (!entries.is_empty()).then_some(entries),
            "gateways": self.gateway.then_some(gateway),
            "state": if self.enabled { "Enabled" } else { "Disabled" },
        })
    }
}

impl Lender {
    pub(super) fn annotations(&self) -> Value {
        json!({
            "anthropic-rbac.io/allow-namespaces": self.allow_namespaces,
            "anthropic-rbac.io/allow-workspaces": self.allow_workspaces,
        })
    }
}

impl ApiKeyRef {
    pub(super) fn spec(&self) -> Value {
        let (namespace, name) = &self.workspace;
        let (vault, source) = &self.source;
        let used_by = self.used_by.as_ref().map(
            |namespace| json!([{"kind": "ServiceAccount", "name": "app", "namespace": namespace}]),
        );
        json!({
            "workspaceRef": {"name": name, "namespace": namespace},
            "service": self.name,
            "source": {"secretKeyRef": {"name": source, "key": "api-key", "namespace": vault}},
            "target": {"secretName": self.target},
            "usedBy": used_by,
            "state": if self.revoked { "Revoked" } else { "Active" },
        })
    }
}

//! The gateway that is attacked: few subjects, each with less than the attacker wants.

use anthropic_rbac::policy::body::{Endpoint, read};
use anthropic_rbac::policy::decide::{Posted, decide_posted};
use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::subject::Subject;
use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Attack, Want};
use crate::anthropic::{Reach, Received};
use crate::authority::HOST;
use crate::gateway::Gateway;
use crate::http::request;
use crate::mount::Files;
use crate::rendered::{GATEWAY, KEY_SET, WORKSPACE, render};
use crate::requests::{CLUSTER_URL, Signers};
use crate::worlds::{AUDIENCES, CLUSTER, ISSUERS, object, secret};

/// What the caller may: this model, and so many tokens.
pub(crate) const ALLOWED: &str = "claude-haiku-4-5";
pub(crate) const CAP: u64 = 512;
/// What it may not.
pub(crate) const FORBIDDEN: &str = "claude-opus-5";

/// Of a caller with role `user`, of one with role `viewer`, of one with role `admin` who is
/// blocked, and of nobody.
pub(crate) const CLIENT: &str = "EXAMPLE-client-key-of-a-caller-00000001";
pub(crate) const VIEWER: &str = "EXAMPLE-client-key-of-a-viewer-00000002";
pub(crate) const BLOCKED: &str = "EXAMPLE-client-key-of-the-blocked-000003";
pub(crate) const UNKNOWN: &str = "EXAMPLE-client-key-of-nobody-at-all-0004";

/// Anthropic's keys: for these callers, and for everybody else.
pub(crate) const OWN: &str = "sk-ant-api03-EXAMPLE-search";
pub(crate) const SHARED: &str = "sk-ant-api03-EXAMPLE-shared";

/// A body that is permitted as it stands.
pub(crate) const BODY: &[u8] =
    br#"{"model": "claude-haiku-4-5", "max_tokens": 512, "messages": [{"role": "user", "content": "hi"}]}"#;

/// A user with an e-mail address, whom role `user` is given.
pub(crate) const USER: &str = "uma@example.com";

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) signers: Signers,
}

// === impl Stage ===

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let signers = Signers::new()?;
        let rendered = render(&manifests(), &signers.published())?;
        let gateway = Gateway::start(rendered)?;
        Ok(Self { gateway, signers })
    }

    /// The same, started on other files than those that were rendered.
    pub(crate) fn on(data: &Files) -> Result<Self> {
        let signers = Signers::new()?;
        let mut rendered = render(&manifests(), &signers.published())?;
        rendered.data = data.clone();
        let gateway = Gateway::unseen(rendered)?;
        let keys = [OWN, SHARED].map(|key| (key.to_owned(), Reach::Workspace));
        gateway.anthropic.set_keys(keys);
        Ok(Self { gateway, signers })
    }

    /// A good token of the ServiceAccount `search/web`.
    pub(crate) fn account(&self) -> Result<String> {
        self.signers.of(CLUSTER).token(&account_claims())
    }

    /// A token of the user, with these claims besides; null takes a claim away.
    pub(crate) fn user(&self, more: &Value) -> Result<String> {
        self.signers.of(ISSUERS[0].0).token(&user_claims(more))
    }

    /// That something came upstream is right only if it is permitted as it stands, with the
    /// caller's key, and with nothing of the caller's own.
    pub(crate) fn check(&self, received: &Received) -> Result<()> {
        let path = received.path.split('?').next();
        let endpoint = match path {
            Some("/v1/messages") => Endpoint::Messages,
            Some("/v1/messages/count_tokens") => Endpoint::CountTokens,
            other => anyhow::bail!("upstream got the path {other:?}"),
        };
        ensure!(
            received.method == "POST",
            "upstream got a {}",
            received.method
        );
        let posted = Posted {
            subject: Subject::ClientKey(Digest::of(CLIENT.as_bytes())).id(),
            groups: &[],
            endpoint,
            body: &received.body,
            at: Timestamp::now(),
        };
        let body = received.body.escape_ascii();
        let permit = decide_posted(&self.gateway.rendered.policy, &posted)
            .with_context(|| format!("upstream got {body}"))?;
        if endpoint == Endpoint::Messages {
            let asked = read(endpoint, &received.body)?;
            let cap = u64::from(permit.max_tokens().get());
            ensure!(
                asked.max_tokens == Some(cap) && cap <= CAP,
                "upstream got {body}"
            );
        }
        // Another reader, where it takes it, must not see another model in it.
        if let Ok(seen) = serde_json::from_slice::<Value>(&received.body) {
            let model = read(Endpoint::CountTokens, &received.body)?.model;
            ensure!(seen["model"] == json!(model), "upstream got {body}");
        }
        ensure!(
            received.all("x-api-key") == [OWN.as_bytes()],
            "the wrong key: {received:?}"
        );
        // Where it goes, and what it is read as, is not the caller's to say.
        for (name, value) in [("host", HOST), ("content-type", "application/json")] {
            ensure!(
                received.only(name) == Some(value),
                "upstream got another {name}: {received:?}"
            );
        }
        for name in [
            "authorization",
            "anthropic-workspace-id",
            "cookie",
            "proxy-authorization",
            "content-encoding",
            "upgrade",
        ] {
            ensure!(
                received.all(name).is_empty(),
                "upstream got {name}: {received:?}"
            );
        }
        let own = |(name, _): &(String, Vec<u8>)| name.starts_with("x-anthropic-rbac");
        ensure!(
            !received.headers.iter().any(own),
            "words of the gateway's own: {received:?}"
        );
        for credential in [CLIENT, VIEWER, BLOCKED, UNKNOWN, SHARED, "eyJ"] {
            ensure!(
                !received.holds(credential.as_bytes()),
                "a credential: {received:?}"
            );
        }
        Ok(())
    }

    /// After all of it, it still does what it should.
    pub(crate) fn is_well(&self) -> Result<()> {
        let headers = [("x-api-key", CLIENT.as_bytes())];
        let good = Attack::new("a good request", Want::Passes, post(&headers, BODY));
        let mut dear = BODY.to_vec();
        dear.splice(11..27, FORBIDDEN.bytes());
        let bad = Attack::new("a bad request", Want::Status(403), post(&headers, &dear));
        good.run(self).context(good.name.clone())?;
        bad.run(self).context(bad.name.clone())
    }
}

pub(super) fn manifests() -> Vec<Value> {
    let digest = |key: &str| json!([Digest::of(key.as_bytes()).to_string()]);
    let client = |key: &str| json!({"kind": "ClientKey", "sha256": digest(key)});
    let account = json!({"kind": "ServiceAccount", "namespace": "search", "name": "web"});
    let user = json!({"kind": "User", "issuer": ISSUERS[0].0, "name": USER});
    let binding = |name: &str, role: &str, subjects: Value| {
        let role = json!({"kind": "ApplicationRole", "name": role});
        object(
            "RoleBinding",
            name,
            json!({"workspaceRef": {"name": WORKSPACE}, "roleRef": role, "subjects": subjects}),
        )
    };
    let key = |name: &str, used_by: Option<Value>| {
        let source = json!({"secretKeyRef": {"name": name, "key": "api-key"}});
        let mut spec =
            json!({"workspaceRef": {"name": WORKSPACE}, "service": name, "source": source});
        if let Some(used_by) = used_by {
            spec["usedBy"] = used_by;
        }
        object("ApiKeyRef", name, spec)
    };
    let issuer = |(name, url): (&str, &str)| {
        json!({"name": name, "type": "OIDC", "issuerURL": url, "jwksConfigMapRef": {"name": name, "key": KEY_SET},
               "audiences": [AUDIENCES[0]], "userClaim": "email", "groupsClaim": "groups"})
    };
    let mut roles: Vec<Value> = Vec::new();
    for name in ["user", "power", "admin"] {
        roles.push(json!({"name": name, "requestsPerMinute": 1_000_000}));
    }
    vec![
        object(
            "Workspace",
            WORKSPACE,
            json!({
                "gateways": [{"name": GATEWAY, "type": "Envoy"}],
                "workspaceId": "wrkspc_01EXAMPLE",
                "roles": roles,
                "keys": {"defaultApiKeyRef": {"name": "shared"}},
                "blockedSubjects": [client(BLOCKED)],
                "authentication": {"issuers": [
                    {"name": CLUSTER, "type": "Kubernetes", "audiences": [AUDIENCES[0]]},
                    issuer(ISSUERS[0]), issuer(ISSUERS[1]),
                ]},
            }),
        ),
        binding("callers", "user", json!([client(CLIENT), account, user])),
        binding("viewers", "viewer", json!([client(VIEWER)])),
        binding(
            "admins",
            "admin",
            json!([
                client(BLOCKED),
                {"kind": "Group", "issuer": ISSUERS[0].0, "name": "admins"},
                {"kind": "User", "issuer": ISSUERS[0].0, "name": "root@example.com"},
                {"kind": "User", "issuer": ISSUERS[1].0, "name": USER},
                {"kind": "ServiceAccount", "namespace": "kube-system", "name": "root"},
            ]),
        ),
        key("search", Some(json!([client(CLIENT), account, user]))),
        key("shared", None),
        secret("search", json!({"api-key": OWN})),
        secret("shared", json!({"api-key": SHARED})),
    ]
}

/// Claims of the ServiceAccount.
pub(crate) fn account_claims() -> Value {
    let now = Timestamp::now();
    json!({
        "iss": CLUSTER_URL, "sub": "system:serviceaccount:search:web", "aud": [AUDIENCES[0]],
        "iat": now.as_second(), "nbf": now.as_second(), "exp": later(now),
    })
}

/// Claims of the user, with these besides; null takes a claim away.
pub(crate) fn user_claims(more: &Value) -> Value {
    let now = Timestamp::now();
    let mut claims = json!({
        "iss": ISSUERS[0].1, "sub": "u-1", "email": USER, "email_verified": true,
        "aud": AUDIENCES[0], "iat": now.as_second(), "exp": later(now),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().map(|claims| claims.remove(name));
        }
    }
    claims
}

fn later(now: Timestamp) -> i64 {
    (now + SignedDuration::from_hours(1)).as_second()
}

/// A request with these headers and the usual others.
pub(crate) fn post(headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    post_to("/v1/messages", headers, body)
}

/// The same for another path.
pub(crate) fn post_to(path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let usual: [(&str, &[u8]); 2] = [
        ("anthropic-version", b"2023-06-01"),
        ("content-type", b"application/json"),
    ];
    request("POST", path, &[&usual, headers].concat(), body)
}

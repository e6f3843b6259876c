//! Requests at random: who calls, how that is shown, and for what.
//! Must not know what is allowed.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::bodies::any_body;
use crate::oracle::{Asked, Minted, Tokens};
use crate::random::Random;
use crate::rendered::Issuers;
use crate::tokens::{Signer, key_set};
use crate::worlds::{ACCOUNTS, AUDIENCES, CLIENT_KEYS, CLUSTER, GROUPS, ISSUERS, USERS};

/// The issuer of ServiceAccount tokens calls itself this.
pub(crate) const CLUSTER_URL: &str = "https://kubernetes.default.svc.cluster.local";

/// Everybody's signing keys.
pub(crate) struct Signers {
    all: Vec<(&'static str, Signer)>,
    /// Of nobody.
    pub(crate) stranger: Signer,
}

// === impl Signers ===

impl Signers {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            all: vec![
                (CLUSTER, Signer::rsa("cluster-1")?),
                (ISSUERS[0].0, Signer::p256("corp-1")?),
                (ISSUERS[1].0, Signer::rsa("lab-1")?),
            ],
            stranger: Signer::p256("corp-1")?,
        })
    }

    /// The key of an issuer.
    pub(crate) fn of(&self, issuer: &str) -> &Signer {
        let found = self.all.iter().find(|(name, _)| *name == issuer);
        &found.expect("every issuer has a key").1
    }

    /// What gateways know of them.
    pub(crate) fn published(&self) -> Issuers {
        let published = self.all.iter();
        published
            .map(|(name, signer)| (*name, key_set(&[signer])))
            .collect()
    }
}

/// Tokens of callers at random, so many of them, good until the end of the run.
pub(crate) fn any_tokens(random: &mut Random, signers: &Signers, count: usize) -> Result<Tokens> {
    let mut tokens = Tokens::new();
    let now = Timestamp::now();
    while tokens.len() < count {
        let (issuer, claims) = claims(random, now);
        let mut holds = true;
        let mut given = claims.clone();
        if random.chance(4) {
            let past = now - SignedDuration::from_hours(1);
            given.insert("exp".to_owned(), json!(past.as_second()));
            holds = false;
        }
        // RFC 7519 wants a text: what is none makes no token, whatever claim names the user.
        holds &= given.get("sub").is_none_or(Value::is_string);
        let signer = signers.of(issuer);
        let token = match random.below(30) {
            0 => {
                holds = false;
                signers.stranger.token(&Value::Object(given.clone()))?
            }
            _ => signer.token(&Value::Object(given.clone()))?,
        };
        let minted = Minted {
            issuer: issuer.to_owned(),
            claims: given,
            holds,
        };
        tokens.insert(token, minted);
    }
    Ok(tokens)
}

fn claims(random: &mut Random, now: Timestamp) -> (&'static str, Map<String, Value>) {
    let later = now + SignedDuration::from_hours(24);
    let audience = match random.below(16) {
        0 => json!("other"),
        1 => json!([AUDIENCES[0], "x"]),
        2 => json!(AUDIENCES),
        3..=6 => json!(AUDIENCES[1]),
        _ => json!(AUDIENCES[0]),
    };
    let mut claims = json!({"aud": audience, "iat": now.as_second(), "exp": later.as_second()});
    let issuer = if random.chance(35) {
        let (namespace, name) = random.pick(&ACCOUNTS);
        claims["iss"] = json!(CLUSTER_URL);
        claims["sub"] = match random.below(15) {
            0 => json!(format!("system:serviceaccount:{namespace}:{name}:x")),
            1 => json!("system:node:a"),
            _ => json!(format!("system:serviceaccount:{namespace}:{name}")),
        };
        claims["kubernetes.io"] = json!({"namespace": namespace, "serviceaccount": {"name": name}});
        CLUSTER
    } else {
        let (issuer, url) = random.pick(&ISSUERS);
        claims["iss"] = json!(url);
        let name = random.pick(&USERS);
        for claim in ["sub", "email", "preferred_username"] {
            if random.chance(93) {
                claims[claim] = match random.below(25) {
                    0 => json!([name]),
                    1 => json!(7),
                    2 => json!(""),
                    _ => json!(name),
                };
            }
        }
        if random.chance(35) {
            claims["email_verified"] = random
                .pick(&[
                    json!(true),
                    json!(true),
                    json!(false),
                    json!("true"),
                    json!(null),
                ])
                .clone();
        }
        for claim in ["groups", "roles"] {
            if random.chance(60) {
                claims[claim] = groups(random);
            }
        }
        issuer
    };
    (issuer, claims.as_object().cloned().unwrap_or_default())
}

fn groups(random: &mut Random) -> Value {
    match random.below(8) {
        0 => json!(random.pick(&GROUPS)),
        1 => json!({"ops": true}),
        2 => json!([random.pick(&GROUPS), 1, null, ["ops"], random.pick(&GROUPS)]),
        3 => {
            // More than count: which of them do is decided by their names.
            let mut many: Vec<String> = (0..70).map(|i| format!("g{i:02}")).collect();
            many.push((*random.pick(&GROUPS)).to_owned());
            json!(random.shuffled(many))
        }
        _ => {
            let some: Vec<&str> = GROUPS.into_iter().filter(|_| random.chance(40)).collect();
            json!(some)
        }
    }
}

/// A request of one of these callers.
pub(crate) fn any_request(random: &mut Random, tokens: &[&str]) -> Asked {
    let path = match random.below(40) {
        0 => *random.pick(&[
            "/v1/models",
            "/v1/messages/",
            "/v1/messages/batches",
            "/v1/complete",
            "/",
        ]),
        1..=6 => "/v1/messages/count_tokens",
        7 => "/v1/messages/count_tokens?beta=true",
        8..=10 => "/v1/messages?beta=true",
        _ => "/v1/messages",
    };
    let (mut api_keys, mut authorizations) = (Vec::new(), Vec::new());
    let shown = credential(random, tokens);
    let bearer = |random: &mut Random, value: &str| {
        let scheme = random.pick(&["Bearer", "Bearer", "Bearer", "bearer", "BEARER"]);
        format!("{scheme} {value}").into_bytes()
    };
    match random.below(30) {
        0 => {}
        1 => {
            api_keys.push(shown.clone().into_bytes());
            authorizations.push(bearer(random, &shown));
        }
        2 => {
            api_keys.push(shown.into_bytes());
            let other = credential(random, tokens);
            authorizations.push(bearer(random, &other));
        }
        3 => authorizations.push(format!("Basic {shown}").into_bytes()),
        4..=15 => api_keys.push(shown.into_bytes()),
        _ => authorizations.push(bearer(random, &shown)),
    }
    Asked {
        path: path.to_owned(),
        api_keys,
        authorizations,
        body: any_body(random),
    }
}

fn credential(random: &mut Random, tokens: &[&str]) -> String {
    match random.below(12) {
        0 => (*random.pick(&CLIENT_KEYS)).to_owned(),
        1..=4 => (*random.pick(&CLIENT_KEYS[..3])).to_owned(),
        5 if random.chance(30) => random
            .pick(&["sk-ant-api03-EXAMPLE-shared", "eyJ", "x", "ey.ey.ey"])
            .to_string(),
        _ => (*random.pick(tokens)).to_owned(),
    }
}

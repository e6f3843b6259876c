//! Attacks by tokens: of no algorithm, of another's key, for others, out of time, or not whole.

use anyhow::Result;
use serde_json::{Value, json};

use super::Attack;
use super::Want::{self, Harmless, Passes, Refused, Status};
use super::claims;
use super::stage::{BODY, Stage, account_claims, post, post_to, user_claims};
use crate::tokens::{encoded, hmac, unsigned};
use crate::worlds::{CLUSTER, ISSUERS};

pub(super) const CORP: &str = ISSUERS[0].0;
const LAB: &str = ISSUERS[1].0;

pub(super) fn attacks(stage: &Stage) -> Result<Vec<Attack>> {
    let mut named = vec![
        (
            "a good token of an account".to_owned(),
            Passes,
            stage.account()?,
        ),
        (
            "a good token of a user".to_owned(),
            Passes,
            stage.user(&json!({}))?,
        ),
    ];
    named.extend(algorithms(stage)?);
    named.extend(keys(stage)?);
    named.extend(issuers(stage)?);
    named.extend(claims::named(stage)?);
    named.extend(shapes(stage)?);
    let mut all = Vec::new();
    for (name, want, token) in named {
        let bearer = format!("Bearer {token}");
        let of_key = post(&[("x-api-key", token.as_bytes())], BODY);
        all.push(Attack::new(
            &*name,
            want,
            post(&[("authorization", bearer.as_bytes())], BODY),
        ));
        all.push(Attack::new(format!("{name}, as key"), want, of_key));
    }
    let token = stage.account()?;
    let path = format!("/v1/messages?access_token={token}");
    all.push(Attack::new(
        "a token in the query",
        Refused,
        post_to(&path, &[], BODY),
    ));
    let cookie = format!("access_token={token}; jwt={token}");
    all.push(Attack::new(
        "a token as a cookie",
        Status(401),
        post(&[("cookie", cookie.as_bytes())], BODY),
    ));
    let same = format!("Bearer {token}");
    let both = [
        ("x-api-key", token.as_bytes()),
        ("authorization", same.as_bytes()),
    ];
    all.push(Attack::new("a good token twice", Passes, post(&both, BODY)));
    let other = format!("Bearer {}", stage.user(&json!({}))?);
    let both = [
        ("x-api-key", token.as_bytes()),
        ("authorization", other.as_bytes()),
    ];
    all.push(Attack::new(
        "two good tokens",
        Status(401),
        post(&both, BODY),
    ));
    let bad = format!(
        "Bearer {}",
        unsigned(r#"{"alg":"none"}"#, account_claims().to_string().as_bytes()) + "."
    );
    let both = [
        ("x-api-key", token.as_bytes()),
        ("authorization", bad.as_bytes()),
    ];
    all.push(Attack::new(
        "a good token and one of no algorithm",
        Status(401),
        post(&both, BODY),
    ));
    Ok(all)
}

/// Name, what is wanted, and the token.
pub(super) type Named = (String, Want, String);

fn algorithms(stage: &Stage) -> Result<Vec<Named>> {
    let claims = account_claims().to_string();
    let claims = claims.as_bytes();
    let good = stage.account()?;
    let signature = good.rsplit('.').next().unwrap_or_default();
    let public = stage.signers.of(CLUSTER).public();
    let modulus = public["n"].as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "null"] {
        let header = json!({"alg": algorithm, "kid": "cluster-1", "typ": "JWT"}).to_string();
        all.push((
            format!("algorithm {algorithm:?}, unsigned"),
            Status(401),
            format!("{}.", unsigned(&header, claims)),
        ));
        all.push((
            format!("algorithm {algorithm:?}, signed"),
            Status(401),
            format!("{}.{signature}", unsigned(&header, claims)),
        ));
        all.push((
            format!("algorithm {algorithm:?}, two parts"),
            Status(401),
            unsigned(&header, claims),
        ));
    }
    for algorithm in ["HS256", "HS384", "HS512"] {
        let header = json!({"alg": algorithm, "kid": "cluster-1"}).to_string();
        for (name, secret) in [
            ("the published key", public.to_string()),
            ("the published number", modulus.clone()),
            ("the empty secret", String::new()),
        ] {
            all.push((
                format!("{algorithm} with {name}"),
                Status(401),
                hmac(&header, claims, secret.as_bytes()),
            ));
        }
    }
    for algorithm in [
        "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "rs256",
    ] {
        let header = json!({"alg": algorithm, "kid": "cluster-1"}).to_string();
        let token = stage.signers.of(CLUSTER).sign(&header, claims)?;
        all.push((format!("said to be {algorithm}"), Status(401), token));
    }
    Ok(all)
}

fn keys(stage: &Stage) -> Result<Vec<Named>> {
    let signers = &stage.signers;
    let claims = user_claims(&json!({})).to_string();
    let claims = claims.as_bytes();
    let mine = signers.stranger.public();
    let by_stranger = |name: &str, header: Value| -> Result<Named> {
        Ok((
            name.to_owned(),
            Status(401),
            signers.stranger.sign(&header.to_string(), claims)?,
        ))
    };
    let mut all = vec![
        by_stranger(
            "a stranger's key by the right name",
            json!({"alg": "ES256", "kid": "corp-1"}),
        )?,
        by_stranger("a stranger's key without name", json!({"alg": "ES256"}))?,
        by_stranger(
            "a key that comes along",
            json!({"alg": "ES256", "kid": "mine", "jwk": mine}),
        )?,
        by_stranger(
            "a key that comes along by the right name",
            json!({"alg": "ES256", "kid": "corp-1", "jwk": mine}),
        )?,
        by_stranger(
            "keys at a URL",
            json!({"alg": "ES256", "kid": "mine", "jku": "https://evil.example/keys"}),
        )?,
        by_stranger(
            "a certificate that comes along",
            json!({"alg": "ES256", "kid": "corp-1", "x5c": ["MIIB"], "x5u": "https://evil.example/x"}),
        )?,
        by_stranger(
            "a key of another issuer by name",
            json!({"alg": "ES256", "kid": "lab-1"}),
        )?,
        by_stranger(
            "a file by name",
            json!({"alg": "ES256", "kid": "../../../../dev/null"}),
        )?,
        by_stranger(
            "a query by name",
            json!({"alg": "ES256", "kid": "x' OR 1=1--"}),
        )?,
        by_stranger(
            "a name that is a list",
            json!({"alg": "ES256", "kid": ["corp-1"]}),
        )?,
        by_stranger("a name that is a number", json!({"alg": "ES256", "kid": 1}))?,
    ];
    let unknown = signers.of(CORP).sign(
        &json!({"alg": "ES256", "kid": "corp-2"}).to_string(),
        claims,
    )?;
    all.push((
        "the right key by an unknown name".to_owned(),
        Status(401),
        unknown,
    ));
    let unnamed = signers
        .of(CORP)
        .sign(&json!({"alg": "ES256"}).to_string(), claims)?;
    all.push(("the right key without name".to_owned(), Harmless, unnamed));
    let critical = json!({"alg": "ES256", "kid": "corp-1", "crit": ["b64"], "b64": false});
    let critical = signers.of(CORP).sign(&critical.to_string(), claims)?;
    all.push((
        "something critical that is unknown".to_owned(),
        Harmless,
        critical,
    ));
    Ok(all)
}

fn issuers(stage: &Stage) -> Result<Vec<Named>> {
    let of = |name: &str, signer: &str, claims: &Value| -> Result<Named> {
        Ok((
            name.to_owned(),
            Status(401),
            stage.signers.of(signer).token(claims)?,
        ))
    };
    let mut all = vec![
        of(
            "one issuer's user, signed by another",
            LAB,
            &user_claims(&json!({})),
        )?,
        of(
            "one issuer's user, signed by the cluster",
            CLUSTER,
            &user_claims(&json!({})),
        )?,
        of(
            "an account, signed by an issuer of users",
            CORP,
            &account_claims(),
        )?,
        of(
            "an account by name of a user's issuer",
            CORP,
            &user_claims(&json!({"sub": "system:serviceaccount:search:web", "email": null})),
        )?,
        of("no issuer", CORP, &user_claims(&json!({"iss": null})))?,
        of(
            "a list of issuers",
            CORP,
            &user_claims(&json!({"iss": [ISSUERS[0].1]})),
        )?,
        of(
            "an issuer with a slash more",
            CORP,
            &user_claims(&json!({"iss": format!("{}/", ISSUERS[0].1)})),
        )?,
        of(
            "an issuer in capitals",
            CORP,
            &user_claims(&json!({"iss": ISSUERS[0].1.to_uppercase()})),
        )?,
        of(
            "an issuer by its name here",
            CORP,
            &user_claims(&json!({"iss": CORP})),
        )?,
        of(
            "the user of an issuer as an account",
            CORP,
            &user_claims(&json!({"email": "system:serviceaccount:kube-system:root"})),
        )?,
    ];
    // These name somebody, to whom nothing is given.
    for one in &mut all {
        if one.0 == "the user of an issuer as an account" {
            one.1 = Status(403);
        }
    }
    let mut forged = account_claims();
    forged["sub"] = json!("system:serviceaccount:kube-system:root");
    all.push(of(
        "the cluster's admin, signed by an issuer of users",
        LAB,
        &forged,
    )?);
    Ok(all)
}

fn shapes(stage: &Stage) -> Result<Vec<Named>> {
    let good = stage.account()?;
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let other = stage.user(&json!({}))?;
    let others: Vec<&str> = other.split('.').collect();
    let mut flipped = signature.as_bytes().to_vec();
    let first = flipped[0];
    flipped[0] = if first == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8_lossy(&flipped).into_owned();
    let mut last = payload.to_owned();
    last.pop();
    let zero = encoded(&[0; 64]);
    let forged = encoded(
        json!({"sub": "system:serviceaccount:kube-system:root"})
            .to_string()
            .as_bytes(),
    );
    let not_an_object = |payload: &[u8]| {
        stage
            .signers
            .of(CLUSTER)
            .sign(&stage.signers.of(CLUSTER).header().to_string(), payload)
    };
    let padded = format!("{header}=.{payload}==.{signature}=");
    let plain = good.replace('-', "+").replace('_', "/");
    let all = [
        (
            "a signature of another token",
            format!("{header}.{payload}.{}", others[2]),
        ),
        (
            "a payload of another token",
            format!("{header}.{}.{signature}", others[1]),
        ),
        (
            "a payload that was put in",
            format!("{header}.{forged}.{signature}"),
        ),
        (
            "a signature with one letter changed",
            format!("{header}.{payload}.{flipped}"),
        ),
        ("no signature", format!("{header}.{payload}.")),
        ("no signature and no dot", format!("{header}.{payload}")),
        (
            "a signature of zeros",
            format!("{}.{}.{zero}", others[0], others[1]),
        ),
        (
            "a payload less a letter",
            format!("{header}.{last}.{signature}"),
        ),
        ("four parts", format!("{good}.x")),
        (
            "five parts, as if encrypted",
            format!("{header}.x.y.{payload}.{signature}"),
        ),
        ("two tokens in one", format!("{good}.{other}")),
        ("a token and a comma", format!("{good},{other}")),
        ("a token and a blank", format!("{good} {other}")),
        ("a token with a letter more", format!("{good}A")),
        ("a token with padding", padded),
        ("a beginning alone", "eyJ".to_owned()),
        ("nothing but dots", "ey..".to_owned()),
        (
            "a header that is no JSON",
            format!("ey{}.{payload}.{signature}", encoded(b"x")),
        ),
        ("a payload that is a list", not_an_object(b"[]")?),
        (
            "a payload that is no JSON",
            not_an_object(b"sub=system:serviceaccount:search:web")?,
        ),
        ("a payload of nothing", not_an_object(b"{}")?),
        ("a payload that is no text", not_an_object(b"\xff\xfe")?),
        ("a token in a token", not_an_object(good.as_bytes())?),
        (
            "a very long token",
            format!("{header}.{}.{signature}", "A".repeat(40_000)),
        ),
    ];
    let mut all: Vec<Named> = all
        .map(|(name, token)| (name.to_owned(), Refused, token))
        .into_iter()
        .collect();
    if plain != good {
        all.push(("a token in other base64".to_owned(), Harmless, plain));
    }
    Ok(all)
}

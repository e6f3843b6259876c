//! Attacks by what a token claims.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;

use super::Want::{Harmless, Passes, Status};
use super::stage::{Stage, USER, account_claims, user_claims};
use super::tokens::{CORP, Named};
use crate::worlds::CLUSTER;

pub(super) fn named(stage: &Stage) -> Result<Vec<Named>> {
    let now = Timestamp::now().as_second();
    let mut all = Vec::new();
    for (name, want, more) in [
        ("another audience", 401, json!({"aud": "other"})),
        ("no audience", 401, json!({"aud": null})),
        (
            "an audience in capitals",
            401,
            json!({"aud": "CLAUDE-PRODUCTION"}),
        ),
        (
            "an audience that begins so",
            401,
            json!({"aud": "claude-production-2"}),
        ),
        (
            "an audience that is an object",
            401,
            json!({"aud": {"claude-production": true}}),
        ),
        (
            "an audience deeper in a list",
            401,
            json!({"aud": [["claude-production"]]}),
        ),
        (
            "an audience in a list",
            200,
            json!({"aud": ["x", "claude-production"]}),
        ),
        ("expired", 401, json!({"exp": now - 3600})),
        ("expired a minute ago", 401, json!({"exp": now - 61})),
        ("no end", 401, json!({"exp": null})),
        (
            "an end that is text",
            401,
            json!({"exp": (now + 3600).to_string()}),
        ),
        ("an end below zero", 401, json!({"exp": -1})),
        ("not yet", 401, json!({"nbf": now + 3600})),
        ("a beginning that is text", 401, json!({"nbf": "yesterday"})),
        (
            "an address nobody verified",
            401,
            json!({"email_verified": false}),
        ),
        (
            "an address verified in words",
            401,
            json!({"email_verified": "true"}),
        ),
        (
            "an address verified by a number",
            401,
            json!({"email_verified": 1}),
        ),
        (
            "an address verified by a list",
            401,
            json!({"email_verified": [true]}),
        ),
        ("no address", 401, json!({"email": null})),
        ("a list of addresses", 401, json!({"email": [USER]})),
        (
            "an address that is an object",
            401,
            json!({"email": {"0": USER}}),
        ),
        ("an address that is a number", 401, json!({"email": 1})),
        ("an empty address", 401, json!({"email": ""})),
        (
            "an address with a line end",
            401,
            json!({"email": format!("{USER}\n")}),
        ),
        (
            "an address with a zero",
            401,
            json!({"email": format!("{USER}\0")}),
        ),
        (
            "an address too long",
            401,
            json!({"email": "u".repeat(257)}),
        ),
        (
            "an address in capitals",
            403,
            json!({"email": USER.to_uppercase()}),
        ),
        (
            "another's address",
            403,
            json!({"email": "eve@example.com", "sub": USER, "name": USER}),
        ),
        (
            "an address of several lines of an id",
            401,
            json!({"email": format!("x\n{USER}")}),
        ),
        (
            "groups by another claim",
            403,
            json!({"email": "eve@example.com", "roles": ["admins"]}),
        ),
        (
            "groups that are an object",
            403,
            json!({"email": "eve@example.com", "groups": {"0": "admins"}}),
        ),
        (
            "a group in other letters",
            403,
            json!({"email": "eve@example.com", "groups": ["Admins", "admins "]}),
        ),
        (
            "groups in one text",
            403,
            json!({"email": "eve@example.com", "groups": "ops,admins admins"}),
        ),
        (
            "a group with a line end",
            403,
            json!({"email": "eve@example.com", "groups": ["admins\n", "\nadmins", "admins\0"]}),
        ),
        (
            "a group deeper",
            403,
            json!({"email": "eve@example.com", "groups": [["admins"]]}),
        ),
    ] {
        let want = if want == 200 { Passes } else { Status(want) };
        all.push((name.to_owned(), want, stage.user(&more)?));
    }
    for (name, claim) in [
        (
            "a list of names",
            json!(["system:serviceaccount:search:web"]),
        ),
        ("a number for a name", json!(1)),
        ("an object for a name", json!({"namespace": "search"})),
        ("no account", json!("uma")),
        (
            "an account with more",
            json!("system:serviceaccount:search:web:x"),
        ),
        (
            "an account with less",
            json!("system:serviceaccount:search"),
        ),
        ("an account of nowhere", json!("system:serviceaccount::web")),
        (
            "an account of two lines",
            json!("system:serviceaccount:search\nsearch:web"),
        ),
        (
            "an account in capitals",
            json!("SYSTEM:SERVICEACCOUNT:search:web"),
        ),
        (
            "a blank before an account",
            json!(" system:serviceaccount:search:web"),
        ),
        ("a node", json!("system:node:search")),
    ] {
        let mut claims = account_claims();
        claims["sub"] = claim;
        let token = stage.signers.of(CLUSTER).token(&claims)?;
        all.push((name.to_owned(), Status(401), token));
    }
    let mut claims = account_claims();
    claims["sub"] = json!("system:serviceaccount:search:other");
    all.push((
        "an account to whom nothing is given".to_owned(),
        Status(403),
        stage.signers.of(CLUSTER).token(&claims)?,
    ));
    // JSON that two readers read in two ways.
    let header = stage.signers.of(CORP).header().to_string();
    let claims = user_claims(&json!({})).to_string();
    for (name, from, to) in [
        ("two addresses", "{", r#"{"email":"root@example.com","#),
        (
            "two answers about the address",
            "{",
            r#"{"email_verified":false,"#,
        ),
        (
            "the address in escapes, unverified",
            r#""email_verified":true"#,
            r#""email\u005fverified":false"#,
        ),
        (
            "verified by null",
            r#""email_verified":true"#,
            r#""email_verified":null"#,
        ),
        (
            "verified by null in escapes",
            r#""email_verified":true"#,
            r#""email_v\u0065rified":null"#,
        ),
        ("two audiences apart", "{", r#"{"aud":"other","#),
        ("two ends", "{", r#"{"exp":1,"#),
        ("two issuers", "{", r#"{"iss":"https://lab.example.com/","#),
    ] {
        let payload = claims.replacen(from, to, 1);
        let token = stage.signers.of(CORP).sign(&header, payload.as_bytes())?;
        // What is signed is the issuer's word, whichever of both is read: never the admin's limits.
        let want = if name.starts_with("two") {
            Harmless
        } else {
            Status(401)
        };
        all.push((name.to_owned(), want, token));
    }
    Ok(all)
}

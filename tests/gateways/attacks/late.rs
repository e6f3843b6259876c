//! Attacks by a body that comes late: what is mounted has changed meanwhile, or time has passed, and
//! who calls is looked up again.

use anthropic_rbac::policy::subject::Subject;
use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::json;

use super::stage::{ALLOWED, BODY, CLIENT, FORBIDDEN, Stage, UNKNOWN, manifests, post};
use crate::envoy::until;
use crate::http::Connection;
use crate::mount::Order;
use crate::rendered::render;
use crate::worlds::{ISSUERS, client_key, role_binding};

pub(super) fn run() -> Result<()> {
    groups()?;
    ends()
}

/// A group whose name looks like two of them is none.
fn groups() -> Result<()> {
    let mut stage = Stage::new()?;
    let (issuer, data) = (ISSUERS[0].0, stage.gateway.rendered.data.clone());
    let admins = Subject::Group {
        issuer: issuer.into(),
        name: "admins".into(),
    };
    let within = format!("x\t{}group:{issuer}:admins", admins.id());
    let dear = String::from_utf8_lossy(BODY).replace(ALLOWED, FORBIDDEN);
    for (groups, body, want) in [
        (json!([]), BODY, 200),
        (json!([]), dear.as_bytes(), 403),
        (json!(["admins"]), dear.as_bytes(), 200),
        (json!([within]), dear.as_bytes(), 403),
        (json!([within, "y"]), BODY, 200),
    ] {
        let token = stage.user(&json!({"groups": groups}))?;
        let bytes = post(&[("x-api-key", token.as_bytes())], body);
        let (first, rest) = bytes.split_at(bytes.len() - 9);
        let mut connection = Connection::open(stage.gateway.envoy.address)?;
        connection.wire.write(first)?;
        // Once this is answered, the one before it has been looked at.
        stage.is_well()?;
        stage.gateway.envoy.swap(&data, Order::DataFirst)?;
        connection.wire.write(rest)?;
        let answer = connection.read()?;
        let received = stage.gateway.anthropic.take_all().len();
        ensure!(
            answer.status == want && received == usize::from(want == 200),
            "{groups}: {answer:?}, {received} upstream"
        );
    }
    Ok(())
}

/// A grant that ends before the body is there has ended.
fn ends() -> Result<()> {
    let mut stage = Stage::new()?;
    let end = Timestamp::now() + SignedDuration::from_secs(6);
    let mut guest = role_binding("guest", "user", &[client_key(UNKNOWN)]);
    guest["spec"]["expiresAt"] = json!(end.round(Unit::Second)?.to_string());
    let manifests = [manifests(), vec![guest]].concat();
    let rendered = render(&manifests, &stage.signers.published())?;
    stage.gateway.change(rendered, Order::DataFirst)?;
    let gateway = &stage.gateway;
    let begun = |key: &str| -> Result<(Connection, Vec<u8>)> {
        let mut connection = Connection::open(gateway.envoy.address)?;
        let bytes = post(&[("x-api-key", key.as_bytes())], BODY);
        let (first, rest) = bytes.split_at(bytes.len() - 9);
        connection.wire.write(first)?;
        Ok((connection, rest.to_vec()))
    };
    let ended = |(mut connection, rest): (Connection, Vec<u8>)| -> Result<u16> {
        Ok(connection.ask(&rest)?.status)
    };
    let (guest, steady) = (begun(UNKNOWN)?, begun(CLIENT)?);
    ensure!(ended(begun(UNKNOWN)?)? == 200, "too late for this test");
    until("it has ended", || {
        Ok((ended(begun(UNKNOWN)?)? == 403).then_some(()))
    })?;
    gateway.anthropic.take_all();
    ensure!(ended(guest)? == 403 && gateway.anthropic.take_all().is_empty());
    ensure!(ended(steady)? == 200 && gateway.anthropic.take_all().len() == 1);
    Ok(())
}

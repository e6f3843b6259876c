//! Attacks by what is shown as a credential, other than tokens.

use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::subject::Subject;
use anyhow::Result;

use super::Attack;
use super::Want::{self, Harmless, Passes, Refused, Status};
use super::stage::{BLOCKED, BODY, CLIENT, OWN, SHARED, Stage, UNKNOWN, VIEWER, post};

pub(super) fn attacks(stage: &Stage) -> Result<Vec<Attack>> {
    let account = stage.account()?;
    let digest = Digest::of(CLIENT.as_bytes()).to_string();
    let id = Subject::ClientKey(Digest::of(CLIENT.as_bytes()))
        .id()
        .to_string();
    let mut all = Vec::new();
    let mut add = |name: &str, want: Want, headers: &[(&str, &[u8])]| {
        all.push(Attack::new(name, want, post(headers, BODY)));
    };
    let bearer = |value: &str| format!("Bearer {value}").into_bytes();

    add("nothing", Status(401), &[]);
    for (name, want, value) in [
        ("nothing in a header", Status(401), ""),
        ("a blank", Status(401), " "),
        ("a key of nobody", Status(401), UNKNOWN),
        ("a key of a viewer", Status(403), VIEWER),
        ("a key that is blocked", Status(403), BLOCKED),
        (
            "a key less a character",
            Status(401),
            &CLIENT[..CLIENT.len() - 1],
        ),
        ("a key and a character", Status(401), &format!("{CLIENT}x")),
        ("a key in capitals", Status(401), &CLIENT.to_uppercase()),
        (
            "a key twice in one header",
            Status(401),
            &format!("{CLIENT}, {CLIENT}"),
        ),
        (
            "a key and another in one header",
            Status(401),
            &format!("{CLIENT},{VIEWER}"),
        ),
        ("a key in quotes", Status(401), &format!("\"{CLIENT}\"")),
        (
            "a key with blanks around",
            Harmless,
            &format!("  {CLIENT}\t "),
        ),
        ("a key of Anthropic's", Status(401), OWN),
        ("another key of Anthropic's", Status(401), SHARED),
        ("the digest of a key", Status(401), &digest),
        ("the id of a key", Status(401), &id),
        (
            "how a key is hashed",
            Status(401),
            &format!("clientkey\n{digest}").replace('\n', "%0a"),
        ),
        (
            "the name of an account",
            Status(401),
            "system:serviceaccount:search:web",
        ),
        (
            "the name of an account, as once",
            Status(401),
            "jwt:system:serviceaccount:search:web",
        ),
        (
            "how an account is hashed",
            Status(401),
            "serviceaccount/search/web-00000000000000000",
        ),
        (
            "a key with a letter of other alphabets",
            Status(401),
            "EXAMPLE-client-key-of-a-caller-0000000\u{e9}",
        ),
        ("a very long key", Refused, &"k".repeat(50_000)),
        (
            "a pattern",
            Status(401),
            "EXAMPLE-client-key-of-a-caller-[0-9]+%w*",
        ),
        (
            "formats",
            Status(401),
            "%REQ(x-api-key)%%%s%n%p-0123456789012345",
        ),
        (
            "a path",
            Status(401),
            "../../../../../../../../../../../../etc/passwd",
        ),
    ] {
        add(name, want, &[("x-api-key", value.as_bytes())]);
        add(
            &format!("{name}, as bearer"),
            want,
            &[("authorization", &bearer(value))],
        );
    }
    for (name, want, value) in [
        ("as basic", Status(401), format!("Basic {CLIENT}")),
        ("without scheme", Status(401), CLIENT.to_owned()),
        ("scheme alone", Status(401), "Bearer".to_owned()),
        ("scheme and a blank", Status(401), "Bearer ".to_owned()),
        (
            "scheme in small letters",
            Passes,
            format!("bearer {CLIENT}"),
        ),
        (
            "scheme in mixed letters",
            Harmless,
            format!("bEaReR {CLIENT}"),
        ),
        ("scheme and a tab", Harmless, format!("Bearer\t{CLIENT}")),
        (
            "scheme and many blanks",
            Harmless,
            format!("Bearer    {CLIENT}"),
        ),
        (
            "scheme twice",
            Status(401),
            format!("Bearer Bearer {CLIENT}"),
        ),
        (
            "a list",
            Status(401),
            format!("Bearer {CLIENT}, Bearer {VIEWER}"),
        ),
        (
            "a list of the same",
            Status(401),
            format!("Bearer {CLIENT}, Bearer {CLIENT}"),
        ),
        (
            "another scheme that begins so",
            Status(401),
            format!("BearerX {CLIENT}"),
        ),
    ] {
        add(
            &format!("authorization: {name}"),
            want,
            &[("authorization", value.as_bytes())],
        );
    }

    let shown = CLIENT.as_bytes();
    for (name, want, headers) in [
        (
            "the same in both",
            Passes,
            vec![("x-api-key", shown), ("authorization", &*bearer(CLIENT))],
        ),
        (
            "the same twice",
            Passes,
            vec![("x-api-key", shown), ("x-api-key", shown)],
        ),
        (
            "two keys",
            Status(401),
            vec![("x-api-key", shown), ("x-api-key", VIEWER.as_bytes())],
        ),
        (
            "two keys the other way",
            Status(401),
            vec![("x-api-key", VIEWER.as_bytes()), ("x-api-key", shown)],
        ),
        (
            "a key and an unknown one",
            Status(401),
            vec![("x-api-key", shown), ("authorization", &*bearer(UNKNOWN))],
        ),
        (
            "a key and nothing",
            Status(401),
            vec![("x-api-key", shown), ("x-api-key", b"")],
        ),
        (
            "a key and a scheme alone",
            Status(401),
            vec![("x-api-key", shown), ("authorization", b"Bearer ")],
        ),
        (
            "a key and another scheme",
            Status(401),
            vec![("x-api-key", shown), ("authorization", b"Basic eA==")],
        ),
        (
            "a key and a token",
            Status(401),
            vec![("x-api-key", shown), ("authorization", &*bearer(&account))],
        ),
        (
            "a token and a key",
            Status(401),
            vec![
                ("x-api-key", account.as_bytes()),
                ("authorization", &*bearer(CLIENT)),
            ],
        ),
        (
            "a blocked key and a good one",
            Status(401),
            vec![
                ("x-api-key", BLOCKED.as_bytes()),
                ("authorization", &*bearer(CLIENT)),
            ],
        ),
        (
            "two bearers",
            Status(401),
            vec![
                ("authorization", &*bearer(CLIENT)),
                ("authorization", &*bearer(VIEWER)),
            ],
        ),
        (
            "three that differ",
            Status(401),
            vec![
                ("x-api-key", shown),
                ("x-api-key", shown),
                ("authorization", &*bearer(VIEWER)),
            ],
        ),
        (
            "a key by another name",
            Status(401),
            vec![
                ("api-key", shown),
                ("x-goog-api-key", shown),
                ("x-auth-token", shown),
            ],
        ),
        ("a key as a cookie", Status(401), vec![("cookie", shown)]),
        (
            "a key for a proxy",
            Status(401),
            vec![("proxy-authorization", &*bearer(CLIENT))],
        ),
    ] {
        add(name, want, &headers);
    }
    Ok(all)
}

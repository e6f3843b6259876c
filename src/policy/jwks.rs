//! A JWKS document: the public keys by which a gateway checks an issuer's tokens (RFC 7517, with
//! the keys of RFC 7518).
//! Must never say a value of it: what was published by mistake may be a private key.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::name::Name;

/// Longest document that is looked at, in bytes: what a ConfigMap holds at most.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Members that only the holder of a key may know: RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Members of a key that a signature is checked by: RFC 7517, section 4, and RFC 7518, sections
/// 6.2.1 and 6.3.1. None of them is among [`PRIVATE`].
const PUBLIC_RSA: [&str; 5] = ["alg", "e", "kid", "kty", "n"];
const PUBLIC_EC: [&str; 6] = ["alg", "crv", "kid", "kty", "x", "y"];

/// Fewest letters of base64url of an RSA modulus: 2048 bits, RFC 7518, section 3.3.
const MIN_MODULUS: usize = 342;

/// What a key signs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RS256 to RS512 and PS256 to PS512.
    Rsa,
    /// ES256.
    P256,
    /// ES384.
    P384,
    /// ES512.
    P521,
}

/// Why tokens cannot be checked by a document. Keys are counted from 0, as in its `keys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Longer than [`MAX_BYTES`].
    TooLong,
    /// No JSON, or nested too deeply.
    NotJson,
    /// No object with a list `keys`.
    NoKeys,
    /// A key has a member that only its holder may know.
    Private {
        /// Which key.
        key: usize,
        /// Which member.
        member: &'static str,
    },
    /// A usable key has no `kid`, by which a token names it.
    NoKid {
        /// Which key.
        key: usize,
    },
    /// Two usable keys have the same `kid`.
    SameKid {
        /// The one that comes first.
        first: usize,
        /// The other.
        second: usize,
    },
    /// No key is one that a token can be checked by.
    NoneUsable,
}

/// The signing keys in a document, by `kid`. Keys of other types and for other uses are left
/// out, as the standard has it.
///
/// # Errors
/// What is wrong with it; a private key before all else.
pub fn signing_keys(document: &[u8]) -> Result<BTreeMap<Name, Algorithm>, Flaw> {
    let found = usable(document)?.into_iter();
    Ok(found.map(|(kid, (of, _))| (kid, of)).collect())
}

/// The same document with its signing keys only, each with its public members only, sorted: one
/// text for one set of keys, whoever wrote it and however.
///
/// # Errors
/// As [`signing_keys`].
pub fn canonical(document: &[u8]) -> Result<String, Flaw> {
    let keys: Vec<Value> = usable(document)?
        .into_values()
        .map(|(_, key)| key)
        .collect();
    Ok(serde_json::json!({ "keys": keys }).to_string())
}

/// The signing keys by `kid`, each with what it signs with and its public members.
fn usable(document: &[u8]) -> Result<BTreeMap<Name, (Algorithm, Value)>, Flaw> {
    if document.len() > MAX_BYTES {
        return Err(Flaw::TooLong);
    }
    let document: Value = serde_json::from_slice(document).map_err(|_| Flaw::NotJson)?;
    let keys = document.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or(Flaw::NoKeys)?;
    for (key, value) in keys.iter().enumerate() {
        if let Some(member) = PRIVATE.into_iter().find(|name| value.get(name).is_some()) {
            return Err(Flaw::Private { key, member });
        }
    }
    let usable = keys.iter().enumerate().filter_map(|(i, value)| {
        let value = value.as_object()?;
        Some((i, value, algorithm(value)?))
    });
    let mut places: BTreeMap<Name, usize> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (key, value, algorithm) in usable {
        let kid = text(value, "kid").filter(|kid| !kid.is_empty());
        let kid = Name::from(kid.ok_or(Flaw::NoKid { key })?);
        if let Some(first) = places.insert(kid.clone(), key) {
            return Err(Flaw::SameKid { first, second: key });
        }
        found.insert(kid, (algorithm, public(value, algorithm)));
    }
    if found.is_empty() {
        return Err(Flaw::NoneUsable);
    }
    Ok(found)
}

/// What of a key anyone may know and a gateway needs: all of it texts that have been looked at.
fn public(key: &Map<String, Value>, algorithm: Algorithm) -> Value {
    let names: &[&str] = match algorithm {
        Algorithm::Rsa => &PUBLIC_RSA,
        Algorithm::P256 | Algorithm::P384 | Algorithm::P521 => &PUBLIC_EC,
    };
    let members = names.iter().filter_map(|name| {
        let value = key.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    Value::Object(members.collect())
}

/// What a key signs with, if it is a whole key that is there for that.
fn algorithm(key: &Map<String, Value>) -> Option<Algorithm> {
    let (of, names): (_, &[&str]) = match text(key, "kty")? {
        "RSA" if letters(key, "n")? >= MIN_MODULUS && letters(key, "e")? > 0 => (
            Algorithm::Rsa,
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        ),
        "EC" => {
            // A coordinate is as long as the field: 32, 48 or 66 bytes.
            let (of, name, length): (_, &[&str], _) = match text(key, "crv")? {
                "P-256" => (Algorithm::P256, &["ES256"], 43),
                "P-384" => (Algorithm::P384, &["ES384"], 64),
                "P-521" => (Algorithm::P521, &["ES512"], 88),
                _ => return None,
            };
            if (letters(key, "x")?, letters(key, "y")?) != (length, length) {
                return None;
            }
            (of, name)
        }
        _ => return None,
    };
    let is = |name: &str, allowed: &[&str]| match key.get(name) {
        None => true,
        Some(value) => value.as_str().is_some_and(|value| allowed.contains(&value)),
    };
    let verifies = match key.get("key_ops") {
        None => true,
        Some(operations) => operations
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == "verify")),
    };
    (is("alg", names) && is("use", &["sig"]) && verifies).then_some(of)
}

fn text<'a>(key: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    key.get(member).and_then(Value::as_str)
}

/// How many letters of base64url without padding a member has, if it has nothing else.
fn letters(key: &Map<String, Value>, member: &str) -> Option<usize> {
    let value = text(key, member)?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    value.bytes().all(is_letter).then_some(value.len())
}

// === impl Flaw ===

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(
                f,
                "is longer than the {MAX_BYTES} bytes a ConfigMap holds; put the issuer's JWKS document here, and nothing else"
            ),
            Self::NotJson => write!(
                f,
                "is not JSON; put the issuer's JWKS document here, as its jwks_uri serves it"
            ),
            Self::NoKeys => write!(
                f,
                "has no list 'keys'; put the issuer's JWKS document here, as its jwks_uri serves it"
            ),
            Self::Private { key, member } => write!(
                f,
                "keys[{key}] has the private member '{member}': whoever reads it can sign tokens; replace the key at the issuer, and put only its public half here"
            ),
            Self::NoKid { key } => write!(
                f,
                "keys[{key}] has no 'kid', so no token can name it; give it the kid that the issuer writes in its tokens"
            ),
            Self::SameKid { first, second } => write!(
                f,
                "keys[{first}] and keys[{second}] have the same 'kid', so a token names both; keep the one the issuer signs with"
            ),
            Self::NoneUsable => write!(
                f,
                "has no key that can check a token; add the issuer's signing key: RSA of at least 2048 bits, or EC on P-256, P-384 or P-521, with neither 'alg', 'use' nor 'key_ops' for anything else"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(keys: Value) -> Result<BTreeMap<Name, Algorithm>, Flaw> {
        signing_keys(json!({"keys": keys}).to_string().as_bytes())
    }

    fn ec(kid: &str, crv: &str, length: usize) -> Value {
        let coordinate = "A".repeat(length);
        json!({"kty": "EC", "crv": crv, "kid": kid, "x": coordinate, "y": coordinate})
    }

    fn rsa(kid: &str, length: usize) -> Value {
        json!({"kty": "RSA", "kid": kid, "n": "n".repeat(length), "e": "AQAB"})
    }

    fn with(mut key: Value, member: &str, value: Value) -> Value {
        key[member] = value;
        key
    }

    #[test]
    fn signing_keys_are_found_by_kid_and_others_passed_over() {
        let keys = json!([
            rsa("rsa", 342),
            ec("p256", "P-256", 43),
            ec("p384", "P-384", 64),
            ec("p521", "P-521", 88),
            with(rsa("encrypts", 342), "use", json!("enc")),
            {"kty": "OKP", "crv": "Ed25519", "kid": "edwards", "x": "A"},
            "no key",
        ]);
        let expected = [
            ("rsa", Algorithm::Rsa),
            ("p256", Algorithm::P256),
            ("p384", Algorithm::P384),
            ("p521", Algorithm::P521),
        ];
        let expected = expected.map(|(kid, of)| (Name::from(kid), of));
        assert_eq!(read(keys), Ok(BTreeMap::from(expected)));
    }

    #[test]
    fn a_key_is_usable_when_it_is_whole_and_for_signatures() {
        let usable = |key: Value| read(json!([key])).is_ok();
        for (member, good, bad) in [
            ("alg", json!("PS384"), json!("ES256")),
            ("alg", json!("RS256"), json!("RSA-OAEP")),
            ("use", json!("sig"), json!("enc")),
            ("key_ops", json!(["verify"]), json!(["encrypt"])),
            ("n", json!("n".repeat(342)), json!("n".repeat(341))),
            ("n", json!("_".repeat(342)), json!("=".repeat(342))),
            ("e", json!("Aw"), json!("")),
        ] {
            assert!(usable(with(rsa("a", 342), member, good)), "{member}");
            assert!(!usable(with(rsa("a", 342), member, bad)), "{member}");
        }
        for (member, bad) in [
            ("alg", json!("ES384")),
            ("crv", json!("secp256k1")),
            ("y", json!("A".repeat(42))),
            ("kty", json!("RSA")),
        ] {
            assert!(usable(ec("a", "P-256", 43)));
            assert!(!usable(with(ec("a", "P-256", 43), member, bad)), "{member}");
        }
    }

    #[test]
    fn one_set_of_keys_has_one_text_without_anything_else() {
        let (a, b) = (rsa("a", 342), ec("b", "P-256", 43));
        let text = |keys: Value| canonical(json!({"more": 1, "keys": keys}).to_string().as_bytes());
        let decorated = with(
            with(a.clone(), "x5c", json!(["EXAMPLE"])),
            "use",
            json!("sig"),
        );
        let encrypts = with(rsa("c", 342), "use", json!("enc"));
        let (n, x) = ("n".repeat(342), "A".repeat(43));
        let expected = format!(
            r#"{{"keys":[{{"e":"AQAB","kid":"a","kty":"RSA","n":"{n}"}},{{"crv":"P-256","kid":"b","kty":"EC","x":"{x}","y":"{x}"}}]}}"#
        );
        assert_eq!(
            text(json!([b, decorated, encrypts])).as_ref(),
            Ok(&expected)
        );
        assert_eq!(canonical(expected.as_bytes()), Ok(expected));
        assert!(text(json!([a, with(rsa("c", 342), "d", json!("EXAMPLE"))])).is_err());
        let shared = json!({"kty": "oct", "kid": "a", "k": "EXAMPLE"});
        assert!(text(json!([a, shared])).is_err(), "no secret passes");
        let mut public = PUBLIC_RSA.iter().chain(&PUBLIC_EC);
        assert!(public.all(|name| !PRIVATE.contains(name)));
    }

    #[test]
    fn what_is_no_document_of_keys_is_told_apart() {
        assert_eq!(signing_keys(b"\xff"), Err(Flaw::NotJson));
        assert_eq!(signing_keys(b"{\"keys\": ["), Err(Flaw::NotJson));
        assert_eq!(
            signing_keys("[".repeat(9_000).as_bytes()),
            Err(Flaw::NotJson)
        );
        assert_eq!(signing_keys(b"[]"), Err(Flaw::NoKeys));
        assert_eq!(signing_keys(b"{\"keys\": {}}"), Err(Flaw::NoKeys));
        assert_eq!(read(json!([])), Err(Flaw::NoneUsable));
        let mut longest = json!({"keys": [rsa("a", 342)]}).to_string().into_bytes();
        longest.resize(MAX_BYTES, b' ');
        assert!(signing_keys(&longest).is_ok());
        longest.push(b' ');
        assert_eq!(signing_keys(&longest), Err(Flaw::TooLong));
    }

    #[test]
    fn a_kid_names_one_key() {
        let nameless = |kid: Value| read(json!([rsa("a", 342), with(rsa("", 342), "kid", kid)]));
        for kid in [json!(""), json!(1), json!(null)] {
            assert_eq!(nameless(kid), Err(Flaw::NoKid { key: 1 }));
        }
        let second = |kid| read(json!([rsa("a", 342), rsa("b", 342), ec(kid, "P-256", 43)]));
        let same = Flaw::SameKid {
            first: 1,
            second: 2,
        };
        assert_eq!(second("b"), Err(same));
        assert_eq!(second("c").map(|keys| keys.len()), Ok(3));
    }

    #[test]
    fn a_private_key_is_told_of_and_not_shown() {
        for member in PRIVATE {
            let private = with(rsa("a", 342), member, json!("EXAMPLE-private"));
            // Not even one that nothing could be checked by, nor one beside another flaw.
            for key in [private.clone(), with(private, "use", json!("enc"))] {
                let flaw = read(json!([with(rsa("", 342), "kid", json!(null)), key]));
                let flaw = flaw.expect_err("a private key");
                assert_eq!(flaw, Flaw::Private { key: 1, member });
                assert!(!format!("{flaw} {flaw:?}").contains("EXAMPLE"));
            }
        }
    }
}

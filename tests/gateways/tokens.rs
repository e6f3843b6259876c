//! Signing keys of issuers, and tokens: good ones, and any other that can be put together.
//! Must not decide whether a token should be taken.

use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

/// A private key, and the name it has in a set of keys.
pub(crate) struct Signer {
    pub(crate) kid: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

// === impl Signer ===

impl Signer {
    /// A new key for ES256.
    pub(crate) fn p256(kid: &'static str) -> Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(failed)?;
        let pair = Pair::P256(Box::new(pair));
        Ok(Self { kid, pair })
    }

    /// A new key for RS256, which Kubernetes signs with. Made by openssl: ring makes none.
    pub(crate) fn rsa(kid: &'static str) -> Result<Self> {
        let output = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA"])
            .output()
            .context("openssl")?;
        ensure!(output.status.success(), "openssl: {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let document = STANDARD.decode(lines.collect::<String>())?;
        let pair = RsaKeyPair::from_pkcs8(&document).map_err(failed)?;
        let pair = Pair::Rsa(Box::new(pair));
        Ok(Self { kid, pair })
    }

    /// Its public half as a member of a JWKS document.
    pub(crate) fn public(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let PublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
                       "n": encoded(&n), "e": encoded(&e)})
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "kid": self.kid,
                       "x": encoded(&point[1..33]), "y": encoded(&point[33..])})
            }
        }
    }

    /// The header of its tokens.
    pub(crate) fn header(&self) -> Value {
        let algorithm = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
        };
        json!({"alg": algorithm, "kid": self.kid, "typ": "JWT"})
    }

    /// A good token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> Result<String> {
        self.sign(&self.header().to_string(), claims.to_string().as_bytes())
    }

    /// A token of this header and payload, whatever they are, signed by this key.
    pub(crate) fn sign(&self, header: &str, payload: &[u8]) -> Result<String> {
        let signed = unsigned(header, payload);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    signed.as_bytes(),
                    &mut signature,
                )
                .map_err(failed)?;
                signature
            }
            Pair::P256(pair) => pair
                .sign(&random, signed.as_bytes())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
        };
        Ok(format!("{signed}.{}", encoded(&signature)))
    }
}

/// Ring's errors say no more than that.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a key does not work: {error}")
}

/// Header and payload, without signature.
pub(crate) fn unsigned(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", encoded(header.as_bytes()), encoded(payload))
}

/// Signed as HS256 by whatever bytes somebody takes for a secret.
pub(crate) fn hmac(header: &str, payload: &[u8], secret: &[u8]) -> String {
    let signed = unsigned(header, payload);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encoded(signature.as_ref()))
}

/// Base64 as tokens have it.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A set of keys.
pub(crate) fn key_set(signers: &[&Signer]) -> Value {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
    json!({"keys": keys})
}

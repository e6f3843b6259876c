//! Keys in the clear, for as long as one cycle writes.
//! Must not be kept longer, logged, or copied from except into the body of a write.

use std::collections::HashMap;

use crate::material::KeyMaterial;
use crate::plan::output::KeyHandle;
use crate::policy::key::SecretKey;

/// Keys by where they were read.
#[derive(Default)]
pub struct Vault(HashMap<SecretKey, KeyMaterial>);

// === impl Vault ===

impl Vault {
    /// Puts in what was read.
    pub fn insert(&mut self, source: SecretKey, material: KeyMaterial) {
        self.0.insert(source, material);
    }

    /// The key behind a handle, if what was read is what the handle means.
    pub fn get(&self, handle: &KeyHandle) -> Option<&KeyMaterial> {
        self.0
            .get(&handle.source)
            .filter(|material| material.facts().digest == handle.digest)
    }

    /// Whether anything was read from there.
    pub fn has(&self, source: &SecretKey) -> bool {
        self.0.contains_key(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::digest::Digest;

    #[test]
    fn a_key_is_given_out_for_its_own_digest_only() {
        let source = SecretKey {
            namespace: "claude".into(),
            name: "a".into(),
            key: "api-key".into(),
        };
        let mut vault = Vault::default();
        vault.insert(
            source.clone(),
            KeyMaterial::new(b"sk-ant-api03-EXAMPLE\n".to_vec()),
        );
        let handle = |text: &[u8]| KeyHandle {
            source: source.clone(),
            digest: Digest::of(text),
        };
        let key = vault
            .get(&handle(b"sk-ant-api03-EXAMPLE"))
            .map(KeyMaterial::expose);
        assert_eq!(key, Some(&b"sk-ant-api03-EXAMPLE"[..]));
        assert!(vault.get(&handle(b"sk-ant-api03-OTHER")).is_none());
        let elsewhere = SecretKey {
            key: "other".into(),
            ..source.clone()
        };
        assert!(!vault.has(&elsewhere) && vault.has(&source));
    }
}

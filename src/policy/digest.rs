//! Digests: how the core speaks of key material, subjects and content it must not hold.
//! Must not see a key's bytes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::{Digest as _, Sha256};

/// `N` bytes that print as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// SHA-256 of a key's bytes. Two keys are the same key if and only if these are equal.
pub type Digest = Hex<32>;

/// The first 8 bytes of a [`Digest`]: what statuses, logs and policies show of a key version.
pub type Fingerprint = Hex<8>;

/// The first 8 bytes of SHA-256 over what a role or key *is*, so that a subject row can
/// only ever mean the version it was rendered against.
pub type ContentId = Hex<8>;

// === impl Hex ===

impl<const N: usize> Hex<N> {
    /// The first `N` bytes of SHA-256 over the parts, joined by newlines.
    pub fn of_lines(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                hasher.update(b"\n");
            }
            hasher.update(part.as_bytes());
        }
        Self::first(&hasher.finalize())
    }

    /// The first `N` bytes of SHA-256 over `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::first(&Sha256::digest(bytes))
    }

    fn first(hash: &[u8]) -> Self {
        let mut out = [0; N];
        out.copy_from_slice(&hash[..N]);
        Self(out)
    }

    /// Reads `2 * N` lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 2 * N {
            return None;
        }
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut out = [0; N];
        for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(out))
    }
}

impl Digest {
    /// What may be shown of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::first(&self.0)
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format_args!("want {} lower-case hex digits", 2 * N)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_what_it_prints_and_nothing_else() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(digest.fingerprint().to_string(), "ba7816bf8f01cfea");
        assert_eq!(Fingerprint::parse("BA7816BF8F01CFEA"), None);
        assert_eq!(Fingerprint::parse("ba7816bf8f01cf"), None);
    }

    #[test]
    fn lines_are_joined_so_that_parts_cannot_run_together() {
        assert_eq!(Digest::of_lines(&["a", "b"]), Digest::of(b"a\nb"));
        assert_ne!(Digest::of_lines(&["ab", ""]), Digest::of_lines(&["a", "b"]));
    }
}

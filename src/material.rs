//! The one type that holds a key's bytes: no Debug, no Display, no Serialize, no Clone, zeroed
//! when dropped. Everything else speaks of keys by digest.
//! Must not decide what a key may be used for.

use zeroize::Zeroizing;

use crate::policy::digest::Digest;
use crate::policy::key::{CLIENT_KEY_LENGTH, Shape, ValueFacts};

/// The bytes of one data key of a Secret.
pub struct KeyMaterial(Zeroizing<Vec<u8>>);

/// Most characters of an API key: Anthropic's have about 110, and a gateway holds hundreds.
const API_KEY_LENGTH: usize = 512;

// === impl KeyMaterial ===

impl KeyMaterial {
    /// Takes a Secret's value over; one trailing newline, which editors and `echo` add, is
    /// dropped.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self(Zeroizing::new(bytes))
    }

    /// What may be known of it.
    pub fn facts(&self) -> ValueFacts {
        ValueFacts {
            digest: Digest::of(&self.0),
            shape: shape(&self.0),
        }
    }

    /// The bytes themselves, for the one write they are meant for.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

fn shape(bytes: &[u8]) -> Shape {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Shape::Empty;
    }
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Shape::NotOneWord;
    }
    let starts = |prefix: &str| bytes.starts_with(prefix.as_bytes());
    if starts("sk-ant-admin") {
        Shape::AdminKey
    } else if starts("sk-ant-api01-") {
        Shape::EnterpriseKey
    } else if starts("sk-ant-oat") {
        Shape::OAuthToken
    } else if starts("sk-ant-api") && bytes.len() <= API_KEY_LENGTH {
        Shape::ApiKey
    } else if !starts("sk-ant-") && !starts("ey") && CLIENT_KEY_LENGTH.contains(&bytes.len()) {
        Shape::ClientKey
    } else {
        Shape::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(text: &str) -> Shape {
        KeyMaterial::new(text.as_bytes().to_vec()).facts().shape
    }

    #[test]
    fn only_a_claude_api_key_on_one_line_is_an_api_key() {
        assert_eq!(shape_of("sk-ant-api03-EXAMPLE"), Shape::ApiKey);
        assert_eq!(shape_of("sk-ant-api03-EXAMPLE\n"), Shape::ApiKey);
        assert_eq!(shape_of("sk-ant-admin01-EXAMPLE"), Shape::AdminKey);
        assert_eq!(shape_of("sk-ant-api01-EXAMPLE"), Shape::EnterpriseKey);
        assert_eq!(shape_of("sk-ant-oat01-EXAMPLE"), Shape::OAuthToken);
        for bad in [
            "sk-ant-api03-A\nsk-ant-api03-B",
            " sk-ant-api03-A",
            "sk-ant-api03-A\n\n",
            "sk-ant-ä",
        ] {
            assert_eq!(shape_of(bad), Shape::NotOneWord, "{bad:?}");
        }
        assert_eq!(
            (shape_of(""), shape_of(" \n")),
            (Shape::Empty, Shape::Empty)
        );
        assert_eq!(shape_of("hunter2"), Shape::Unknown);
        let long = |length: usize| shape_of(&format!("sk-ant-api{}", "x".repeat(length - 10)));
        assert_eq!((long(512), long(513)), (Shape::ApiKey, Shape::Unknown));
    }

    #[test]
    fn a_client_key_is_long_and_looks_like_no_other_credential() {
        let long = "k".repeat(32);
        assert_eq!(shape_of(&long), Shape::ClientKey);
        assert_eq!(shape_of(&long[1..]), Shape::Unknown);
        assert_eq!(shape_of(&"k".repeat(257)), Shape::Unknown);
        assert_eq!(shape_of(&format!("ey{long}")), Shape::Unknown);
        assert_eq!(shape_of(&format!("sk-ant-{long}")), Shape::Unknown);
    }

    #[test]
    fn the_digest_is_of_the_value_as_it_is_used() {
        let with = KeyMaterial::new(b"sk-ant-api03-EXAMPLE\n".to_vec());
        let without = KeyMaterial::new(b"sk-ant-api03-EXAMPLE".to_vec());
        assert_eq!(with.facts(), without.facts());
        assert_eq!(with.expose(), without.expose());
    }
}

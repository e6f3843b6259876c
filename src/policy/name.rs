//! Names as they are compared everywhere: byte for byte, parsed once.
//! Must not know where a name came from.

use std::fmt;
use std::sync::Arc;

/// A shared, immutable string: cheap to clone, so that facts about 50,000
/// bindings do not hold 50,000 copies of one role name.
pub type Name = Arc<str>;

/// Longest subject or claim value, in bytes. Longer ones are refused, also when rendering.
pub const MAX_NAME_BYTES: usize = 256;

/// The name of a namespaced object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespacedName {
    /// The namespace it lives in.
    pub namespace: Name,
    /// Its name there.
    pub name: Name,
}

/// Why a text is not a usable name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// More than [`MAX_NAME_BYTES`].
    #[error("must be at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A control character, which could split a line in a gateway's file.
    #[error("must not contain control characters")]
    ControlCharacter,
}

/// Checks a subject or claim value: 1 to 256 bytes, no control characters.
///
/// # Errors
/// Which of the three rules it breaks.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > MAX_NAME_BYTES {
        Err(NameError::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(NameError::ControlCharacter)
    } else {
        Ok(())
    }
}

// === impl NamespacedName ===

impl NamespacedName {
    /// Puts the two parts together.
    pub fn new(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads `NAMESPACE/NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        (!namespace.is_empty() && !name.is_empty() && !name.contains('/'))
            .then(|| Self::new(namespace, name))
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_256_bytes_and_no_control_characters() {
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name("a\nb"), Err(NameError::ControlCharacter));
        assert_eq!(check_name(&"ä".repeat(129)), Err(NameError::TooLong));
        assert_eq!(check_name(&"ä".repeat(128)), Ok(()));
        assert_eq!(check_name("uma@example.com"), Ok(()));
    }

    #[test]
    fn a_namespaced_name_needs_exactly_two_parts() {
        assert_eq!(
            NamespacedName::parse("a/b"),
            Some(NamespacedName::new("a", "b"))
        );
        for bad in ["a", "/b", "a/", "a/b/c", ""] {
            assert_eq!(NamespacedName::parse(bad), None, "{bad}");
        }
    }
}

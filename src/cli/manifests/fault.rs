//! What is wrong with one field of one object, before anybody knows where that is in a file.
//! Must not hold a value: it may be a key.

use super::path::FieldPath;

/// One thing wrong with an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The field.
    pub path: FieldPath,
    /// Whether it is the field's name that is wrong, not its value.
    pub name: bool,
    /// Cause and fix.
    pub message: String,
}

// === impl Fault ===

impl Fault {
    /// Something wrong with a value.
    pub fn of_value(path: FieldPath, message: impl Into<String>) -> Self {
        Self {
            path,
            name: false,
            message: message.into(),
        }
    }

    /// Something wrong with a name.
    pub fn of_name(path: FieldPath, message: impl Into<String>) -> Self {
        Self {
            path,
            name: true,
            message: message.into(),
        }
    }
}

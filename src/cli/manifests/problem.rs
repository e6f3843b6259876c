//! What is wrong with an input: where, of what object, in which field, why, and what to do.
//! Must never hold a value out of a Secret, nor one that looks like a key.

use std::fmt;
use std::sync::Arc;

use super::path::FieldPath;
use super::place::Mark;

/// One thing wrong with the input. Sorts by where it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: Arc<str>,
    /// Where in it; `None` when it could not be read at all.
    pub mark: Option<Mark>,
    /// The document in a file of several, counted from 1, empty ones left out.
    pub document: Option<usize>,
    /// Kind and name of the object, as far as they are known.
    pub object: String,
    /// The field; the root for the whole.
    pub field: FieldPath,
    /// What kind of problem: one of [`reason`].
    pub reason: &'static str,
    /// Cause and fix.
    pub message: String,
}

/// The stable names of what can be wrong with an input.
pub mod reason {
    crate::policy::explain::reasons! {
        UNREADABLE_FILE = "UnreadableFile", "lint",
            "The file or folder cannot be read, or a folder holds no manifest.",
            "Correct the path, or permit reading it.";
        INVALID_YAML = "InvalidYAML", "lint",
            "The text is not YAML, or readers of YAML would understand it differently.",
            "Correct it at the line and column given; a key stands once in a mapping, and blanks indent.";
        INVALID_MANIFEST = "InvalidManifest", "lint",
            "The API server would refuse the object: its schema, a rule, or its metadata.",
            "Correct the field that is named; kubectl explain says what it takes.";
        DUPLICATE_OBJECT = "DuplicateObject", "lint",
            "Two manifests define one object, and which of them counts depends on who applies them.",
            "Keep one.";
        INVALID_KEY_SET = "InvalidKeySet", "lint",
            "The ConfigMap that an issuer's public keys are in holds no JWKS document that tokens can be checked by, or holds a private key.",
            "Put the document there that the issuer serves at its jwks_uri.";
    }
}

// === impl Problem ===

impl Problem {
    /// A file that cannot be read.
    pub fn of_file(file: &Arc<str>, message: impl Into<String>) -> Self {
        Self {
            file: file.clone(),
            mark: None,
            document: None,
            object: String::new(),
            field: FieldPath::root(),
            reason: reason::UNREADABLE_FILE,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            mark,
            document,
            object,
            field,
            reason: _,
            message,
        } = self;
        f.write_str(file)?;
        if let Some(Mark { line, column }) = mark {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(number) = document {
            write!(f, " (document {number})")?;
        }
        if !object.is_empty() {
            write!(f, " {object}")?;
        }
        if !field.is_root() {
            write!(f, " {field}")?;
        }
        write!(f, ": {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_what_and_why() {
        let problem = Problem {
            mark: Some(Mark {
                line: 12,
                column: 7,
            }),
            document: Some(2),
            object: "RoleBinding search/search-users".into(),
            field: FieldPath::parse("spec.roles[0].maxTokens"),
            ..Problem::of_file(&"file.yaml".into(), "must be at least 1")
        };
        assert_eq!(
            problem.to_string(),
            "file.yaml:12:7 (document 2) RoleBinding search/search-users \
             spec.roles[0].maxTokens: must be at least 1"
        );
        let unreadable = Problem::of_file(&"a.yaml".into(), "is a socket");
        assert_eq!(unreadable.to_string(), "a.yaml: is a socket");
    }
}

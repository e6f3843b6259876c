//! How a command ends: exit codes, and what is said on stderr when it does not end well.
//! Must not know any one command.

use std::fmt;
use std::process::ExitCode;

use super::manifests::problem::Problem;

/// A command that came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: done; of `check`, allowed.
    Done,
    /// 1: done, and the answer is no.
    No,
}

/// A command that did not.
#[derive(Debug)]
pub enum Failure {
    /// 2: what was given is wrong; cause and fix.
    BadInput(String),
    /// 2: manifests are wrong.
    Problems(Vec<Problem>),
    /// 1: it was right and could not be carried out.
    Failed(String),
}

// === impl Failure ===

impl Failure {
    /// Something that could not be done to a file or folder.
    pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Why, in a sentence of something else.
    pub fn reason(&self) -> String {
        match self {
            Self::BadInput(message) | Self::Failed(message) => message.clone(),
            Self::Problems(problems) => format!("{} errors in manifests", problems.len()),
        }
    }

    /// The same with exit code 2, of commands whose exit code 1 is an answer.
    pub fn into_bad_input(self) -> Self {
        match self {
            Self::Failed(message) => Self::BadInput(message),
            failure @ (Self::BadInput(_) | Self::Problems(_)) => failure,
        }
    }

    /// What a script sees.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::BadInput(_) | Self::Problems(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::from(0),
            Exit::No => Self::from(1),
        }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(problems)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(message) | Self::Failed(message) => {
                write!(f, "{}{message}", super::screen::error_prefix())
            }
            Self::Problems(problems) => {
                for problem in problems {
                    writeln!(f, "{}{problem}", super::screen::error_prefix())?;
                }
                let s = if problems.len() == 1 { "" } else { "s" };
                write!(f, "{} error{s}; nothing was done", problems.len())
            }
        }
    }
}

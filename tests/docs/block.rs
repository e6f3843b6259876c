//! The code blocks of a document, and how each is to be tried. A comment above a block, which no
//! reader sees, says what the block itself cannot:
//!
//! ```text
//! <!-- test: not run: docker -->        why it cannot be tried here; one of `REASONS`
//! <!-- test: cluster -->                commands for a real API server: tests/cluster tries them
//! <!-- test: before: mkdir out -->      a command that comes first; may be repeated
//! <!-- test: with NAMESPACE=search -->  what a placeholder stands for; may be repeated
//! <!-- test: output -->                 what the block before printed; `...` is any lines
//! <!-- test: output of COMMAND -->      what that prints
//! <!-- test: file my/install.yaml -->   the commands after it find it there
//! <!-- test: part of FILE -->           fields of the manifest in that file
//! <!-- test: of another program -->     YAML that is no manifest; its commands are run
//! <!-- test: schema FILE -->            JSON that fits it
//! <!-- test: by tests/node/x.rs -->     another test tries it
//! <!-- test: logs -->                   `kubectl logs` prints the JSON of this page
//! ```
//!
//! Commands end with 0, unless a comment behind one says another "exit code N".
//! Must not try anything.

/// Why a block is not tried, and what is meant.
pub(crate) const REASONS: [(&str, &str); 8] = [
    ("docker", "needs a container engine and a registry"),
    ("kind", "needs kind and a container engine"),
    ("pods", "needs pods that run"),
    ("forge", "needs a repository at GitHub or GitLab"),
    ("typed", "asks somebody to type"),
    ("minutes", "takes minutes"),
    ("made up", "names things that only a reader has"),
    ("shown", "is neither typed nor printed by a command here"),
];

/// A document.
pub(crate) struct Page {
    /// From the project's folder.
    pub(crate) path: String,
    pub(crate) blocks: Vec<Block>,
}

/// A code block.
#[derive(Clone)]
pub(crate) struct Block {
    /// Where its text begins, counted from 1.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) how: How,
    pub(crate) before: Vec<String>,
    pub(crate) with: Vec<(String, String)>,
}

/// How it is tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// As its language says.
    Plain,
    NotRun(&'static str),
    Cluster,
    Output,
    OutputOf(String),
    File(String),
    PartOf(String),
    OfAnotherProgram,
    Schema(String),
    By(String),
    Logs,
}

// === impl Page ===

impl Page {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, by line.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, String> {
        let mut blocks = Vec::new();
        let mut comments: Vec<(usize, &str)> = Vec::new();
        let mut open: Option<(usize, &str, Block)> = None;
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            let bare = line.trim_start();
            if let Some((indent, fence, block)) = &mut open {
                if bare.trim_end() == *fence {
                    blocks.extend(open.take().map(|(_, _, block)| block));
                } else {
                    let text = line.get(*indent..).unwrap_or(bare);
                    block.text.push_str(text);
                    block.text.push('\n');
                }
            } else if bare.starts_with("```") {
                let language = bare.trim_start_matches('`');
                let fence = &bare[..bare.len() - language.len()];
                let block = Block::new(at + 1, language.trim(), &comments)
                    .map_err(|error| format!("{path}:{at}: {error}"))?;
                comments.clear();
                open = Some((line.len() - bare.len(), fence, block));
            } else if let Some(comment) = bare.strip_prefix("<!-- test: ") {
                let comment = comment.strip_suffix(" -->");
                comments.push((at, comment.ok_or(format!("{path}:{at}: '-->' is missing"))?));
            } else if let Some((at, _)) = comments.first() {
                return Err(format!("{path}:{at}: a comment that is not above a block"));
            }
        }
        match (open, comments.first()) {
            (Some((_, _, block)), _) => Err(format!("{path}:{}: does not end", block.line)),
            (None, Some((at, _))) => Err(format!("{path}:{at}: a comment above nothing")),
            (None, None) => Ok(Self {
                path: path.to_owned(),
                blocks,
            }),
        }
    }

    /// The files that blocks before this one put there.
    pub(crate) fn files_before(&self, line: usize) -> impl Iterator<Item = (&str, &str)> {
        let before = self.blocks.iter().filter(move |block| block.line < line);
        before.filter_map(|block| match &block.how {
            How::File(name) => Some((name.as_str(), block.text.as_str())),
            _ => None,
        })
    }
}

// === impl Block ===

impl Block {
    fn new(line: usize, language: &str, comments: &[(usize, &str)]) -> Result<Self, String> {
        let mut block = Self {
            line,
            language: language.to_owned(),
            text: String::new(),
            how: How::Plain,
            before: Vec::new(),
            with: Vec::new(),
        };
        for (_, comment) in comments {
            if let Some(command) = comment.strip_prefix("before: ") {
                block.before.push(command.to_owned());
            } else if let Some(with) = comment.strip_prefix("with ") {
                let (name, value) = with.split_once('=').ok_or("'with' needs NAME=VALUE")?;
                block.with.push((name.to_owned(), value.to_owned()));
            } else if block.how == How::Plain {
                block.how = How::parse(comment)?;
            } else {
                return Err(format!("'{comment}' is one too many"));
            }
        }
        let fits = matches!(
            (&*block.language, &block.how),
            (_, How::NotRun(_) | How::By(_))
                | ("sh", How::Plain | How::Cluster | How::Logs)
                | (
                    "yaml",
                    How::Plain | How::File(_) | How::PartOf(_) | How::OfAnotherProgram
                )
                | ("json", How::Plain | How::Schema(_))
                | ("text", How::Output | How::OutputOf(_))
        );
        match fits {
            true => Ok(block),
            false => Err(format!(
                "a block of '{language}' is not tried as {:?}; tests/docs/block.rs says what is",
                block.how
            )),
        }
    }

    /// Its commands, with what placeholders stand for, and the exit code of each.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut text = self.text.clone();
        for (name, value) in &self.with {
            text = text.replace(name, value);
        }
        let mut commands = Vec::new();
        let mut so_far = String::new();
        for (at, line) in text.lines().enumerate() {
            if so_far.is_empty() && (line.trim().is_empty() || line.starts_with('#')) {
                continue;
            }
            so_far.push_str(line);
            so_far.push('\n');
            let quotes = so_far.matches('\'').count() + so_far.matches('"').count();
            if line.ends_with('\\') || quotes % 2 == 1 {
                continue;
            }
            let code = exit_code(&so_far);
            commands.push(Command {
                line: self.line + at,
                text: std::mem::take(&mut so_far),
                code,
            });
        }
        commands
    }
}

/// What a comment behind a command says, else 0.
fn exit_code(command: &str) -> u8 {
    let said = command.split_once("exit code ").map(|(_, code)| code);
    let digits = said.and_then(|code| code.split(|c: char| !c.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A command of a block.
pub(crate) struct Command {
    /// Its last line.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// How it is to end.
    pub(crate) code: u8,
}

// === impl How ===

impl How {
    fn parse(comment: &str) -> Result<Self, String> {
        let known = |reason: &str| REASONS.iter().find(|(name, _)| *name == reason);
        let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
        match (word, rest) {
            ("cluster", "") => Ok(Self::Cluster),
            ("output", "") => Ok(Self::Output),
            ("logs", "") => Ok(Self::Logs),
            ("of", "another program") => Ok(Self::OfAnotherProgram),
            ("file", name) if !name.is_empty() => Ok(Self::File(name.to_owned())),
            ("by", name) if !name.is_empty() => Ok(Self::By(name.to_owned())),
            ("schema", name) if !name.is_empty() => Ok(Self::Schema(name.to_owned())),
            ("output" | "part", rest) if rest.starts_with("of ") => {
                let of = rest["of ".len()..].to_owned();
                Ok(if word == "part" {
                    Self::PartOf(of)
                } else {
                    Self::OutputOf(of)
                })
            }
            ("not", rest) => match rest.strip_prefix("run: ").and_then(known) {
                Some((reason, _)) => Ok(Self::NotRun(reason)),
                None => Err(format!("'{rest}' is none of the reasons that are known")),
            },
            _ => Err(format!("'{comment}' is not understood")),
        }
    }
}

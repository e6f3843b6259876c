//! The blocks of code in a document, so that tests run what users read. Must not run them.

use std::fs;

use anyhow::{Context, Result, ensure};

/// A fenced block: what is written behind its first fence, and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// The blocks below a heading, up to the next heading of the same or a higher level. It is an
/// error if there are none: the document has changed.
pub(crate) fn blocks(path: &str, heading: &str) -> Result<Vec<Block>> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let blocks = below(&text, heading);
    ensure!(!blocks.is_empty(), "{path} has no code below {heading:?}");
    Ok(blocks)
}

fn below(text: &str, heading: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    let mut inside = None;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            match open.take() {
                Some(block) if inside.is_some() => blocks.push(block),
                Some(_) => {}
                None => {
                    open = Some(Block {
                        language: language.to_owned(),
                        text: String::new(),
                    });
                }
            }
        } else if let Some(block) = &mut open {
            block.text.push_str(line);
            block.text.push('\n');
        } else if line.starts_with('#') {
            let level = line.chars().take_while(|c| *c == '#').count();
            if line[level..].trim() == heading {
                inside = Some(level);
            } else if inside.is_some_and(|outer| level <= outer) {
                inside = None;
            }
        }
    }
    blocks
}

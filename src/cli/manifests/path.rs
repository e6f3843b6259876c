//! Paths of fields, as messages write them: `spec.roles[0].maxTokens`.
//! Must not know what is at a path.

use std::fmt;

/// From an object's root to one of its fields.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct FieldPath(Vec<Step>);

/// One step down.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Into a mapping.
    Field(String),
    /// Into a list, counted from 0.
    Item(usize),
    /// Into a list, to the entry of this name.
    Entry(String),
}

// === impl FieldPath ===

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads what [`fmt::Display`] writes. Anything that is no such path is taken for one
    /// field of that name, so that a message never loses what it was given.
    pub fn parse(text: &str) -> Self {
        steps(text).map_or_else(|| Self(vec![Step::Field(text.to_owned())]), Self)
    }

    /// The field of this name under it.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    /// Whether it is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its steps, from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// One step further.
    #[must_use]
    pub fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl FromIterator<Step> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if name.is_empty() || name.contains(['.', '[', ']', '"']) => {
                    write!(f, "[{name:?}]")?;
                }
                Step::Field(name) if i == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Entry(name) => write!(f, "[{name}]")?,
            }
        }
        Ok(())
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted.find("\"]")?;
            steps.push(Step::Field(quoted[..end].replace("\\\"", "\"")));
            rest = &quoted[end + 2..];
        } else if let Some(entry) = rest.strip_prefix('[') {
            let end = entry.find(']').filter(|end| *end > 0)?;
            let entry = &entry[..end];
            steps.push(
                entry
                    .parse()
                    .map_or_else(|_| Step::Entry(entry.to_owned()), Step::Item),
            );
            rest = &rest[end + 2..];
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Field(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written() {
        for text in [
            "",
            "spec",
            "spec.roles[0].maxTokens",
            "metadata.annotations[\"anthropic-rbac.io/issued-at\"]",
            "items[3][0].a",
            "spec.roles[admin].models",
        ] {
            assert_eq!(FieldPath::parse(text).to_string(), text);
        }
        let field = |name: &str| Step::Field(name.to_owned());
        let steps = [field("spec"), field("roles"), Step::Item(2), field("name")];
        assert_eq!(FieldPath::parse("spec.roles[2].name").steps(), steps);
    }

    #[test]
    fn what_is_no_path_stays_as_it_is() {
        assert_eq!(
            FieldPath::parse("spec..a").steps(),
            [Step::Field("spec..a".into())]
        );
        assert_eq!(FieldPath::parse("a[]").steps(), [Step::Field("a[]".into())]);
    }
}

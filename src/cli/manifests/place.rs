//! Where in a file each field is: a tree beside the values, so that an error found later by
//! path can still be shown by line and column.
//! Must not hold values: some of them are keys.

use super::path::{FieldPath, Step};

/// A position in a file, both counted from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    pub line: u32,
    pub column: u32,
}

/// Where a value is, and all that is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Of the name it has in the mapping it is in, if it is in one.
    pub key: Option<Mark>,
    /// Of the value itself.
    pub value: Mark,
    /// Of what is in it.
    pub inner: Inner,
}

/// Places inside a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inner {
    /// A scalar.
    Leaf,
    /// A scalar that some readers take for a number, and not all for the same.
    Doubtful,
    /// A list.
    List(Vec<Place>),
    /// A mapping, in the order it is written.
    Map(Vec<(Box<str>, Place)>),
}

// === impl Place ===

impl Place {
    /// Where to point for a field: at its value, or, when it is not there, at the nearest
    /// thing around it that is.
    pub fn mark(&self, path: &FieldPath) -> Mark {
        self.deepest(path).value
    }

    /// Where to point for a field whose very name is wrong: at the name.
    pub fn name_mark(&self, path: &FieldPath) -> Mark {
        let place = self.deepest(path);
        place.key.unwrap_or(place.value)
    }

    /// Every doubtful scalar in it.
    pub fn doubtful(&self) -> Vec<FieldPath> {
        let mut found = Vec::new();
        self.find_doubtful(&FieldPath::root(), &mut found);
        found
    }

    fn find_doubtful(&self, here: &FieldPath, found: &mut Vec<FieldPath>) {
        match &self.inner {
            Inner::Leaf => {}
            Inner::Doubtful => found.push(here.clone()),
            Inner::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    item.find_doubtful(&here.with(Step::Item(i)), found);
                }
            }
            Inner::Map(fields) => {
                for (name, place) in fields {
                    place.find_doubtful(&here.field(name), found);
                }
            }
        }
    }

    fn deepest(&self, path: &FieldPath) -> &Self {
        let mut place = self;
        for step in path.steps() {
            match place.step(step) {
                Some(next) => place = next,
                None => break,
            }
        }
        place
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (step, &self.inner) {
            (Step::Field(name), Inner::Map(fields)) => fields
                .iter()
                .find(|(field, _)| **field == **name)
                .map(|(_, place)| place),
            (Step::Item(index), Inner::List(items)) => items.get(*index),
            (
                Step::Field(_) | Step::Item(_) | Step::Entry(_),
                Inner::Leaf | Inner::Doubtful | Inner::List(_) | Inner::Map(_),
            ) => None,
        }
    }
}

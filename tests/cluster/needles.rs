//! Key values that nobody has seen before, and the search for any part of one.
//! Must not print one when it is found: whoever searches names the place.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::Read,
};

use anyhow::Result;
use serde_json::Value;

/// How much of a value's random part is already too much.
const SLICE: usize = 12;

/// A value nobody has seen before, by what it is for.
pub(crate) struct Canary {
    pub(crate) about: &'static str,
    pub(crate) value: Vec<u8>,
    own: String,
}

/// Whatever a text must not have: every slice of every value, as it is, in base64 however it is
/// aligned, and in hex.
pub(crate) struct Needles(Vec<Slices>);

/// Slices of one length, with the canary that each comes from.
struct Slices {
    length: usize,
    all: HashMap<Vec<u8>, &'static str>,
    /// By their first two bytes: whether there is any, to look no further where there is none.
    begin: Vec<bool>,
}

// === impl Canary ===

impl Canary {
    /// Random but for its beginning.
    pub(crate) fn new(about: &'static str, prefix: &str) -> Result<Self> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = [0; 40];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let letters = random.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        let own: String = letters.iter().collect();
        let value = format!("{prefix}{own}").into_bytes();
        Ok(Self { about, value, own })
    }

    /// With more after it.
    pub(crate) fn then(mut self, more: &[u8]) -> Self {
        self.value.extend(more);
        self
    }

    /// Where capitals are not allowed.
    pub(crate) fn in_lower_case(mut self) -> Self {
        self.value.make_ascii_lowercase();
        self.own.make_ascii_lowercase();
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

// === impl Needles ===

impl Needles {
    pub(crate) fn of<'a>(canaries: impl IntoIterator<Item = &'a Canary>) -> Self {
        let mut all = [SLICE, 4 * SLICE / 3, 2 * SLICE].map(Slices::new);
        let [plain, encoded, hex] = &mut all;
        for Canary { about, own, .. } in canaries {
            plain.add(own.as_bytes(), about);
            for skip in 0..3 {
                // Up to its last whole group, which what follows it does not change.
                encoded.add(&base64(&own.as_bytes()[skip..]).as_bytes()[..48], about);
            }
            let digits: String = own.bytes().map(|byte| format!("{byte:02x}")).collect();
            hex.add(digits.as_bytes(), about);
            hex.add(digits.to_uppercase().as_bytes(), about);
        }
        Self(all.into())
    }

    /// What the values found in a text are for.
    pub(crate) fn found_in(&self, text: &[u8]) -> BTreeSet<&'static str> {
        let found = self.0.iter().flat_map(|slices| slices.found_in(text));
        found.collect()
    }
}

// === impl Slices ===

impl Slices {
    fn new(length: usize) -> Self {
        Self {
            length,
            all: HashMap::new(),
            begin: vec![false; 1 << 16],
        }
    }

    fn add(&mut self, text: &[u8], about: &'static str) {
        for slice in text.windows(self.length) {
            self.begin[beginning(slice)] = true;
            self.all.insert(slice.to_vec(), about);
        }
    }

    fn found_in(&self, text: &[u8]) -> impl Iterator<Item = &'static str> {
        let candidates = text
            .windows(self.length)
            .filter(|slice| self.begin[beginning(slice)]);
        candidates.filter_map(|slice| self.all.get(slice).copied())
    }
}

fn beginning(slice: &[u8]) -> usize {
    usize::from(slice[0]) << 8 | usize::from(slice[1])
}

/// As the API server encodes it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    match serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())) {
        Ok(Value::String(text)) => text,
        other => panic!("bytes are text in JSON, not {other:?}"),
    }
}

//! JSON text as a stream of events: strict, without recursion, in one pass over the bytes, and
//! with nothing decoded that nobody looks at. Every byte is checked, so that no two readers can
//! see different members in the same body.
//! Must not know what is asked of a body.

use std::borrow::Cow;

/// Deepest nesting. More would let a body decide how much is kept of it; the standard leaves a
/// limit to the reader.
pub const MAX_DEPTH: usize = 512;

/// Most values in one text, of whatever kind. Reading costs a gateway by the value as much as by
/// the byte, so that 32 MB of `[],[],…` would hold up everybody else's requests.
pub const MAX_VALUES: usize = 250_000;

/// What is next in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// A member's name; its value is next.
    Name(Text<'a>),
    String(Text<'a>),
    /// A number as it is written.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Literal(&'static str),
}

/// What stands between two quotes, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text<'a>(&'a str);

/// The text is no JSON: not UTF-8, not of JSON's grammar, nested too deeply, or of too many
/// values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotJson;

/// Reads one value and nothing after it.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// What is open: true is an object.
    open: Vec<bool>,
    /// How many values there were.
    values: usize,
    expects: Expects,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expects {
    Value,
    /// The first value of an array, or its end.
    ValueOrEnd,
    Name,
    /// The first name of an object, or its end.
    NameOrEnd,
    /// What comes after a value: a comma, or the end of what is open.
    More,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Starts at the beginning of a body.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn new(body: &'a [u8]) -> Result<Self, NotJson> {
        Ok(Self {
            text: std::str::from_utf8(body).map_err(|_| NotJson)?,
            at: 0,
            open: Vec::new(),
            values: 0,
            expects: Expects::Value,
        })
    }

    /// What is next; `None` once the value is over.
    ///
    /// # Errors
    /// When what is next is not of JSON's grammar.
    pub fn event(&mut self) -> Result<Option<Event<'a>>, NotJson> {
        let mut byte = self.skip_blanks();
        if self.expects == Expects::More {
            let Some(in_object) = self.open.last() else {
                return byte.map_or(Ok(None), |_| Err(NotJson));
            };
            match byte {
                Some(b',') => {
                    self.expects = if *in_object {
                        Expects::Name
                    } else {
                        Expects::Value
                    };
                    self.at += 1;
                    byte = self.skip_blanks();
                }
                Some(b'}' | b']') => return self.close(byte).map(Some),
                _ => return Err(NotJson),
            }
        }
        match (self.expects, byte.ok_or(NotJson)?) {
            (Expects::NameOrEnd, b'}') | (Expects::ValueOrEnd, b']') => self.close(byte),
            (Expects::Name | Expects::NameOrEnd, b'"') => self.name(),
            (Expects::Value | Expects::ValueOrEnd, first) => self.value(first),
            _ => Err(NotJson),
        }
        .map(Some)
    }

    fn name(&mut self) -> Result<Event<'a>, NotJson> {
        let name = self.string()?;
        if self.skip_blanks() != Some(b':') {
            return Err(NotJson);
        }
        self.at += 1;
        self.expects = Expects::Value;
        Ok(Event::Name(name))
    }

    fn value(&mut self, first: u8) -> Result<Event<'a>, NotJson> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(NotJson);
        }
        self.expects = Expects::More;
        match first {
            b'{' => self.enter(true),
            b'[' => self.enter(false),
            b'"' => self.string().map(Event::String),
            b'-' | b'0'..=b'9' => self.number().map(Event::Number),
            _ => {
                let rest = &self.text[self.at..];
                let literals = ["true", "false", "null"];
                let found = literals.iter().find(|literal| rest.starts_with(**literal));
                let literal = found.ok_or(NotJson)?;
                self.at += literal.len();
                Ok(Event::Literal(literal))
            }
        }
    }

    fn enter(&mut self, object: bool) -> Result<Event<'a>, NotJson> {
        if self.open.len() == MAX_DEPTH {
            return Err(NotJson);
        }
        self.at += 1;
        self.open.push(object);
        let (expects, event) = if object {
            (Expects::NameOrEnd, Event::ObjectStart)
        } else {
            (Expects::ValueOrEnd, Event::ArrayStart)
        };
        self.expects = expects;
        Ok(event)
    }

    fn close(&mut self, byte: Option<u8>) -> Result<Event<'a>, NotJson> {
        let (closes, event) = match self.open.pop() {
            Some(true) => (b'}', Event::ObjectEnd),
            Some(false) => (b']', Event::ArrayEnd),
            None => return Err(NotJson),
        };
        if byte != Some(closes) {
            return Err(NotJson);
        }
        self.at += 1;
        self.expects = Expects::More;
        Ok(event)
    }

    fn string(&mut self) -> Result<Text<'a>, NotJson> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte().ok_or(NotJson)? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    match self.byte().ok_or(NotJson)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                            let hex = digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
                            if !hex {
                                return Err(NotJson);
                            }
                            self.at += 5;
                        }
                        _ => return Err(NotJson),
                    }
                }
                0..=0x1f => return Err(NotJson),
                _ => self.at += 1,
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok(Text(text))
    }

    fn number(&mut self) -> Result<&'a str, NotJson> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn skip_blanks(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

// === impl Text ===

impl<'a> Text<'a> {
    /// What it says, escapes decoded; `None` when half of a surrogate pair stands alone, which
    /// no text can hold.
    pub fn decoded(self) -> Option<Cow<'a, str>> {
        if !self.0.contains('\\') {
            return Some(Cow::Borrowed(self.0));
        }
        let mut text = String::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some((before, escape)) = rest.split_once('\\') {
            text.push_str(before);
            let kind = *escape.as_bytes().first()?;
            rest = escape.get(1..)?;
            match kind {
                b'b' => text.push('\u{8}'),
                b'f' => text.push('\u{c}'),
                b'n' => text.push('\n'),
                b'r' => text.push('\r'),
                b't' => text.push('\t'),
                b'u' => {
                    let unit = u16::from_str_radix(rest.get(..4)?, 16).ok()?;
                    rest = rest.get(4..)?;
                    let second = rest.strip_prefix("\\u").and_then(|low| low.get(..4));
                    let second = second.and_then(|low| u16::from_str_radix(low, 16).ok());
                    let units = std::iter::once(unit).chain(second);
                    text.push(char::decode_utf16(units).next()?.ok()?);
                    // A code unit of the first half is one of two.
                    if (0xd800..0xdc00).contains(&unit) {
                        rest = rest.get(6..)?;
                    }
                }
                itself => text.push(char::from(itself)),
            }
        }
        text.push_str(rest);
        Some(Cow::Owned(text))
    }

    /// Whether it says just this, however it is written.
    pub fn is(self, word: &str) -> bool {
        self.decoded().is_some_and(|text| text == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &[u8]) -> bool {
        let Ok(mut reader) = Reader::new(text) else {
            return false;
        };
        loop {
            match reader.event() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(NotJson) => return false,
            }
        }
    }

    #[test]
    fn what_is_json_is_read_and_nothing_else_is() {
        for good in [
            "{}",
            "[]",
            " null ",
            "[1,2]",
            r#"{"a":{"b":[]},"c":"d"}"#,
            "-0",
            "0.5e-3",
            "1E+2",
            r#""\u00e4\ud800\"""#,
            "\r\n\t[true,false]",
            r#"{"a":1,"a":2}"#,
        ] {
            assert!(accepts(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            "[1 2]",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "-",
            "0x1",
            "NaN",
            "tru",
            "nulll",
            "'a'",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u12"#,
            "[}",
            "{]",
            "{} {}",
            "[]x",
            "\u{feff}{}",
            "{}//",
            "\u{a0}1",
        ] {
            assert!(!accepts(bad.as_bytes()), "{bad}");
        }
        assert!(!accepts(b"\"\xff\"") && !accepts(b"\xff\xfe{\0}\0"));
    }

    #[test]
    fn nesting_ends_at_the_limit_and_costs_no_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(accepts(nested(MAX_DEPTH).as_bytes()));
        assert!(!accepts(nested(MAX_DEPTH + 1).as_bytes()));
        let many = |values: usize| format!("[{}]", vec!["1"; values - 1].join(","));
        assert!(accepts(many(MAX_VALUES).as_bytes()));
        assert!(!accepts(many(MAX_VALUES + 1).as_bytes()));
        assert!(!accepts("[".repeat(10_000_000).as_bytes()));
    }

    #[test]
    fn escapes_say_what_they_stand_for() {
        let said = |text: &'static str| Text(text).decoded().map(Cow::into_owned);
        assert_eq!(said(r"m\u006fdel").as_deref(), Some("model"));
        assert_eq!(
            said(r#"\"\\\/\b\f\n\r\t"#).as_deref(),
            Some("\"\\/\u{8}\u{c}\n\r\t")
        );
        assert_eq!(said(r"\ud83d\ude00x").as_deref(), Some("\u{1f600}x"));
        for alone in [
            r"\ud83d",
            r"\ud83dx",
            r"\ude00",
            r"\ud83d\u0041",
            r"\ud83d\ud83d",
        ] {
            assert_eq!(said(alone), None, "{alone}");
        }
        assert!(Text(r"\u006d\u006F\u0064el").is("model") && !Text("Model").is("model"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2048))]

        #[test]
        fn what_another_reader_takes_is_taken(text in r#"[\[\]{},:"\\utrenalsf0-9.eE+ -]{0,24}"#) {
            let other = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            proptest::prop_assert_eq!(accepts(text.as_bytes()), other);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            accepts(&bytes);
        }
    }
}

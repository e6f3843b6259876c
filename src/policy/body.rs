//! What the body of a request asks for: its model, its `max_tokens`, and every other model and
//! number of tokens in it that could reach further than those two.
//! Must not know who asks, nor what they may.
//!
//! Read are all members named `model` or `max_tokens`, at any depth, but for what is under the
//! top level's `messages`, `system` and `metadata` and under `input_schema` of a tool: that is
//! content, and goes to a model as it is. `max_tokens` is a positive integer when it is written
//! as digits alone, without sign, fraction or exponent, and is not 0; one that is too large for
//! 64 bits counts as the largest of them. `null`, `1.0`, `1e3` and `"512"` are none.

use std::collections::BTreeSet;

use super::decide::Denial;
use super::json::{Event, NotJson, Reader, Text};
use super::name::check_name;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`: nothing is put out, so no number of tokens matters.
    CountTokens,
}

/// What a body asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its model.
    pub model: String,
    /// Its `max_tokens`, if it names any.
    pub max_tokens: Option<u64>,
    /// What else it asks for, each once.
    pub nested: BTreeSet<Nested>,
}

/// A model or number of tokens deeper in a body.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Nested {
    /// The member of the top level it is under; empty where that is no name (`policy::name`).
    pub field: String,
    /// The model it names; `None` is the body's own.
    pub model: Option<String>,
    /// The number it names; `None` is the body's own.
    pub max_tokens: Option<u64>,
}

/// An object or array that is open.
struct Open {
    place: Place,
    /// Whether a value is next, and of which member.
    member: Member,
    model: Option<String>,
    max_tokens: Option<u64>,
    is_advisor: bool,
}

/// Where something open stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body itself.
    Top,
    /// The top level's `tools`.
    Tools,
    /// One of them.
    Tool,
    /// The top level's `fallbacks`.
    Fallbacks,
    /// Anywhere else that is looked at.
    Elsewhere,
    /// Content: nothing in it is looked at.
    Content,
}

/// What the value to come is the value of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Model,
    MaxTokens,
    Tools,
    Fallbacks,
    /// `type` of a tool.
    Type,
    Content,
    Other,
}

/// Most models and numbers of tokens deeper in a body: a gateway holds each to the rules.
const MAX_NESTED: usize = 128;

/// Tools of these types send the request to another model, as Anthropic's `advisor_20260301`
/// does.
const ADVISOR: &str = "advisor";

/// Reads a body.
///
/// # Errors
/// 400 when it is no JSON object, names its model or `max_tokens` twice or not as they must be;
/// 403 when it asks for a model or number of tokens without naming it.
pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Asked, Denial> {
    let mut reader = Reader::new(body)?;
    let mut reading = Reading {
        endpoint,
        open: Vec::new(),
        field: String::new(),
        nested: BTreeSet::new(),
        top: None,
    };
    if reader.event()? != Some(Event::ObjectStart) {
        return Err(Denial::InvalidBody);
    }
    reading.open.push(Open::new(Place::Top));
    while let Some(event) = reader.event()? {
        reading.take(event)?;
    }
    let top = reading.top.ok_or(Denial::InvalidBody)?;
    Ok(Asked {
        model: top.model.ok_or(Denial::InvalidModel)?,
        max_tokens: top.max_tokens,
        nested: reading.nested,
    })
}

struct Reading {
    endpoint: Endpoint,
    open: Vec<Open>,
    /// The member of the top level that is being read.
    field: String,
    nested: BTreeSet<Nested>,
    /// The body itself, once it is over.
    top: Option<Open>,
}

// === impl Reading ===

impl Reading {
    fn take(&mut self, event: Event<'_>) -> Result<(), Denial> {
        let Some(open) = self.open.last_mut() else {
            return Err(Denial::InvalidBody);
        };
        let (place, member) = (open.place, open.member);
        match event {
            Event::Name(_) if place == Place::Content => {}
            Event::Name(name) => {
                let name = name.decoded().unwrap_or_default();
                open.member = member_of(place, &name);
                if place == Place::Top {
                    self.field.clear();
                    // What is none may be too long to be kept with each that is in it.
                    if check_name(&name).is_ok() {
                        self.field.push_str(&name);
                    }
                }
            }
            Event::ObjectStart | Event::ArrayStart => {
                self.check(place, member, event)?;
                let inner = inner(place, member, event);
                self.open.push(Open::new(inner));
            }
            Event::ObjectEnd | Event::ArrayEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open)?;
                }
            }
            Event::String(_) | Event::Number(_) | Event::Literal(_) => {
                self.check(place, member, event)?;
            }
        }
        Ok(())
    }

    /// Looks at a value, or at the beginning of one.
    fn check(&mut self, place: Place, member: Member, event: Event<'_>) -> Result<(), Denial> {
        let counts = self.endpoint == Endpoint::Messages;
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        match (place, member) {
            (Place::Content, _) => {}
            // Each of them has to name its model in the open.
            (Place::Fallbacks, _) if event != Event::ObjectStart => {
                return Err(Denial::FieldNotAllowed(self.field.clone()));
            }
            (_, Member::Fallbacks)
                if !matches!(event, Event::ArrayStart) && event != Event::Literal("null") =>
            {
                return Err(Denial::FieldNotAllowed(self.field.clone()));
            }
            (_, Member::Model) => {
                if open.model.is_some() {
                    return Err(Denial::RepeatedField("model"));
                }
                open.model = Some(model(event)?);
            }
            (_, Member::MaxTokens) if counts => {
                if open.max_tokens.is_some() {
                    return Err(Denial::RepeatedField("max_tokens"));
                }
                open.max_tokens = Some(max_tokens(event)?);
            }
            (_, Member::Type) => {
                if let Event::String(text) = event {
                    // What is no name, another reader may take for whatever it likes.
                    let named = text.decoded().filter(|text| check_name(text).is_ok());
                    open.is_advisor |= named.is_none_or(|text| text.starts_with(ADVISOR));
                }
            }
            (
                _,
                Member::MaxTokens
                | Member::Tools
                | Member::Fallbacks
                | Member::Content
                | Member::Other,
            ) => {}
        }
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<(), Denial> {
        if open.place == Place::Top {
            self.top = Some(open);
            return Ok(());
        }
        let counts = self.endpoint == Endpoint::Messages;
        if counts && open.is_advisor && open.max_tokens.is_none() {
            return Err(Denial::FieldNotAllowed(self.field.clone()));
        }
        if open.model.is_some() || open.max_tokens.is_some() {
            self.nested.insert(Nested {
                field: self.field.clone(),
                model: open.model,
                max_tokens: open.max_tokens,
            });
        }
        if self.nested.len() > MAX_NESTED {
            return Err(Denial::FieldNotAllowed(self.field.clone()));
        }
        Ok(())
    }
}

// === impl Open ===

impl Open {
    fn new(place: Place) -> Self {
        Self {
            place,
            member: Member::Other,
            model: None,
            max_tokens: None,
            is_advisor: false,
        }
    }
}

impl From<NotJson> for Denial {
    fn from(_: NotJson) -> Self {
        Self::InvalidBody
    }
}

fn member_of(place: Place, name: &str) -> Member {
    match (place, name) {
        (_, "model") => Member::Model,
        (_, "max_tokens") => Member::MaxTokens,
        (Place::Top, "tools") => Member::Tools,
        (Place::Top, "fallbacks") => Member::Fallbacks,
        (Place::Top, "messages" | "system" | "metadata") | (Place::Tool, "input_schema") => {
            Member::Content
        }
        (Place::Tool, "type") => Member::Type,
        _ => Member::Other,
    }
}

/// The place of what opens in another.
fn inner(place: Place, member: Member, event: Event<'_>) -> Place {
    let array = event == Event::ArrayStart;
    match (place, member) {
        (Place::Content, _) | (_, Member::Content) => Place::Content,
        (Place::Top, Member::Tools) if array => Place::Tools,
        (Place::Top, Member::Fallbacks) if array => Place::Fallbacks,
        (Place::Tools, _) if !array => Place::Tool,
        _ => Place::Elsewhere,
    }
}

fn model(event: Event<'_>) -> Result<String, Denial> {
    let text = match event {
        Event::String(text) => Text::decoded(text),
        Event::ObjectStart
        | Event::ObjectEnd
        | Event::ArrayStart
        | Event::ArrayEnd
        | Event::Name(_)
        | Event::Number(_)
        | Event::Literal(_) => None,
    };
    let named = text.filter(|text| check_name(text).is_ok());
    named.map(Into::into).ok_or(Denial::InvalidModel)
}

fn max_tokens(event: Event<'_>) -> Result<u64, Denial> {
    let Event::Number(digits) = event else {
        return Err(Denial::InvalidMaxTokens);
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits == "0" {
        return Err(Denial::InvalidMaxTokens);
    }
    // Digits alone fail to fit for one reason only.
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;

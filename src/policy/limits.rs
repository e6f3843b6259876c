//! Limits that cannot be zero, and the request rates behind Anthropic's usage tiers.
//! Must not know whom a limit binds.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Most output tokens one request may ask for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MaxTokens(NonZeroU32);

/// Requests in any minute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestsPerMinute(NonZeroU32);

/// A number that is no limit: zero, negative or past 32 bits. Zero is refused rather than
/// read as "none" or "unlimited", because both readings exist in the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is not a limit: want a whole number from 1 to 4294967295")]
pub struct NotALimit(pub i64);

/// What a request without `max_tokens` gets where a Workspace sets nothing else; the figure
/// of the organisation guide this project started from.
pub const DEFAULT_MAX_TOKENS: MaxTokens = MaxTokens(NonZeroU32::new(1024).expect("not zero"));

/// An Anthropic usage tier. Figures: Anthropic's rate-limit pages of 2026-04-25 (Tier1 to
/// Tier4, replaced on 2026-06-26) and 2026-08-22 (Start, Build, Scale), Sonnet and Opus rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    Tier1,
    Tier2,
    Tier3,
    Tier4,
    Start,
    Build,
    Scale,
}

// === impl MaxTokens ===

impl MaxTokens {
    /// The number of tokens.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<i64> for MaxTokens {
    type Error = NotALimit;
    fn try_from(value: i64) -> Result<Self, NotALimit> {
        limit(value).map(Self)
    }
}

impl fmt::Display for MaxTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl RequestsPerMinute ===

impl RequestsPerMinute {
    /// The least there is.
    pub const LEAST: Self = Self(NonZeroU32::MIN);

    /// The number of requests.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<i64> for RequestsPerMinute {
    type Error = NotALimit;
    fn try_from(value: i64) -> Result<Self, NotALimit> {
        limit(value).map(Self)
    }
}

impl fmt::Display for RequestsPerMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Tier ===

impl Tier {
    /// Requests per minute of this tier.
    pub const fn requests_per_minute(self) -> RequestsPerMinute {
        let figure = match self {
            Self::Tier1 => 50,
            Self::Tier2 | Self::Start => 1000,
            Self::Tier3 => 2000,
            Self::Tier4 => 4000,
            Self::Build => 5000,
            Self::Scale => 10_000,
        };
        RequestsPerMinute(NonZeroU32::new(figure).expect("no tier is zero"))
    }

    /// The tier that took its place, where Anthropic no longer has this one.
    pub const fn successor(self) -> Option<&'static str> {
        match self {
            Self::Tier1 | Self::Tier2 => Some("Start"),
            Self::Tier3 => Some("Build"),
            Self::Tier4 => Some("Scale"),
            Self::Start | Self::Build | Self::Scale => None,
        }
    }
}

fn limit(value: i64) -> Result<NonZeroU32, NotALimit> {
    u32::try_from(value)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or(NotALimit(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_negative_are_no_limits() {
        for bad in [0, -1, i64::from(u32::MAX) + 1] {
            assert_eq!(MaxTokens::try_from(bad), Err(NotALimit(bad)));
            assert_eq!(RequestsPerMinute::try_from(bad), Err(NotALimit(bad)));
        }
        assert_eq!(MaxTokens::try_from(512).map(MaxTokens::get), Ok(512));
    }
}

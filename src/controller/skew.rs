//! How far the clock here is from the API server's, told from the `Date` of its answers.
//! Must not send anything to find out: watches and the Lease bring answers all the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// What the API server's clock showed last, and when that was by a clock that never jumps.
#[derive(Clone, Debug, Default)]
pub struct ServerClock(Arc<Mutex<Option<(Timestamp, Instant)>>>);

// === impl ServerClock ===

impl ServerClock {
    /// Takes in the head of an answer that came at `at`.
    pub fn hear(&self, head: &HeaderMap, at: Instant) {
        let date = head.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok());
        if let Some(date) = date {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, at));
        }
    }

    /// How far `now`, read at `at`, is ahead of the API server's clock; `None` before the first
    /// answer. Good to a second: a `Date` has no more.
    pub fn skew(&self, now: Timestamp, at: Instant) -> Option<SignedDuration> {
        let (date, heard) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = SignedDuration::try_from(at.saturating_duration_since(heard)).ok()?;
        Some(now.duration_since(date) - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_skew_is_told_from_the_latest_answer_however_long_ago_and_whatever_the_clock_does() {
        let clock = ServerClock::default();
        let (now, then): (Timestamp, _) = (
            "2026-12-01T00:00:10Z".parse().expect("a time"),
            Instant::now(),
        );
        assert_eq!(clock.skew(now, then), None);
        let hear = |date: &str, at| {
            let date = date.parse().expect("a header");
            clock.hear(&HeaderMap::from_iter([(DATE, date)]), at);
        };
        hear("Tue, 01 Dec 2026 00:00:00 GMT", then);
        let seconds = |now: Timestamp, at| clock.skew(now, at).map(|skew| skew.as_secs());
        assert_eq!(seconds(now, then), Some(10));
        let (later, hour) = (
            then + Duration::from_secs(3600),
            SignedDuration::from_hours(1),
        );
        assert_eq!(seconds(now + hour, later), Some(10), "both clocks went on");
        assert_eq!(
            seconds(now, later),
            Some(10 - 3600),
            "this one was set back"
        );
        hear("no date", later);
        assert_eq!(
            seconds(now, then),
            Some(10),
            "what is not understood tells nothing"
        );
        hear("Tue, 01 Dec 2026 01:00:10 GMT", later);
        assert_eq!(seconds(now + hour, later), Some(0));
    }
}

//! How long a watch waits before it tries again. Must not know what is watched.

use std::time::{Duration, Instant};

use kube::runtime::watcher::{self, Event};

const FIRST: Duration = Duration::from_millis(500);
/// After an outage the API server is found back within this time, and so is a right of the
/// operator's own that was missing.
const LONGEST: Duration = Duration::from_secs(10);

/// A watch that was resumed and brings nothing says so by no event: without an error for this long,
/// it was.
const RESUMED: Duration = Duration::from_secs(60);

/// Twice as long after each error, until something comes again or it is quiet. kube's own backoff
/// starts over with every attempt: each begins with an event that says so.
#[derive(Debug, Default)]
pub(super) struct Retry {
    wait: Duration,
    latest: Option<Instant>,
}

impl Retry {
    /// How long to wait after an event, if it is an error.
    pub fn wait<K>(
        &mut self,
        event: &Result<Event<K>, watcher::Error>,
        now: Instant,
    ) -> Option<Duration> {
        let Err(_) = event else {
            if !matches!(event, Ok(Event::Init)) {
                *self = Self::default();
            }
            return None;
        };
        let resumed = |latest: Instant| now.saturating_duration_since(latest) > RESUMED;
        if self.latest.replace(now).is_some_and(resumed) {
            self.wait = Duration::ZERO;
        }
        self.wait = (self.wait * 2).clamp(FIRST, LONGEST);
        Some(self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no() -> Result<Event<()>, watcher::Error> {
        Err(watcher::Error::NoResourceVersion)
    }

    #[test]
    fn attempts_that_fail_come_ever_later_until_something_is_seen() {
        let mut retry = Retry::default();
        let now = Instant::now();
        let mut attempt = |then: Result<Event<()>, watcher::Error>| {
            assert_eq!(retry.wait::<()>(&Ok(Event::Init), now), None);
            retry.wait(&then, now).map(|wait| wait.as_millis())
        };
        let waits = [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000];
        for wait in waits {
            assert_eq!(attempt(no()), Some(wait));
        }
        assert_eq!(attempt(Ok(Event::InitDone)), None);
        assert_eq!(attempt(no()), Some(500));
    }

    #[test]
    fn interruptions_far_from_each_other_do_not_add_up() {
        let mut retry = Retry::default();
        let mut now = Instant::now();
        for _ in 0..10 {
            assert_eq!(retry.wait(&no(), now), Some(FIRST));
            assert_eq!(retry.wait(&no(), now), Some(2 * FIRST));
            now += RESUMED + Duration::from_millis(1);
        }
        let sooner = now - Duration::from_millis(1);
        assert_eq!(retry.wait(&no(), sooner), Some(4 * FIRST));
    }
}

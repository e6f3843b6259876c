//! How long a watch waits before it tries again. Must not know what is watched.

use std::time::Duration;

use kube::runtime::watcher::{self, Event};

const FIRST: Duration = Duration::from_millis(500);
/// After an outage the API server is found back within this time, and so is a right of the
/// operator's own that was missing.
const LONGEST: Duration = Duration::from_secs(10);

/// Twice as long after each error, until something comes again. kube's own backoff starts over
/// with every attempt: each begins with an event that says so.
#[derive(Debug, Default)]
pub(super) struct Retry(Duration);

impl Retry {
    /// How long to wait after an event, if it is an error.
    pub fn wait<K>(&mut self, event: &Result<Event<K>, watcher::Error>) -> Option<Duration> {
        match event {
            Ok(Event::Init) => return None,
            Ok(_) => self.0 = Duration::ZERO,
            Err(_) => self.0 = (self.0 * 2).clamp(FIRST, LONGEST),
        }
        event.is_err().then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_fail_come_ever_later_until_something_is_seen() {
        let mut retry = Retry::default();
        let mut attempt = |then: Result<Event<()>, watcher::Error>| {
            assert_eq!(retry.wait::<()>(&Ok(Event::Init)), None);
            retry.wait(&then).map(|wait| wait.as_millis())
        };
        let no = || Err(watcher::Error::NoResourceVersion);
        let waits = [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000];
        for wait in waits {
            assert_eq!(attempt(no()), Some(wait));
        }
        assert_eq!(attempt(Ok(Event::InitDone)), None);
        assert_eq!(attempt(no()), Some(500));
    }
}

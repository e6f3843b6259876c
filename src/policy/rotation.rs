//! The rotation clock: when a key version is due, and what state it is in at an instant.
//! Must not read a clock, and must not know where a version's dates were found.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Rotation as a Workspace or an ApiKeyRef asks for it; `None` keeps what stands above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RotationWish {
    /// Days from issue to due.
    pub period_days: Option<u32>,
    /// Days of warning before due.
    pub warn_days: Option<u32>,
    /// Whether to take the key away once overdue.
    pub suspend: Option<bool>,
}

/// Rotation as it holds for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Days from issue to due.
    pub period_days: u32,
    /// Days of warning before due.
    pub warn_days: u32,
    /// Take the key away once overdue.
    pub suspend: bool,
}

/// Where a key version stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum State {
    /// Nothing to do.
    Fresh,
    /// Due within the warning time.
    DueSoon,
    /// Past its date.
    Overdue,
    /// Past its end at Anthropic: it no longer works.
    Expired,
    /// No date of issue is known.
    Unknown,
}

/// Where the date of issue came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// The source Secret's annotation.
    Annotation,
    /// The ApiKeyRef's `issuedAt`.
    Spec,
    /// The source Secret's creation: an upper bound of the age is not known, a lower one is.
    SecretCreation,
    /// When this version was first seen here.
    FirstSeen,
}

/// What is known of a version's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// When this version was first seen here.
    pub first_seen: Timestamp,
    /// When the version before it was first seen, if there was one.
    pub previous_seen: Option<Timestamp>,
    /// What somebody says of its issue.
    pub given: Option<(Timestamp, Origin)>,
    /// Creation of the Secret it was read from.
    pub secret_created: Option<Timestamp>,
}

/// A version's dates at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Where it stands.
    pub state: State,
    /// When it becomes, or became, due soon.
    pub warn_at: Option<Timestamp>,
    /// When it is, or was, due.
    pub due_at: Option<Timestamp>,
    /// The next instant at which `state` changes.
    pub next_transition: Option<Timestamp>,
}

/// Days a key lives where nobody says otherwise: quarterly, as Anthropic's key practice
/// article and the organisation guide advise.
pub const DEFAULT_PERIOD_DAYS: u32 = 90;
/// Days of warning where nobody says otherwise.
pub const DEFAULT_WARN_DAYS: u32 = 14;

const HOURS_PER_DAY: i64 = 24;

// === impl Rotation ===

impl Rotation {
    /// The Workspace's rotation.
    pub fn of_workspace(wish: RotationWish) -> Self {
        Self {
            period_days: wish.period_days.unwrap_or(DEFAULT_PERIOD_DAYS),
            warn_days: wish.warn_days.unwrap_or(DEFAULT_WARN_DAYS),
            suspend: wish.suspend.unwrap_or(false),
        }
    }

    /// The rotation of a key in that Workspace: a wish may only tighten it. The second part
    /// tells whether some of the wish was looser and therefore left aside.
    pub fn tightened(self, wish: RotationWish) -> (Self, bool) {
        let tight = Self {
            period_days: wish
                .period_days
                .map_or(self.period_days, |d| d.min(self.period_days)),
            warn_days: wish
                .warn_days
                .map_or(self.warn_days, |d| d.max(self.warn_days)),
            suspend: self.suspend || wish.suspend.unwrap_or(false),
        };
        let looser = wish.period_days.is_some_and(|d| d > self.period_days)
            || wish.warn_days.is_some_and(|d| d < self.warn_days)
            || (self.suspend && wish.suspend == Some(false));
        (tight, looser)
    }

    /// Where a version issued at `issued` and ending at `expires` stands at `now`.
    pub fn clock(
        self,
        issued: Option<Timestamp>,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Clock {
        let by_age = issued.map(|at| days_after(at, self.period_days));
        let Some(due_at) = by_age.into_iter().chain(expires).min() else {
            return Clock {
                state: State::Unknown,
                warn_at: None,
                due_at: None,
                next_transition: None,
            };
        };
        let warn_at = Some(days_before(due_at, self.warn_days));
        let due_at = Some(due_at);
        let boundaries = [warn_at, due_at, expires];
        let next_transition = boundaries
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min();
        Clock {
            state: State::at(warn_at, due_at, expires, now),
            warn_at,
            due_at,
            next_transition,
        }
    }
}

// === impl State ===

impl State {
    /// Where a version with these boundaries stands at `now`: from each instant on, it is past it.
    pub fn at(
        warn_at: Option<Timestamp>,
        due_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if due_at.is_none() {
            Self::Unknown
        } else if past(expires_at) {
            Self::Expired
        } else if past(due_at) {
            Self::Overdue
        } else if past(warn_at) {
            Self::DueSoon
        } else {
            Self::Fresh
        }
    }

    /// Its name, as in status, events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "Fresh",
            Self::DueSoon => "DueSoon",
            Self::Overdue => "Overdue",
            Self::Expired => "Expired",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether its date is past.
    pub const fn is_due(self) -> bool {
        match self {
            Self::Overdue | Self::Expired => true,
            Self::Fresh | Self::DueSoon | Self::Unknown => false,
        }
    }
}

// === impl Beginning ===

impl Beginning {
    /// When the version was issued, by what is known at `now`. A given date in the future is
    /// not used. A version that came after another was new then: no given date makes it older
    /// than the first sight of its predecessor or younger than allowed, and no edit of a date
    /// renews a key.
    pub fn issued(&self, now: Timestamp) -> Option<(Timestamp, Origin)> {
        let given = self.given.filter(|(at, _)| *at <= now);
        match self.previous_seen {
            Some(previous) => Some(match given.filter(|(at, _)| *at >= previous) {
                Some((at, origin)) if at >= self.first_seen => (at, origin),
                _ => (self.first_seen, Origin::FirstSeen),
            }),
            None => given.or(self.secret_created.map(|at| (at, Origin::SecretCreation))),
        }
    }

    /// Whether a date was given that lies in the future.
    pub fn given_in_future(&self, now: Timestamp) -> bool {
        self.given.is_some_and(|(at, _)| at > now)
    }
}

/// Calendar days in UTC, which has no daylight saving: each is 24 hours. Past the end of
/// time, the end of time.
fn days_after(at: Timestamp, days: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_hours(i64::from(days) * HOURS_PER_DAY))
        .unwrap_or(Timestamp::MAX)
}

fn days_before(at: Timestamp, days: u32) -> Timestamp {
    at.checked_sub(SignedDuration::from_hours(i64::from(days) * HOURS_PER_DAY))
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    const QUARTERLY: Rotation = Rotation {
        period_days: 90,
        warn_days: 14,
        suspend: false,
    };

    #[test]
    fn states_change_exactly_at_their_boundaries() {
        let issued = Some(at("2026-09-01T00:00:00Z"));
        let state = |now: &str| QUARTERLY.clock(issued, None, at(now)).state;
        assert_eq!(state("2026-11-15T23:59:59Z"), State::Fresh);
        assert_eq!(state("2026-11-16T00:00:00Z"), State::DueSoon);
        assert_eq!(state("2026-11-29T23:59:59Z"), State::DueSoon);
        assert_eq!(state("2026-11-30T00:00:00Z"), State::Overdue);
    }

    #[test]
    fn ninety_days_over_a_leap_day_are_ninety_days() {
        let clock = QUARTERLY.clock(
            Some(at("2028-01-31T12:00:00Z")),
            None,
            at("2028-02-01T00:00:00Z"),
        );
        assert_eq!(clock.due_at, Some(at("2028-04-30T12:00:00Z")));
        assert_eq!(clock.next_transition, Some(at("2028-04-16T12:00:00Z")));
    }

    #[test]
    fn an_end_at_anthropic_before_the_period_is_the_due_date() {
        let issued = Some(at("2026-09-01T00:00:00Z"));
        let expires = Some(at("2026-10-01T00:00:00Z"));
        let clock = |now: &str| QUARTERLY.clock(issued, expires, at(now));
        assert_eq!(clock("2026-09-17T00:00:00Z").state, State::DueSoon);
        assert_eq!(clock("2026-10-01T00:00:00Z").state, State::Expired);
        assert_eq!(clock("2026-10-01T00:00:00Z").due_at, expires);
        assert_eq!(clock("2026-10-01T00:00:00Z").next_transition, None);
    }

    #[test]
    fn an_overdue_key_still_expires() {
        let expires = Some(at("2027-03-01T00:00:00Z"));
        let clock = QUARTERLY.clock(
            Some(at("2026-09-01T00:00:00Z")),
            expires,
            at("2026-12-01T00:00:00Z"),
        );
        assert_eq!(
            (clock.state, clock.next_transition),
            (State::Overdue, expires)
        );
    }

    #[test]
    fn without_any_date_the_state_is_unknown() {
        let clock = QUARTERLY.clock(None, None, at("2026-12-01T00:00:00Z"));
        assert_eq!((clock.state, clock.due_at), (State::Unknown, None));
    }

    #[test]
    fn a_tenant_tightens_and_never_loosens() {
        let wish = |period_days, warn_days, suspend| RotationWish {
            period_days,
            warn_days,
            suspend,
        };
        let (tight, looser) = QUARTERLY.tightened(wish(Some(60), Some(30), Some(true)));
        assert_eq!(
            (tight.period_days, tight.warn_days, tight.suspend, looser),
            (60, 30, true, false)
        );
        assert_eq!(
            QUARTERLY.tightened(wish(Some(365), None, None)),
            (QUARTERLY, true)
        );
        assert_eq!(
            QUARTERLY.tightened(wish(None, Some(1), None)),
            (QUARTERLY, true)
        );
        let strict = Rotation {
            suspend: true,
            ..QUARTERLY
        };
        assert_eq!(
            strict.tightened(wish(None, None, Some(false))),
            (strict, true)
        );
    }

    #[test]
    fn the_first_version_ever_seen_is_as_old_as_it_says() {
        let now = at("2026-11-01T00:00:00Z");
        let first = Beginning {
            first_seen: at("2026-10-01T00:00:00Z"),
            previous_seen: None,
            given: Some((at("2026-05-01T00:00:00Z"), Origin::Spec)),
            secret_created: Some(at("2026-09-01T00:00:00Z")),
        };
        assert_eq!(first.issued(now), first.given);
        let silent = Beginning {
            given: None,
            ..first
        };
        assert_eq!(
            silent.issued(now),
            Some((at("2026-09-01T00:00:00Z"), Origin::SecretCreation))
        );
        let future = Beginning {
            given: Some((at("2027-01-01T00:00:00Z"), Origin::Spec)),
            ..first
        };
        assert_eq!(
            future.issued(now),
            silent.issued(now),
            "a date in the future is ignored"
        );
        assert!(future.given_in_future(now) && !first.given_in_future(now));
    }

    #[test]
    fn a_later_version_is_never_older_than_its_first_sight() {
        let now = at("2026-11-01T00:00:00Z");
        let second = Beginning {
            first_seen: at("2026-10-01T00:00:00Z"),
            previous_seen: Some(at("2026-07-01T00:00:00Z")),
            given: Some((at("2026-09-20T00:00:00Z"), Origin::Annotation)),
            secret_created: Some(at("2026-01-01T00:00:00Z")),
        };
        let seen = Some((second.first_seen, Origin::FirstSeen));
        assert_eq!(second.issued(now), seen);
        let stale = Beginning {
            given: Some((at("2026-05-01T00:00:00Z"), Origin::Spec)),
            ..second
        };
        assert_eq!(
            stale.issued(now),
            seen,
            "the predecessor's date is not this one's"
        );
        let later = Beginning {
            given: Some((at("2026-10-05T00:00:00Z"), Origin::Annotation)),
            ..second
        };
        assert_eq!(later.issued(now), later.given);
    }
}

//! A binding as the domain sees it: some subjects, one role, for a time.
//! Must not say whether it is permitted; resolving does.

use jiff::Timestamp;

use super::name::{Name, NamespacedName};
use super::subject::SubjectRef;

/// What a RoleBinding asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The workspace it asks of.
    pub workspace: NamespacedName,
    /// The role it asks for.
    pub role: RoleRef,
    /// For whom.
    pub subjects: Vec<SubjectRef>,
    /// Client keys given by digest, and people of the Console by e-mail, among the subjects.
    pub console_members: Vec<Name>,
    /// From when, and until when; half-open.
    pub window: Window,
    /// False keeps it on file without effect.
    pub enabled: bool,
}

/// A role of the workspace, or a membership in the Anthropic Console.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoleRef {
    /// What a gateway enforces.
    Application(Name),
    /// What a person may do in the Console; never in anything a gateway reads.
    Console(Name),
}

/// `[not_before, expires_at)`; an absent end is open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Window {
    /// First instant inside.
    pub not_before: Option<Timestamp>,
    /// First instant no longer inside.
    pub expires_at: Option<Timestamp>,
}

/// Where an instant lies relative to a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Before it.
    Pending,
    /// In it.
    Active,
    /// After it.
    Expired,
}

/// Console roles Anthropic is known to have; others are kept, with a finding.
pub const CONSOLE_ROLES: [&str; 7] = [
    "Owner",
    "Admin",
    "Developer",
    "Billing",
    "LimitedDeveloper",
    "ClaudeCodeUser",
    "User",
];

// === impl Window ===

impl Window {
    /// Where `at` lies.
    pub fn phase(&self, at: Timestamp) -> Phase {
        if self.expires_at.is_some_and(|end| end <= at) {
            Phase::Expired
        } else if self.not_before.is_some_and(|start| at < start) {
            Phase::Pending
        } else {
            Phase::Active
        }
    }

    /// The next instant after `now` at which the phase changes.
    pub fn next_boundary(&self, now: Timestamp) -> Option<Timestamp> {
        [self.not_before, self.expires_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_half_open() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let window = Window {
            not_before: Some(at(10)),
            expires_at: Some(at(20)),
        };
        assert_eq!(window.phase(at(9)), Phase::Pending);
        assert_eq!(window.phase(at(10)), Phase::Active);
        assert_eq!(window.phase(at(19)), Phase::Active);
        assert_eq!(window.phase(at(20)), Phase::Expired);
        assert_eq!(window.next_boundary(at(9)), Some(at(10)));
        assert_eq!(window.next_boundary(at(10)), Some(at(20)));
        assert_eq!(window.next_boundary(at(20)), None);
        assert_eq!(Window::default().phase(at(0)), Phase::Active);
    }
}

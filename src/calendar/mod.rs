//! When keys are to be replaced, as a calendar that people subscribe to: one all-day event for
//! each version of a key, on the day it is due.
//! Must not read a clock, see a key's value, or decide when a key is due: it repeats statuses.
//!
//! What the calendar says changes only with what is known, never with the time of day: an event
//! stays where it is when its day has come, and goes when its version is no longer in use.

mod ics;

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{ApiKeyRef, ApiKeyRefStatus, convert};
use crate::policy::digest::Hex;
use crate::policy::name::{Name, NamespacedName};
use ics::Writer;

/// Events in one calendar. At about 1 KB each that is 1 MB, which large calendar services still
/// take in.
pub const MOST_EVENTS: usize = 1000;

/// How long a client may wait before it looks again, where it asks the calendar.
const REFRESH: &str = "PT12H";

/// A version of a key that is to be replaced one day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reminder {
    key: NamespacedName,
    service: Name,
    workspace: NamespacedName,
    /// Fingerprint of the version; `None` when only its dates are known.
    version: Option<Name>,
    key_id: Option<Name>,
    issued_at: Option<Timestamp>,
    warn_at: Option<Timestamp>,
    due_at: Timestamp,
    expires_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
}

/// What a reminder is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About<'a> {
    /// The ApiKeyRef.
    pub key: &'a NamespacedName,
    /// The service it is for.
    pub service: &'a str,
    /// The Workspace it names.
    pub workspace: &'a NamespacedName,
    /// When its status was last written; `None` when nobody wrote it.
    pub reported_at: Option<Timestamp>,
}

// === impl Reminder ===

impl Reminder {
    /// The reminder of a key as it is stored; `None` as in [`Reminder::of`].
    pub fn of_object(object: &ApiKeyRef) -> Option<Self> {
        let meta = &object.metadata;
        let about = About {
            key: &NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?),
            service: &object.spec.service,
            workspace: &convert::workspace_ref(meta, &object.spec.workspace_ref),
            reported_at: convert::reported_at(meta),
        };
        Self::of(about, object.status.as_ref()?)
    }

    /// The reminder of a key by its status; `None` while no version is in use or no date known.
    pub fn of(about: About<'_>, status: &ApiKeyRefStatus) -> Option<Self> {
        let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        let name = |text: &Option<String>| text.as_deref().map(Name::from);
        Some(Self {
            key: about.key.clone(),
            service: about.service.into(),
            workspace: about.workspace.clone(),
            version: name(&status.fingerprint),
            key_id: name(&status.key_id),
            issued_at: time(&status.issued_at),
            warn_at: time(&status.warn_at),
            due_at: time(&status.due_at)?,
            expires_at: time(&status.expires_at),
            reported_at: about.reported_at,
        })
    }

    /// The same key and version have the same identifier, wherever and whenever that is asked.
    fn uid(&self) -> String {
        let issued = self.issued_at.map(|at| at.to_string()).unwrap_or_default();
        let version = self.version.as_deref().unwrap_or(&issued);
        let parts = ["calendar", &self.key.namespace, &self.key.name, version];
        format!("{}@anthropic-rbac.io", Hex::<16>::of_lines(&parts))
    }

    /// When what the event says last changed, as far as known: when the status was last written.
    fn modified(&self) -> Timestamp {
        self.reported_at.or(self.issued_at).unwrap_or(self.due_at)
    }

    /// Grows whenever the status is written, and needs no memory of earlier calendars: minutes
    /// since 1970, which fit the format's 31 bits for 4,000 years.
    fn sequence(&self) -> i64 {
        const SECONDS_PER_MINUTE: i64 = 60;
        self.reported_at
            .map_or(0, |at| at.as_second() / SECONDS_PER_MINUTE)
    }

    fn expires_then(&self) -> bool {
        self.expires_at == Some(self.due_at)
    }

    fn summary(&self) -> String {
        let key = &self.key;
        if self.expires_then() {
            format!("Claude API key {key} expires: replace it before")
        } else {
            format!("Rotate Claude API key {key}")
        }
    }

    fn description(&self) -> String {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let name = |name: &Option<Name>| name.as_deref().map(str::to_owned);
        let due = (!self.expires_then()).then_some(self.due_at);
        let rows = [
            ("Service", Some(self.service.to_string())),
            ("Workspace", Some(self.workspace.to_string())),
            ("Key id", name(&self.key_id)),
            ("Version", name(&self.version)),
            ("Issued", time(self.issued_at)),
            ("Due", time(due)),
            ("Expires at Anthropic", time(self.expires_at)),
        ];
        let mut text = format!(
            "Make a new key at Anthropic and put it into the source of ApiKeyRef {}. Once the \
             status there shows the new version, disable this one at Anthropic.\n\n",
            self.key
        );
        for (label, value) in rows {
            if let Some(value) = value {
                let _ = writeln!(text, "{label}: {value}");
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn write(&self, calendar: &mut Writer) {
        calendar.component("VEVENT", |event| {
            let modified = ics::date_time(self.modified());
            event.property("UID", &self.uid());
            event.property("DTSTAMP", &modified);
            event.property("LAST-MODIFIED", &modified);
            event.property("SEQUENCE", &self.sequence().to_string());
            event.property("DTSTART;VALUE=DATE", &ics::date(self.due_at));
            event.text("SUMMARY", &self.summary());
            event.text("DESCRIPTION", &self.description());
            let workspace = ics::escaped(&self.workspace.to_string());
            event.property("CATEGORIES", &format!("API key rotation,{workspace}"));
            event.property("STATUS", "CONFIRMED");
            event.property("TRANSP", "TRANSPARENT");
            if let Some(warn_at) = self.warn_at {
                event.component("VALARM", |alarm| {
                    alarm.property("ACTION", "DISPLAY");
                    alarm.property("TRIGGER", &before(self.due_at.duration_since(warn_at)));
                    alarm.text("DESCRIPTION", &self.summary());
                });
            }
        });
    }
}

/// Writes the calendar: the events that are due first, in that order.
pub fn render<'a>(reminders: impl IntoIterator<Item = &'a Reminder>) -> String {
    let mut reminders: Vec<&Reminder> = reminders.into_iter().collect();
    reminders.sort_by_key(|reminder| (reminder.due_at, &reminder.key));
    let all = reminders.len();
    reminders.truncate(MOST_EVENTS);
    let about = match reminders.len() {
        shown if shown < all => format!(
            "When keys are to be replaced: the first {shown} of {all}. As anthropic-rbac knows it; \
             what is changed here changes nothing there."
        ),
        _ => "When keys are to be replaced, as anthropic-rbac knows it; what is changed here \
              changes nothing there."
            .to_owned(),
    };
    let mut calendar = Writer::default();
    calendar.component("VCALENDAR", |calendar| {
        calendar.property("VERSION", "2.0");
        calendar.property("PRODID", "-//anthropic-rbac//API key rotation//EN");
        calendar.property("CALSCALE", "GREGORIAN");
        // Names that clients know from before RFC 7986, beside those it gives.
        for name in ["NAME", "X-WR-CALNAME"] {
            calendar.text(name, "Claude API keys");
        }
        for name in ["DESCRIPTION", "X-WR-CALDESC"] {
            calendar.text(name, &about);
        }
        calendar.property("REFRESH-INTERVAL;VALUE=DURATION", REFRESH);
        calendar.property("X-PUBLISHED-TTL", REFRESH);
        for reminder in reminders {
            reminder.write(calendar);
        }
    });
    calendar.finish()
}

/// A time before the start of an event. Warnings are whole days.
fn before(time: SignedDuration) -> String {
    const HOURS_PER_DAY: i64 = 24;
    match time.as_hours() / HOURS_PER_DAY {
        ..=0 => "PT0S".to_owned(),
        days => format!("-P{days}D"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(fields: Value) -> ApiKeyRefStatus {
        serde_json::from_value(fields).expect("a status")
    }

    fn reminder(status: &ApiKeyRefStatus, reported_at: &str) -> Option<Reminder> {
        let about = About {
            key: &NamespacedName::new("search", "prod"),
            service: "search, the old one",
            workspace: &NamespacedName::new("claude", "production"),
            reported_at: reported_at.parse().ok(),
        };
        Reminder::of(about, status)
    }

    fn in_use() -> ApiKeyRefStatus {
        status(json!({
            "fingerprint": "1a2b3c4d5e6f7081", "keyId": "apikey_01EXAMPLE",
            "issuedAt": "2026-09-01T00:00:00Z", "warnAt": "2026-11-16T00:00:00Z",
            "dueAt": "2026-11-30T00:00:00Z",
        }))
    }

    /// Lines of the events, unfolded.
    fn events<'a>(reminders: impl IntoIterator<Item = &'a Reminder>) -> Vec<String> {
        let text = render(reminders).replace("\r\n ", "");
        let lines = text.split("\r\n").map(str::to_owned);
        let lines = lines.skip_while(|line| line != "BEGIN:VEVENT");
        lines.take_while(|line| line != "END:VCALENDAR").collect()
    }

    #[test]
    fn an_event_says_when_and_what_to_do() {
        let reminder = reminder(&in_use(), "2026-10-02T03:04:05Z").expect("a date");
        assert_eq!(
            events([&reminder]),
            [
                "BEGIN:VEVENT",
                "UID:63da105ec8a5a174d462c3969affb12a@anthropic-rbac.io",
                "DTSTAMP:20261002T030405Z",
                "LAST-MODIFIED:20261002T030405Z",
                "SEQUENCE:29848504",
                "DTSTART;VALUE=DATE:20261130",
                "SUMMARY:Rotate Claude API key search/prod",
                "DESCRIPTION:Make a new key at Anthropic and put it into the source of ApiKeyRef \
                 search/prod. Once the status there shows the new version\\, disable this one at \
                 Anthropic.\\n\\nService: search\\, the old one\\nWorkspace: \
                 claude/production\\nKey id: apikey_01EXAMPLE\\nVersion: \
                 1a2b3c4d5e6f7081\\nIssued: 2026-09-01T00:00:00Z\\nDue: 2026-11-30T00:00:00Z",
                "CATEGORIES:API key rotation,claude/production",
                "STATUS:CONFIRMED",
                "TRANSP:TRANSPARENT",
                "BEGIN:VALARM",
                "ACTION:DISPLAY",
                "TRIGGER:-P14D",
                "DESCRIPTION:Rotate Claude API key search/prod",
                "END:VALARM",
                "END:VEVENT",
            ]
        );
    }

    #[test]
    fn a_new_due_date_updates_the_event_and_a_new_version_is_another_one() {
        let written = |status: &ApiKeyRefStatus, at: &str| reminder(status, at).expect("a date");
        let before = written(&in_use(), "2026-10-02T00:00:00Z");
        let mut status = in_use();
        status.due_at = Some(Time("2026-12-30T00:00:00Z".parse().expect("a time")));
        let after = written(&status, "2026-10-02T00:01:00Z");
        assert_eq!(after.uid(), before.uid());
        assert!(after.sequence() > before.sequence() && after.modified() > before.modified());
        status.fingerprint = Some("ffffffffffffffff".to_owned());
        assert_ne!(written(&status, "2026-10-03T00:00:00Z").uid(), before.uid());
    }

    #[test]
    fn the_day_a_key_ends_at_anthropic_is_called_that() {
        let mut status = in_use();
        status.expires_at = status.due_at.clone();
        let lines = events([&reminder(&status, "").expect("a date")]);
        assert!(
            lines.contains(&"SUMMARY:Claude API key search/prod expires: replace it before".into()),
            "{lines:#?}"
        );
        // Nobody reported it, so its dates are all there is to go by.
        assert!(
            lines.contains(&"DTSTAMP:20260901T000000Z".into())
                && lines.contains(&"SEQUENCE:0".into())
        );
    }

    #[test]
    fn without_a_date_there_is_no_event() {
        let revoked = status(json!({"rotation": "Unknown"}));
        assert_eq!(reminder(&revoked, "2026-10-02T00:00:00Z"), None);
        assert_eq!(events([]), [""; 0]);
    }

    #[test]
    fn a_warning_of_no_days_rings_on_the_day() {
        let mut status = in_use();
        status.warn_at = status.due_at.clone();
        let lines = events([&reminder(&status, "").expect("a date")]);
        assert!(lines.contains(&"TRIGGER:PT0S".into()), "{lines:#?}");
    }

    #[test]
    fn the_first_thousand_due_are_shown_in_whatever_order_they_come_and_the_rest_is_counted() {
        let first: Timestamp = "2026-11-30T00:00:00Z".parse().expect("a time");
        let of = |n: i64| {
            let mut reminder = reminder(&in_use(), "2026-10-02T00:00:00Z").expect("a date");
            reminder.due_at = first + SignedDuration::from_hours(24 * n);
            reminder.key = NamespacedName::new("search", format!("key-{n}"));
            reminder
        };
        let most = i64::try_from(MOST_EVENTS).expect("not many");
        let reminders: Vec<Reminder> = (0..=most).map(of).collect();
        let text = render(&reminders);
        assert_eq!(text, render(reminders.iter().rev()));
        assert_eq!(text.matches("BEGIN:VEVENT").count(), MOST_EVENTS);
        assert!(text.contains("key-999") && !text.contains("key-1000"));
        assert!(text.replace("\r\n ", "").contains("the first 1000 of 1001"));
        assert!(text.len() < 1_100_000, "{}", text.len());
        let all = render(&reminders[..MOST_EVENTS]);
        assert!(!all.replace("\r\n ", "").contains("the first"));
    }
}

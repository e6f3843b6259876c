//! `keys`: every key by the day it is due.
//! Must not work out a date or a state: it prints what statuses say.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::layout::{Cell, listing};
use super::screen::{BAD, Format, WARNING, answer, count, say, warning_prefix};
use super::source::{Key, Said, SourceArgs};
use super::typed;
use crate::api::conditions::{self, reason};
use crate::policy::nearest::suggestion;
use crate::policy::rotation::State;

/// List keys by the day they are due for rotation
#[derive(clap::Args, Debug)]
#[command(
    mut_arg("namespace", |arg| arg.help(
        "From a cluster, only ApiKeyRefs of this namespace; of manifests, the namespace of those \
         that name none [default: default]")),
    mut_arg("all_namespaces", |arg| arg.help("ApiKeyRefs of all namespaces, as without -n")),
    after_help = "\
From a cluster it shows what the operator reported in the ApiKeyRefs' statuses, and needs no right
but to list them; with -n, in that namespace. Days are counted down from the due date, so that
0 is the last one and -1 the first one over.

Examples:
  anthropic-rbac keys                                  # all keys of the current cluster
  anthropic-rbac keys -n search --due                  # what is to be replaced now or soon
  anthropic-rbac keys -f examples/seed --due=30d -w production
  anthropic-rbac keys --fail-on overdue -o json        # in a pipeline

Exit codes: 0 listed, 1 something is as --fail-on says or the cluster cannot be read, 2 bad input."
)]
pub struct Args {
    /// Only keys of this Workspace: NAME, or NAMESPACE/NAME
    #[arg(short, long, value_name = "W")]
    workspace: Option<String>,
    /// Only keys that are due soon or over; with a time such as 30d, those due within it
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
        default_missing_value = "soon")]
    due: Option<Due>,
    /// End with 1 if a key that is listed is in this state, or a worse one
    #[arg(long, value_enum, value_name = "STATE")]
    fail_on: Option<FailOn>,
    /// The time to ask about, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    at: Option<Timestamp>,
    #[command(flatten)]
    source: SourceArgs,
    /// How the list is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

/// Which keys `--due` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Soon,
    Within(SignedDuration),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum FailOn {
    /// Within its warning time
    DueSoon,
    /// Past its date
    Overdue,
}

/// The list as programs read it. All members are always there.
#[derive(Serialize)]
struct List<'a> {
    keys: Vec<Row<'a>>,
}

/// A key, and where it stands. All members are always there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    service: &'a str,
    workspace: String,
    pub(super) state: State,
    warn_at: Option<Timestamp>,
    pub(super) due_at: Option<Timestamp>,
    days_left: Option<i64>,
    expires_at: Option<Timestamp>,
    issued_at: Option<Timestamp>,
    issued_at_origin: Option<crate::api::IssuedAtOrigin>,
    fingerprint: Option<&'a str>,
    key_id: Option<&'a str>,
    ready: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let now = args.at.unwrap_or_else(Timestamp::now);
    let keys = args.source.keys(now)?;
    let keys = of_workspace(keys, args.workspace.as_deref())?;
    let mut rows: Vec<Row<'_>> = keys.iter().map(|key| Row::new(key, now)).collect();
    if args.at.is_none() {
        behind_the_clock(&keys, &rows);
    }
    if let Some(due) = args.due {
        rows.retain(|row| due.includes(row, now));
    }
    rows.sort_by_key(|row| (row.due_at.is_none(), row.due_at));
    match args.format {
        Format::Text if rows.is_empty() => say("No keys found."),
        Format::Text => answer(&text(&rows))?,
        Format::Json => {
            let failed = args.fail_on;
            let list = List { keys: rows };
            let mut text = serde_json::to_string_pretty(&list).expect("a list is plain data");
            text.push('\n');
            answer(&text)?;
            return Ok(ended(failed, &list.keys));
        }
    }
    Ok(ended(args.fail_on, &rows))
}

fn ended(fail_on: Option<FailOn>, rows: &[Row<'_>]) -> Exit {
    let fails = |state: State| match fail_on {
        None => false,
        Some(FailOn::Overdue) => state.is_due(),
        Some(FailOn::DueSoon) => state.is_due() || state == State::DueSoon,
    };
    if rows.iter().any(|row| fails(row.state)) {
        Exit::No
    } else {
        Exit::Done
    }
}

/// Keys of one Workspace. A name that no key has is a slip, not an empty answer: in a pipeline
/// nobody would notice.
pub(super) fn of_workspace(keys: Vec<Key>, wanted: Option<&str>) -> Result<Vec<Key>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(keys);
    };
    let name = |key: &Key| match wanted.contains('/') {
        true => key.workspace.to_string(),
        false => key.workspace.name.to_string(),
    };
    let mut known: Vec<String> = keys.iter().map(name).collect();
    let keys: Vec<Key> = keys.into_iter().filter(|key| name(key) == wanted).collect();
    if keys.is_empty() {
        known.sort();
        known.dedup();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let message = format!(
            "no ApiKeyRef names a Workspace '{wanted}'; {}",
            suggestion(wanted, &known)
        );
        return Err(Failure::BadInput(message));
    }
    Ok(keys)
}

/// A state changes in the status within a second of its time, while there is an operator.
fn behind_the_clock(keys: &[Key], rows: &[Row<'_>]) {
    let behind = keys.iter().zip(rows).filter(|(key, row)| {
        let stored = key.said.status.rotation.map(State::from);
        stored.is_some_and(|stored| stored != row.state)
    });
    let behind = behind.count();
    if behind > 0 {
        say(format_args!(
            "{}the operator has not brought {} up to date; is it running? States are as of now.",
            warning_prefix(),
            count(behind, "status"),
        ));
    }
}

fn text(rows: &[Row<'_>]) -> String {
    let headings = [
        "KEY",
        "SERVICE",
        "WORKSPACE",
        "STATE",
        "DUE",
        "DAYS",
        "ISSUED",
        "VERSION",
        "KEY ID",
        "REASON",
    ];
    let rows: Vec<Vec<Cell>> = rows.iter().map(Row::cells).collect();
    listing(&headings, &rows)
}

// === impl Row ===

impl<'a> Row<'a> {
    pub(super) fn new(key: &'a Key, now: Timestamp) -> Self {
        let Key {
            said,
            workspace,
            service,
            reported_at: _,
        } = key;
        let (name, status) = (&said.name, &said.status);
        let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        let (warn_at, due_at) = (time(&status.warn_at), time(&status.due_at));
        let expires_at = time(&status.expires_at);
        let (ready, reason, message) = readiness(said, &status.conditions);
        Self {
            namespace: &name.namespace,
            name: &name.name,
            service,
            workspace: workspace.to_string(),
            state: State::at(warn_at, due_at, expires_at, now),
            warn_at,
            due_at,
            days_left: due_at.map(|due| whole_days(due.duration_since(now))),
            expires_at,
            issued_at: time(&status.issued_at),
            issued_at_origin: status.issued_at_origin,
            fingerprint: status.fingerprint.as_deref(),
            key_id: status.key_id.as_deref(),
            ready,
            reason,
            message,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let style = match self.state {
            State::Overdue | State::Expired => Some(BAD),
            State::DueSoon => Some(WARNING),
            State::Fresh | State::Unknown => None,
        };
        let wrong = (self.ready != "True").then_some(BAD);
        let issued = self.issued_at.zip(self.issued_at_origin);
        let issued = issued.map(|(at, origin)| format!("{} {origin:?}", day(at)));
        let days = self.days_left.map(|days| days.to_string());
        vec![
            Cell::new(format!("{}/{}", self.namespace, self.name)),
            Cell::new(self.service),
            Cell::new(&*self.workspace),
            Cell::styled(self.state.name(), style),
            Cell::styled(self.due_at.map(day).unwrap_or_default(), style),
            Cell::styled(days.unwrap_or_default(), style),
            Cell::new(issued.unwrap_or_default()),
            Cell::new(self.fingerprint.unwrap_or_default()),
            Cell::new(self.key_id.unwrap_or_default()),
            Cell::styled(self.reason, wrong),
        ]
    }
}

// === impl Due ===

impl Due {
    fn includes(self, row: &Row<'_>, now: Timestamp) -> bool {
        match self {
            Self::Soon => row.state == State::DueSoon || row.state.is_due(),
            Self::Within(time) => row
                .due_at
                .is_some_and(|due| due.duration_since(now) <= time),
        }
    }
}

impl std::str::FromStr for Due {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "soon" {
            return Ok(Self::Soon);
        }
        let span: Result<Span, _> = text.parse();
        // Days of a rotation have 24 hours each.
        let days = SpanRelativeTo::days_are_24_hours();
        let time = span.and_then(|span| span.to_duration(days));
        let time = time.ok().filter(|time| !time.is_negative());
        let time = time.ok_or("want a time in days or less, such as 30d, 2w or 36h")?;
        Ok(Self::Within(time))
    }
}

/// The Ready condition of an object: status, reason and message, both empty while all is well.
pub(super) fn readiness<'a, S>(
    said: &Said<S>,
    conditions: &'a [Condition],
) -> (&'a str, &'a str, &'a str) {
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == conditions::READY);
    match ready.filter(|_| said.is_current) {
        Some(ready) if ready.reason == reason::READY => (&ready.status, "", ""),
        Some(ready) => (&ready.status, &ready.reason, &ready.message),
        None => (
            "Unknown",
            reason::PENDING,
            "The operator has not looked at it as it is now.",
        ),
    }
}

fn day(at: Timestamp) -> String {
    TimeZone::UTC.to_datetime(at).date().to_string()
}

/// Whole days, down: less than a day is 0, and a second over is -1.
fn whole_days(time: SignedDuration) -> i64 {
    const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
    let days = time.as_secs().div_euclid(SECONDS_PER_DAY);
    // Seconds are cut towards zero: a fraction before it belongs to the day before.
    let cut = time.subsec_nanos() < 0 && time.as_secs() % SECONDS_PER_DAY == 0;
    days - i64::from(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_down_to_the_second() {
        let days = |seconds, nanos| whole_days(SignedDuration::new(seconds, nanos));
        assert_eq!(days(2 * 86_400, 0), 2);
        assert_eq!((days(86_399, 0), days(0, 1), days(0, 0)), (0, 0, 0));
        assert_eq!((days(-1, 0), days(0, -1), days(-86_400, 0)), (-1, -1, -1));
        assert_eq!(days(-86_400, -1), -2);
    }

    #[test]
    fn a_time_is_days_or_less_and_never_negative() {
        let within = |text: &str| text.parse::<Due>().ok();
        let hours = |hours| Some(Due::Within(SignedDuration::from_hours(hours)));
        assert_eq!(
            (within("30d"), within("36h"), within("soon")),
            (hours(720), hours(36), Some(Due::Soon))
        );
        assert_eq!(within("2w"), hours(336));
        for bad in ["", "30", "1mo", "-3d", "tomorrow"] {
            assert_eq!(within(bad), None, "{bad}");
        }
    }
}

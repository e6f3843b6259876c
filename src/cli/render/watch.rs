//! `render --watch`: again and again, as manifests change and as time goes by.
//! Must not stop for what is wrong with a manifest: what was rendered last stays.

use std::thread::sleep;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Args, once};
use crate::cli::failure::{Exit, Failure};
use crate::cli::manifests::stamps;
use crate::cli::screen::say;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// When what failed is tried again though nothing has changed: a full disk gets space.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Runs until it is interrupted.
///
/// # Errors
/// When there is nothing that could be looked at again.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut paths = args
        .source
        .paths()
        .filter(|_| args.out.as_os_str() != "-")
        .ok_or_else(|| {
            let message = "--watch goes from files to a folder: name both, with -f and with --out";
            Failure::BadInput(message.to_owned())
        })?;
    paths.extend(args.cluster_jwks.clone());
    let (mut rendered, mut wake_at) = (None, None);
    loop {
        // Before they are read: what changes meanwhile is seen the next time.
        let seen = Some(stamps(&paths));
        let is_time = wake_at.is_some_and(|at| at <= Timestamp::now());
        if rendered != seen || is_time {
            wake_at = match once(args) {
                Ok((_, wake_at)) => wake_at,
                Err(failure) => {
                    say(failure);
                    Timestamp::now().checked_add(AGAIN).ok()
                }
            };
            rendered = seen;
        }
        sleep(LOOK_EVERY);
    }
}

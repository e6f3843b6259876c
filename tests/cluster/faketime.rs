//! A clock of an operator's own. Must not move this machine's clock, nor any other process's.

use std::{fs, path::PathBuf};

use anyhow::Result;
use jiff::SignedDuration;

use crate::{cluster::Cluster, script};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/faketime.sh");

/// The clock of one operator, which a library shows it in place of the machine's.
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

// === impl Clock ===

impl Clock {
    /// One that shows the right time. None where the library is not to be had, which it says.
    pub(crate) fn new(cluster: &Cluster) -> Result<Option<Self>> {
        let Some(library) = script::find(SCRIPT)? else {
            eprintln!("no clock is moved: libfaketime is not here, nor a Debian to have it from");
            return Ok(None);
        };
        let file = cluster.dir().join("clock");
        let clock = Self { library, file };
        clock.set_ahead(SignedDuration::ZERO)?;
        Ok(Some(clock))
    }

    /// How far ahead it is from now on. The file is read with every look at the clock, so it is
    /// replaced in one step.
    pub(crate) fn set_ahead(&self, time: SignedDuration) -> Result<()> {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("+{}s\n", time.as_secs()))?;
        Ok(fs::rename(&next, &self.file)?)
    }

    /// What a command begins with that is to go by this clock.
    pub(crate) fn command(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            // How long something takes is as it is.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }
}

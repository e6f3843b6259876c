//! Writing files so that nobody ever sees half of one, and what has not changed stays untouched.
//! Must not delete anything.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readers {
    /// Whoever the folder and umask allow.
    Usual,
    /// The owner alone: there are keys in it.
    Owner,
}

/// Writes a file, by way of a neighbour that takes its place at once. True when that changed
/// anything.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write(path: &Path, content: &str, readers: Readers) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::io("write", path, &error);
    let same = match std::fs::read(path) {
        Ok(there) => there == content.as_bytes(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(failed(error)),
    };
    if same && (readers == Readers::Usual || is_private(path)) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let neighbour = neighbour_of(path);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    if readers == Readers::Owner {
        only_owner(&mut options);
    }
    // Left behind by a run that was killed, and with other rights perhaps.
    drop(std::fs::remove_file(&neighbour));
    let mut file = options.open(&neighbour).map_err(failed)?;
    let written = file
        .write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&neighbour, path));
    written.map(|()| true).map_err(|error| {
        drop(std::fs::remove_file(&neighbour));
        failed(error)
    })
}

fn neighbour_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(unix)]
fn only_owner(options: &mut std::fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn only_owner(_: &mut std::fs::OpenOptions) {}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_changed_stays_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b.yaml");
        assert!(write(&path, "x", Readers::Usual).expect("written"));
        let stamp = || {
            path.metadata()
                .and_then(|meta| meta.modified())
                .expect("a time")
        };
        let before = stamp();
        assert!(!write(&path, "x", Readers::Usual).expect("written"));
        assert_eq!(stamp(), before);
        assert!(write(&path, "y", Readers::Usual).expect("written"));
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "y");
        let names: Vec<_> = path
            .parent()
            .expect("a folder")
            .read_dir()
            .expect("entries")
            .collect();
        assert_eq!(names.len(), 1, "no neighbour stays");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_keys_is_its_owners_alone_even_if_it_was_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("b.yaml");
        write(&path, "x", Readers::Usual).expect("written");
        assert!(!is_private(&path));
        assert!(write(&path, "x", Readers::Owner).expect("written"));
        assert!(is_private(&path));
    }
}

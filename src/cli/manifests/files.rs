//! From what `-f` names to texts: files, folders with all that is in them, standard input.
//! Must not look into the texts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::Empty;
use super::place::Mark;
use super::problem::{Problem, reason};

/// One text to read documents from. Wiped when dropped: there may be keys in it.
pub struct Input {
    /// How messages call it.
    pub name: Arc<str>,
    /// All of it.
    pub text: Zeroizing<String>,
}

/// What standard input is called in messages.
const STDIN: &str = "<stdin>";

/// Reads files as they are named and folders with all that is below them, in the order of
/// their paths; a file that is named twice is read once. In folders only `.yaml`, `.yml` and
/// `.json` count, and nothing whose name starts with a dot.
pub fn read(paths: &[PathBuf], empty: Empty) -> (Vec<Input>, Vec<Problem>) {
    let mut inputs = Vec::new();
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            if seen.insert(path.clone()) {
                let mut bytes = Vec::new();
                let read = std::io::stdin().read_to_end(&mut bytes).map(|_| bytes);
                add(STDIN.into(), read, &mut inputs, &mut problems);
            }
            continue;
        }
        let mut files = Vec::new();
        if let Err(error) = walk(path, true, &mut files) {
            problems.push(Problem::of_file(&name_of(path), cannot_read(&error)));
        } else if files.is_empty() && empty == Empty::Refused {
            let message = "no .yaml, .yml or .json file is in this folder";
            problems.push(Problem::of_file(&name_of(path), message));
        }
        files.sort();
        for file in files {
            let same = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            if seen.insert(same) {
                add(
                    name_of(&file),
                    std::fs::read(&file),
                    &mut inputs,
                    &mut problems,
                );
            }
        }
    }
    (inputs, problems)
}

/// When every file that would be read was last written, and how long it is. Where neither has
/// changed there is nothing new to read.
pub type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

/// Looks at files and folders, as [`read`] does, without reading them.
pub fn stamps(paths: &[PathBuf]) -> Stamps {
    let mut files = Vec::new();
    for path in paths {
        // What is missing is there when it comes; until then reading it says so.
        drop(walk(path, true, &mut files));
    }
    let stamp = |file: &Path| {
        let metadata = file.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let stamped = files.into_iter().map(|file| {
        let stamp = stamp(&file);
        (file, stamp)
    });
    stamped.collect()
}

fn walk(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    // What is named may be a link to a folder; below it links to folders are not followed,
    // since they can lead back up.
    let folder = if named {
        path.is_dir()
    } else {
        path.symlink_metadata()?.is_dir()
    };
    if folder {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                walk(&entry.path(), false, files)?;
            }
        }
    } else if named || is_manifest(path) && is_file_or_lost(path) {
        files.push(path.to_owned());
    }
    Ok(())
}

/// A link that leads nowhere is a file that is missing, and reading it says so.
fn is_file_or_lost(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
}

fn is_manifest(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("yaml" | "yml" | "json"))
}

fn add(
    name: Arc<str>,
    read: std::io::Result<Vec<u8>>,
    inputs: &mut Vec<Input>,
    problems: &mut Vec<Problem>,
) {
    match read.map(String::from_utf8) {
        Ok(Ok(text)) => inputs.push(Input {
            name,
            text: Zeroizing::new(text),
        }),
        Ok(Err(error)) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            problems.push(Problem {
                mark: Some(end(&bytes[..good])),
                reason: reason::INVALID_YAML,
                ..Problem::of_file(&name, "is not UTF-8 text; save it as such")
            });
        }
        Err(error) => problems.push(Problem::of_file(&name, cannot_read(&error))),
    }
}

/// Where a text ends.
fn end(text: &[u8]) -> Mark {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let last = text.rsplit('\n').next().unwrap_or_default();
    let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    Mark {
        line: number(text.matches('\n').count()),
        column: number(last.chars().count()),
    }
}

fn cannot_read(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound {
        return "no such file or folder".to_owned();
    }
    format!("cannot be read: {error}")
}

fn name_of(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf]) -> Vec<String> {
        let (inputs, problems) = read(paths, Empty::Refused);
        assert_eq!(problems, []);
        let name = |input: &Input| {
            let path = Path::new(&*input.name);
            path.file_name()
                .expect("a file")
                .to_string_lossy()
                .into_owned()
        };
        inputs.iter().map(name).collect()
    }

    #[test]
    fn a_folder_gives_its_manifests_in_the_order_of_their_paths() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("b/.git")).expect("folders");
        for name in [
            "c.YAML",
            "b/2.json",
            "b/1.yml",
            "b/notes.md",
            ".hidden.yaml",
            "b/.git/x.yaml",
        ] {
            std::fs::write(path(name), "a: 1").expect("a file");
        }
        assert_eq!(
            names(&[folder.path().to_owned()]),
            ["1.yml", "2.json", "c.YAML"]
        );
        assert_eq!(
            names(&[path("b/notes.md"), path("b")]),
            ["notes.md", "1.yml", "2.json"]
        );
        assert_eq!(
            names(&[path("c.YAML"), path("b/../c.YAML")]),
            ["c.YAML"],
            "once"
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_stops_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let latin = folder.path().join("latin.yaml");
        std::fs::write(&latin, b"a: 1\n\nb: \xE9").expect("a file");
        let good = folder.path().join("good.yaml");
        std::fs::write(&good, "a: 1").expect("a file");
        let (inputs, problems) = read(&[latin, folder.path().join("absent"), good], Empty::Refused);
        assert_eq!(inputs.len(), 1);
        let messages: Vec<_> = problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(
            messages,
            [
                "is not UTF-8 text; save it as such",
                "no such file or folder"
            ]
        );
        assert_eq!(problems[0].mark, Some(Mark { line: 3, column: 4 }));
        assert_eq!(problems[1].mark, None, "nothing of it could be read");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_a_folder_is_followed_to_a_file_and_to_nothing_else() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("there"), "a: 1").expect("a file");
        symlink("there", path("a.yaml")).expect("a link");
        symlink(".", path("b.yaml")).expect("a link");
        symlink("lost", path("c.yaml")).expect("a link");
        let (inputs, problems) = read(&[folder.path().to_owned()], Empty::Refused);
        let found: Vec<&Path> = inputs.iter().map(|input| Path::new(&*input.name)).collect();
        assert_eq!(found, [path("a.yaml")]);
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let lost = path("c.yaml");
        assert_eq!(
            said,
            [format!("{}: no such file or folder", lost.display())]
        );
    }

    #[test]
    fn a_folder_without_manifests_is_a_problem_unless_it_may_be_empty_and_a_missing_one_always() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).expect("a folder");
        let paths = [empty, folder.path().join("absent")];
        let said = |empty| {
            let (_, problems) = read(&paths, empty);
            problems
                .into_iter()
                .map(|problem| problem.message)
                .collect::<Vec<_>>()
        };
        let missing = "no such file or folder";
        assert_eq!(
            said(Empty::Refused),
            ["no .yaml, .yml or .json file is in this folder", missing]
        );
        assert_eq!(said(Empty::Allowed), [missing]);
    }
}

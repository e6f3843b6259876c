//! Files of an earlier render that are no longer made.
//! Must not touch a file that does not itself say that it is ours.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::api::metadata::{MANAGED_BY, NAME, WORKSPACE};
use crate::cli::failure::Failure;
use crate::facts::OutputId;

/// Removes what is in the folder, carries our labels, and is not among `made`.
pub fn remove(out: &Path, made: &BTreeSet<PathBuf>) -> Result<Vec<(OutputId, PathBuf)>, Failure> {
    let mut removed = Vec::new();
    for folder in entries(out)?
        .into_iter()
        .filter(|path| is_real_folder(path))
    {
        for path in entries(&folder)?
            .into_iter()
            .filter(|path| !made.contains(path))
        {
            if let Some(id) = ours(&path) {
                std::fs::remove_file(&path)
                    .map_err(|error| Failure::io("remove", &path, &error))?;
                removed.push((id, path));
            }
        }
        // Refused while anything is left in it.
        drop(std::fs::remove_dir(&folder));
    }
    Ok(removed)
}

/// The object in a file, if the file is called after it and it says that it is ours.
fn ours(path: &Path) -> Option<OutputId> {
    let file = path.file_name()?.to_str()?;
    let (kind, name) = file.strip_suffix(".yaml")?.split_once('.')?;
    let namespace = path.parent()?.file_name()?.to_str()?;
    let id = match kind {
        "configmap" => OutputId::config_map(namespace, name),
        "secret" => OutputId::secret(namespace, name),
        _ => return None,
    };
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).ok()?);
    let object: serde_json::Value = serde_saphyr::from_str(&text).ok()?;
    let labels = &object["metadata"]["labels"];
    let is_ours = object["kind"] == id.kind.name()
        && object["metadata"]["name"] == *name
        && labels[MANAGED_BY] == NAME
        && labels[WORKSPACE].is_string();
    is_ours.then_some(id)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::io("read", folder, &error);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn is_real_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_it_is_ours_goes() {
        let out = tempfile::tempdir().expect("a folder");
        let folder = out.path().join("claude");
        std::fs::create_dir(&folder).expect("a folder");
        let put = |file: &str, kind: &str, name: &str, labels: &str| {
            let text = format!("kind: {kind}\nmetadata:\n  name: {name}\n  labels: {{{labels}}}\n");
            std::fs::write(folder.join(file), text).expect("a file");
        };
        let both = "app.kubernetes.io/managed-by: anthropic-rbac, anthropic-rbac.io/workspace: w";
        put("configmap.old.policy.yaml", "ConfigMap", "old.policy", both);
        put("configmap.made.yaml", "ConfigMap", "made", both);
        put(
            "configmap.other.yaml",
            "ConfigMap",
            "other",
            "app.kubernetes.io/managed-by: Helm",
        );
        put(
            "configmap.half.yaml",
            "ConfigMap",
            "half",
            "app.kubernetes.io/managed-by: anthropic-rbac",
        );
        put("configmap.renamed.yaml", "ConfigMap", "another", both);
        put("deployment.ours.yaml", "Deployment", "ours", both);
        put("notes.yaml", "ConfigMap", "notes", both);
        let made = BTreeSet::from([folder.join("configmap.made.yaml")]);
        let removed = remove(out.path(), &made).expect("removed");
        let ids: Vec<String> = removed.iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(ids, ["ConfigMap claude/old.policy"]);
        assert_eq!(entries(&folder).expect("entries").len(), 6);
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let removed = remove(Path::new("/nowhere/at/all"), &BTreeSet::new());
        assert_eq!(removed.expect("nothing").len(), 0);
    }
}

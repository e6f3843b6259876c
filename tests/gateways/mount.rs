//! A folder as the kubelet mounts a projected volume: files are links through `..data`, which
//! changes from one whole generation to the next by one rename.
//! Must not know what is in the files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What comes first when a generation brings new names. Kubelets differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// `..data` is renamed, then new names are linked: as kubelets do since 1.30.
    DataFirst,
    /// New names are linked, dangling for a moment, then `..data` is renamed: as before.
    LinksFirst,
}

/// The folder.
#[derive(Debug)]
pub(crate) struct Mount {
    folder: PathBuf,
    generation: u32,
}

// === impl Mount ===

impl Mount {
    /// Makes the folder with a first generation.
    pub(crate) fn new(folder: &Path, files: &Files) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut mount = Self {
            folder: folder.to_owned(),
            generation: 0,
        };
        mount.swap(files, Order::LinksFirst)?;
        Ok(mount)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Replaces all files at once.
    pub(crate) fn swap(&mut self, files: &Files, order: Order) -> Result<()> {
        let data = self.folder.join("..data");
        let before = fs::read_link(&data).ok();
        self.generation += 1;
        let name = format!("..2026_11_25_00_00_00.{:09}", self.generation);
        let generation = self.folder.join(&name);
        fs::create_dir(&generation)?;
        for (name, content) in files {
            fs::write(generation.join(name), content).with_context(|| name.clone())?;
        }
        let rename = || -> Result<()> {
            let next = self.folder.join("..data_tmp");
            symlink(&name, &next)?;
            Ok(fs::rename(&next, &data)?)
        };
        match order {
            Order::DataFirst => {
                rename()?;
                self.link(files)?;
            }
            Order::LinksFirst => {
                self.link(files)?;
                rename()?;
            }
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if !name.starts_with("..") && !files.contains_key(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        if let Some(before) = before {
            fs::remove_dir_all(self.folder.join(before))?;
        }
        Ok(())
    }

    fn link(&self, files: &Files) -> Result<()> {
        for name in files.keys() {
            let link = self.folder.join(name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(name), link)?;
            }
        }
        Ok(())
    }
}

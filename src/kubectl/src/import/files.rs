//! The folder of an import. It is written beside its place and moved there when it is complete and proven: whatever ends the
//! program earlier leaves no half of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Manifests;
use crate::interrupt;

/// The folder of the manifests in it.
const USERS: &str = "users";

/// Why the folder cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CannotWrite {
    /// It has files already.
    #[error("{} is not empty: give another folder, or --force to overwrite files in it", .0.display())]
    NotEmpty(PathBuf),
    /// Ctrl-C came.
    #[error("interrupted: nothing is written")]
    Interrupted,
    /// The system refused.
    #[error("cannot write {}: {reason}", path.display())]
    Refused {
        /// The file or folder.
        path: PathBuf,
        /// What the system reports.
        reason: io::ErrorKind,
    },
}

/// A folder that is written and not in its place yet.
#[derive(Debug)]
pub struct Folder {
    place: PathBuf,
    partial: PathBuf,
    force: bool,
    is_moved: bool,
}

impl Folder {
    /// Writes the manifests beside that folder.
    ///
    /// # Errors
    /// [`CannotWrite`]; where the folder is not empty and `force` is not given, nothing is written.
    pub fn write(place: &Path, manifests: &Manifests, force: bool) -> Result<Self, CannotWrite> {
        let is_empty = fs::read_dir(place).map_or(!place.exists(), |mut all| all.next().is_none());
        if !is_empty && !force {
            return Err(CannotWrite::NotEmpty(place.to_owned()));
        }
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let partial = place.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        let folder = Self {
            place: place.to_owned(),
            partial,
            force,
            is_moved: false,
        };
        let users = folder.partial.join(USERS);
        fs::create_dir_all(&users).map_err(refused(&users))?;
        for (name, text) in &manifests.files {
            if interrupt::is_pending() {
                return Err(CannotWrite::Interrupted);
            }
            let path = users.join(format!("{name}.yaml"));
            fs::write(&path, text).map_err(refused(&path))?;
        }
        let path = folder.partial.join("kustomization.yaml");
        fs::write(&path, kustomization(manifests)).map_err(refused(&path))?;
        Ok(folder)
    }

    /// Returns where the files are now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Moves it to its place.
    ///
    /// # Errors
    /// [`CannotWrite`].
    pub fn publish(mut self) -> Result<(), CannotWrite> {
        if interrupt::is_pending() {
            return Err(CannotWrite::Interrupted);
        }
        if self.force && self.place.exists() {
            overwrite(&self.partial, &self.place)?;
            return Ok(());
        }
        if self.place.exists() {
            fs::remove_dir(&self.place).map_err(refused(&self.place))?;
        }
        fs::rename(&self.partial, &self.place).map_err(refused(&self.place))?;
        self.is_moved = true;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_moved {
            // What is left has a name that shows what it is.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// Moves each file over the one of its name; what else is there stays.
fn overwrite(from: &Path, to: &Path) -> Result<(), CannotWrite> {
    fs::create_dir_all(to).map_err(refused(to))?;
    for file in fs::read_dir(from).map_err(refused(from))? {
        let file = file.map_err(refused(from))?;
        let (path, target) = (file.path(), to.join(file.file_name()));
        if path.is_dir() {
            overwrite(&path, &target)?;
        } else {
            fs::rename(&path, &target).map_err(refused(&target))?;
        }
    }
    Ok(())
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> CannotWrite {
    let path = path.to_owned();
    move |error| CannotWrite::Refused {
        path,
        reason: error.kind(),
    }
}

/// Returns the file that lists the others. Users without a manifest are comments.
fn kustomization(manifests: &Manifests) -> String {
    let mut lines = vec!["# Written by kubectl-fireworks import.".to_owned()];
    let unmanaged = manifests.unmanaged.iter();
    lines.extend(unmanaged.map(|(user, why)| format!("# unmanaged: {user}: {why}")));
    lines.push("apiVersion: kustomize.config.k8s.io/v1beta1".to_owned());
    lines.push("kind: Kustomization".to_owned());
    if manifests.files.is_empty() {
        lines.push("resources: []".to_owned());
    } else {
        lines.push("resources:".to_owned());
        let names = manifests.files.keys();
        lines.extend(names.map(|name| format!("- {USERS}/{name}.yaml")));
    }
    lines.join("\n") + "\n"
}

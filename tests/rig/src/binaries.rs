//! Where the control plane's programs are. The one place that knows `KUBEBUILDER_ASSETS` and the repository's folders.

use std::path::{Path, PathBuf};

use crate::error::RigError;

/// The folder that holds `kube-apiserver`, `etcd` and `kubectl`.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// `KUBEBUILDER_ASSETS` if it holds all three, else what `tests/controlplane/build.sh` built.
    pub(crate) fn find() -> Result<Self, RigError> {
        if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from)
            && missing(&folder).is_none()
        {
            return Ok(Self { folder });
        }
        let folder = repository().join("tests/controlplane/bin");
        match missing(&folder) {
            None => Ok(Self { folder }),
            Some(missing) => Err(RigError::NoBinary { missing, folder }),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn missing(folder: &Path) -> Option<&'static str> {
    ["kube-apiserver", "etcd", "kubectl"]
        .into_iter()
        .find(|name| !folder.join(name).is_file())
}

/// The root of the repository this crate was compiled in.
pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

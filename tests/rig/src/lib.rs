//! What a test or the demo runs against: a real control plane (etcd and kube-apiserver), `kubectl`, the API server's
//! audit log, and the operator as a process. Everything here is asked and observed from outside, the way a user does:
//! no Kubernetes library and nothing of the operator's own code.
//!
//! Whatever is started here ends with the process that started it, however that process ends.

// This crate measures real processes: it reads the real clock and the real environment.
#![allow(clippy::disallowed_methods)]

pub mod audit;
mod binaries;
pub mod control_plane;
mod error;
mod folder;
pub mod kubeconfig;
pub mod kubectl;
pub mod operator;
mod ports;
pub mod proxy;
mod rest;
mod tied;
pub mod wait;

pub use audit::{AuditLog, Mark, Request, Requests};
pub use control_plane::{ControlPlane, Options};
pub use error::RigError;
pub use folder::Folder;
pub use kubectl::{Kubectl, KubectlError};
pub use operator::{Exit, OperatorOptions, OperatorProcess};
pub use proxy::{Broken, KubeFault, KubeProxy};
pub use rest::Rest;
pub use tied::Tied;
pub use wait::{Timeout, until};

/// Returns where the program `kubectl` is.
///
/// # Errors
/// If the control plane's programs are neither in `KUBEBUILDER_ASSETS` nor built.
pub fn kubectl_program() -> Result<std::path::PathBuf, RigError> {
    binaries::Binaries::find().map(|all| all.path("kubectl"))
}

//! Writes kubeconfig files: one cluster, one user with a token, one context. Nothing else about Kubernetes is known here.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use crate::error::RigError;

/// Writes a kubeconfig, readable by this user alone, to `path`. JSON is YAML, so no YAML writer is needed. Without an
/// `authority` the server is one that speaks no TLS. `namespace` is where requests go that name none.
///
/// # Errors
/// If the file cannot be written.
pub fn write(
    path: &Path,
    server: &str,
    authority: Option<&Path>,
    token: &str,
    namespace: &str,
) -> Result<(), RigError> {
    let cluster = match authority {
        Some(authority) => json!({"server": server, "certificate-authority": authority}),
        None => json!({"server": server}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": cluster}],
        "users": [{"name": "rig", "user": {"token": token}}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig", "namespace": namespace}}],
        "current-context": "rig",
    });
    let attempt = || format!("write the kubeconfig {}", path.display());
    File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{config:#}\n").as_bytes()))
        .map_err(RigError::io(attempt()))
}

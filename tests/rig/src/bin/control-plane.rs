//! A bare Kubernetes API for people and scripts: starts etcd and kube-apiserver, prints one line of JSON
//! that prints where they are, and keeps them until it ends, however it ends.

use std::process::ExitCode;

use rig::{ControlPlane, Options};
use serde_json::json;

fn main() -> ExitCode {
    let control_plane = match ControlPlane::start(&Options::bare()) {
        Ok(control_plane) => control_plane,
        Err(error) => {
            eprintln!("control-plane: {error}");
            return ExitCode::FAILURE;
        }
    };
    let found = json!({
        "kubeconfig": control_plane.admin_kubeconfig(),
        "folder": control_plane.folder(),
    });
    println!("{found}");
    loop {
        std::thread::park();
    }
}

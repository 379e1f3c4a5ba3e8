//! What other processes may see of the operator's memory.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rig::{Folder, until};

/// Far above what the start takes.
const LONG: Duration = Duration::from_mins(1);
/// A user that owns nothing on the machine.
const STRANGER: u32 = 61_234;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that is not dumpable gives its `/proc` entries to root: its user cannot read memory or environment.
#[tokio::test]
async fn process_is_not_dumpable() {
    let folder = Folder::new("rig-hardening-").unwrap();
    let kubeconfig = folder.join("kubeconfig");
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
        clusters: [{name: it, cluster: {server: 'http://127.0.0.1:9'}}]\n\
        users: [{name: it, user: {}}]\ncontexts: [{name: it, context: {cluster: it, user: it}}]\n";
    std::fs::write(&kubeconfig, config).unwrap();
    let program = folder.join("operator");
    std::fs::copy(env!("CARGO_BIN_EXE_fireworks-user-operator"), &program).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    for path in [folder.path(), &program, &kubeconfig] {
        std::fs::set_permissions(path, open.clone()).unwrap();
    }
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["run", "--listen", "127.0.0.1:0"])
        .env_clear()
        .env("KUBECONFIG", &kubeconfig)
        .env("FIREWORKS_ACCOUNT_ID", "acme")
        .env("FIREWORKS_API_KEY", "fw-hardening")
        .env("FIREWORKS_BASE_URL", "http://127.0.0.1:9")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let user = if own == 0 {
        command.uid(STRANGER);
        STRANGER
    } else {
        own
    };
    let process = Killed(command.spawn().unwrap());
    until(LONG, "the operator to listen", async || {
        let logs = std::fs::read_to_string(folder.join("log")).unwrap();
        if logs.contains("listening") {
            Ok(())
        } else {
            Err(logs)
        }
    })
    .await
    .unwrap_or_else(|late| panic!("{late}"));
    let owner = std::fs::metadata(format!("/proc/{}/environ", process.0.id()))
        .unwrap()
        .uid();
    assert_ne!(owner, user);
}

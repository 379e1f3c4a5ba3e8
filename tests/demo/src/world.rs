//! What the story stands on: the control plane, the simulator program with a small account, the operator under the rights
//! that `deploy/` gives it, and a shell to type commands into. Prints nothing and checks nothing.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fireworks_gateway_simulator::Verb;
use fireworks_gateway_simulator::settings::TEST_KEY;
use rig::control_plane::OPERATOR_USER;
use rig::{ControlPlane, OperatorOptions, OperatorProcess, Requests, Tied, until};
use serde_json::json;

use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::screen::Screen;

/// The account's id.
pub(crate) const ACCOUNT: &str = "acme";
/// The namespace that commands without `-n` mean.
pub(crate) const NAMESPACE: &str = "ml-platform";
/// Short, so that drift is noticed at once; the default is a minute.
const SWEEP: &str = "2s";
/// The simulator shows a write at once; the default is 30 s, for a gateway that may not.
const SETTLE: &str = "2s";
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// All of it. Dropping it ends it; so does the end of this process.
#[derive(Debug)]
pub(crate) struct World {
    // In the order of their end: a client ends before its server.
    operator: OperatorProcess,
    _simulator: Tied,
    pub(crate) gateway: Gateway,
    pub(crate) plane: ControlPlane,
    kubectl: PathBuf,
    /// The folder of `kubectl-fireworks`, which makes it a plugin.
    programs: PathBuf,
}

impl World {
    /// Starts what the control plane lacks.
    pub(crate) async fn start(screen: &Screen, plane: ControlPlane) -> Result<Self, Failure> {
        let kubectl = PathBuf::from(plane.admin().command::<&str>(&[]).get_program());
        plane.kubectl(&["create", "namespace", NAMESPACE]).await?;
        let namespace = format!("--namespace={NAMESPACE}");
        plane
            .kubectl(&["config", "set-context", "--current", &namespace])
            .await?;

        screen.note("starting a simulator of the Fireworks gateway with a small account");
        let (simulator, gateway) = start_simulator(plane.folder()).await?;
        populate(&gateway).await?;

        let url = gateway.url();
        screen.note(&format!(
            "starting the operator: fireworks-user-operator run --account-id {ACCOUNT} --base-url {url} \
             --sweep-interval {SWEEP} --settle-window {SETTLE}"
        ));
        let options = OperatorOptions::new(program("fireworks-user-operator")?)
            .kubeconfig(plane.operator_kubeconfig()?)
            .gateway(&url, ACCOUNT, TEST_KEY)
            .args(["--sweep-interval", SWEEP, "--settle-window", SETTLE]);
        Ok(Self {
            operator: OperatorProcess::spawn(&options).await?,
            _simulator: simulator,
            gateway,
            kubectl,
            programs: program("kubectl-fireworks")?.with_file_name(""),
            plane,
        })
    }

    /// Runs what a person types into a shell that has `kubectl`; answers whether it succeeded and what it printed.
    pub(crate) async fn shell(&self, script: &str) -> Result<(bool, String), Failure> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .env_clear()
            .env("PATH", self.path())
            .env("HOME", self.plane.folder())
            .env("KUBECONFIG", self.plane.admin_kubeconfig())
            .env("FIREWORKS_ACCOUNT_ID", ACCOUNT)
            .env("FIREWORKS_API_KEY", TEST_KEY)
            .env("FIREWORKS_BASE_URL", self.gateway.url())
            .current_dir(self.plane.folder());
        let output = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Failure::new(format!("cannot run /bin/sh: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), text))
    }

    /// What the operator has cost so far, as both sides counted it.
    pub(crate) async fn cost(&self) -> Result<String, Failure> {
        let calls = self.gateway.calls_since(0).await?;
        let patches = calls.iter().filter(|call| call.verb == Verb::Patch).count();
        let status = Requests::any()
            .by(OPERATOR_USER)
            .verb("patch")
            .of("fireworksusers/status");
        let status = self.plane.audit()?.matching(&status).count();
        Ok(format!(
            "{} requests to Fireworks, {patches} of them PATCHes, and {status} status writes",
            calls.len()
        ))
    }

    /// Keeps the logs for the search for the fault.
    pub(crate) fn keep_logs(&self) {
        self.plane.keep_folder();
        let log = self.plane.folder().join("operator.log");
        // Its own folder goes with it. A log that cannot be kept is missed, but the fault is printed anyway.
        let _ = std::fs::write(log, self.operator.logs());
    }

    /// What to type in another terminal while all of it stays up.
    pub(crate) fn invitation(&self) -> String {
        let folder = self.kubectl.parent().unwrap_or(Path::new(".")).display();
        let kubeconfig = self.plane.admin_kubeconfig().display();
        let url = self.gateway.url();
        let log = self.operator.log_file();
        format!(
            "\nAll of it stays up until Ctrl-C. To play with it, in another terminal:\n\n\
             \x20 export KUBECONFIG={kubeconfig}\n\
             \x20 export PATH={folder}:$PATH\n\
             \x20 kubectl get fwusers -o wide --watch\n\
             \x20 kubectl edit fwuser bob\n\
             \x20 kubectl explain fwuser.spec\n\
             \x20 curl -X PATCH {url}/_users/bob -d '{{\"role\": \"admin\"}}'\n\
             \x20 curl {url}/_journal\n\
             \x20 tail -f {}\n",
            log.display()
        )
    }

    fn path(&self) -> std::ffi::OsString {
        let mut path = self
            .kubectl
            .parent()
            .map_or_else(Default::default, |folder| folder.as_os_str().to_os_string());
        path.push(":");
        path.push(&self.programs);
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        path
    }
}

/// A program that was built beside this one.
fn program(name: &str) -> Result<PathBuf, Failure> {
    let missing = |why: String| Failure::new(format!("no {name} beside this program: {why}"));
    let here = env::current_exe().map_err(|error| missing(error.to_string()))?;
    let path = here.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(missing("run `make demo`, which builds it".into()))
    }
}

async fn start_simulator(folder: &Path) -> Result<(Tied, Gateway), Failure> {
    let log = folder.join("gateway.log");
    let mut command = Command::new(program("fireworks-gateway-simulator")?);
    command.args(["--listen", "127.0.0.1:0", "--account-id", ACCOUNT]);
    let simulator = Tied::start(&command, &log)?;
    let address = until(LISTENS_WITHIN, "the simulator to listen", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        listening(&text).ok_or(text)
    });
    Ok((simulator, Gateway::at(address.await?)))
}

/// The address in the line the simulator starts with.
fn listening(text: &str) -> Option<SocketAddr> {
    let (line, _) = text.split_once('\n')?;
    let url = line
        .split(' ')
        .find_map(|word| word.strip_prefix("http://"))?;
    url.parse().ok()
}

/// The account as it was before it was kept in git. Carol has never logged in.
async fn populate(gateway: &Gateway) -> Result<(), Failure> {
    let people = [
        ("ada", "Ada Lovelace", "admin"),
        ("alice", "Alice Liddell", "user"),
        ("bob", "Bob Builder", "contributor"),
        ("dave", "Dave Bowman", "user"),
    ];
    for (id, name, role) in people {
        let email = format!("{id}@example.com");
        let user = json!({"displayName": name, "role": role, "email": email});
        gateway.edit("PUT", id, &user).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_address_is_read_from_a_whole_line_only() {
        let line = "gateway simulator: http://127.0.0.1:1234 account acme users 0";
        assert_eq!(listening(line), None);
        let whole = Some(SocketAddr::from(([127, 0, 0, 1], 1234)));
        assert_eq!(listening(&format!("{line}\n")), whole);
    }
}

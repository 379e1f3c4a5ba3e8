//! The commands of the pages, each run by a shell as it is written, through `kubectl` and against the simulator.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use fireworks_gateway_simulator::{Settings, Simulator, User};

use serde_json::json;

use crate::api_server::{ApiServer, object, reporting};
use crate::command::Ended;
use crate::pages::{blocks, page};

/// `kustomize` is not among the programs of the tests, but `kubectl` has it.
const KUSTOMIZE: &str = "#!/bin/sh\n[ \"$1\" = build ] && exec kubectl kustomize \"$2\"\n";

const USERS: [(&str, &str); 3] = [("root", "admin"), ("alice", "user"), ("build-bot", "user")];

fn account() -> Simulator {
    let settings = Settings {
        account_id: "my-account".to_owned(),
        ..Settings::default()
    };
    let gateway = Simulator::start(settings).unwrap();
    for (id, role) in USERS {
        gateway.put_user(User::new(id, role).email(format!("{id}@people.example")));
    }
    gateway
}

/// A cluster in which these users are declared.
fn cluster() -> ApiServer {
    let declared = |(id, role)| {
        let object = object("team-a", id, json!({"role": role}));
        reporting(object, "Held", "True", "InSync")
    };
    ApiServer::with(USERS.map(declared).to_vec())
}

/// Returns each command of the page that runs the plugin, after the lines of its block that set variables.
fn commands(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in blocks(&page(name), "sh") {
        let (set, others): (Vec<_>, Vec<_>) =
            block.lines().partition(|line| line.starts_with("export "));
        let plugin = others
            .iter()
            .filter(|line| line.contains("kubectl fireworks "));
        found.extend(plugin.map(|line| format!("{}\n{line}", set.join("\n"))));
    }
    found
}

/// Runs a command in that home, where the programs are in `bin`.
fn shell(home: &Path, gateway: &Simulator, script: &str) -> Ended {
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
        .current_dir(home.join("work"))
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", home.join("bin").display()),
        )
        .env("HOME", home)
        .env("ACCOUNT_ID", gateway.account_id())
        .env("KEY_FILE", home.join(".fireworks-key"))
        .env("FIREWORKS_ACCOUNT_ID", gateway.account_id())
        .env("FIREWORKS_API_KEY_FILE", home.join(".fireworks-key"))
        .env("FIREWORKS_BASE_URL", gateway.base_url())
        .output()
        .unwrap();
    output.into()
}

fn install(home: &Path, gateway: &Simulator, cluster: &ApiServer) {
    fs::create_dir(home.join(".kube")).unwrap();
    fs::copy(cluster.kubeconfig(), home.join(".kube/config")).unwrap();
    fs::create_dir(home.join("bin")).unwrap();
    let program = env!("CARGO_BIN_EXE_kubectl-fireworks");
    symlink(program, home.join("bin/kubectl-fireworks")).unwrap();
    symlink(rig::kubectl_program().unwrap(), home.join("bin/kubectl")).unwrap();
    let kustomize = home.join("bin/kustomize");
    fs::write(&kustomize, KUSTOMIZE).unwrap();
    fs::set_permissions(&kustomize, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.join(".fireworks-key"), gateway.api_key()).unwrap();
}

/// Puts what the other commands read into an empty folder: imported manifests, an overlay of them, a snapshot.
fn adopt(home: &Path, gateway: &Simulator) {
    let script = "kubectl fireworks import --output users
        kubectl fireworks snapshot --output account.json
        mkdir -p overlays/production
        echo 'resources: [../../users]' >overlays/production/kustomization.yaml";
    let ended = shell(home, gateway, script);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn commands_of_the_pages_run_as_written() {
    let (gateway, cluster) = (account(), cluster());
    let home = tempfile::tempdir().unwrap();
    install(home.path(), &gateway, &cluster);
    let work = home.path().join("work");
    let mut ran = Vec::new();
    for script in ["kubectl-fireworks.md", "adopt.md"]
        .into_iter()
        .flat_map(commands)
    {
        let _ = fs::remove_dir_all(&work);
        fs::create_dir(&work).unwrap();
        let subcommand = script.split("kubectl fireworks ").nth(1).unwrap();
        let subcommand = subcommand.split(' ').next().unwrap().to_owned();
        if matches!(&*subcommand, "plan" | "validate") {
            adopt(home.path(), &gateway);
        }
        let ended = shell(home.path(), &gateway, &script);
        assert_eq!(ended.code, 0, "{script}: {ended:?}");
        match &*subcommand {
            "import" => {
                let bot = fs::read_to_string(work.join("users/users/build-bot.yaml")).unwrap();
                let observes = bot.contains("managementPolicy: Observe");
                assert_eq!(observes, script.contains("--observe"), "{bot}");
            }
            "snapshot" => assert!(work.join("account.json").is_file(), "{script}"),
            "plan" => assert!(ended.out.contains("3 in-sync"), "{script}: {ended:?}"),
            "validate" => assert_eq!(ended.err.lines().count(), 1, "{script}: {ended:?}"),
            other => panic!("no check of {other}"),
        }
        ran.push(subcommand);
    }
    ran.sort();
    ran.dedup();
    assert_eq!(ran, ["import", "plan", "snapshot", "validate"]);
    let journal = gateway.journal();
    assert!(
        journal.iter().all(|entry| entry.method == "GET"),
        "{journal:#?}"
    );
}

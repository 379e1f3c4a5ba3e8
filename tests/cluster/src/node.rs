//! The node: its parts as processes, its name server. Their settings are in `settings`, what runs on it in `images`,
//! what is done with it in `scenarios`.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rig::{AuditLog, Kubectl, Tied, until};

use crate::failure::{Failure, Result};
use crate::settings::{self, CONTAINERD};
use crate::{images, shell};

/// Enough for anything on a busy machine; what takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A running node. It ends with its namespaces.
pub(crate) struct Node {
    folder: PathBuf,
    parts: Mutex<BTreeMap<&'static str, Tied>>,
    kubectl: Kubectl,
}

impl Node {
    /// Starts one, with nothing installed but the name server.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let begun = Instant::now();
        settings::write(folder)?;
        let kubeconfig = settings::kubeconfig(folder, "admin");
        let node = Self {
            folder: folder.to_owned(),
            parts: Mutex::default(),
            kubectl: Kubectl::new(program("kubectl"), kubeconfig, &settings::state(folder)),
        };
        node.start_part("etcd", &settings::etcd(folder))?;
        node.start_containerd()?;
        node.listens("etcd", 2379).await?;
        node.start_part("kube-apiserver", &settings::api_server(folder))?;
        node.containerd_answers().await?;
        images::import(&settings::state(folder))?;
        node.until("the API server to be ready", async || {
            node.kubectl.run(&["get", "--raw", "/readyz"]).await
        })
        .await?;
        node.start_part("kubelet", &settings::kubelet_flags(folder))?;
        node.start_part(
            "kube-controller-manager",
            &settings::controller_manager(folder),
        )?;
        node.start_part("kube-scheduler", &settings::scheduler(folder))?;
        let proxy = settings::state(folder).join("kube-proxy.yaml");
        node.start_part("kube-proxy", &[format!("--config={}", proxy.display())])?;
        node.become_ready().await?;
        println!(
            "the node is Ready after {:.1} s",
            begun.elapsed().as_secs_f32()
        );
        Ok(node)
    }

    /// `kubectl` with all rights.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Everything that was asked of the API server.
    pub(crate) fn audit(&self) -> Result<AuditLog> {
        Ok(AuditLog::read(
            &settings::audit_log(&self.folder),
            rig::Mark::default(),
        )?)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        settings::kubeconfig(&self.folder, "admin")
    }

    /// A folder that is gone with the node.
    pub(crate) fn state(&self) -> PathBuf {
        settings::state(&self.folder)
    }

    /// Kills containerd and starts it again; containers live on without it.
    pub(crate) async fn restart_containerd(&self) -> Result {
        // Dropping kills.
        drop(self.parts().remove("containerd"));
        self.start_containerd()?;
        self.containerd_answers().await
    }

    /// Waits for it, unless a part of the node has ended.
    pub(crate) async fn until<T, S: std::fmt::Display>(
        &self,
        what: &str,
        mut probe: impl AsyncFnMut() -> std::result::Result<T, S>,
    ) -> Result<T> {
        let answer = until(PATIENCE, what, async || {
            // The inner failure ends the wait.
            match (probe().await, self.ended()) {
                (Ok(answer), _) => Ok(Ok(answer)),
                (Err(_), Some(ended)) => Ok(Err(Failure::new(format!("{what}: {ended}")))),
                (Err(seen), None) => Err(seen),
            }
        });
        answer.await?
    }

    fn start_containerd(&self) -> Result {
        let config = settings::state(&self.folder).join("containerd.toml");
        self.start_part("containerd", &[format!("--config={}", config.display())])
    }

    fn start_part(&self, name: &'static str, args: &[String]) -> Result {
        let mut command = Command::new(program(name));
        command.args(args).env("HOME", self.state()).env(
            "PATH",
            // The shim and runc are looked for there.
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin().display()),
        );
        let log = settings::logs(&self.folder).join(format!("{name}.log"));
        self.parts().insert(name, Tied::start(&command, &log)?);
        Ok(())
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Tied>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part that has ended though it should not have, with the end of its output.
    fn ended(&self) -> Option<String> {
        self.parts().iter().find_map(|(name, part)| {
            let status = part.ended().ok().flatten()?;
            let log = settings::logs(&self.folder).join(format!("{name}.log"));
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(10)..].join("\n");
            Some(format!("{name} has ended ({status}):\n{end}"))
        })
    }

    async fn listens(&self, what: &str, port: u16) -> Result {
        self.until(what, async || TcpStream::connect(("127.0.0.1", port)))
            .await
            .map(drop)
    }

    async fn containerd_answers(&self) -> Result {
        self.until("containerd to answer", async || {
            ctr(&["version"]).map_err(|failure| failure.to_string())
        })
        .await
        .map(drop)
    }

    async fn become_ready(&self) -> Result {
        let manifest = include_str!("../manifests/coredns.yaml");
        self.kubectl.apply("kube-system", manifest).await?;
        self.listens("kube-proxy", 10256).await?;
        self.until("the node to register", async || {
            self.kubectl.run(&["get", "node", settings::NODE]).await
        })
        .await?;
        self.kubectl
            .run(&[
                "wait",
                "node",
                settings::NODE,
                "--for=condition=Ready",
                "--timeout=110s",
            ])
            .await?;
        self.rolled_out("kube-system", "coredns").await
    }

    /// Waits until the Deployment is as it should be.
    pub(crate) async fn rolled_out(&self, namespace: &str, deployment: &str) -> Result {
        let deployment = format!("deployment/{deployment}");
        let reported = self
            .kubectl
            .run(&[
                "-n",
                namespace,
                "rollout",
                "status",
                &deployment,
                "--timeout=110s",
            ])
            .await;
        if let Err(error) = reported {
            let pods = self
                .kubectl
                .run(&["-n", namespace, "describe", "pods"])
                .await;
            let pods = pods.unwrap_or_default();
            return Err(Failure::new(format!("{error}\n{pods}")));
        }
        Ok(())
    }
}

/// Where a shell finds `kubectl` and the others, first of all.
pub(crate) fn search_path() -> String {
    let kubectl = program("kubectl");
    let folder = kubectl.parent().unwrap_or(Path::new("/")).display();
    let others = std::env::var("PATH").unwrap_or_default();
    format!("{folder}:{}:{others}", bin().display())
}

/// containerd's own client.
pub(crate) fn ctr(args: &[&str]) -> Result<String> {
    let ctr = program("ctr").display().to_string();
    shell::run(&ctr, &[&["-a", CONTAINERD], args].concat())
}

/// Where `tests/cluster/build.sh` leaves what it builds.
pub(crate) fn bin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bin")
}

/// Where cargo left this program, and with it the others of the workspace.
pub(crate) fn built() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().map(Path::to_path_buf);
    folder.ok_or_else(|| Failure::new("this program is in no folder"))
}

/// A part of the node: of the control plane that all tests use, or of this one alone.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = bin().join(name);
    if own.is_file() {
        return own;
    }
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    assets
        .map(|folder| folder.join(name))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| {
            let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controlplane/bin");
            tests.join(name)
        })
}

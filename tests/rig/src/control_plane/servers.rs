//! Runs etcd and kube-apiserver: ports, flags, keys, readiness, restart. What is put into the cluster is not decided
//! here.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit;
use crate::binaries::Binaries;
use crate::error::{RigError, tail};
use crate::folder::Folder;
use crate::kubeconfig;
use crate::kubectl::Kubectl;
use crate::ports;
use crate::tied::Tied;
use crate::wait::{Timeout, until_blocking};

/// Usually 3 s; a cold page cache and busy neighbours multiply that.
const READY_WITHIN: Duration = Duration::from_mins(2);
const ATTEMPTS: u32 = 5;
const PORT_TAKEN: &str = "address already in use";

/// Both processes and where their files are.
#[derive(Debug)]
pub(crate) struct Servers {
    // Before etcd: the one that asks ends before the one that answers.
    api_server: Mutex<Option<Tied>>,
    etcd: Mutex<Option<Tied>>,
    ports: Ports,
    binaries: Binaries,
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    peers: u16,
    api_server: u16,
}

impl Servers {
    /// Starts both in a new folder and waits until the API server is ready; with other ports if these get lost.
    pub(crate) fn start(binaries: &Binaries) -> Result<(Self, Folder), RigError> {
        for _ in 0..ATTEMPTS {
            let [etcd, peers, api_server] = ports::free().ok_or(RigError::Ports { attempts: 1 })?;
            let folder = Folder::new("rig-control-plane-")?;
            prepare(&folder)?;
            let ports = Ports {
                etcd,
                peers,
                api_server,
            };
            match Self::start_on(ports, binaries, folder.path()) {
                Err(RigError::Ended { log, .. }) if log.contains(PORT_TAKEN) => {}
                started => return Ok((started?, folder)),
            }
        }
        Err(RigError::Ports { attempts: ATTEMPTS })
    }

    fn start_on(ports: Ports, binaries: &Binaries, folder: &Path) -> Result<Self, RigError> {
        let etcd = start_etcd(ports, binaries, folder)?;
        let new = Self {
            api_server: Mutex::new(None),
            etcd: Mutex::new(Some(etcd)),
            ports,
            binaries: binaries.clone(),
            folder: folder.to_path_buf(),
        };
        new.wait_for_etcd()?;
        kubeconfig::write(
            &new.admin_kubeconfig(),
            &new.url(),
            Some(&new.authority()),
            &new.admin_token()?,
            "default",
        )?;
        new.try_api_server()?;
        Ok(new)
    }

    /// Starts the API server again; nothing happens if it runs.
    pub(crate) fn start_api_server(&self) -> Result<(), RigError> {
        for _ in 0..ATTEMPTS {
            match self.try_api_server() {
                // Another process had the port for a moment while the API server was down; clients know no other.
                Err(RigError::Ended { log, .. }) if log.contains(PORT_TAKEN) => {}
                tried => return tried,
            }
        }
        Err(RigError::Ports { attempts: ATTEMPTS })
    }

    fn try_api_server(&self) -> Result<(), RigError> {
        let mut place = self.api_server();
        if place.is_none() {
            let started = Tied::start(&self.api_server_command(), &self.log("kube-apiserver"))?;
            self.wait_for_api_server(&started)?;
            *place = Some(started);
        }
        Ok(())
    }

    pub(crate) fn stop_api_server(&self) -> Result<(), RigError> {
        self.api_server()
            .take()
            .map_or(Ok(()), |running| running.kill())
    }

    /// Keeps what etcd has stored, for [`Servers::restore`]. Both servers are down meanwhile.
    pub(crate) fn snapshot(&self) -> Result<(), RigError> {
        self.while_down(copy_folder)
    }

    /// Puts etcd back to where it was at the snapshot, under the same name and ports. Both servers are down meanwhile.
    pub(crate) fn restore(&self) -> Result<(), RigError> {
        self.while_down(|data, kept| {
            std::fs::remove_dir_all(data)?;
            copy_folder(kept, data)
        })
    }

    fn while_down(
        &self,
        change: impl FnOnce(&Path, &Path) -> std::io::Result<()>,
    ) -> Result<(), RigError> {
        self.stop_api_server()?;
        let mut etcd = self.etcd();
        etcd.take().map_or(Ok(()), |running| running.kill())?;
        let [data, kept] = ["etcd", "etcd-snapshot"].map(|name| self.folder.join(name));
        change(&data, &kept).map_err(RigError::io("copy the data of etcd".to_owned()))?;
        *etcd = Some(start_etcd(self.ports, &self.binaries, &self.folder)?);
        drop(etcd);
        self.wait_for_etcd()?;
        self.start_api_server()
    }

    pub(crate) fn process_ids(&self) -> Vec<u32> {
        let [etcd, api_server] =
            [self.etcd(), self.api_server()].map(|one| one.as_ref().map(Tied::id));
        etcd.into_iter().chain(api_server).collect()
    }

    fn etcd(&self) -> MutexGuard<'_, Option<Tied>> {
        self.etcd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn etcd_still_runs(&self) -> Result<(), RigError> {
        match &*self.etcd() {
            Some(etcd) => self.still_runs("etcd", etcd),
            None => Ok(()),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    pub(crate) fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.etcd)
    }

    pub(crate) fn admin_token(&self) -> Result<String, RigError> {
        self.read("admin-token")
    }

    /// The certificate clients trust: the API server makes it, and an authority of its own for it, at its first start.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("keys/apiserver.crt")
    }

    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    pub(crate) fn late(&self, timeout: Timeout) -> RigError {
        RigError::Late {
            timeout,
            log: tail(&self.log("kube-apiserver"), 20),
        }
    }

    fn api_server(&self) -> MutexGuard<'_, Option<Tied>> {
        self.api_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    fn read(&self, name: &str) -> Result<String, RigError> {
        std::fs::read_to_string(self.folder.join(name))
            .map_err(RigError::io(format!("read {name}")))
    }

    fn still_runs(&self, what: &'static str, process: &Tied) -> Result<(), RigError> {
        match process.ended()? {
            None => Ok(()),
            Some(status) => Err(RigError::Ended {
                what,
                status,
                log: tail(&self.log(what), 20),
            }),
        }
    }

    fn wait_for_etcd(&self) -> Result<(), RigError> {
        let answered = until_blocking(READY_WITHIN, "etcd to listen", || {
            self.etcd_still_runs()?;
            Ok::<_, RigError>(
                TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.etcd))
                    .map_err(|error| error.to_string()),
            )
        })?;
        answered.map(drop).map_err(|timeout| RigError::Late {
            timeout,
            log: tail(&self.log("etcd"), 20),
        })
    }

    fn wait_for_api_server(&self, process: &Tied) -> Result<(), RigError> {
        // Our own kubeconfig: another control plane on that port would not know its token, nor have its certificate.
        let kubectl = Kubectl::new(
            self.binaries.path("kubectl"),
            self.admin_kubeconfig(),
            &self.folder,
        );
        let ready = until_blocking(READY_WITHIN, "the API server to be ready", || {
            // If our etcd lost its port to another one, that one may have answered so far.
            self.etcd_still_runs()?;
            self.still_runs("kube-apiserver", process)?;
            let answer = kubectl.run_blocking(&["get", "--raw", "/readyz", "--request-timeout=5s"]);
            Ok::<_, RigError>(answer.map_err(|error| error.to_string()))
        })?;
        ready.map(drop).map_err(|timeout| self.late(timeout))
    }

    fn api_server_command(&self) -> Command {
        let file = |name: &str| self.folder.join(name).display().to_string();
        // The key made for TLS also signs tokens: nothing here runs long enough for a difference.
        let key = file("keys/apiserver.key");
        let mut command = Command::new(self.binaries.path("kube-apiserver"));
        command.args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.api_server),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            // A loopback address may not be published as an endpoint, and none is needed here.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={}", file("keys")),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={key}"),
            format!("--service-account-signing-key-file={key}"),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // It would wait for ServiceAccounts that only a controller makes.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            format!("--audit-policy-file={}", file("audit-policy.yaml")),
            format!("--audit-log-path={}", self.audit_log().display()),
            // Written before the answer ends, in one file: counts are exact.
            "--audit-log-mode=blocking".to_owned(),
            "--audit-log-maxsize=10000".to_owned(),
        ]);
        command
    }
}

/// Copies a folder and what is in it.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn start_etcd(ports: Ports, binaries: &Binaries, folder: &Path) -> Result<Tied, RigError> {
    let clients = format!("http://127.0.0.1:{}", ports.etcd);
    let peers = format!("http://127.0.0.1:{}", ports.peers);
    let mut command = Command::new(binaries.path("etcd"));
    command.args([
        "--name=rig".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=rig={peers}"),
        // Nothing here has to survive a power cut.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    Tied::start(&command, &folder.join("etcd.log"))
}

/// Writes what the API server reads: the audit policy and an administrator's token of this control plane alone.
fn prepare(folder: &Folder) -> Result<(), RigError> {
    let token = random_token().map_err(RigError::io("read random bytes"))?;
    let files = [
        ("audit-policy.yaml", audit::POLICY.to_owned()),
        (
            "tokens.csv",
            format!("{token},admin,admin,system:masters\n"),
        ),
        ("admin-token", token),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).map_err(RigError::io(format!("write {name}")))?;
    }
    Ok(())
}

fn random_token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::net::TcpListener;

    use super::*;

    /// What comes of a start when another process has the port that `take` chooses.
    fn log_of_a_start_without(take: impl Fn(Ports) -> u16) -> String {
        let binaries = Binaries::find().unwrap();
        let [etcd, peers, api_server] = ports::free().unwrap();
        let ports = Ports {
            etcd,
            peers,
            api_server,
        };
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, take(ports))).unwrap();
        let folder = Folder::new("rig-test-ports-").unwrap();
        prepare(&folder).unwrap();
        match Servers::start_on(ports, &binaries, folder.path()).unwrap_err() {
            RigError::Ended { log, .. } => log,
            error => panic!("{error}"),
        }
    }

    #[test]
    fn a_port_lost_to_another_process_is_recognised() {
        for take in [
            |ports: Ports| ports.etcd,
            |ports: Ports| ports.peers,
            |ports: Ports| ports.api_server,
        ] {
            let log = log_of_a_start_without(take);
            assert!(log.contains(PORT_TAKEN), "{log}");
        }
    }
}

//! A Kubernetes API of one's own: etcd and kube-apiserver with RBAC, the repository's CRDs and `deploy/` applied, and a
//! real token for the operator's `ServiceAccount`. There are no controllers: a Deployment makes no Pods, a deleted
//! namespace stays Terminating, nothing is garbage-collected.
//!
//! This file has what is installed and how it is reached; `servers` runs the two processes.

mod servers;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::{AuditLog, Mark};
use crate::binaries::{Binaries, repository};
use crate::error::RigError;
use crate::folder::Folder;
use crate::kubeconfig;
use crate::kubectl::{Kubectl, KubectlError};
use crate::rest::Rest;
use crate::wait::until_blocking;
use servers::Servers;

/// The namespace `deploy/` makes.
pub const OPERATOR_NAMESPACE: &str = "fireworks-system";
/// The `ServiceAccount` `deploy/` makes there.
pub const OPERATOR_ACCOUNT: &str = "fireworks-user-operator";
/// That `ServiceAccount`'s user name, as the audit log shows it.
pub const OPERATOR_USER: &str = "system:serviceaccount:fireworks-system:fireworks-user-operator";

/// What a new control plane is given.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder of CRD manifests to apply and wait for.
    pub crds: Option<PathBuf>,
    /// A kustomize base to apply; it has to make the operator's namespace and `ServiceAccount`.
    pub deploy: Option<PathBuf>,
}

impl Default for Options {
    /// The repository's `crds/`, and its `deploy/` if that is a kustomize base.
    fn default() -> Self {
        let repository = repository();
        let deploy = repository.join("deploy");
        Self {
            crds: Some(repository.join("crds")),
            deploy: deploy
                .join("kustomization.yaml")
                .is_file()
                .then_some(deploy),
        }
    }
}

impl Options {
    /// An empty Kubernetes API.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            crds: None,
            deploy: None,
        }
    }
}

/// A running control plane. Dropping it ends it; so does the end of this process.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the folder: what writes there ends first.
    servers: Arc<Servers>,
    kubectl: Kubectl,
    admin_kubeconfig: PathBuf,
    operator_kubeconfig: Option<PathBuf>,
    folder: Arc<Folder>,
}

impl ControlPlane {
    /// Starts one. Takes some 4 s, during which the calling thread waits.
    ///
    /// # Errors
    /// If a binary is missing, a server does not become ready, or a manifest is refused. The error holds the end of
    /// the log.
    pub fn start(options: &Options) -> Result<Self, RigError> {
        let binaries = Binaries::find()?;
        let (servers, folder) = Servers::start(&binaries)?;
        let admin_kubeconfig = servers.admin_kubeconfig();
        let kubectl = Kubectl::new(
            binaries.path("kubectl"),
            admin_kubeconfig.clone(),
            folder.path(),
        );
        let mut new = Self {
            servers: Arc::new(servers),
            kubectl,
            admin_kubeconfig,
            operator_kubeconfig: None,
            folder: Arc::new(folder),
        };
        if let Some(crds) = &options.crds {
            new.install_crds(crds)?;
        }
        if let Some(deploy) = &options.deploy {
            new.kubectl
                .run_blocking(&["apply", "-k", &deploy.to_string_lossy()])?;
            let token = new
                .kubectl
                .run_blocking(&token_request(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT))?;
            new.operator_kubeconfig =
                Some(new.write_kubeconfig(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT, &token)?);
        }
        Ok(new)
    }

    /// The one control plane of this process, with [`Options::default`]; the first caller starts it and the others
    /// wait for that. It ends with the process. If any thread has panicked by then, its folder stays.
    ///
    /// # Errors
    /// As [`ControlPlane::start`]; it is not tried again.
    pub fn shared() -> Result<&'static Self, &'static RigError> {
        static SHARED: OnceLock<Result<ControlPlane, RigError>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let started = Self::start(&Options::default())?;
            let folder = Arc::clone(&started.folder);
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                folder.keep();
                previous(panic);
            }));
            Ok(started)
        });
        shared.as_ref()
    }

    /// The address of the API server, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.servers.url()
    }

    /// The file of certificates by which the API server is known.
    pub(crate) fn authority(&self) -> PathBuf {
        self.servers.authority()
    }

    /// Its folder: `kube-apiserver.log`, `etcd.log`, `audit.log`, and a test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder after the end of this process and returns where it is.
    pub fn keep_folder(&self) {
        self.folder.keep();
    }

    /// The process ids of etcd and, while it runs, the API server.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.servers.process_ids()
    }

    /// A kubeconfig with all rights.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// A kubeconfig with a token of the operator's own `ServiceAccount` and so with the rights `deploy/` gives it.
    ///
    /// # Errors
    /// If this control plane was started without `deploy/`.
    pub fn operator_kubeconfig(&self) -> Result<&Path, RigError> {
        self.operator_kubeconfig
            .as_deref()
            .ok_or(RigError::NotThere(
                "no operator kubeconfig: this control plane was started without deploy/",
            ))
    }

    /// Takes a token for an existing `ServiceAccount` (`TokenRequest`, valid for a day) and writes a kubeconfig with it. As in
    /// its Pod, requests that name no namespace go to its own.
    ///
    /// # Errors
    /// If there is no such `ServiceAccount` or the file cannot be written.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf, RigError> {
        let token = self.kubectl.run(&token_request(namespace, account)).await?;
        self.write_kubeconfig(namespace, account, &token)
    }

    /// `kubectl` with all rights.
    #[must_use]
    pub fn admin(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The API by plain HTTP with all rights. What one thread asks shares its connections.
    ///
    /// # Errors
    /// If its certificate or its token cannot be read.
    pub fn rest(&self) -> Result<Rest, RigError> {
        thread_local! {
            // Not of the process: a connection ends with the runtime that has made it, and each test has its own.
            static OF_THREAD: RefCell<HashMap<String, Rest>> = RefCell::default();
        }
        let url = self.url();
        if let Some(rest) = OF_THREAD.with_borrow(|rests| rests.get(&url).cloned()) {
            return Ok(rest);
        }
        let rest = Rest::new(url.clone(), &self.authority(), self.servers.admin_token()?)?;
        OF_THREAD.with_borrow_mut(|rests| rests.insert(url, rest.clone()));
        Ok(rest)
    }

    /// Makes etcd forget how anything came to be as it is now, so that no watch can start from before.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub async fn compact(&self) -> Result<(), RigError> {
        let etcd = Rest::new(self.servers.etcd_url(), &self.authority(), String::new())?;
        let all = json!({"key": "AA==", "range_end": "AA==", "count_only": true});
        let (_, answer) = etcd.send("POST", "/v3/kv/range", Some(&all)).await?;
        let upto = json!({"revision": answer["header"]["revision"], "physical": true});
        let (status, answer) = etcd.send("POST", "/v3/kv/compaction", Some(&upto)).await?;
        match status {
            200 => Ok(()),
            status => Err(RigError::Answer {
                what: "compact etcd".to_owned(),
                why: format!("{status}: {answer}"),
            }),
        }
    }

    /// Runs `kubectl` with all rights: [`Kubectl::run`].
    ///
    /// # Errors
    /// If it fails.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String, KubectlError> {
        self.kubectl.run(args).await
    }

    /// Applies manifests with all rights: [`Kubectl::apply`].
    ///
    /// # Errors
    /// If the API server refuses one.
    pub async fn apply_yaml(&self, namespace: &str, yaml: &str) -> Result<String, KubectlError> {
        self.kubectl.apply(namespace, yaml).await
    }

    /// Gets objects with all rights: [`Kubectl::get_json`].
    ///
    /// # Errors
    /// If `kubectl` fails or its output is no JSON.
    pub async fn get_json(&self, args: &[&str]) -> Result<Value, RigError> {
        self.kubectl.get_json(args).await
    }

    /// Makes a namespace whose name starts with `prefix` and was never used in this control plane.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String, RigError> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let namespace = json!({"metadata": {"name": name}});
        let rest = self.rest()?;
        let created = rest.send("POST", "/api/v1/namespaces", Some(&namespace));
        match created.await? {
            (201, _) => Ok(name),
            (status, answer) => Err(RigError::Answer {
                what: format!("create the namespace {name}"),
                why: format!("{status}: {answer}"),
            }),
        }
    }

    /// The place in the audit log up to which everything has been logged.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn audit_mark(&self) -> Result<Mark, RigError> {
        AuditLog::end(&self.servers.audit_log())
    }

    /// What was asked of the API server since `mark`, by any client but itself. A request is logged before
    /// its answer is complete, so one whose effect was seen is there (an answer of many KiB may be ahead by a moment).
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn audit_since(&self, mark: Mark) -> Result<AuditLog, RigError> {
        AuditLog::read(&self.servers.audit_log(), mark)
    }

    /// Everything that was asked of the API server, by any client but itself.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn audit(&self) -> Result<AuditLog, RigError> {
        self.audit_since(Mark::default())
    }

    /// Kills the API server (SIGKILL). Not for a control plane that is shared.
    ///
    /// # Errors
    /// If the operating system does not let us.
    pub fn stop_api_server(&self) -> Result<(), RigError> {
        self.servers.stop_api_server()
    }

    /// Starts the API server again, on its port, keys and data, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready in time.
    pub async fn start_api_server(&self) -> Result<(), RigError> {
        self.with_servers("start the API server", Servers::start_api_server)
            .await
    }

    /// Keeps what etcd has stored, for [`ControlPlane::restore`]. Both servers are down meanwhile. Not for a control plane
    /// that is shared.
    ///
    /// # Errors
    /// If a server does not end or start, or its data cannot be copied.
    pub async fn snapshot(&self) -> Result<(), RigError> {
        self.with_servers("take a snapshot", Servers::snapshot)
            .await
    }

    /// Puts etcd back to where it was at the snapshot, as an administrator does after the loss of a cluster.
    ///
    /// # Errors
    /// As [`ControlPlane::snapshot`].
    pub async fn restore(&self) -> Result<(), RigError> {
        self.with_servers("restore", Servers::restore).await
    }

    async fn with_servers(
        &self,
        what: &str,
        change: impl FnOnce(&Servers) -> Result<(), RigError> + Send + 'static,
    ) -> Result<(), RigError> {
        let servers = Arc::clone(&self.servers);
        let changed = tokio::task::spawn_blocking(move || change(&servers)).await;
        changed.map_err(|error| RigError::Answer {
            what: what.to_owned(),
            why: error.to_string(),
        })?
    }

    /// Applies every manifest of the folder, waits until its kinds are served, and makes `kubectl` discover them.
    fn install_crds(&self, folder: &Path) -> Result<(), RigError> {
        let files = manifests(folder)?;
        if files.is_empty() {
            return Ok(());
        }
        let files: Vec<&str> = files.iter().flat_map(|file| ["-f", file]).collect();
        self.kubectl
            .run_blocking(&[&["apply"], &files[..]].concat())?;
        self.kubectl.run_blocking(
            &[
                &["wait", "--for=condition=Established", "--timeout=30s"],
                &files[..],
            ]
            .concat(),
        )?;
        let names = self.kubectl.run_blocking(
            &[
                &[
                    "get",
                    "-o",
                    "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}{.metadata.name}",
                ],
                &files[..],
            ]
            .concat(),
        )?;
        for kind in names.split_whitespace() {
            let served = until_blocking(
                Duration::from_secs(30),
                &format!("the API server to serve {kind}"),
                || {
                    self.kubectl.forget_discovery();
                    Ok::<_, RigError>(
                        self.kubectl
                            .run_blocking(&["get", kind, "-A"])
                            .map_err(|error| error.to_string()),
                    )
                },
            )?;
            served.map_err(|timeout| self.servers.late(timeout))?;
        }
        Ok(())
    }

    fn write_kubeconfig(
        &self,
        namespace: &str,
        account: &str,
        token: &str,
    ) -> Result<PathBuf, RigError> {
        let path = self
            .folder
            .join(&format!("{namespace}.{account}.kubeconfig"));
        kubeconfig::write(
            &path,
            &self.url(),
            Some(&self.servers.authority()),
            token.trim(),
            namespace,
        )?;
        Ok(path)
    }
}

fn token_request<'a>(namespace: &'a str, account: &'a str) -> [&'a str; 6] {
    [
        "create",
        "token",
        account,
        "--namespace",
        namespace,
        "--duration=24h",
    ]
}

/// The YAML files of the folder that are manifests.
fn manifests(folder: &Path) -> Result<Vec<String>, RigError> {
    let failed = || format!("list the manifests in {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(RigError::io(failed()))? {
        let path = entry.map_err(RigError::io(failed()))?.path();
        let yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml");
        // kustomize's own file is no manifest.
        if yaml && path.file_stem().is_some_and(|stem| stem != "kustomization") {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

//! What everything is measured on: a real control plane, the programs as released, and how they are started. Measures
//! nothing.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fireworks_gateway_simulator::settings::TEST_KEY;
use rig::control_plane::OPERATOR_USER;
use rig::{ControlPlane, Mark, OperatorOptions, OperatorProcess, Requests, Rest, Tied, until};
use serde_json::json;

use crate::broken::{Broken, Sound, ensure};
use crate::gateway::{ACCOUNT, Gateway};
use crate::process::{self, Taken};

/// What most waits are bounded by: far above what anything takes.
pub(crate) const LONG: Duration = Duration::from_mins(20);

/// The operator's metric of statuses that it wrote because everything had become as declared.
pub(crate) const CONVERGED: &str = "status_writes_total{reason=\"InSync\"}";

/// Between two looks at a metric, where nobody minds to know it so much later.
const SELDOM: Duration = Duration::from_millis(500);

/// The built programs.
pub(crate) struct Programs {
    pub(crate) operator: PathBuf,
    pub(crate) naive: PathBuf,
    pub(crate) simulator: PathBuf,
}

/// The control plane and the programs.
pub(crate) struct World {
    pub(crate) plane: ControlPlane,
    pub(crate) rest: Rest,
    pub(crate) programs: Programs,
    /// The file with the API key.
    key: PathBuf,
}

/// How an operator is started.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) namespaces: &'a [&'a str],
    pub(crate) gateway: &'a Gateway,
    pub(crate) arguments: &'a [&'a str],
}

/// The operator, running.
pub(crate) struct Operator {
    process: OperatorProcess,
}

impl World {
    /// Starts the control plane.
    pub(crate) async fn start(programs: Programs) -> Sound<Self> {
        for program in [&programs.operator, &programs.naive, &programs.simulator] {
            ensure(program.is_file(), || {
                format!("{} is not built: run `make bench`", program.display())
            })?;
        }
        let started = tokio::task::spawn_blocking(|| ControlPlane::start(&rig::Options::default()));
        let plane = started.await??;
        let rest = plane.rest()?;
        let key = plane.folder().join("api-key");
        std::fs::write(&key, TEST_KEY)?;
        Ok(Self {
            plane,
            rest,
            programs,
            key,
        })
    }

    /// Makes a namespace.
    pub(crate) async fn namespace(&self, name: &str) -> Sound<()> {
        let body = json!({"metadata": {"name": name}});
        let made = self
            .rest
            .send("POST", "/api/v1/namespaces", Some(&body))
            .await?;
        ensure(made.0 == 201, || format!("namespace {name}: {}", made.1))
    }

    /// An account with so many users.
    pub(crate) async fn account(&self, users: usize, arguments: &[&str]) -> Sound<Gateway> {
        let folder = self.plane.folder();
        Gateway::start(&self.programs.simulator, folder, users, arguments).await
    }

    /// Starts the operator under the rights that `deploy/` gives it, its key in a file as in a Pod.
    pub(crate) async fn operator(&self, start: Start<'_>) -> Sound<Operator> {
        let namespaces = start.namespaces.iter();
        let options = OperatorOptions::new(&self.programs.operator)
            .kubeconfig(self.plane.operator_kubeconfig()?)
            .env("FIREWORKS_BASE_URL", start.gateway.url())
            .env("FIREWORKS_ACCOUNT_ID", ACCOUNT)
            .env("FIREWORKS_API_KEY_FILE", self.key.display())
            .args(namespaces.flat_map(|name| ["--namespace", name]))
            .args(start.arguments);
        let process = OperatorProcess::spawn(&options).await?;
        Ok(Operator { process })
    }

    /// Starts the baseline.
    pub(crate) fn naive(&self, namespace: &str, gateway: &Gateway) -> Sound<Tied> {
        let mut command = Command::new(&self.programs.naive);
        command
            .args(["--namespace", namespace])
            .env("KUBECONFIG", self.plane.admin_kubeconfig())
            .env("HOME", self.plane.folder())
            .env("FIREWORKS_BASE_URL", gateway.url())
            .env("FIREWORKS_ACCOUNT_ID", ACCOUNT)
            .env("FIREWORKS_API_KEY", TEST_KEY);
        Ok(Tied::start(
            &command,
            &self.plane.folder().join("naive.log"),
        )?)
    }

    /// A place in the audit log.
    pub(crate) fn mark(&self) -> Sound<Mark> {
        Ok(self.plane.audit_mark()?)
    }

    /// Since then, the operator's status writes in that namespace, and its other writes: Events.
    pub(crate) fn writes_since(&self, mark: Mark, namespace: &str) -> Sound<(usize, usize)> {
        let log = self.plane.audit_since(mark)?;
        let all = Requests::any()
            .by(OPERATOR_USER)
            .writes()
            .namespace(namespace);
        let status = log.count(&all.clone().of("fireworksusers/status"));
        Ok((status, log.count(&all) - status))
    }
}

impl Operator {
    /// What it takes of the machine.
    pub(crate) fn taken(&self) -> Sound<Taken> {
        process::taken(self.process.id())
    }

    /// The sum of its metrics whose names begin so, as it tells.
    pub(crate) async fn metric(&self, series: &str) -> Sound<f64> {
        let (_, text) = self.process.admin_get("/metrics").await?;
        let name = format!("fireworks_user_operator_{series}");
        let values = text.lines().filter_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            found
                .starts_with(&name)
                .then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum::<f64>())
    }

    /// Waits until one of its metrics has come that far.
    pub(crate) async fn until_metric(&self, series: &str, least: f64) -> Sound<()> {
        let reached = until(LONG, series, || self.reaches(series, least));
        Ok(reached.await?)
    }

    /// The same, asked for seldom: each answer costs the operator something, which is to be no part of what is measured.
    pub(crate) async fn until_metric_seldom(&self, series: &str, least: f64) -> Sound<()> {
        let reached = until(LONG, series, async || {
            tokio::time::sleep(SELDOM).await;
            self.reaches(series, least).await
        });
        Ok(reached.await?)
    }

    async fn reaches(&self, series: &str, least: f64) -> Result<(), String> {
        match self.metric(series).await {
            Ok(value) if value >= least => Ok(()),
            Ok(value) => Err(format!("{value} of {least}")),
            Err(broken) => Err(broken.to_string()),
        }
    }

    /// Waits until it serves.
    pub(crate) async fn until_ready(&self) -> Sound<()> {
        let ready = until(LONG, "the operator to be ready", async || {
            match self.process.admin_get("/readyz").await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        Ok(ready.await?)
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(self) -> Sound<()> {
        self.process.terminate()?;
        let exit = self.process.wait_exit(Duration::from_mins(1)).await?;
        if exit.status.success() {
            Ok(())
        } else {
            Err(Broken::new(format!("the operator ended: {}", exit.status)))
        }
    }
}

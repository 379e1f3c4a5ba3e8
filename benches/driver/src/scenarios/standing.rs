//! Objects in sync, and nothing to do: what a start with them costs, and what keeping them costs.

use std::time::{Duration, Instant};

use fireworks_gateway_simulator::{Entry, User};
use rig::until;

use crate::broken::Sound;
use crate::figures::{Figures, Must, median, whole};
use crate::gateway::Gateway;
use crate::load;
use crate::process::Taken;
use crate::sweeps::{calls_per_minute, calls_per_sweep};
use crate::world::{LONG, Operator, Start, World};

/// Fast enough for a first look at many users.
const UNHURRIED: [&str; 4] = ["--requests-per-minute", "6000", "--settle-window", "1s"];

/// What is promised of so many objects.
pub(crate) struct Promise {
    pub(crate) objects: usize,
    /// MiB.
    pub(crate) rss: Option<f64>,
    /// Of one sweep.
    pub(crate) calls: usize,
    /// Seconds until all are compared after a start.
    pub(crate) start: Option<f64>,
    /// Sweeps to look at; the time between two follows from the calls.
    pub(crate) sweeps: usize,
    pub(crate) runs: usize,
    /// Calls a minute, where the default makes the first look longer than anybody wants to watch.
    pub(crate) hurried: bool,
}

/// One account and one namespace whose objects ask for its users as they are.
pub(crate) struct Standing<'a> {
    pub(crate) world: &'a World,
    pub(crate) gateway: &'a Gateway,
    pub(crate) namespace: &'a str,
}

/// What a start with all objects in sync took.
struct Started {
    seconds: f64,
    calls: usize,
    writes: usize,
    cpu: f64,
    operator: Operator,
}

impl Standing<'_> {
    /// Adds users and their objects, and lets an operator look at them for the first time.
    pub(crate) async fn grow(&self, users: &[User]) -> Sound<()> {
        self.gateway.put_all(users).await?;
        load::create(&self.world.rest, self.namespace, users).await?;
        self.settle().await
    }

    /// Lets an operator with a large budget work until everything is Ready.
    pub(crate) async fn settle(&self) -> Sound<()> {
        let operator = self.start(&UNHURRIED).await?;
        let written = "status_writes_total{";
        let settled = until(LONG, "everything to be Ready", async || {
            let seen = async || {
                operator
                    .metric(written)
                    .await
                    .map_err(|broken| broken.to_string())
            };
            let before = seen().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            // To count so many costs the API server more than to write some.
            if seen().await? > before {
                return Err("statuses are being written".to_owned());
            }
            let counted = load::ready(&self.world.rest, self.namespace).await;
            match counted.map_err(|broken| broken.to_string())? {
                (ready, all) if ready == all => Ok(()),
                (ready, all) => Err(format!("{ready} of {all} are Ready")),
            }
        });
        settled.await?;
        operator.stop().await
    }

    /// Starts an operator for these objects.
    pub(crate) async fn start(&self, arguments: &[&str]) -> Sound<Operator> {
        let start = Start {
            namespaces: &[self.namespace],
            gateway: self.gateway,
            arguments,
        };
        self.world.operator(start).await
    }

    /// Starts again and again with all in sync, then looks at sweeps.
    pub(crate) async fn measure(&self, promise: &Promise, figures: &mut Figures) -> Sound<()> {
        let Promise { objects, runs, .. } = *promise;
        figures.about(format!("{objects} objects in sync"));
        let (mut starts, mut memory) = (Vec::new(), Vec::new());
        for run in 0..runs {
            let started = self.restart(promise).await?;
            if run + 1 == runs && promise.sweeps > 0 {
                self.sweep(promise, &started.operator, figures).await?;
            }
            memory.push(started.operator.taken()?);
            starts.push((started.seconds, started.calls, started.writes, started.cpu));
            started.operator.stop().await?;
        }
        let seconds = starts.iter().map(|start| start.0).collect();
        let must = promise.start.map_or(Must::Nothing, Must::AtMost);
        figures.add("start: until all are compared", "s", must, seconds);
        let calls = starts.iter().map(|start| whole(start.1)).collect();
        figures.add("start: calls", "", Must::Be(whole(promise.calls)), calls);
        let writes = starts.iter().map(|start| whole(start.2)).collect();
        figures.add("start: writes to Kubernetes", "", Must::Be(0.0), writes);
        let cpu: Vec<f64> = starts.iter().map(|start| start.3).collect();
        figures.add("start: CPU", "s", Must::Nothing, cpu);
        Self::tell_memory(promise, &memory, figures);
        Ok(())
    }

    fn tell_memory(promise: &Promise, memory: &[Taken], figures: &mut Figures) {
        let must = promise.rss.map_or(Must::Nothing, Must::AtMost);
        let rss: Vec<f64> = memory.iter().map(|taken| taken.rss).collect();
        let at = whole(promise.objects);
        figures.point("rss", "fireworks-user-operator", at, median(&rss));
        figures.add("RSS", "MiB", must, rss);
        let peak = memory.iter().map(|taken| taken.peak / taken.rss).collect();
        figures.add("RSS: peak / steady", "", Must::AtMost(1.3), peak);
    }

    async fn restart(&self, promise: &Promise) -> Sound<Started> {
        let (mark, seq) = (self.world.mark()?, self.gateway.last_seq().await?);
        let begun = Instant::now();
        let hurried: &[&str] = if promise.hurried { &UNHURRIED } else { &[] };
        let arguments = [hurried, &["--sweep-interval", "1s"]].concat();
        let operator = self.start(&arguments).await?;
        operator.until_ready().await?;
        let compared = "reconcile_total{result=\"unchanged\"}";
        operator
            .until_metric(compared, whole(promise.objects))
            .await?;
        let seconds = begun.elapsed().as_secs_f64();
        let (status, others) = self.world.writes_since(mark, self.namespace)?;
        Ok(Started {
            seconds,
            calls: self.gateway.calls_since(seq).await?.len(),
            writes: status + others,
            cpu: operator.taken()?.cpu,
            operator,
        })
    }

    /// Starts once, and looks at sweeps.
    pub(crate) async fn sweeps(&self, promise: &Promise, figures: &mut Figures) -> Sound<()> {
        let operator = self.restart(promise).await?.operator;
        self.sweep(promise, &operator, figures).await?;
        operator.stop().await
    }

    /// Looks at sweeps, with nothing to do besides.
    async fn sweep(
        &self,
        promise: &Promise,
        operator: &Operator,
        figures: &mut Figures,
    ) -> Sound<()> {
        let pause_ms = pause_ms(promise.calls)?;
        let (mark, seq) = (self.world.mark()?, self.gateway.last_seq().await?);
        let cpu = operator.taken()?.cpu;
        let what = format!("{} sweeps", promise.sweeps);
        let ended = until(LONG, &what, async || {
            let sweeps = self.sweeps_since(seq, pause_ms).await;
            let (calls, sweeps) = sweeps.map_err(|broken| broken.to_string())?;
            if sweeps.len() >= promise.sweeps {
                Ok((calls, sweeps))
            } else {
                Err(format!("{sweeps:?}"))
            }
        });
        let (calls, sweeps) = ended.await?;
        let cpu = operator.taken()?.cpu - cpu;
        let (status, events) = self.world.writes_since(mark, self.namespace)?;
        let counts: Vec<f64> = sweeps.iter().map(|calls| whole(*calls)).collect();
        let name = format!("sweeps looked at, {} in all: calls of each", sweeps.len());
        figures.add(name, "", Must::Be(whole(promise.calls)), counts);
        if let Some(rate) = calls_per_minute(&calls, &sweeps) {
            let name = "calls a minute, sweeping as fast as it may";
            figures.add(name, "", Must::Nothing, vec![rate]);
            let at = whole(promise.objects);
            figures.point("calls", "fireworks-user-operator", at, rate);
        }
        let none = Must::Be(0.0);
        figures.add("sweeps: status writes", "", none, vec![whole(status)]);
        figures.add("sweeps: Events", "", none, vec![whole(events)]);
        // Of few objects the sweep itself is most of it.
        if promise.objects >= 1000 {
            let per_thousand = cpu / whole(sweeps.len()) / whole(promise.objects) * 1000.0;
            let name = "a sweep: CPU per 1,000 in sync";
            figures.add(name, "s", Must::AtMost(0.03), vec![per_thousand]);
        }
        Ok(())
    }

    async fn sweeps_since(&self, seq: u64, pause_ms: i64) -> Sound<(Vec<Entry>, Vec<usize>)> {
        let calls = self.gateway.calls_since(seq).await?;
        let sweeps = calls_per_sweep(&calls, pause_ms, load::now_ms()?);
        Ok((calls, sweeps))
    }
}

/// So long a silence ends a sweep: half of the time between two, as far as anybody wants to wait for that.
fn pause_ms(calls: usize) -> Sound<i64> {
    let period = Duration::from_mins(1).mul_f64(whole(calls) / 30.0);
    let pause = (period.max(Duration::from_secs(1)) / 2).min(Duration::from_secs(5));
    Ok(i64::try_from(pause.as_millis())?)
}

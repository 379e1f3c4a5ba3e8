//! Objects in sync, and nothing to do: what a start with them costs, and what keeping them costs.

use std::time::{Duration, Instant};

use fireworks_gateway_simulator::User;
use rig::until;

use crate::broken::{Sound, ensure};
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
        let operator = self.start(&UNHURRIED).await?;
        let written = "status_writes_total{reason=\"InSync\"}";
        operator.until_metric(written, whole(users.len())).await?;
        let (ready, all) = load::ready(&self.world.rest, self.namespace).await?;
        ensure(ready == all, || format!("{ready} of {all} are Ready"))?;
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
            let started = self.restart(objects).await?;
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

    async fn restart(&self, objects: usize) -> Sound<Started> {
        let (mark, seq) = (self.world.mark()?, self.gateway.last_seq().await?);
        let begun = Instant::now();
        let operator = self.start(&["--sweep-interval", "1s"]).await?;
        operator.until_ready().await?;
        let compared = "passes_total{outcome=\"unchanged\"}";
        operator.until_metric(compared, whole(objects)).await?;
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

    /// From the beginning of one sweep to the beginning of another.
    async fn sweep(
        &self,
        promise: &Promise,
        operator: &Operator,
        figures: &mut Figures,
    ) -> Sound<()> {
        let period = sweep_period(promise.calls);
        let pause_ms = u64::try_from(period.as_millis() / 2)?;
        let (mark, seq) = (self.world.mark()?, self.gateway.last_seq().await?);
        // The end of the start may look like half a sweep.
        let first = self.sweeps_since(seq, pause_ms, 0).await?;
        let (seq, before) = (first, operator.taken()?);
        self.sweeps_since(seq, pause_ms, promise.sweeps).await?;
        let cpu = operator.taken()?.cpu - before.cpu;
        let calls = self.gateway.calls_since(seq).await?;
        let sweeps = calls_per_sweep(&calls, pause_ms);
        let (status, events) = self.world.writes_since(mark, self.namespace)?;
        let counts: Vec<f64> = sweeps.iter().map(|calls| whole(*calls)).collect();
        let name = format!("{} sweeps: calls of each", sweeps.len());
        figures.add(name, "", Must::Be(whole(promise.calls)), counts);
        if let Some(rate) = calls_per_minute(&calls, pause_ms) {
            figures.add(
                "calls a minute, sweeping as fast as it may",
                "",
                Must::Nothing,
                vec![rate],
            );
            let at = whole(promise.objects);
            figures.point("calls", "fireworks-user-operator", at, rate);
        }
        figures.add(
            "sweeps: status writes",
            "",
            Must::Be(0.0),
            vec![whole(status)],
        );
        figures.add("sweeps: Events", "", Must::Be(0.0), vec![whole(events)]);
        let per_thousand = cpu / whole(sweeps.len()) / whole(promise.objects) * 1000.0;
        // Of few objects the sweep itself is most of it.
        if promise.objects >= 1000 {
            let must = Must::AtMost(0.03);
            figures.add(
                "a sweep: CPU per 1,000 in sync",
                "s",
                must,
                vec![per_thousand],
            );
        }
        Ok(())
    }

    /// Waits until so many sweeps have ended after that call, which is seen when the next one begins; the last call
    /// before that beginning.
    async fn sweeps_since(&self, seq: u64, pause_ms: u64, count: usize) -> Sound<u64> {
        let what = format!("{count} sweeps");
        let ended = until(LONG, &what, async || {
            let calls = self.gateway.calls_since(seq).await;
            let calls = calls.map_err(|broken| broken.to_string())?;
            let sweeps = calls_per_sweep(&calls, pause_ms);
            let whole: usize = sweeps.iter().sum();
            match calls.get(whole) {
                Some(next) if sweeps.len() >= count => Ok(next.seq - 1),
                _ => Err(format!("{sweeps:?}")),
            }
        });
        Ok(ended.await?)
    }
}

/// The time between two sweeps where nothing asks for a longer one.
pub(crate) fn sweep_period(calls: usize) -> Duration {
    let stretched = Duration::from_mins(1).mul_f64(whole(calls) / 30.0);
    stretched.max(Duration::from_secs(1))
}

//! What tests do around a request: record it, stall it, panic before it, and end the process before or after it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use operator_runtime::hooks::{Hooks, Request};
use operator_runtime::log_writer::LogWriter;

use crate::crash::{Crash, Side, words};
use crate::flags::Flags;
use crate::under_way::UnderWay;

/// The hooks that the flags ask for.
pub struct TestHooks {
    /// The requests under way.
    pub under_way: UnderWay,
    crash: Option<Crash>,
    panic_on: Option<String>,
    record: Option<File>,
    stall_at: Option<PathBuf>,
}

impl TestHooks {
    /// Returns the hooks. The log is written before the process ends at a crash point.
    #[must_use]
    pub fn new(flags: &Flags, logs: LogWriter) -> Self {
        let crash_at = flags.crash_at.clone();
        let record = flags.record.as_ref();
        let append = |file| File::options().create(true).append(true).open(file).ok();
        Self {
            under_way: UnderWay::default(),
            crash: crash_at.map(|file| Crash::new(file, logs)),
            panic_on: flags.panic_on.clone(),
            record: record.and_then(append),
            stall_at: flags.stall_at.clone(),
        }
    }

    fn before(&self, request: &Request<'_>) {
        if let Some(mut file) = self.record.as_ref() {
            let line = format!("{}\n", words(request));
            // A test that misses the request names it.
            let _ = file.write_all(line.as_bytes());
        }
        self.stall();
        let is_named = |named: &String| *named == words(request);
        assert!(
            !self.panic_on.as_ref().is_some_and(is_named),
            "a test asked for this panic"
        );
    }

    /// Blocks the thread, and with it the process: every await has a deadline, so only this keeps one from its end.
    fn stall(&self) {
        let Some(file) = &self.stall_at else { return };
        if file.exists() {
            tracing::info!("a request is stalled");
        }
        while file.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn point(&self, side: Side, request: &Request<'_>) {
        if let Some(crash) = &self.crash {
            crash.point(side, request);
        }
    }
}

impl Hooks for TestHooks {
    fn around<'a>(&'a self, request: Request<'a>, sending: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        async move {
            let _under_way = self.under_way.begin();
            self.before(&request);
            self.point(Side::Before, &request);
            sending.await;
            self.point(Side::After, &request);
        }
        .boxed()
    }
}

//! Log lines on their way to stderr: buffered up to a bound and written by a thread of their own. A reader that stops
//! reading stops neither the process nor its end; lines beyond the bound are dropped and counted.
//!
//! `tracing_appender::non_blocking` bounds the number of lines and not their bytes, and where stderr is full at the end
//! its guard prints to a standard stream, which blocks.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait: some thousand lines, as a burst of changes writes them within a second.
const BUFFER_MAX: usize = 1 << 20;

/// What the buffer keeps of its memory once it is empty.
const BUFFER_KEPT: usize = 16 << 10;

/// Accepts lines and never blocks on their destination. Clones share one buffer.
#[derive(Clone, Debug, Default)]
pub struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes to `out`. The thread ends with the process.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self::default();
        let shared = writer.0.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_all_to(out))?;
        Ok(writer)
    }

    /// Returns the number of lines dropped since the start, because too many waited or because writing them failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, at most for `deadline`.
    pub fn flush_within(&self, deadline: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let state = self.0.lock();
        // Whether it timed out makes no difference: the process ends either way.
        drop(self.0.changed.wait_timeout_while(state, deadline, is_busy));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + text.len() > BUFFER_MAX {
            drop(state);
            self.count_dropped(text);
            return;
        }
        state.waiting.extend_from_slice(text);
        drop(state);
        self.changed.notify_all();
    }

    fn count_dropped(&self, text: &[u8]) {
        let lines = text.split(|byte| *byte == b'\n').count() - 1;
        let lines = u64::try_from(lines).unwrap_or(u64::MAX);
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            while state.waiting.is_empty() {
                self.changed.notify_all();
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut state.waiting, &mut batch);
            state.is_writing = true;
            drop(state);
            self.count_dropped(unwritten(&mut out, &batch));
            batch.clear();
            batch.shrink_to(BUFFER_KEPT);
        }
    }
}

/// Writes as much as can be written, and returns the rest.
fn unwritten<'a>(out: &mut impl Write, mut batch: &'a [u8]) -> &'a [u8] {
    while !batch.is_empty() {
        match out.write(batch) {
            Ok(0) => break,
            Ok(written) => batch = batch.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    batch
}

impl Write for &LogWriter {
    /// Accepts one or more whole lines; never fails.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.add(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::io::Read;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_mins(1);

    /// One line of a KiB.
    fn line() -> Vec<u8> {
        let mut line = vec![b'x'; 1023];
        line.push(b'\n');
        line
    }

    #[test]
    fn full_pipe_blocks_no_caller_and_is_counted() {
        let (mut read, write) = io::pipe().unwrap();
        let writer = LogWriter::start(write).unwrap();
        // The buffer, the batch being written and the pipe hold at most this number of lines together.
        let held = 2 * BUFFER_MAX / 1024 + 1024;
        let sent = 4 * held;
        for _ in 0..sent {
            (&writer).write_all(&line()).unwrap();
        }
        let dropped = usize::try_from(writer.dropped()).unwrap();
        assert!(dropped >= sent - held, "{dropped} of {sent}");
        writer.flush_within(Duration::from_millis(50));
        let (got, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count) = read.read(&mut buffer) {
                got.send(count).unwrap();
            }
        });
        writer.flush_within(LONG);
        let mut arrived = 0;
        while arrived < (sent - dropped) * 1024 {
            arrived += bytes.recv_timeout(LONG).unwrap();
        }
        assert_eq!(arrived, (sent - dropped) * 1024);
        assert_eq!(usize::try_from(writer.dropped()).unwrap(), dropped);
    }

    #[test]
    fn last_lines_are_written_before_flush_returns() {
        let (mut read, write) = io::pipe().unwrap();
        let writer = LogWriter::start(write).unwrap();
        for number in 0..100 {
            writeln!(&writer, "line {number}").unwrap();
        }
        writer.flush_within(LONG);
        let mut buffer = vec![0; 64 << 10];
        let count = read.read(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert_eq!(text.lines().count(), 100, "{text}");
        assert!(text.ends_with("line 99\n"), "{text}");
    }

    #[test]
    fn lines_for_a_closed_pipe_are_counted() {
        let (read, write) = io::pipe().unwrap();
        drop(read);
        let writer = LogWriter::start(write).unwrap();
        (&writer).write_all(&line()).unwrap();
        writer.flush_within(LONG);
        assert_eq!(writer.dropped(), 1);
    }
}

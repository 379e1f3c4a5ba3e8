//! The hands of an operator's clock, for a test to move. Timers run ahead of the clock on the wall, or stand still however
//! busy the machine is; the operator under test follows it by `--test-time`.

use std::path::PathBuf;
use std::time::Duration;

use rig::{Folder, until};

use crate::oracles::lapse::Lapse;
use crate::stage::Start;

/// For minutes that pass among a thousand objects on a busy machine.
const LONGER: Duration = Duration::from_mins(5);

/// One operator's clock. It must outlive the operator: the rules on its pace count by it.
pub struct Clock {
    folder: Folder,
    moved: u64,
}

impl Clock {
    pub fn new() -> Self {
        let folder = Folder::new("rig-time-").unwrap();
        Self { folder, moved: 0 }
    }

    /// An operator that follows it, and is otherwise started so.
    pub fn start(&self, start: Start) -> Start {
        let follow = ["--test-time".to_owned(), self.file().display().to_string()];
        Start {
            args: [start.args, follow.to_vec()].concat(),
            ..start
        }
    }

    /// Lets that number of seconds pass, timer by timer, and real time besides. Calls take none of them.
    pub async fn pass(&mut self, seconds: u64) {
        self.order("hurry", seconds, "").await;
    }

    /// Lets that number of seconds pass, timer by timer, and not one besides: then the clock stands still.
    pub async fn spend(&mut self, seconds: u64) {
        self.order("hurry", seconds, "still").await;
    }

    /// As if the machine had slept. The clock stands still then.
    pub async fn sleep(&mut self, seconds: u64) {
        self.order("jump", seconds, "still").await;
    }

    /// Moves on by that number of seconds at once, calls or not; then real time counts again.
    pub async fn jump(&mut self, seconds: u64) {
        self.order("jump", seconds, "").await;
    }

    /// The clock stands still but for that number of seconds, which pass timer by timer: whatever comes to pass from here on
    /// takes the operator no longer than that. Calls that are under way now are not waited for, later ones are.
    pub fn leave(&mut self, seconds: u64) {
        self.write("outwait", seconds, "still");
    }

    async fn order(&mut self, word: &str, seconds: u64, end: &str) {
        self.write(word, seconds, end);
        until(LONGER, "time to pass", async || {
            match self.steps().moved_ms() {
                moved if moved == self.moved * 1_000 => Ok(()),
                moved => Err(format!("{moved} ms")),
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
    }

    /// At once: no reader sees half of it.
    fn write(&mut self, word: &str, seconds: u64, end: &str) {
        self.moved += seconds;
        let new = self.folder.join("new");
        std::fs::write(&new, format!("{word} {} {end}", self.moved)).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.join("time")
    }

    /// What it has been made to do so far.
    pub fn steps(&self) -> Lapse {
        Lapse::of(&self.file())
    }
}

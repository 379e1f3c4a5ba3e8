//! Loops that run side by side, each a task of its own: what wakes one of them does not poll the others, and costs no
//! system call, as waking the runtime's main future would. Knows nothing of what they do.

use std::panic;

use tokio::task::{JoinError, JoinSet};

/// Loops under way. Dropped, they end where they are.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<()>,
}

impl Tasks {
    /// Starts one.
    pub fn start(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Waits until all have ended. A panic of one is a panic here.
    pub async fn all(&mut self) {
        while let Some(ended) = self.set.join_next().await {
            outcome(ended);
        }
    }
}

/// Runs one thing as a task of its own, and waits for it. A panic of it is a panic here.
///
/// # Panics
/// If it was cancelled, which only the runtime does at its end.
pub async fn alone<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    outcome(tokio::spawn(task).await)
}

/// What a task came to. A panic of it is a panic here.
///
/// # Panics
/// If it was cancelled, which only the caller can have done.
pub fn outcome<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(value) => value,
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;

    use futures::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_are_waited_for() {
        let word = Arc::new(Notify::new());
        let mut tasks = Tasks::default();
        let told = word.clone();
        tasks.start(async move { told.notified().await });
        tasks.start(async move { word.notify_one() });
        tasks.all().await;
    }

    #[tokio::test]
    async fn the_panic_of_one_is_a_panic_of_the_waiting_task() {
        let mut tasks = Tasks::default();
        tasks.start(std::future::pending());
        tasks.start(async { panic::resume_unwind(Box::new("broken")) });
        let waiting = AssertUnwindSafe(tasks.all()).catch_unwind().await;
        let said = waiting.err().and_then(|said| said.downcast::<&str>().ok());
        assert_eq!(said.as_deref(), Some(&"broken"));
    }

    #[tokio::test]
    async fn tasks_without_a_waiting_one_end() {
        let held = Arc::new(());
        let mut tasks = Tasks::default();
        let holds = held.clone();
        tasks.start(async move {
            std::future::pending::<()>().await;
            drop(holds);
        });
        drop(tasks);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_alone_hands_on_what_it_came_to() {
        assert_eq!(alone(async { 7 }).await, 7);
    }
}

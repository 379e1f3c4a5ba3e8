//! Ctrl-C. While files are written the program first removes what is not complete; at any other time it ends at once.
//! Both end with the exit code of shells for it.

use std::sync::{Mutex, PoisonError};

/// 128 and the number of SIGINT.
const CODE: i32 = 130;

struct State {
    is_writing: bool,
    is_pending: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    is_writing: false,
    is_pending: false,
});

/// Files are being written: until this is dropped Ctrl-C waits. Dropping it ends the program if Ctrl-C came.
#[derive(Debug)]
pub(crate) struct Writing(());

/// Begins to write files. The first call begins to listen; where that fails, Ctrl-C ends the program as it does without.
pub(crate) fn writing() -> Writing {
    static LISTENS: std::sync::Once = std::sync::Once::new();
    LISTENS.call_once(listen);
    change(|state| state.is_writing = true);
    Writing(())
}

/// Returns whether Ctrl-C waits for the writing to end.
pub(crate) fn is_pending() -> bool {
    let mut is_pending = false;
    change(|state| is_pending = state.is_pending);
    is_pending
}

impl Drop for Writing {
    fn drop(&mut self) {
        change(|state| {
            state.is_writing = false;
            if state.is_pending {
                std::process::exit(CODE);
            }
        });
    }
}

fn change(change: impl FnOnce(&mut State)) {
    change(&mut STATE.lock().unwrap_or_else(PoisonError::into_inner));
}

fn listen() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
            // The first poll registers the handler.
            let first = std::future::poll_fn(|context| {
                std::task::Poll::Ready(interrupt.as_mut().poll(context).is_ready())
            });
            let is_over = first.await;
            let _ = ready.send(());
            if !is_over && interrupt.await.is_ok() {
                change(|state| {
                    state.is_pending = true;
                    if !state.is_writing {
                        std::process::exit(CODE);
                    }
                });
            }
        });
    });
    let _ = is_ready.recv();
}

//! The progress of long reads, on standard error: only on a terminal, and only where there is more than one page.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const STYLE: &str = "reading users {bar:30} {pos}/{len}";

/// A bar from the second page on. It is cleared when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows the number of users that were read, of that many.
    pub(crate) fn page(&mut self, read: usize, of: Option<u64>) {
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        let of = of.unwrap_or(read).max(read);
        let bar = self.bar.get_or_insert_with(|| {
            // It draws nothing where standard error is no terminal.
            let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr());
            ProgressStyle::with_template(STYLE).map_or(bar.clone(), |style| bar.with_style(style))
        });
        bar.set_length(of);
        bar.set_position(read);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

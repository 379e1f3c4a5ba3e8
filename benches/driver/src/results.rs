//! What stays of a run: `results.json` for programs, `table.md` for the documentation.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::broken::Sound;
use crate::figures::Figures;
use crate::schedule::Scenario;
use crate::{plots, process, table};

/// One run of the bench.
pub(crate) struct Run {
    begun: Instant,
    /// Before the bench itself made it busy.
    load: f64,
    /// Everything is told.
    full: bool,
}

impl Run {
    /// Begins now.
    pub(crate) fn begin(quick: bool, only: &[Scenario]) -> Self {
        Self {
            begun: Instant::now(),
            load: process::load(),
            full: !quick && only.is_empty(),
        }
    }

    /// Writes the results, and says how it came out. Those of a part do not replace those of the whole.
    pub(crate) fn write(&self, folder: &Path, figures: &Figures) -> Sound<()> {
        let folder = if self.full {
            folder.to_owned()
        } else {
            folder.join("part")
        };
        std::fs::create_dir_all(&folder)?;
        let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        let results = json!({
            "at": jiff::Timestamp::now().to_string(),
            "machine": process::machine(),
            "loadBefore": self.load,
            "minutes": minutes,
            "full": self.full,
            "figures": figures.all,
            "series": figures.series,
        });
        std::fs::write(
            folder.join("results.json"),
            serde_json::to_string_pretty(&results)?,
        )?;
        let verdict = table::verdict_of(figures);
        let about = format!(
            "Measured within {minutes:.0} minutes on {}; before it began, {} tasks were runnable on average. {verdict}\n",
            process::machine(),
            self.load
        );
        let text = about + &table::markdown(figures);
        std::fs::write(folder.join("table.md"), text)?;
        plots::draw(&folder, figures)?;
        println!("\n{verdict} It took {minutes:.0} minutes.");
        println!("Results: {}", folder.display());
        Ok(())
    }
}

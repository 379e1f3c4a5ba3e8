//! What stays of a run: `results.json` for programs, `table.md` for the documentation.

use std::path::Path;

use serde_json::json;

use crate::broken::Sound;
use crate::figures::Figures;
use crate::{plots, process, table};

/// Writes both, and says how it came out.
pub(crate) fn write(folder: &Path, quick: bool, figures: &Figures) -> Sound<()> {
    std::fs::create_dir_all(folder)?;
    let results = json!({
        "at": jiff::Timestamp::now().to_string(),
        "machine": process::machine(),
        "load": process::load(),
        "quick": quick,
        "figures": figures.all,
        "series": figures.series,
    });
    std::fs::write(
        folder.join("results.json"),
        serde_json::to_string_pretty(&results)?,
    )?;
    std::fs::write(folder.join("table.md"), table::markdown(figures))?;
    plots::draw(folder, figures)?;
    let (missed, judged) = table::missed(figures);
    println!(
        "\n{} of {judged} figures are as they must be, {missed} are missed.",
        judged - missed
    );
    println!("Results: {}", folder.display());
    Ok(())
}

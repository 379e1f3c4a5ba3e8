//! The series as SVG, one plot a file.

use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::broken::{Broken, Sound};
use crate::figures::Figures;

const SIZE: (u32, u32) = (760, 440);
const COLOURS: [RGBColor; 4] = [
    RGBColor(0, 90, 181),
    RGBColor(110, 170, 230),
    RGBColor(220, 50, 32),
    RGBColor(240, 150, 120),
];

/// A plot: its series, title, axis, and whether values are shown by their logarithm.
struct Plot {
    series: &'static str,
    title: &'static str,
    axis: &'static str,
    by_logarithm: bool,
}

const PLOTS: [Plot; 3] = [
    Plot {
        series: "calls",
        title: "Calls a minute to Fireworks, everything in sync",
        axis: "calls a minute",
        by_logarithm: true,
    },
    Plot {
        series: "rss",
        title: "Resident memory",
        axis: "MiB",
        by_logarithm: false,
    },
    Plot {
        series: "latency",
        title: "From kubectl apply to the PATCH",
        axis: "ms",
        by_logarithm: true,
    },
];

type Lines<'a> = Vec<(&'a str, &'a [(f64, f64)])>;

/// Draws each series that was measured.
pub(crate) fn draw(folder: &Path, figures: &Figures) -> Sound<()> {
    for plot in &PLOTS {
        let Some(lines) = figures.series.get(plot.series) else {
            continue;
        };
        let lines = lines
            .iter()
            .map(|(name, points)| (name.as_str(), points.as_slice()));
        let path = folder.join(format!("{}.svg", plot.series));
        draw_one(&path, plot, &lines.collect()).map_err(Broken::new)?;
    }
    Ok(())
}

fn draw_one(path: &Path, plot: &Plot, lines: &Lines<'_>) -> Result<(), String> {
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let widest = points().map(|point| point.0).fold(10.0, f64::max);
    let highest = points().map(|point| point.1).fold(1.0, f64::max) * 1.3;
    let lowest = points().map(|point| point.1).fold(1.0, f64::min) / 1.3;
    let drawn = if plot.by_logarithm {
        chart(
            path,
            plot,
            lines,
            (1.0..widest * 1.3).log_scale(),
            (lowest..highest).log_scale(),
        )
    } else {
        chart(path, plot, lines, 0.0..widest * 1.05, 0.0..highest)
    };
    drawn.map_err(|error| format!("{}: {error}", path.display()))
}

fn chart<X, Y>(
    path: &Path,
    plot: &Plot,
    lines: &Lines<'_>,
    across: X,
    up: Y,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(60)
        .build_cartesian_2d(across, up)?;
    chart
        .configure_mesh()
        .x_desc("objects")
        .y_desc(plot.axis)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
        chart
            .draw_series(series)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 16, y + 4)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

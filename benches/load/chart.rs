//! A chart of one figure as SVG: a group of bars for each load, a bar in it for each server.

use std::{fmt::Write as _, fs, io, path::Path};

/// A bar of the chart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar<'r> {
    pub(crate) load: &'r str,
    pub(crate) server: &'r str,
    pub(crate) value: f64,
}

/// Writes the chart to a file.
pub(crate) fn draw(file: &Path, scenario: &str, figure: &str, bars: &[Bar<'_>]) -> io::Result<()> {
    fs::write(file, svg(scenario, figure, bars))
}

fn svg(scenario: &str, figure: &str, bars: &[Bar<'_>]) -> String {
    let servers = distinct(bars.iter().map(|bar| bar.server));
    let highest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let mut rows = String::new();
    let mut y = TOP;
    let mut load = None;
    for bar in bars {
        if load != Some(bar.load) {
            load = Some(bar.load);
            y += ROW;
            text(&mut rows, 10.0, y - 5.0, bar.load);
        }
        let length = if highest > 0.0 {
            bar.value / highest * LENGTH
        } else {
            0.0
        };
        let colour = servers.iter().position(|server| *server == bar.server);
        let colour = COLOURS[colour.unwrap_or(0) % COLOURS.len()];
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            rows,
            r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{}" fill="{colour}"/>"#,
            ROW - 4.0,
        );
        text(&mut rows, 20.0, y + ROW - 9.0, bar.server);
        let value = format!("{:.3}", bar.value);
        text(&mut rows, LEFT + length + 6.0, y + ROW - 9.0, &value);
        y += ROW;
    }
    let mut svg = String::new();
    let (width, height) = (LEFT + LENGTH + 90.0, y + 10.0);
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="white"/>"#,
    );
    text(
        &mut svg,
        10.0,
        20.0,
        &format!("{scenario}: {figure}, medians"),
    );
    svg + &rows + "</svg>\n"
}

fn text(out: &mut String, x: f64, y: f64, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}">{words}</text>"#);
}

fn distinct<'s>(names: impl Iterator<Item = &'s str>) -> Vec<&'s str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

const TOP: f64 = 30.0;
const ROW: f64 = 22.0;
/// The bars begin here: longer names of servers reach into them.
const LEFT: f64 = 240.0;
const LENGTH: f64 = 480.0;
const COLOURS: [&str; 6] = [
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
];

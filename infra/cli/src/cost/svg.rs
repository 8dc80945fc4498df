//! The same chart as a picture.

use std::fmt::Write as _;

use super::Report;
use super::show::{heading, notes, rows, shortened, word};

/// In pixels: the picture, a row, the columns of names, bars and numbers.
const WIDTH: u32 = 900;
const ROW: u32 = 24;
const BARS_AT: u32 = 290;
const BARS: f64 = 400.0;
const HERE_AT: u32 = 790;
const THERE_AT: u32 = 880;
const NOTE: u32 = 16;

/// Characters of a name, and of a line of notes, at the sizes of the letters below.
const NAME: usize = 34;
const NOTE_LENGTH: usize = 140;

/// An SVG document.
pub(super) fn chart(report: &Report) -> String {
    let rows = rows(report);
    let lines: Vec<String> = notes(report)
        .iter()
        .flat_map(|note| {
            textwrap::wrap(note, NOTE_LENGTH).into_iter().map(std::borrow::Cow::into_owned).collect::<Vec<_>>()
        })
        .collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let height = ROW * (count(rows.len()) + 4) + NOTE * count(lines.len());
    let most = rows.iter().rev().skip(1).map(|row| row.here).fold(0.0, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut write = |x: u32, y: u32, more: &str, words: &str| {
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\"{more}>{}</text>", escaped(words));
    };
    let (right, small) = (" text-anchor=\"end\"", " font-size=\"11\" fill=\"#555555\"");
    write(20, ROW, " font-weight=\"bold\" font-size=\"12\"", &heading(report));
    let mut y = 2 * ROW + 8;
    write(20, y, small, &format!("by {}", word(report.by)));
    write(HERE_AT, y, &format!("{right}{small}"), "here");
    write(THERE_AT, y, &format!("{right}{small}"), "GitHub's");
    let mut bars = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        y += ROW;
        let is_sum = number + 1 == rows.len();
        let weight = if is_sum { " font-weight=\"bold\"" } else { "" };
        write(20, y, weight, &shortened(&row.name, NAME));
        write(HERE_AT, y, &format!("{right}{weight}"), &row.amount());
        write(THERE_AT, y, &format!("{right}{weight}"), &row.other_amount());
        if !is_sum && row.here > 0.0 {
            bars.push((y - 12, (row.here / most * BARS).max(1.0)));
        }
    }
    y += ROW;
    for line in &lines {
        write(20, y, small, line);
        y += NOTE;
    }
    for (y, length) in bars {
        let _ = writeln!(
            svg,
            "<rect x=\"{BARS_AT}\" y=\"{y}\" width=\"{length:.1}\" height=\"15\" rx=\"2\" fill=\"#0e7490\"/>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text for XML. Characters that XML has no place for are left out.
fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            letter if letter.is_control() => {}
            letter => shown.push(letter),
        }
    }
    shown
}

//! Figures: measurements, their number, and whether they meet their targets.

use std::fmt::Write as _;

use serde_json::json;

/// Measurements of one thing, in order. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// # Panics
    /// If there are none, or one is not a finite number.
    pub fn new(samples: impl IntoIterator<Item = f64>) -> Self {
        let samples: Vec<f64> = samples.into_iter().collect();
        assert!(!samples.is_empty() && samples.iter().all(|sample| sample.is_finite()), "{samples:?}");
        Self(samples)
    }

    /// One measurement.
    pub fn one(sample: f64) -> Self {
        Self::new([sample])
    }

    /// The ratio of each measurement to the one made beside it.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self::new(self.0.iter().zip(&other.0).map(|(own, other)| own / other))
    }

    /// A quantile, for a share between 0 and 1: the least value that this share of the measurements does not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "counts of measurements")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the count")]
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// The number of measurements.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Microseconds of processor time.
    CpuMicroseconds,
    /// Seconds.
    Seconds,
    /// Megabytes of 1,000,000 bytes.
    Megabytes,
    /// The ratio of two figures.
    Ratio,
    /// A count.
    Count,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::CpuMicroseconds => "µs CPU",
            Self::Seconds => "s",
            Self::Megabytes => "MB",
            Self::Ratio => "×",
            Self::Count => "",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Milliseconds | Self::Seconds | Self::Megabytes | Self::Ratio => 2,
            Self::CpuMicroseconds => 0,
            Self::Count => 1,
        }
    }

    fn show(self, value: f64) -> String {
        let text = format!("{value:.*}", self.digits());
        let text = if self == Self::Count { text.trim_end_matches(".0").to_owned() } else { text };
        format!("{text} {}", self.as_str()).trim_end().to_owned()
    }
}

/// The target of a figure's median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// For machines: `webhook.cold.ratio`.
    pub id: String,
    /// Its meaning, for people.
    pub name: String,
    /// The unit.
    pub unit: Unit,
    /// The measurements.
    pub samples: Samples,
    /// The target; absent if the figure only explains another.
    pub target: Option<Target>,
}

impl Figure {
    /// A figure without a target.
    pub fn new(id: impl Into<String>, name: impl Into<String>, unit: Unit, samples: Samples) -> Self {
        Self { id: id.into(), name: name.into(), unit, samples, target: None }
    }

    /// A figure with a target for its median.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn median(&self) -> f64 {
        self.samples.quantile(0.5)
    }

    /// Whether it meets its target.
    pub fn is_met(&self) -> bool {
        self.target.is_none_or(|target| target.is_met(self.median()))
    }

    /// The figure as one line of JSON.
    pub fn line(&self) -> String {
        let [least, most] = [0.0, 1.0].map(|part| self.samples.quantile(part));
        let bound = |least: bool| match self.target {
            Some(Target::AtLeast(bound)) if least => Some(bound),
            Some(Target::AtMost(bound)) if !least => Some(bound),
            _ => None,
        };
        json!({
            "figure": self.id,
            "unit": self.unit.as_str(),
            "median": self.median(),
            "p99": self.samples.quantile(0.99),
            "min": least,
            "max": most,
            "runs": self.samples.count(),
            "at_most": bound(false),
            "at_least": bound(true),
            "met": self.is_met(),
        })
        .to_string()
    }

    fn row(&self) -> String {
        let [median, p99, least, most] = [0.5, 0.99, 0.0, 1.0].map(|part| self.unit.show(self.samples.quantile(part)));
        let target = match self.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("≤ {}", self.unit.show(most)),
            Some(Target::AtLeast(least)) => format!("≥ {}", self.unit.show(least)),
        };
        let median = if self.target.is_some() { format!("**{median}**") } else { median };
        let verdict = match (self.target, self.is_met()) {
            (None, _) => "",
            (_, true) => "met",
            (_, false) => "missed",
        };
        let runs = self.samples.count();
        format!("| {} | {median} | {p99} | {least} | {most} | {runs} | {target} | {verdict} |", self.name)
    }
}

/// The Markdown table of all figures.
pub fn table(figures: &[Figure]) -> String {
    let mut table =
        "| figure | median | p99 | min | max | runs | target | |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    for figure in figures {
        let _ = writeln!(table, "{}", figure.row());
    }
    table
}

/// The text with everything between `<!-- name -->` and `<!-- /name -->` replaced.
///
/// # Panics
/// If the text has no such place.
pub fn replaced(text: &str, name: &str, with: &str) -> String {
    let (from, to) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&from).unwrap_or_else(|| panic!("no {from}"));
    let (_, after) = rest.split_once(&to).unwrap_or_else(|| panic!("no {to}"));
    format!("{before}{from}{with}{to}{after}")
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn a_quantile_is_a_measurement_that_was_made() {
        let samples = Samples::new((1..=200).rev().map(f64::from));
        for (part, expected) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(samples.quantile(part).total_cmp(&expected), Ordering::Equal);
        }
    }

    #[test]
    fn a_target_is_held_against_the_median() {
        let figure = |target| Figure::new("id", "name", Unit::Ratio, Samples::new([1.0, 1.2, 9.0])).target(target);
        assert!(figure(Target::AtMost(1.2)).is_met() && !figure(Target::AtMost(1.1)).is_met());
        assert!(figure(Target::AtLeast(1.2)).is_met() && !figure(Target::AtLeast(1.3)).is_met());
        let row = "| name | **1.20 ×** | 9.00 × | 1.00 × | 9.00 × | 3 | ≤ 1.10 × | missed |\n";
        assert!(table(&[figure(Target::AtMost(1.1))]).ends_with(row));
        let line: serde_json::Value = serde_json::from_str(&figure(Target::AtMost(1.1)).line()).unwrap();
        assert_eq!((&line["median"], &line["at_most"], &line["met"]), (&json!(1.2), &json!(1.1), &json!(false)));
    }

    #[test]
    fn pairs_are_compared_run_by_run() {
        let ratio = Samples::new([2.0, 6.0]).over(&Samples::new([1.0, 2.0]));
        assert_eq!(ratio, Samples::new([2.0, 3.0]));
    }

    #[test]
    fn a_text_is_replaced_between_its_marks_and_nowhere_else() {
        let text = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        assert_eq!(replaced(text, "t", "new\n"), "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n");
    }
}

//! What a benchmark gives: rows of figures, each beside its target.

use serde::{Deserialize, Serialize};

use super::exact::Exact;
use super::stats::{Spread, differences, ratios};

/// How a row is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Style {
    /// More is better; the ratio tells.
    Throughput,
    /// Less is better; what is added tells.
    Time,
    /// A figure of the agent itself: it is compared with nothing.
    Value,
    /// Nothing was measured.
    Skipped,
}

/// One figure of one benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Name of the benchmark.
    pub(crate) benchmark: String,
    /// What was measured.
    pub(crate) figure: String,
    /// Unit of the values.
    pub(crate) unit: String,
    /// How to read it.
    pub(crate) style: Style,
    /// onlooker by nothing attached, round by round.
    pub(crate) ratio: Option<Spread>,
    /// No-op programs by nothing attached.
    pub(crate) floor_ratio: Option<Spread>,
    /// onlooker by no-op programs.
    pub(crate) over_floor_ratio: Option<Spread>,
    /// onlooker less nothing attached.
    pub(crate) added: Option<Spread>,
    /// No-op programs less nothing attached.
    pub(crate) floor_added: Option<Spread>,
    /// onlooker less no-op programs.
    pub(crate) over_floor_added: Option<Spread>,
    /// With nothing attached.
    pub(crate) nothing: Option<Spread>,
    /// With no-op programs on the same hooks.
    pub(crate) no_op: Option<Spread>,
    /// With onlooker, or of onlooker itself.
    pub(crate) onlooker: Option<Spread>,
    /// What the project wants.
    pub(crate) target: Option<String>,
    /// Whether the medians meet it.
    pub(crate) met: Option<bool>,
    /// Counts beside their truth.
    pub(crate) exact: Vec<Exact>,
    /// What else is to be known; of a skipped row the reason.
    pub(crate) note: String,
}

/// A wish and its test.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// In words.
    pub(crate) text: &'static str,
    /// Whether a row meets it; `None` when the row does not tell.
    pub(crate) holds: fn(&Row) -> Option<bool>,
}

/// Values by round under the three conditions; those that were not tried are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    /// Nothing attached.
    pub(crate) nothing: Vec<f64>,
    /// No-op programs.
    pub(crate) no_op: Vec<f64>,
    /// onlooker.
    pub(crate) onlooker: Vec<f64>,
}

impl Row {
    /// An empty row.
    pub(crate) fn new(benchmark: &str, figure: impl Into<String>, unit: &str, style: Style) -> Row {
        Row {
            benchmark: benchmark.to_owned(),
            figure: figure.into(),
            unit: unit.to_owned(),
            style,
            ratio: None,
            floor_ratio: None,
            over_floor_ratio: None,
            added: None,
            floor_added: None,
            over_floor_added: None,
            nothing: None,
            no_op: None,
            onlooker: None,
            target: None,
            met: None,
            exact: Vec::new(),
            note: String::new(),
        }
    }

    /// A comparison.
    pub(crate) fn compared(benchmark: &str, figure: impl Into<String>, unit: &str, style: Style, sides: &Sides) -> Row {
        let Sides {
            nothing,
            no_op,
            onlooker,
        } = sides;
        Row {
            ratio: Spread::of(&ratios(onlooker, nothing)),
            floor_ratio: Spread::of(&ratios(no_op, nothing)),
            over_floor_ratio: Spread::of(&ratios(onlooker, no_op)),
            added: Spread::of(&differences(onlooker, nothing)),
            floor_added: Spread::of(&differences(no_op, nothing)),
            over_floor_added: Spread::of(&differences(onlooker, no_op)),
            nothing: Spread::of(nothing),
            no_op: Spread::of(no_op),
            onlooker: Spread::of(onlooker),
            ..Row::new(benchmark, figure, unit, style)
        }
    }

    /// A figure of the agent itself.
    pub(crate) fn value(benchmark: &str, figure: impl Into<String>, unit: &str, values: &[f64]) -> Row {
        Row {
            onlooker: Spread::of(values),
            ..Row::new(benchmark, figure, unit, Style::Value)
        }
    }

    /// A benchmark that could not run.
    pub(crate) fn skipped(benchmark: &str, reason: impl Into<String>) -> Row {
        Row {
            note: reason.into(),
            ..Row::new(benchmark, "skipped", "", Style::Skipped)
        }
    }

    /// With a target, and whether it is met.
    pub(crate) fn wanting(mut self, target: Option<Target>) -> Row {
        if let Some(target) = target {
            self.target = Some(target.text.to_owned());
            self.met = (target.holds)(&self);
        }
        self
    }

    /// With a remark.
    pub(crate) fn noting(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target {
        text: ">= 0.8",
        holds: |row| row.ratio.map(|ratio| ratio.median >= 0.8),
    };

    #[test]
    fn a_target_is_judged_by_the_median() {
        let sides = |onlooker: &[f64]| Sides {
            nothing: vec![100.0, 200.0],
            no_op: Vec::new(),
            onlooker: onlooker.to_vec(),
        };
        for (onlooker, met) in [
            (&[90.0, 140.0][..], Some(true)),
            (&[70.0, 140.0], Some(false)),
            (&[], None),
        ] {
            let row = Row::compared("b", "f", "u", Style::Throughput, &sides(onlooker)).wanting(Some(TARGET));
            assert_eq!((row.met, row.target.as_deref()), (met, Some(">= 0.8")), "{onlooker:?}");
            assert_eq!(row.floor_ratio, None);
        }
        let row = Row::compared("b", "f", "u", Style::Throughput, &sides(&[])).wanting(None);
        assert_eq!((row.met, row.target), (None, None));
    }
}

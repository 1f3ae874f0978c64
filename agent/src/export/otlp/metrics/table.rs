//! The form of the tables that give families their OpenTelemetry names: what becomes of a family is a row, not code.

/// How a metric is told (<https://opentelemetry.io/docs/specs/otel/metrics/data-model/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    /// A monotonic sum.
    Counter,
    /// A sum that is not monotonic: what can be added up over series.
    UpDown,
    /// A value that cannot.
    Gauge,
}

/// Who gave a metric its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The semantic conventions, of the version that the schema URL tells.
    Semconv,
    /// The `hostmetrics` receiver of the OpenTelemetry Collector, where the conventions have nothing.
    Collector,
    /// The agent, where neither has anything.
    Own,
}

/// A metric and the families that it is made of.
#[derive(Debug)]
pub(super) struct Metric {
    /// Its name.
    pub(super) name: &'static str,
    /// Its unit, UCUM.
    pub(super) unit: &'static str,
    /// How it is told.
    pub(super) shape: Shape,
    /// One sentence.
    pub(super) help: &'static str,
    /// Who named it.
    #[cfg_attr(
        not(test),
        allow(dead_code, reason = "the document of names tells it, which a test writes")
    )]
    pub(super) by: By,
    /// What it is made of.
    pub(super) of: Of,
}

/// What a metric is made of.
#[derive(Debug)]
pub(super) enum Of {
    /// Each sample of these families is a point.
    Samples(&'static [Term]),
    /// Samples of the same attributes are added up, each with its factor. A point is told when every term with its fixed attributes
    /// and labels was there.
    Sums(&'static [Term]),
    /// As sums, for [`Of::Ratio`] alone: not told.
    Hidden(&'static [Term]),
    /// A metric of sums by another one, which has all of its attributes but one.
    Ratio {
        /// Name of the one.
        part: &'static str,
        /// Name of the other.
        whole: &'static str,
        /// The attribute that the other does not have.
        without: &'static str,
    },
}

impl Of {
    /// The families with what is taken of them.
    pub(super) fn terms(&self) -> &'static [Term] {
        match self {
            Of::Samples(terms) | Of::Sums(terms) | Of::Hidden(terms) => terms,
            Of::Ratio { .. } => &[],
        }
    }
}

/// A family and what is taken of it.
#[derive(Debug)]
pub(super) struct Term {
    /// Its name in Prometheus' form.
    pub(super) family: &'static str,
    /// Attributes that all of its points have.
    pub(super) fixed: &'static [(&'static str, &'static str)],
    /// Labels that become attributes. Other labels are left out.
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// Labels whose values, joined by `/`, become the attribute `hw.id`.
    pub(super) id: &'static [&'static str],
    /// Of this label these values alone are taken, and called so.
    pub(super) words: Option<(&'static str, &'static [(&'static str, &'static str)])>,
    /// Values are multiplied by it.
    pub(super) factor: f64,
    /// Each sample counts as one, whatever its value.
    pub(super) ones: bool,
    /// Left out when this family has samples.
    pub(super) unless: Option<&'static str>,
}

/// What most terms have in common.
pub(super) const TERM: Term = Term {
    family: "",
    fixed: &[],
    labels: &[],
    id: &[],
    words: None,
    factor: 1.0,
    ones: false,
    unless: None,
};

/// A term whose points have these fixed attributes and these labels.
pub(super) const fn term(
    family: &'static str,
    fixed: &'static [(&'static str, &'static str)],
    labels: &'static [(&'static str, &'static str)],
) -> Term {
    Term {
        family,
        fixed,
        labels,
        ..TERM
    }
}

impl Term {
    /// The same, to be taken off.
    pub(super) const fn less(mut self) -> Term {
        self.factor = -1.0;
        self
    }
}

impl Metric {
    /// Bits of the terms that a point of the term at `index` needs: those with the same fixed attributes and labels.
    pub(super) fn needed(&self, index: usize) -> u32 {
        let terms = self.of.terms();
        let Some(of) = terms.get(index) else { return 0 };
        let same = |term: &Term| term.fixed == of.fixed && term.labels == of.labels;
        let bits = terms.iter().enumerate().filter(|(_, term)| same(term));
        bits.fold(0, |bits, (index, _)| bits | 1 << index)
    }
}

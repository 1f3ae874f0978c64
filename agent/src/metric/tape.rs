//! Families and samples in the order in which they came, kept to be played to another encoder: what one thread reads another one
//! encodes. Flat: label texts lie one behind the other, and its memory is used again.

use super::{Encoder, Family, HistogramView, SummaryView, Value};

/// A recording of what a source said. Exemplars are not kept.
#[derive(Debug, Default)]
pub struct Tape {
    families: Vec<Family>,
    events: Vec<Event>,
    /// Where each label's name and value end in `text`.
    ends: Vec<(u32, u32)>,
    text: String,
    histograms: Vec<Histogram>,
    summaries: Vec<Summary>,
}

#[derive(Debug)]
struct Histogram {
    bounds: Box<[f64]>,
    counts: Box<[u64]>,
    sum: f64,
}

#[derive(Debug)]
struct Summary {
    quantiles: Box<[(f64, f64)]>,
    sum: f64,
    count: f64,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The next of the families opens.
    Family,
    /// A series with so many labels.
    Sample(u32, Held),
}

#[derive(Clone, Copy, Debug)]
enum Held {
    Number(f64),
    /// The next of the histograms.
    Histogram,
    /// The next of the summaries.
    Summary,
}

impl Tape {
    /// Forgets everything, and keeps its memory.
    pub fn clear(&mut self) {
        self.families.clear();
        self.events.clear();
        self.ends.clear();
        self.text.clear();
        self.histograms.clear();
        self.summaries.clear();
    }

    /// Was nothing said?
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Says again what was recorded.
    pub fn play(&self, out: &mut dyn Encoder) {
        let (mut families, mut ends) = (self.families.iter(), self.ends.iter());
        let (mut histograms, mut summaries) = (self.histograms.iter(), self.summaries.iter());
        let mut at = 0;
        let mut labels: Vec<(&str, &str)> = Vec::new();
        for event in &self.events {
            let (count, held) = match event {
                Event::Family => {
                    families.next().into_iter().for_each(|family| out.family(family));
                    continue;
                }
                Event::Sample(count, held) => (*count, held),
            };
            labels.clear();
            labels.extend(ends.by_ref().take(count as usize).map(|(name, value)| {
                let (name, value) = (*name as usize, *value as usize);
                let label = (&self.text[at..name], &self.text[name..value]);
                at = value;
                label
            }));
            match held {
                Held::Number(value) => out.number(&labels, *value),
                Held::Histogram => {
                    if let Some(held) = histograms.next() {
                        let view = HistogramView {
                            bounds: &held.bounds,
                            counts: &held.counts,
                            sum: held.sum,
                            exemplars: &[],
                        };
                        out.sample(&labels, Value::Histogram(&view));
                    }
                }
                Held::Summary => {
                    if let Some(held) = summaries.next() {
                        let view = SummaryView {
                            quantiles: &held.quantiles,
                            sum: held.sum,
                            count: held.count,
                        };
                        out.sample(&labels, Value::Summary(&view));
                    }
                }
            }
        }
    }
}

impl Encoder for Tape {
    fn family(&mut self, family: &Family) {
        self.families.push(family.clone());
        self.events.push(Event::Family);
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>) {
        for (name, value) in labels {
            self.text.push_str(name);
            let middle = self.text.len() as u32;
            self.text.push_str(value);
            self.ends.push((middle, self.text.len() as u32));
        }
        let held = match value {
            Value::Number(value) => Held::Number(value),
            Value::Histogram(view) => {
                self.histograms.push(Histogram {
                    bounds: view.bounds.into(),
                    counts: view.counts.into(),
                    sum: view.sum,
                });
                Held::Histogram
            }
            Value::Summary(view) => {
                self.summaries.push(Summary {
                    quantiles: view.quantiles.into(),
                    sum: view.sum,
                    count: view.count,
                });
                Held::Summary
            }
        };
        self.events.push(Event::Sample(labels.len() as u32, held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;
    use std::fmt::Write as _;

    /// Writes down what it is told.
    #[derive(Default)]
    struct Told(String);

    impl Encoder for Told {
        fn family(&mut self, family: &Family) {
            let _ = writeln!(self.0, "{family:?}");
        }
        fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>) {
            let _ = writeln!(self.0, "{labels:?} {value:?}");
        }
    }

    fn say(out: &mut dyn Encoder) {
        out.family(&Family::new("a", "", "A.", Kind::Gauge));
        out.number(&[], 1.0);
        out.number(&[("x", "1"), ("longer", "ä")], 2.0);
        out.number(&[("x", "")], f64::INFINITY);
        out.family(&Family {
            name: "made".to_owned().into(),
            ..Family::new("", "seconds", "B.", Kind::Histogram)
        });
        let histogram = HistogramView {
            bounds: &[1.0],
            counts: &[2, 3],
            sum: 4.0,
            exemplars: &[],
        };
        out.sample(&[("h", "1")], Value::Histogram(&histogram));
        let summary = SummaryView {
            quantiles: &[(0.5, 7.0)],
            sum: 8.0,
            count: 9.0,
        };
        out.sample(&[], Value::Summary(&summary));
    }

    #[test]
    fn what_was_said_is_said_again_also_after_another_recording() {
        let mut expect = Told::default();
        say(&mut expect);
        let mut tape = Tape::default();
        for _ in 0..2 {
            tape.clear();
            say(&mut tape);
            let mut told = Told::default();
            tape.play(&mut told);
            assert_eq!(told.0, expect.0);
        }
    }
}

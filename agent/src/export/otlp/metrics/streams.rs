//! What must be remembered of a series from one collection to the next: when it began, and the value that it had. From these come
//! the start times of the data model (<https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps>), and the
//! differences of delta temporality.
//!
//! A counter that fell was reset: it starts anew at the time of its last point, at which its value is taken to have been 0.

use rustc_hash::FxHashMap;

/// Unix time, nanoseconds.
pub(super) type Time = u64;

/// Whose the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The agent counts them: they were 0 when it started, and a series that is gone and comes back starts from 0.
    Agent,
    /// Others count them (the kernel, files): they are read, and a series that is gone may only not have been read.
    Host,
}

/// The value of a point with its interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told<T> {
    /// When the interval began; 0: not known.
    pub(super) start: Time,
    /// The value, of the whole time since the start.
    pub(super) value: T,
}

/// A histogram's counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Buckets {
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
}

/// Why there is no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// The first sight of a number that others count: differences begin with the next one.
    Baseline,
    /// There is no room for another series.
    Full,
}

#[derive(Debug)]
struct Stream {
    start: Time,
    /// Of the last point.
    at: Time,
    /// Number of the collection of the last point.
    round: u32,
    origin: Origin,
    last: Last,
}

#[derive(Debug)]
enum Last {
    Number(f64),
    /// Of a cumulative histogram: whether it fell is seen by its count.
    Count(u64),
    Buckets(Box<[u64]>, f64),
}

/// The series that are remembered.
#[derive(Debug)]
pub(super) struct Streams {
    streams: FxHashMap<u64, Stream>,
    limit: usize,
    round: u32,
    /// When the agent started.
    started: Time,
    /// When the host did, when that is known.
    boot: Option<Time>,
    /// The collection before.
    previous: Option<Time>,
    /// Room was made in this collection.
    pruned: bool,
}

/// Collections that a series of the host may miss before it is forgotten.
const MISSED: u32 = 10;

impl Streams {
    pub(super) fn new(limit: usize, started: Time, boot: Option<Time>) -> Streams {
        Streams {
            streams: FxHashMap::default(),
            limit,
            round: 0,
            started,
            boot,
            previous: None,
            pruned: false,
        }
    }

    /// Begins a collection.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.pruned = false;
    }

    /// Ends it. `whole`: every source was heard to its end.
    pub(super) fn end(&mut self, now: Time, whole: bool) {
        self.previous = Some(now);
        let round = self.round;
        self.streams.retain(|_, stream| match stream.origin {
            Origin::Agent => !whole || stream.round == round,
            Origin::Host => round.wrapping_sub(stream.round) <= MISSED,
        });
    }

    /// Series that are remembered now.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Time of the collection before this one.
    pub(super) fn previous(&self) -> Option<Time> {
        self.previous
    }

    /// Since when a sum that is not monotonic adds up; 0: not known.
    pub(super) fn since(&self, origin: Origin) -> Time {
        match origin {
            Origin::Agent => self.started,
            Origin::Host => self.boot.unwrap_or_default(),
        }
    }

    /// A counter's value.
    pub(super) fn number(
        &mut self,
        key: u64,
        origin: Origin,
        now: Time,
        value: f64,
        delta: bool,
    ) -> Result<Told<f64>, Nothing> {
        let start = self.first(origin, now);
        let Some(stream) = self.get(key, origin, now, start, Last::Number(value))? else {
            return match delta && origin == Origin::Host {
                true => Err(Nothing::Baseline),
                false => Ok(Told { start, value }),
            };
        };
        let before = match stream.last {
            Last::Number(before) => before,
            _ => 0.0,
        };
        let fell = value < before;
        if fell {
            stream.start = stream.at;
        }
        let told = match delta {
            true => Told {
                start: stream.at,
                value: if fell { value } else { value - before },
            },
            false => Told {
                start: stream.start,
                value,
            },
        };
        stream.last = Last::Number(value);
        stream.at = now;
        Ok(told)
    }

    /// A histogram's buckets. `Ok(None)`: of delta temporality, and nothing was observed.
    pub(super) fn histogram(
        &mut self,
        key: u64,
        origin: Origin,
        now: Time,
        (counts, sum): (&[u64], f64),
        delta: bool,
    ) -> Result<Option<Told<Buckets>>, Nothing> {
        let start = self.first(origin, now);
        let total = |counts: &[u64]| counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        let whole = || Buckets {
            counts: counts.to_vec(),
            sum,
        };
        let last = match delta {
            true => Last::Buckets(counts.into(), sum),
            false => Last::Count(total(counts)),
        };
        let Some(stream) = self.get(key, origin, now, start, last)? else {
            return match delta && origin == Origin::Host {
                true => Err(Nothing::Baseline),
                false => Ok(Some(Told { start, value: whole() })),
            };
        };
        let told = match &mut stream.last {
            Last::Buckets(before, before_sum) => {
                let fell = before.len() != counts.len() || before.iter().zip(counts).any(|(before, now)| now < before);
                let value = match fell {
                    true => whole(),
                    false => Buckets {
                        counts: counts
                            .iter()
                            .zip(before.iter())
                            .map(|(now, before)| now - before)
                            .collect(),
                        sum: sum - *before_sum,
                    },
                };
                match fell {
                    true => *before = counts.into(),
                    false => before.copy_from_slice(counts),
                }
                *before_sum = sum;
                let some = value.counts.iter().any(|count| *count > 0);
                some.then_some(Told {
                    start: stream.at,
                    value,
                })
            }
            last => {
                let count = total(counts);
                if matches!(last, Last::Count(before) if count < *before) {
                    stream.start = stream.at;
                }
                *last = Last::Count(count);
                Some(Told {
                    start: stream.start,
                    value: whole(),
                })
            }
        };
        stream.at = now;
        Ok(told)
    }

    /// Since when a series counts that was not there before.
    fn first(&self, origin: Origin, now: Time) -> Time {
        match origin {
            Origin::Agent => self.previous.unwrap_or(self.started),
            // Of unknown beginning: an interval of no length, as the data model has it.
            Origin::Host => self.boot.unwrap_or(now),
        }
    }

    /// The series, which is now seen; `None`: it was not there before, and is now.
    fn get(
        &mut self,
        key: u64,
        origin: Origin,
        now: Time,
        start: Time,
        last: Last,
    ) -> Result<Option<&mut Stream>, Nothing> {
        let round = self.round;
        if !self.streams.contains_key(&key) {
            if self.streams.len() >= self.limit && !std::mem::replace(&mut self.pruned, true) {
                // What was not there in the collection before makes room.
                self.streams.retain(|_, stream| round.wrapping_sub(stream.round) <= 1);
            }
            if self.streams.len() >= self.limit {
                return Err(Nothing::Full);
            }
            let stream = Stream {
                start,
                at: now,
                round,
                origin,
                last,
            };
            self.streams.insert(key, stream);
            return Ok(None);
        }
        let mut known = self.streams.get_mut(&key);
        if let Some(stream) = &mut known {
            stream.round = round;
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests;

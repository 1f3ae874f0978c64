//! Joins lines that belong together: stack traces, dumps, indented continuations, JSON over several lines, keys in PEM.
//!
//! A joiner is of one stream; lines of streams that are interleaved go to one joiner each. What the first line is decides what it may
//! be followed by ([`rules`]). A group ends with the first line that does not belong to it, by time ([`Joiner::flush`]), or where it
//! has as many lines or bytes as it may; what follows is then a group of its own, and the cut is counted. Nothing is left out but
//! empty lines at the end of a group, which are told by number.

mod rules;

use rules::{Follows, State};

/// How much may be one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines.
    pub lines: u32,
    /// Bytes, line ends between lines included. A single line may have more: it is never cut here.
    pub bytes: usize,
    /// Nanoseconds without a further line after which a group is told.
    pub wait: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lines: 500,
            bytes: 64 * 1024,
            wait: 1_000_000_000,
        }
    }
}

/// Why a group ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// [`Limits::lines`].
    Lines,
    /// [`Limits::bytes`].
    Bytes,
}

/// Lines that are one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group<'a, T> {
    /// The lines with line feeds between them.
    pub text: &'a [u8],
    /// When its first line came, in the clock of the one who pushed it.
    pub at: u64,
    /// What was pushed with the first line.
    pub first: T,
    /// What was pushed with the last line, empty lines behind it included.
    pub last: T,
    /// How many lines were taken, the empty ones behind it included.
    pub lines: u32,
    /// How many of them are empty ones behind it, which the text does not have.
    pub blank: u32,
    /// Why there is more of it in the next group.
    pub cut: Option<Cut>,
}

/// What a joiner did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinCounts {
    /// Lines taken.
    pub lines: u64,
    /// Groups told.
    pub groups: u64,
    /// Groups cut for their lines.
    pub cut_lines: u64,
    /// Groups cut for their bytes.
    pub cut_bytes: u64,
    /// Groups that ended because nothing came for some time.
    pub timed_out: u64,
}

/// Joins the lines of one stream. `T` is what a source wants to know of the first and last line of a group: a place in its file.
#[derive(Debug)]
pub struct Joiner<T> {
    limits: Limits,
    text: Vec<u8>,
    /// The group at hand, if there is one.
    open: Option<Open<T>>,
    /// What the next line goes on with: the group before was cut at a limit.
    carried: Option<State>,
    counts: JoinCounts,
}

#[derive(Debug)]
struct Open<T> {
    state: State,
    at: u64,
    touched: u64,
    first: T,
    last: T,
    lines: u32,
    /// Empty lines that came since; part of the group if a line follows that is.
    blank: u32,
}

impl<T: Copy> Joiner<T> {
    /// Without a line yet.
    pub fn new(limits: Limits) -> Joiner<T> {
        Joiner {
            limits,
            text: Vec::new(),
            open: None,
            carried: None,
            counts: JoinCounts::default(),
        }
    }

    /// Takes a line without its end; `at` is any clock in nanoseconds that does not go back. Tells the groups that are complete: up to
    /// two, and up to one right after [`Joiner::make_way`].
    pub fn push(&mut self, line: &[u8], at: u64, place: T, mut tell: impl FnMut(Group<'_, T>)) {
        self.counts.lines += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let verdict = self.judge(line, &mut tell);
        let (Some((follows, state)), Some(open)) = (verdict, &mut self.open) else {
            let state = self.carried.take().unwrap_or_else(|| rules::first(line));
            return self.begin(state, line, at, place, &mut tell);
        };
        open.state = state;
        (open.last, open.touched) = (place, at);
        if follows == Follows::Blank {
            open.blank += 1;
            return;
        }
        self.text.extend(std::iter::repeat_n(b'\n', open.blank as usize + 1));
        self.text.extend_from_slice(line);
        open.lines += open.blank + 1;
        open.blank = 0;
        if open.state.complete() {
            self.end(None, &mut tell);
        }
    }

    /// Tells the group at hand if this line does not go into it. A push of the same line is to follow: in between, who takes groups can
    /// see whether there is room for one more.
    pub fn make_way(&mut self, line: &[u8], mut tell: impl FnMut(Group<'_, T>)) {
        self.judge(line.strip_suffix(b"\r").unwrap_or(line), &mut tell);
    }

    /// How a line goes into the group at hand. `None`: it begins another one; the one at hand, if there was one, was told.
    fn judge(&mut self, line: &[u8], tell: &mut impl FnMut(Group<'_, T>)) -> Option<(Follows, State)> {
        let open = self.open.as_ref()?;
        let mut state = open.state;
        let room = open.lines.saturating_add(open.blank) < self.limits.lines;
        let follows = rules::follows(&mut state, line, open.blank > 0);
        match follows {
            Follows::Blank if room => return Some((follows, state)),
            Follows::Yes => {
                let needed = self.text.len() + open.blank as usize + 1 + line.len();
                if room && needed <= self.limits.bytes {
                    return Some((follows, state));
                }
                self.carried = Some(state);
                self.end(Some(if room { Cut::Bytes } else { Cut::Lines }), tell);
            }
            // Where there is no room for an empty line, nothing is lost by ending before it.
            Follows::No | Follows::Blank => self.end(None, tell),
        }
        None
    }

    /// Tells the group at hand if no line came for [`Limits::wait`].
    pub fn flush(&mut self, now: u64, mut tell: impl FnMut(Group<'_, T>)) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.counts.timed_out += 1;
            self.end(None, &mut tell);
        }
    }

    /// When [`Joiner::flush`] would tell something.
    pub fn deadline(&self) -> Option<u64> {
        self.open
            .as_ref()
            .map(|open| open.touched.saturating_add(self.limits.wait))
    }

    /// Tells the group at hand: the stream is over.
    pub fn close(&mut self, mut tell: impl FnMut(Group<'_, T>)) {
        self.end(None, &mut tell);
        self.carried = None;
    }

    /// Bytes of the group at hand.
    pub fn held(&self) -> usize {
        self.text.len()
    }

    /// When the last line of the group at hand came. `None`: there is none.
    pub fn since(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.touched)
    }

    /// What was pushed with the first and with the last line of the group at hand.
    pub fn places(&mut self) -> Option<(&mut T, &mut T)> {
        self.open.as_mut().map(|open| (&mut open.first, &mut open.last))
    }

    /// What was done so far.
    pub fn counts(&self) -> JoinCounts {
        self.counts
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.text.capacity()
    }

    fn begin(&mut self, state: State, line: &[u8], at: u64, place: T, tell: &mut impl FnMut(Group<'_, T>)) {
        // What nothing can follow needs no copy, and what is too long to be held gets none.
        if state.complete() || line.len() > self.limits.bytes {
            self.counts.groups += 1;
            return tell(Group {
                text: line,
                at,
                first: place,
                last: place,
                lines: 1,
                blank: 0,
                cut: None,
            });
        }
        self.text.extend_from_slice(line);
        self.open = Some(Open {
            state,
            at,
            touched: at,
            first: place,
            last: place,
            lines: 1,
            blank: 0,
        });
    }

    fn end(&mut self, cut: Option<Cut>, tell: &mut impl FnMut(Group<'_, T>)) {
        let Some(open) = self.open.take() else { return };
        self.counts.groups += 1;
        match cut {
            Some(Cut::Lines) => self.counts.cut_lines += 1,
            Some(Cut::Bytes) => self.counts.cut_bytes += 1,
            None => {}
        }
        tell(Group {
            text: &self.text,
            at: open.at,
            first: open.first,
            last: open.last,
            lines: open.lines + open.blank,
            blank: open.blank,
            cut,
        });
        self.text.clear();
        // A long group does not keep its memory for ever.
        self.text.shrink_to(1024);
    }
}

#[cfg(test)]
mod tests;

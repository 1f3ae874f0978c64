//! Lines of a stream that comes in pieces. A line has a limit: a longer one is passed over to its end, and what is behind it is read.

use std::ops::ControlFlow;

/// Memory that is kept between lines, bytes.
const KEPT: usize = 64 << 10;

/// Cuts pieces into lines.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// The line that is coming is too long.
    skipping: bool,
    too_long: u64,
}

impl Lines {
    /// Lines of at most `limit` bytes, their ends not counted.
    pub(super) fn new(limit: usize) -> Lines {
        Lines {
            limit,
            begun: Vec::new(),
            skipping: false,
            too_long: 0,
        }
    }

    /// Takes the next piece and hands on each line that it ends, until `each` breaks off: then the rest of the piece is of no use.
    pub(super) fn push<B>(&mut self, piece: &[u8], mut each: impl FnMut(&[u8]) -> ControlFlow<B>) -> ControlFlow<B> {
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if !self.fits(line) {
                self.begun = Vec::new();
                self.skipping = false;
                continue;
            }
            let flow = if self.begun.is_empty() {
                each(line)
            } else {
                self.begun.extend_from_slice(line);
                let flow = each(&self.begun);
                self.begun.clear();
                self.begun.shrink_to(KEPT);
                flow
            };
            if flow.is_break() {
                return flow;
            }
        }
        if self.fits(rest) {
            self.begun.extend_from_slice(rest);
        } else {
            self.begun = Vec::new();
        }
        ControlFlow::Continue(())
    }

    /// Whether a line has begun whose end has not come.
    pub(super) fn within(&self) -> bool {
        self.skipping || !self.begun.is_empty()
    }

    /// Lines that were too long since this was last asked.
    pub(super) fn take_too_long(&mut self) -> u64 {
        std::mem::take(&mut self.too_long)
    }

    fn fits(&mut self, more: &[u8]) -> bool {
        if !self.skipping && self.begun.len().saturating_add(more.len()) > self.limit {
            self.skipping = true;
            self.too_long += 1;
        }
        !self.skipping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of a text that comes in these pieces, and how many were too long.
    fn cut(limit: usize, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64, bool) {
        let mut lines = Lines::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            let flow = lines.push(piece, |line| {
                found.push(line.to_vec());
                ControlFlow::<()>::Continue(())
            });
            assert!(flow.is_continue());
            assert!(lines.begun.len() <= limit, "bounded");
        }
        (found, lines.take_too_long(), lines.within())
    }

    #[test]
    fn a_long_line_is_passed_over_and_counted_once() {
        let (found, long, within) = cut(4, &[b"ab\ncdef", b"g", b"hi\nj\n", b"klmn\nop"]);
        assert_eq!(found, [b"ab".to_vec(), b"j".to_vec(), b"klmn".to_vec()]);
        assert_eq!((long, within), (1, true));
        assert_eq!(cut(4, &[b"12345", b""]), (vec![], 1, true));
        assert_eq!(cut(0, &[b"\n\nx\n"]), (vec![vec![], vec![]], 1, false));
    }

    #[test]
    fn breaking_off_leaves_the_rest() {
        let mut lines = Lines::new(8);
        let mut found = 0;
        let flow = lines.push(b"a\nb\nc\n", |line| {
            found += 1;
            if line == b"b" {
                ControlFlow::Break("stop")
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((flow, found), (ControlFlow::Break("stop"), 2));
    }

    proptest! {
        /// However a text is cut into pieces, its lines are those that `split` finds, but for the long ones.
        #[test]
        fn pieces_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..20),
            limit in 0usize..20,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let mut expect: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            let rest = expect.pop().unwrap_or_default();
            let long = expect.iter().chain([&rest]).filter(|line| line.len() > limit).count();
            expect.retain(|line| line.len() <= limit);
            let (found, too_long, within) = cut(limit, &pieces);
            prop_assert_eq!(found, expect);
            prop_assert_eq!((too_long, within), (long as u64, !rest.is_empty()));
        }
    }
}

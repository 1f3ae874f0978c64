//! What was made of the names in a file whose lines stay the same from one reading to the next.

/// Something for each line of a file, made from the name on that line, and made anew only when another name stands there.
#[derive(Debug)]
pub struct ByLine<T>(Vec<(Box<[u8]>, T)>);

impl<T> Default for ByLine<T> {
    fn default() -> ByLine<T> {
        ByLine(Vec::new())
    }
}

impl<T> ByLine<T> {
    /// What belongs to a name on a line. Lines are asked for in their order, from 0 without gaps: a line further on counts as
    /// the next one.
    pub fn at(&mut self, line: usize, name: impl AsRef<[u8]>, make: impl FnOnce() -> T) -> &T {
        let (line, name) = (line.min(self.0.len()), name.as_ref());
        if self.0.get(line).is_none_or(|(known, _)| **known != *name) {
            self.0.truncate(line);
            self.0.push((name.into(), make()));
        }
        &self.0[line].1
    }

    /// Forgets what lies behind so many lines.
    pub fn cut(&mut self, lines: usize) {
        self.0.truncate(lines);
    }

    /// Everything that is known, line by line.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, made)| made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_made_again() {
        let mut known = ByLine::default();
        let mut made = 0;
        for lines in [["a", "b", "c"], ["a", "b", "c"], ["a", "x", "c"]] {
            for (line, name) in lines.into_iter().enumerate() {
                let told = known.at(line, name, || {
                    made += 1;
                    name.to_owned()
                });
                assert_eq!(told, name);
            }
        }
        assert_eq!(made, 5, "the first three, and the last two of the third");
        assert_eq!(known.at(99, "z", || "z".to_owned()), "z");
        known.cut(2);
        assert_eq!(known.all().collect::<Vec<_>>(), ["a", "x"]);
    }
}

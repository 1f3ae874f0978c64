//! Texts that are counted under small numbers.

use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Operations that have a number of their own; protocols map the unknown ones to `_OTHER`, so this is not met by HTTP.
const OPERATIONS: usize = 1024;
/// Texts under small numbers; number 0 is that of all beyond [`OPERATIONS`].
#[derive(Debug)]
pub(crate) struct Names<T> {
    by_name: FxHashMap<T, u16>,
    names: Vec<T>,
}

impl Names<Arc<str>> {
    pub(crate) fn new(first: Arc<str>) -> Names<Arc<str>> {
        Names {
            by_name: FxHashMap::from_iter([(first.clone(), 0)]),
            names: vec![first],
        }
    }

    pub(crate) fn intern(&mut self, name: &Arc<str>) -> u16 {
        if let Some(&number) = self.by_name.get(name) {
            return number;
        }
        if self.names.len() >= OPERATIONS {
            return 0;
        }
        let number = self.names.len() as u16;
        self.names.push(name.clone());
        self.by_name.insert(name.clone(), number);
        number
    }

    pub(crate) fn name(&self, number: u16) -> &Arc<str> {
        self.names.get(usize::from(number)).unwrap_or(&self.names[0])
    }
}

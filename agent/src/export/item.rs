//! What exporters take away, one by one.

use crate::logs::{LogRecord, Receipt};
use crate::trace::span::{Attribute, AttributeValue, Span};
use std::mem::size_of;

/// A span, a record of a log, or a piece of a collection of metrics.
pub trait Item: Clone + Send + Sync + 'static {
    /// What several are called in messages.
    const PLURAL: &'static str;

    /// Bytes of memory that it holds, about; not the resource, which all items of a process share.
    fn weight(&self) -> usize;

    /// How many it counts as: a piece of a collection of metrics is many data points.
    fn units(&self) -> u64 {
        1
    }

    /// Who waits to hear what becomes of it. Whoever takes an item in hands this back once.
    fn take_receipt(&mut self) -> Option<Receipt> {
        None
    }
}

impl Item for Span {
    const PLURAL: &'static str = "spans";

    fn weight(&self) -> usize {
        size_of::<Span>() + self.name.len() + self.state.as_ref().map_or(0, |s| s.len()) + attributes(&self.attributes)
    }
}

impl Item for LogRecord {
    const PLURAL: &'static str = "log records";

    fn weight(&self) -> usize {
        let name = self.event_name.as_ref().map_or(0, |name| name.len());
        let severity = self.severity_text.as_ref().map_or(0, |text| text.len());
        size_of::<LogRecord>() + name + severity + self.body.len() + attributes(&self.attributes)
    }

    fn take_receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }
}

/// Bytes of memory that attributes hold beside the list itself, about.
fn attributes(list: &Vec<Attribute>) -> usize {
    let texts = list.iter().map(|(_, value)| match value {
        AttributeValue::Text(text) => text.len(),
        AttributeValue::Texts(texts) => texts.iter().map(|t| t.len() + size_of::<String>()).sum(),
        _ => 0,
    });
    list.capacity() * size_of::<Attribute>() + texts.sum::<usize>()
}

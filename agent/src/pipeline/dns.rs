//! Lookups of names: what is found of them, and who gives up those that were not answered.

use super::{Core, Pipeline};
use crate::protocol::dns::Out;
use crate::signal::{MeasureSignal, Nanos};
use std::net::IpAddr;
use std::time::Duration;

impl Pipeline {
    /// At a look. `drained`: when the ring had been read last.
    pub(super) fn dns(&mut self, drained: Nanos) {
        let lost = self.core.counts.lost_messages();
        self.dns.tick(drained, lost, &mut self.core);
    }
}

impl Out for Core {
    fn measure(&mut self, measure: &MeasureSignal<'_>) {
        Core::measure(self, measure);
    }

    fn name(&mut self, address: IpAddr, name: &str, ttl: u32) {
        self.names.insert(address, name, Duration::from_secs(ttl.into()));
    }
}

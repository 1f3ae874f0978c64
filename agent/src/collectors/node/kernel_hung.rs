//! Tasks that hung: `proc/sys/kernel/hung_task_detect_count` (`kernel/hung_task.c`, Linux 6.13).

use super::files::Kept;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "kernel_hung",
    about: "tasks that hung",
    make: |setup| {
        let file = setup.host.proc.join("sys/kernel/hung_task_detect_count");
        Ok(Box::new(Hung(Kept::whole(file))))
    },
    ..Collector::BASE
};

static TASKS: Family = Family::new(
    "node_kernel_hung_tasks_total",
    "",
    "Tasks that the kernel found hanging since it started.",
    Kind::Counter,
);

struct Hung(Kept);

impl Collect for Hung {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let count: u64 = self.0.number()?;
        out.family(&TASKS);
        out.number(&[], count as f64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn a_count_or_no_such_kernel() {
        let fixture = Fixture::new(&[("proc/", "")]);
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
        fixture.put(&[("proc/sys/kernel/hung_task_detect_count", "42\n")]);
        assert_eq!(fixture.text(&COLLECTOR), "node_kernel_hung_tasks_total 42\n");
        fixture.put(&[("proc/sys/kernel/hung_task_detect_count", "-1\n")]);
        assert!(fixture.error(&COLLECTOR).contains("\"-1\": invalid digit"));
    }
}

//! The sources of lines that were asked for, between the settings and the exporters.

use crate::attribute::container::Cgroup;
use crate::attribute::kubernetes::Pods;
use crate::collectors::own::{Own, Reading};
use crate::config::Config;
use crate::export::ItemSink;
use crate::host::{Host, quarter_of_descriptors};
use crate::logs::lines::Lines;
use crate::logs::observed::{Queue, WithIds};
use crate::logs::sources::{
    self, FileId, Globs, Journal, Limits, Mine, Number, Outlet, Room, Running, Settings, SourceCounts,
};
use crate::logs::{LogRecord, multiline, redact};
use anyhow::Context;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Logs of containers: the kubelet's, then Docker's.
const CONTAINERS: [&str; 2] = ["/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log"];

/// Who takes records.
pub(super) type Records = Vec<Arc<dyn ItemSink<LogRecord>>>;

/// What reads lines of files, the journal and programs. `None`: no lines are asked for, or nobody takes records.
pub(super) fn lines(config: &Config, own: &Own, sinks: &Records) -> Option<Arc<Lines>> {
    let wanted = config.logs.wanted() || !config.logs.observe.is_empty();
    if wanted && sinks.is_empty() {
        tracing::warn!(
            "logs are not read, because nothing takes them: set OTEL_EXPORTER_OTLP_ENDPOINT, or --export events to write them out"
        );
    }
    if !wanted || sinks.is_empty() {
        return None;
    }
    let lines = Arc::new(Lines::new(&config.logs));
    register_lines(own, &lines);
    Some(lines)
}

/// Begins to read what was asked for of files and the journal. `None`: nothing was, or nobody takes records. `read`: where lines wait for
/// the ids of their writes.
pub(super) fn start(
    config: &Config,
    own: &Own,
    sinks: Records,
    lines: Option<Arc<Lines>>,
    pods: Option<Pods>,
    read: Option<Arc<Queue>>,
) -> anyhow::Result<Option<Running>> {
    let Some(lines) = lines.filter(|_| config.logs.wanted()) else {
        return Ok(None);
    };
    let settings = settings(config, pods)?;
    let make = Arc::new(move |line: &sources::Line<'_>| lines.read(line));
    let sinks: Arc<dyn Outlet> = Arc::new(Sinks(sinks));
    let outlet = match read {
        Some(queue) => Arc::new(WithIds::new(sinks, queue)),
        None => sinks,
    };
    let running = sources::start(settings, outlet, make)?;
    register(own, &running.counts());
    Ok(Some(running))
}

fn settings(config: &Config, pods: Option<Pods>) -> anyhow::Result<Settings> {
    let mut include = config.logs.include.clone();
    if config.logs.containers {
        for pattern in CONTAINERS {
            include.push(
                pattern
                    .parse::<sources::Glob>()
                    .map_err(anyhow::Error::msg)
                    .context(pattern)?,
            );
        }
    }
    Ok(Settings {
        host: config.host.clone(),
        node: config.host.name(),
        pods,
        globs: Globs::new(include, config.logs.exclude.iter().cloned()),
        services: config.logs.services.clone(),
        journal: config.logs.journal.then(|| Journal {
            program: "journalctl".into(),
        }),
        start: config.logs.start,
        state: config.logs.state.clone(),
        rate: config.logs.rate,
        multiline: config.logs.multiline.then(multiline::Limits::default),
        mine: mine(&config.host),
        limits: Limits {
            open: open_files(),
            ..Limits::default()
        },
    })
}

/// Log files that are open at the same time.
fn open_files() -> usize {
    quarter_of_descriptors().clamp(16, Limits::default().open)
}

/// What is the agent's own: to read it would be to write more of it.
fn mine(host: &Host) -> Mine {
    let pid = host.own_pid();
    let text = std::fs::read_to_string(host.proc.join(pid.to_string()).join("cgroup"));
    let cgroup = text.map(|text| Cgroup::parse(&text)).unwrap_or_default();
    let (out, error) = (std::io::stdout(), std::io::stderr());
    let files = [out.as_fd(), error.as_fd()].into_iter().filter_map(|fd| {
        let file = std::fs::File::from(fd.try_clone_to_owned().ok()?);
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(FileId::of(&metadata))
    });
    Mine {
        files: files.collect(),
        pid,
        pod: cgroup.pod.map(|pod| pod.uid),
        container: cgroup.container.map(|container| container.id),
        unit: cgroup.unit,
    }
}

/// Every exporter takes every record; the first one hands its receipt back.
pub(super) struct Sinks(pub(super) Records);

impl Outlet for Sinks {
    fn room(&self) -> Room {
        let rooms = self.0.iter().map(|sink| sink.room());
        rooms.fold(
            Room {
                records: usize::MAX,
                bytes: usize::MAX,
            },
            |least, (items, bytes)| Room {
                records: least.records.min(items),
                bytes: least.bytes.min(bytes),
            },
        )
    }

    fn take(&self, record: LogRecord) {
        let Some((first, others)) = self.0.split_first() else {
            return; // there is one, or nothing is read
        };
        for sink in others {
            sink.accept(LogRecord {
                receipt: None,
                ..record.clone()
            });
        }
        first.accept(record);
    }
}

type Row = (&'static str, &'static str, &'static str, fn(&SourceCounts) -> &Number);

const COUNTERS: [Row; 12] = [
    (
        "onlooker_log_lines_total",
        "",
        "Lines of log files and entries of the journal that were read.",
        |counts| &counts.lines,
    ),
    (
        "onlooker_log_bytes_total",
        "bytes",
        "Bytes of log files and of the journal that were read.",
        |counts| &counts.bytes,
    ),
    (
        "onlooker_log_lines_cut_total",
        "",
        "Lines that were longer than 1 MiB and were cut.",
        |counts| &counts.cut,
    ),
    (
        "onlooker_log_cut_bytes_total",
        "bytes",
        "Bytes that were cut off long lines.",
        |counts| &counts.cut_bytes,
    ),
    (
        "onlooker_log_lines_invalid_total",
        "",
        "Lines with bytes that are no UTF-8, which were replaced.",
        |counts| &counts.invalid,
    ),
    (
        "onlooker_log_lines_malformed_total",
        "",
        "Lines of containers that are not as a container runtime writes them, handed on as they are.",
        |counts| &counts.malformed,
    ),
    (
        "onlooker_log_parts_total",
        "",
        "Parts of lines handed on for themselves, because the rest did not come or too many waited.",
        |counts| &counts.parts,
    ),
    (
        "onlooker_log_groups_cut_total",
        "",
        "Events of several lines that were handed on early, because those of all sources together had more than 8 MiB, or those of the journal were more than 1,024.",
        |counts| &counts.groups_cut,
    ),
    (
        "onlooker_log_truncations_total",
        "",
        "Times that a log file was found truncated or written anew.",
        |counts| &counts.truncations,
    ),
    (
        "onlooker_log_rotations_total",
        "",
        "Times that a log file was found renamed or removed.",
        |counts| &counts.rotations,
    ),
    (
        "onlooker_log_files_refused_total",
        "",
        "Log files not followed because there are too many, counted at every look.",
        |counts| &counts.refused,
    ),
    (
        "onlooker_log_errors_total",
        "",
        "Times that a log file could not be opened or read.",
        |counts| &counts.unreadable,
    ),
];

const GAUGES: [Row; 6] = [
    ("onlooker_log_files", "", "Log files known now.", |counts| &counts.known),
    ("onlooker_log_files_open", "", "Log files open now.", |counts| {
        &counts.open
    }),
    (
        "onlooker_log_lag_bytes",
        "bytes",
        "Bytes of log files that are known to be there and are not read yet.",
        |counts| &counts.lag_bytes,
    ),
    (
        "onlooker_log_held_bytes",
        "bytes",
        "Bytes of parts of lines that wait for their rest.",
        |counts| &counts.held_bytes,
    ),
    (
        "onlooker_log_group_bytes",
        "bytes",
        "Bytes of lines that wait for more that belongs to them.",
        |counts| &counts.group_bytes,
    ),
    (
        "onlooker_log_folders_unwatched",
        "",
        "Folders in which new log files are found every 10 seconds only, because the kernel refuses to watch more.",
        |counts| &counts.unwatched,
    ),
];

/// Families with a label: name, unit, help, label, and its values.
type Labelled = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    [(&'static str, fn(&SourceCounts) -> &Number); 2],
);

const LABELLED: [Labelled; 4] = [
    (
        "onlooker_log_lines_joined_total",
        "",
        "Lines that went to the record of the line before them: of one event of several lines, or as a part of one long line.",
        "of",
        [("event", |counts| &counts.joined), ("line", |counts| &counts.merged)],
    ),
    (
        "onlooker_log_unread_bytes_total",
        "bytes",
        "Bytes of log files that were seen and not read: of truncated ones (read from their copy where that is found), and of removed ones \
         that could not be held.",
        "reason",
        [
            ("truncated", |counts| &counts.unread_truncated),
            ("removed", |counts| &counts.unread_removed),
        ],
    ),
    (
        "onlooker_log_waits_total",
        "",
        "Times that reading of logs waited: for room in the queue of an exporter, or for records to be settled by it.",
        "reason",
        [
            ("queue_full", |counts| &counts.waits_for_room),
            ("unsettled", |counts| &counts.waits_for_settling),
        ],
    ),
    (
        "onlooker_log_faults_total",
        "",
        "Times that how far logs were read could not be written or read (checkpoint), or that the program that reads the journal ended.",
        "of",
        [
            ("checkpoint", |counts| &counts.checkpoint_errors),
            ("journal", |counts| &counts.journal_ends),
        ],
    ),
];

/// Tells what was found in lines.
fn register_lines(own: &Own, lines: &Arc<Lines>) {
    for kind in redact::Kind::ALL {
        let lines = lines.clone();
        let reading = Reading::counter(
            "onlooker_log_redacted_total",
            "",
            "Secrets and personal data in lines of logs that were replaced.",
            move || lines.redacted(kind) as f64,
        );
        own.register(reading.label("kind", kind.name()));
    }
    type Count = fn(&Lines) -> u64;
    let counters: [(&'static str, &'static str, Count); 2] = [
        (
            "onlooker_log_attributes_dropped_total",
            "Fields of structured lines that were left out: more than 64 of a line, or with names of more than 256 bytes.",
            Lines::dropped,
        ),
        (
            "onlooker_log_values_cut_total",
            "Values of structured lines that were cut at 16 KiB.",
            Lines::cut,
        ),
    ];
    for (name, help, read) in counters {
        let lines = lines.clone();
        own.register(Reading::counter(name, "", help, move || read(&lines) as f64));
    }
}

/// Tells what is counted.
fn register(own: &Own, counts: &Arc<SourceCounts>) {
    let reads = |read: fn(&SourceCounts) -> &Number| {
        let counts = counts.clone();
        move || read(&counts).get() as f64
    };
    for (name, unit, help, read) in COUNTERS {
        own.register(Reading::counter(name, unit, help, reads(read)));
    }
    for (name, unit, help, read) in GAUGES {
        own.register(Reading::gauge(name, unit, help, reads(read)));
    }
    for (name, unit, help, label, values) in LABELLED {
        for (value, read) in values {
            own.register(Reading::counter(name, unit, help, reads(read)).label(label, value));
        }
    }
    own.register_events(counts.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::QueueCounts;
    use crate::logs::{Acknowledge, Receipt, Severity};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Sink {
        taken: Mutex<Vec<LogRecord>>,
        room: usize,
    }

    impl ItemSink<LogRecord> for Sink {
        fn accept(&self, item: LogRecord) {
            self.taken.lock().expect("sound").push(item);
        }
        fn counts(&self) -> QueueCounts {
            QueueCounts::default()
        }
        fn room(&self) -> (usize, usize) {
            (self.room, usize::MAX)
        }
    }

    struct Settled(AtomicU64);

    impl Acknowledge for Settled {
        fn settled(&self, _: u64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn all_sinks_take_a_record_and_one_its_receipt() {
        let sinks = [3, 5].map(|room| {
            Arc::new(Sink {
                room,
                ..Sink::default()
            })
        });
        let all = Sinks(
            sinks
                .iter()
                .map(|sink| sink.clone() as Arc<dyn ItemSink<LogRecord>>)
                .collect(),
        );
        assert_eq!(all.room().records, 3);
        let settled = Arc::new(Settled(AtomicU64::new(0)));
        all.take(LogRecord {
            timestamp: 1,
            observed: 1,
            severity: Severity::UNSPECIFIED,
            event_name: None,
            body: "line".to_owned(),
            attributes: Vec::new(),
            resource: Arc::default(),
            span: None,
            severity_text: None,
            receipt: Some(Receipt::new(settled.clone(), 1)),
        });
        for sink in sinks {
            for record in std::mem::take(&mut *sink.taken.lock().expect("sound")) {
                record.receipt.into_iter().for_each(Receipt::settle);
            }
        }
        assert_eq!(settled.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn containers_are_read_when_asked_for() {
        let mut config = Config::default();
        assert!(!config.logs.wanted());
        config.logs.containers = true;
        assert!(config.logs.wanted());
        settings(&config, None).expect("patterns");
    }

    #[test]
    fn there_is_room_for_other_descriptors() {
        assert!((16..=1024).contains(&open_files()));
    }
}

//! Options of the logs that are read.

use super::{BASE, Opt, Set, one_of};
use crate::collectors::node::flags;
use crate::config::value::{count, path, ratio};
use crate::logs::parse::Zone;
use crate::logs::redact::{Kind, Kinds};
use crate::logs::sources::{Named, StartAt};

/// In the order of the help.
pub(super) static LOGS: &[Opt] = &[
    Opt {
        name: "logs.include",
        value: "GLOB",
        help: "Read log files of this path, e.g. /var/log/shop/*.log; ** is any number of folders. Rotated files beside them are \
               read as far as they are new. Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            config.logs.include.push(value.parse()?);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.exclude",
        value: "GLOB",
        help: "Do not read log files of this path. Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            config.logs.exclude.push(value.parse()?);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.containers",
        value: "BOOL",
        help: "Read the logs of containers: /var/log/pods and Docker's json-file.",
        default: &["false"],
        switch: true,
        set: checked!(flags::boolean, logs.containers),
        ..BASE
    },
    Opt {
        name: "logs.journal",
        value: "BOOL",
        help: "Read the journal of systemd, by the host's journalctl.",
        default: &["false"],
        switch: true,
        set: checked!(flags::boolean, logs.journal),
        ..BASE
    },
    Opt {
        name: "logs.observe",
        value: "SERVICE",
        help: "Make records of the lines that this service writes to standard output and error where no file takes them (terminal, pipe, \
               /dev/null), seen from the kernel, with the ids of the request they were written for; a name or a pattern, e.g. shop-* or \
               NAMESPACE/*. What --logs.containers and --logs.journal read is left to them. Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            config.logs.observe.push(value.parse()?);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.service",
        value: "NAME=GLOB",
        help: "Service that writes the log files of this path; else their name tells. Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            let (service, files) = value
                .split_once('=')
                .filter(|(service, _)| !service.is_empty())
                .ok_or("names no service: use e.g. shop=/var/log/shop/*.log")?;
            config.logs.services.push(Named {
                files: files.parse()?,
                service: service.into(),
            });
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.start-at",
        value: "WHERE",
        help: "Where logs begin that are there at the very first start; those that appear later are read from their beginning.",
        default: &["end"],
        words: &["end", "beginning"],
        set: Set::Field(|config, value| {
            config.logs.start = match value {
                "end" => StartAt::End,
                "beginning" => StartAt::Beginning,
                _ => return Err(one_of(&["end", "beginning"], value)),
            };
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.state-path",
        value: "FILE",
        help: "File that remembers how far logs were read.",
        default: &["/var/lib/onlooker/logs.json"],
        set: checked!(path, logs.state),
        ..BASE
    },
    Opt {
        name: "logs.rate",
        value: "N",
        help: "Lines a second and service; further ones are counted as lost. 0: no limit.",
        default: &["0"],
        set: Set::Field(|config, value| {
            let lines: u32 = count(value, 0, 10_000_000)?;
            config.logs.rate.lines = (lines > 0).then_some(lines);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.sample",
        value: "RATIO",
        help: "Share of the lines of each service that is kept, 0 to 1; the others are counted as lost.",
        default: &["1"],
        set: checked!(ratio, logs.rate.share),
        ..BASE
    },
    Opt {
        name: "logs.parse",
        value: "BOOL",
        help: "Read lines: time, severity, message, fields, trace and span ids; else a record is its line.",
        default: &["true"],
        switch: true,
        set: Set::Field(|config, value| {
            config.logs.raw = !flags::boolean(value)?;
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.multiline",
        value: "BOOL",
        help: "Lines that are one event are one record: stack traces, panics and dumps, indented lines behind one that is not, JSON over \
               several lines. A line waits up to a second for those that belong to it.",
        default: &["true"],
        switch: true,
        set: checked!(flags::boolean, logs.multiline),
        ..BASE
    },
    Opt {
        name: "logs.time-zone",
        value: "ZONE",
        help: "Zone of times in lines that do not say theirs: unknown (such a time is an attribute), utc, host, or an offset such as +02:00.",
        default: &["unknown"],
        set: Set::Field(|config, value| {
            config.logs.zone = match value {
                "host" => {
                    let file = config.host.root.join("etc/localtime");
                    let bytes =
                        std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
                    Zone::of_file(&bytes).ok_or_else(|| format!("{} is no time zone", file.display()))?
                }
                other => Zone::parse(other).ok_or("is no zone: use unknown, utc, host, or an offset such as +02:00")?,
            };
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "logs.redact",
        value: "KIND",
        help: "What is redacted in lines: authorization, url-password, secret, aws-key, token, jwt, private-key, card, cookie, email; \
               default (all but email), or none. Repeatable.",
        default: &["default"],
        repeatable: true,
        set: Set::Field(|config, value| {
            let kinds = &mut config.logs.redact;
            *kinds = match value {
                "default" => Kind::ALL
                    .into_iter()
                    .filter(|kind| Kinds::default().has(*kind))
                    .fold(*kinds, Kinds::with),
                "none" => Kinds::NONE,
                other => kinds.with(Kind::parse(other).ok_or_else(|| one_of(&WORDS, other))?),
            };
            Ok(())
        }),
        ..BASE
    },
];

/// What can be redacted, and the words for several.
static WORDS: [&str; Kind::ALL.len() + 2] = {
    let mut words = ["default"; Kind::ALL.len() + 2];
    words[1] = "none";
    let mut at = 0;
    while at < Kind::ALL.len() {
        words[at + 2] = Kind::ALL[at].name();
        at += 1;
    }
    words
};

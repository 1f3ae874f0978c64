//! Options of the logs that are read.

use super::{BASE, Opt, Set, one_of};
use crate::collectors::node::flags;
use crate::config::value::{count, path, ratio};
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
];

//! Reads `mountstats`: a line for each mount, and behind that of an NFS mount what it did.

/// An NFS mount.
#[derive(Debug, Default)]
pub(super) struct Mount<'a> {
    /// Which of all mounts it is.
    pub(super) index: usize,
    pub(super) device: &'a str,
    pub(super) mount_point: &'a str,
    /// Seconds.
    pub(super) age: u64,
    pub(super) bytes: Vec<u64>,
    pub(super) events: Vec<u64>,
    pub(super) transports: Vec<Transport<'a>>,
    /// Name and counts.
    pub(super) operations: Vec<(&'a str, [u64; 8])>,
}

/// A connection of a mount to its server.
#[derive(Debug)]
pub(super) struct Transport<'a> {
    pub(super) protocol: &'a str,
    /// Bind, connect, idle time, sends, receives, bad ids, backlog, slots, sending, pending; 0 for what the protocol has not.
    pub(super) counts: [u64; 10],
}

/// Columns of a transport's counts behind the protocol, 0 for those that it has not: UDP has no connections, and RDMA has other
/// things at the end. (Column 0 is the port.)
fn columns(protocol: &str) -> Option<[usize; 10]> {
    match protocol {
        "tcp" => Some([1, 2, 4, 5, 6, 7, 9, 10, 11, 12]),
        "rdma" => Some([1, 2, 4, 5, 6, 7, 9, 0, 0, 0]),
        "udp" => Some([1, 0, 0, 2, 3, 4, 6, 7, 8, 9]),
        _ => None,
    }
}

/// NFS mounts; `bad` gets the first line that is none, which is left out.
pub(super) fn parse<'a>(text: &'a str, bad: &mut Option<String>) -> Vec<Mount<'a>> {
    let mut mounts: Vec<Mount<'a>> = Vec::new();
    let mut count = 0;
    // Inside of an NFS mount; and there, among its operations.
    let (mut inside, mut operations) = (false, false);
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_mount = matches!(words.as_slice(), ["device", ..] | ["no", "device", ..]);
        let read = if is_mount {
            operations = false;
            inside = false;
            count += 1;
            match words.as_slice() {
                [
                    "device",
                    device,
                    "mounted",
                    "on",
                    mount_point,
                    "with",
                    "fstype",
                    "nfs" | "nfs4",
                    rest @ ..,
                ] => {
                    if !rest.is_empty() {
                        inside = true;
                        mounts.push(Mount {
                            index: count - 1,
                            device,
                            mount_point,
                            ..Mount::default()
                        });
                    }
                    Some(())
                }
                _ => Some(()),
            }
        } else if words.is_empty() {
            (inside, operations) = (false, false);
            Some(())
        } else if let (true, Some(mount)) = (inside, mounts.last_mut()) {
            operations |= words.first() == Some(&"per-op");
            mount.take(&words, operations)
        } else {
            Some(())
        };
        if read.is_none() {
            bad.get_or_insert_with(|| format!("line {}: {line:?}", number + 1));
        }
    }
    mounts
}

impl<'a> Mount<'a> {
    /// Takes a line; `None`: it is none.
    fn take(&mut self, words: &[&'a str], operations: bool) -> Option<()> {
        let (name, rest) = words.split_first()?;
        match *name {
            "per-op" => {}
            name if operations => {
                let mut counts = [0; 8];
                for (index, count) in counts.iter_mut().enumerate() {
                    *count = rest.get(index)?.parse().ok()?;
                }
                self.operations.push((name.strip_suffix(':')?, counts));
            }
            "age:" => self.age = rest.first()?.parse().ok()?,
            "bytes:" => self.bytes = numbers(rest)?,
            "events:" => self.events = numbers(rest)?,
            "xprt:" => {
                let (protocol, counts) = rest.split_first()?;
                let counts = numbers(counts)?;
                let columns = columns(protocol)?;
                self.transports.push(Transport {
                    protocol,
                    counts: columns.map(|column| match column {
                        0 => 0,
                        column => counts.get(column).copied().unwrap_or_default(),
                    }),
                });
            }
            _ => {}
        }
        Some(())
    }
}

fn numbers(words: &[&str]) -> Option<Vec<u64>> {
    words.iter().map(|word| word.parse().ok()).collect()
}

//! Messages of DNS as they are sent (RFC 1035, 6891): what we need of them, also of those that were captured in part. That is why
//! no library reads them: each refuses a message that is cut short, and our captures of long answers are.

use std::net::IpAddr;

/// Octets of a header.
const HEADER: usize = 12;
/// Octets of a name at most (RFC 1035, 3.1), and so characters without escapes.
const NAME: usize = 255;
/// Pointers followed in one name. Each points further to the front.
const POINTERS: usize = 32;
/// Records of a message that are looked at.
const RECORDS: usize = 64;

/// `A`.
pub const A: u16 = 1;
/// `CNAME`.
pub const CNAME: u16 = 5;
/// `PTR`.
pub const PTR: u16 = 12;
/// `AAAA`.
pub const AAAA: u16 = 28;
const OPT: u16 = 41;

/// Why bytes are no message that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Header or question are not there as a whole.
    #[error("the message is cut short")]
    Short,
    /// Not one question, or no query by its opcode.
    #[error("not a message with one question")]
    Other,
    /// A name that is no name.
    #[error("the message holds a name that cannot be read")]
    Name,
}

/// A message with one question.
#[derive(Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Its id.
    pub id: u16,
    /// An answer.
    pub response: bool,
    /// Cut by the server (`TC`).
    pub truncated: bool,
    /// Response code, with the upper bits of EDNS where those were captured.
    pub code: u16,
    /// Name of the question: lower case, without the last dot, `.` for the root.
    pub name: String,
    /// Type of the question.
    pub kind: u16,
    /// Class of the question.
    pub class: u16,
    answers: u16,
    /// Where the answers begin.
    behind: usize,
}

/// A record of an answer.
#[derive(Debug)]
struct Record<'a> {
    name: String,
    kind: u16,
    /// Seconds that it may be kept, the upper bits of the response code in an `OPT`.
    ttl: u32,
    data: &'a [u8],
    /// Where the data begins.
    at: usize,
}

impl<'a> Message<'a> {
    /// Reads header and question.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read(bytes: &'a [u8]) -> Result<Message<'a>, WireError> {
        let word = |at: usize| number(bytes, at).ok_or(WireError::Short);
        let (id, flags, questions, answers) = (word(0)?, word(2)?, word(4)?, word(6)?);
        let rest = u32::from(word(8)?) + u32::from(word(10)?);
        // Opcode 0, reserved bit 0.
        if questions != 1 || flags & 0x7840 != 0 {
            return Err(WireError::Other);
        }
        let (name, behind) = name(bytes, HEADER)?;
        let mut message = Message {
            bytes,
            id,
            response: flags & 0x8000 != 0,
            truncated: flags & 0x0200 != 0,
            code: flags & 0xf,
            name,
            kind: word(behind)?,
            class: word(behind + 2)?,
            answers,
            behind: behind + 4,
        };
        let all = usize::try_from(u32::from(answers) + rest).unwrap_or(RECORDS);
        if message.response
            && let Some(option) = message.records(all).find(|record| record.kind == OPT)
        {
            message.code |= (option.ttl >> 24 << 4) as u16;
        }
        Ok(message)
    }

    /// Shows the addresses of the name that was asked for, aliases followed, each with the seconds that it may be kept.
    pub fn addresses(&self, each: &mut dyn FnMut(IpAddr, u32)) {
        let mut alias: Option<(String, u32)> = None;
        for record in self.records(self.answers.into()) {
            let (owner, limit) = match &alias {
                Some((name, ttl)) => (name.as_str(), *ttl),
                None => (self.name.as_str(), u32::MAX),
            };
            if record.name != owner {
                continue;
            }
            let ttl = record.ttl.min(limit);
            match record.kind {
                CNAME => {
                    if let Ok((to, _)) = name(self.bytes, record.at) {
                        alias = Some((to, ttl));
                    }
                }
                A => {
                    if let Ok(address) = <[u8; 4]>::try_from(record.data) {
                        each(address.into(), ttl);
                    }
                }
                AAAA => {
                    if let Ok(address) = <[u8; 16]>::try_from(record.data) {
                        each(IpAddr::from(address).to_canonical(), ttl);
                    }
                }
                _ => (),
            }
        }
    }

    /// The first records behind the question, as far as they were captured.
    fn records(&self, count: usize) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let bytes = self.bytes;
        let mut at = self.behind;
        (0..count.min(RECORDS)).map_while(move |_| {
            let (name, behind) = name(bytes, at).ok()?;
            let kind = number(bytes, behind)?;
            let ttl = u32::from(number(bytes, behind + 4)?) << 16 | u32::from(number(bytes, behind + 6)?);
            let length = usize::from(number(bytes, behind + 8)?);
            let from = behind + 10;
            at = from + length;
            Some(Record {
                name,
                kind,
                ttl,
                data: bytes.get(from..at)?,
                at: from,
            })
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let [high, low] = *bytes.get(at..at.checked_add(2)?)? else {
        return None;
    };
    Some(u16::from_be_bytes([high, low]))
}

/// The name at a place, and where it ends there. Characters that no name of a host has become `?`.
fn name(bytes: &[u8], from: usize) -> Result<(String, usize), WireError> {
    let mut text = String::new();
    let (mut at, mut end, mut pointers) = (from, None, 0);
    loop {
        let length = usize::from(*bytes.get(at).ok_or(WireError::Short)?);
        match length & 0xc0 {
            0 if length == 0 => {
                if text.is_empty() {
                    text.push('.');
                }
                return Ok((text, end.unwrap_or(at + 1)));
            }
            0 => {
                let label = bytes.get(at + 1..at + 1 + length).ok_or(WireError::Short)?;
                if text.len() + usize::from(!text.is_empty()) + length > NAME {
                    return Err(WireError::Name);
                }
                if !text.is_empty() {
                    text.push('.');
                }
                text.extend(label.iter().map(|byte| match byte {
                    b'.' => '?',
                    b'!'..=b'~' => char::from(byte.to_ascii_lowercase()),
                    _ => '?',
                }));
                at += 1 + length;
            }
            0xc0 => {
                let to = usize::from(number(bytes, at).ok_or(WireError::Short)? & 0x3fff);
                end = end.or(Some(at + 2));
                pointers += 1;
                // To the front alone, so that it ends.
                if to >= at || pointers > POINTERS {
                    return Err(WireError::Name);
                }
                at = to;
            }
            _ => return Err(WireError::Name),
        }
    }
}

/// Name of a type, as `dns.question.type`-like label: `A`; `TYPE65280` is `_OTHER`.
pub fn type_name(kind: u16) -> &'static str {
    match kind {
        A => "A",
        2 => "NS",
        CNAME => "CNAME",
        6 => "SOA",
        PTR => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        AAAA => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        _ => "_OTHER",
    }
}

/// Name of a response code (RFC 6895).
pub fn code_name(code: u16) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        _ => "_OTHER",
    }
}

#[cfg(test)]
pub(crate) mod tests;

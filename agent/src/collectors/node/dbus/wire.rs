//! Messages: a header, and the values that its signature says.

use super::{MOST, Object, Property};
use crate::collectors::node::CollectError;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::io;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, Endian, LE, to_bytes};
use zbus::{Signature, Type, Variant};

/// Types of messages.
pub(super) const CALL: u8 = 1;
pub(super) const RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
/// Flag of a call: the service is not started for it.
const NO_AUTO_START: u8 = 2;

/// Fields of a header.
pub(super) mod field {
    pub(in super::super) const PATH: u8 = 1;
    pub(in super::super) const INTERFACE: u8 = 2;
    pub(in super::super) const MEMBER: u8 = 3;
    pub(in super::super) const ERROR_NAME: u8 = 4;
    pub(in super::super) const REPLY_SERIAL: u8 = 5;
    pub(in super::super) const DESTINATION: u8 = 6;
    pub(in super::super) const SIGNATURE: u8 = 8;
}

/// Byte order, type, flags, version, length of the body, serial, fields.
pub(super) type Header<'a> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'a>)>);

/// The value of a field that is sent. A signature comes as a text, for `zbus` puts one of several types in brackets, which a
/// message's has not.
struct Said<'a>(Signature, &'a str);

impl Type for Said<'_> {
    const SIGNATURE: &'static Signature = &Signature::Variant;
}

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serializer.serialize_struct("Variant", 2)?;
        value.serialize_field("signature", &self.0)?;
        value.serialize_field("value", self.1)?;
        value.end()
    }
}

/// Writes the message of a call. Two texts at most are all that collectors send.
pub(super) fn put(
    of: Object<'_>,
    interface: &str,
    member: &str,
    body: Option<(&str, &str)>,
    serial: u32,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let mut fields = vec![
        (field::PATH, Said(Signature::ObjectPath, of.path)),
        (field::INTERFACE, Said(Signature::Str, interface)),
        (field::MEMBER, Said(Signature::Str, member)),
        (field::DESTINATION, Said(Signature::Str, of.service)),
    ];
    let context = Context::new(LE, 0);
    let mut content = None;
    if let Some(body) = body {
        content = Some(to_bytes(context, &body).map_err(io::Error::other)?);
        fields.push((field::SIGNATURE, Said(Signature::Signature, "ss")));
    }
    let content: &[u8] = content.as_deref().unwrap_or_default();
    let header = (b'l', CALL, NO_AUTO_START, 1u8, content.len() as u32, serial, fields);
    let header = to_bytes(context, &header).map_err(io::Error::other)?;
    bytes.extend_from_slice(&header);
    bytes.resize(bytes.len() + header.len().next_multiple_of(8) - header.len(), 0);
    bytes.extend_from_slice(content);
    Ok(())
}

/// Bytes that follow the first sixteen of a message: the rest of its header, its body.
pub(super) fn lengths(head: [u8; 16]) -> io::Result<(usize, usize)> {
    let [first, _, _, _, a, b, c, d, _, _, _, _, e, f, g, h] = head;
    let number = match order(Some(&first))? {
        LE => u32::from_le_bytes,
        BE => u32::from_be_bytes,
    };
    let (body, fields) = (number([a, b, c, d]) as usize, number([e, f, g, h]) as usize);
    if body > MOST || fields > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok((fields.next_multiple_of(8), body))
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) name: String,
    pub(super) what: String,
}

/// What was answered.
#[derive(Debug)]
pub(in super::super) struct Answer {
    /// The serial of the question.
    pub(super) to: u32,
    pub(super) error: Option<Refusal>,
    signature: String,
    body: Data<'static, 'static>,
}

impl Answer {
    /// `None`: the message is something else than an answer.
    pub(super) fn parse(head: Vec<u8>, body: Vec<u8>) -> io::Result<Option<Answer>> {
        let order = order(head.first())?;
        let head = Data::new(head, Context::new(order, 0));
        let (header, _): (Header<'_>, _) = head.deserialize().map_err(io::Error::other)?;
        let (_, kind, _, _, _, _, fields) = header;
        let (mut to, mut signature, mut name) = (None, String::new(), String::new());
        for (code, value) in fields {
            match (code, value) {
                (field::REPLY_SERIAL, Variant::U32(serial)) => to = Some(serial),
                (field::SIGNATURE, Variant::Signature(text)) => signature = text.to_string_no_parens(),
                (field::ERROR_NAME, Variant::Str(text)) => name = text.as_str().to_owned(),
                _ => {}
            }
        }
        let Some(to) = to.filter(|_| kind == RETURN || kind == ERROR) else {
            return Ok(None);
        };
        let body = Data::new(body, Context::new(order, 0));
        let error = (kind == ERROR).then(|| {
            let text = signature.starts_with('s').then(|| body.deserialize::<String>().ok());
            let what = text.flatten().map(|(text, _)| text).unwrap_or_default();
            Refusal { name, what }
        });
        Ok(Some(Answer {
            to,
            error,
            signature,
            body,
        }))
    }

    /// What it holds.
    ///
    /// # Errors
    /// Something else.
    pub(in super::super) fn read<'a, T: serde::Deserialize<'a> + Type>(&'a self) -> Result<T, CollectError> {
        let expected = T::SIGNATURE.to_string();
        if self.signature != expected {
            let what = format!("D-Bus: an answer of type {:?} instead of {expected:?}", self.signature);
            return Err(CollectError::Other(what));
        }
        let read = self.body.deserialize();
        read.map(|(value, _)| value)
            .map_err(|error| CollectError::Other(format!("D-Bus: an answer cannot be read: {error}")))
    }

    pub(super) fn variant(&self) -> Option<Property> {
        Property::of(self.read::<Variant<'_>>().ok()?)
    }
}

fn order(byte: Option<&u8>) -> io::Result<Endian> {
    match byte {
        Some(b'l') => Ok(LE),
        Some(b'B') => Ok(BE),
        _ => Err(io::Error::other("it sends something else than messages")),
    }
}

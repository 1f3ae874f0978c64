//! A bus with a few services, for tests: what it is asked for is looked up in a table.

use super::wire::{CALL, ERROR, Header, RETURN, field};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, Endian, to_bytes};
use zbus::{Signature, Type, Variant};

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Proper,
    /// Lets one in, and answers nothing.
    Mute,
    /// Answers nothing at all.
    Deaf,
    /// Lets nobody in.
    Shut,
    /// Hangs up after that many answers.
    Short(usize),
    /// Sends what is no message.
    Noisy,
}

type Answers = HashMap<(String, String), (Signature, Vec<u8>)>;

/// A bus.
pub(crate) struct Mock {
    answers: Answers,
    manner: Manner,
}

/// It sends in the byte order that the agent does not.
const ORDER: Endian = BE;

impl Mock {
    pub(crate) fn new(manner: Manner) -> Mock {
        let mut mock = Mock {
            answers: HashMap::new(),
            manner,
        };
        mock.put("/org/freedesktop/DBus", "Hello", ":1.7");
        mock
    }

    /// What is answered to a call of that object.
    pub(crate) fn put<T: Serialize + Type>(&mut self, path: &str, member: &str, value: T) {
        let bytes = to_bytes(Context::new(ORDER, 0), &value).unwrap().to_vec();
        let key = (path.to_owned(), member.to_owned());
        self.answers.insert(key, (T::SIGNATURE.clone(), bytes));
    }

    /// The value of a property of that object; `name` has the last word of its interface (`Service.Type`).
    pub(crate) fn property<'a>(&mut self, path: &str, name: &str, value: impl Into<Variant<'a>>) {
        self.put(path, name, value.into());
    }

    /// Answers at a socket, until the test is over.
    pub(crate) fn serve(self, socket: &Path) {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // One who hangs up is no matter.
                let _ = self.attend(stream.unwrap());
            }
        });
    }

    fn attend(&self, stream: UnixStream) -> io::Result<()> {
        let mut from = BufReader::new(stream.try_clone()?);
        let mut to = stream;
        let mut line = String::new();
        from.read_line(&mut line)?;
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line, format!("\0AUTH EXTERNAL {hex}\r\n"));
        match self.manner {
            Manner::Deaf => return io::copy(&mut from, &mut io::sink()).map(drop),
            Manner::Shut => return to.write_all(b"REJECTED KERBEROS_V4\r\n"),
            _ => to.write_all(b"OK 0123456789abcdef\r\n")?,
        }
        line.clear();
        from.read_line(&mut line)?;
        assert_eq!(line, "BEGIN\r\n");
        match self.manner {
            Manner::Mute => return io::copy(&mut from, &mut io::sink()).map(drop),
            Manner::Noisy => {
                to.write_all(&[b'x'; 4096])?;
                return io::copy(&mut from, &mut io::sink()).map(drop);
            }
            _ => {}
        }
        let most = if let Manner::Short(most) = self.manner {
            most
        } else {
            usize::MAX
        };
        for _ in 0..most {
            self.answer(&mut from, &mut to)?;
        }
        Ok(())
    }

    fn answer(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let mut head = vec![0; 16];
        from.read_exact(&mut head)?;
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (length, fields) = (number(4), number(12));
        head.resize(16 + fields.next_multiple_of(8), 0);
        from.read_exact(&mut head[16..])?;
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let context = Context::new(zbus::wire::LE, 0);
        let head = Data::new(head, context);
        let (header, _): (Header<'_>, _) = head.deserialize().unwrap();
        assert_eq!((header.0, header.1, header.3), (b'l', CALL, 1));
        let text = |wanted: u8| {
            let (_, value) = header.6.iter().find(|(code, _)| *code == wanted)?;
            Some(match value {
                Variant::Str(text) => text.as_str().to_owned(),
                Variant::ObjectPath(path) => path.as_str().to_owned(),
                Variant::Signature(signature) => signature.to_string_no_parens(),
                other => panic!("{other:?}"),
            })
        };
        let mut member = text(field::MEMBER).unwrap();
        if member == "Get" {
            assert_eq!(text(field::INTERFACE).unwrap(), "org.freedesktop.DBus.Properties");
            assert_eq!(text(field::SIGNATURE).unwrap(), "ss");
            let body = Data::new(body, context);
            let ((interface, name), _): ((String, String), _) = body.deserialize().unwrap();
            member = format!("{}.{name}", interface.rsplit('.').next().unwrap());
        }
        let found = self.answers.get(&(text(field::PATH).unwrap(), member));
        let error = to_bytes(Context::new(ORDER, 0), "there is none").unwrap().to_vec();
        let (kind, signature, body) = match found {
            Some((signature, body)) => (RETURN, signature.clone(), body),
            None => (ERROR, Signature::Str, &error),
        };
        let mut fields = vec![
            (field::REPLY_SERIAL, Variant::U32(header.5)),
            (field::SIGNATURE, Variant::Signature(signature)),
        ];
        if found.is_none() {
            fields.push((
                field::ERROR_NAME,
                Variant::from("org.freedesktop.DBus.Error.UnknownProperty"),
            ));
        }
        // A signal first, which nobody asked for.
        self.send(to, 4, Vec::new(), &[])?;
        self.send(to, kind, fields, body)
    }

    fn send(&self, to: &mut impl Write, kind: u8, fields: Vec<(u8, Variant<'_>)>, body: &[u8]) -> io::Result<()> {
        let header: Header<'_> = (b'B', kind, 1, 1, body.len() as u32, 1, fields);
        let mut bytes = to_bytes(Context::new(ORDER, 0), &header).unwrap().to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(body);
        to.write_all(&bytes)
    }
}

//! A DNS server whose answers follow from the first label of the name, and which writes down each question: transport, type, name,
//! code (`-` for no answer) and the nanoseconds from its arrival to its answer. `nameserver ADDRESS LOG [DELAY-MS]`
//!
//! `nx…`: NXDOMAIN, `fail…`: SERVFAIL, `refused…`: REFUSED, `drop…`: never an answer, `once…`: none to the first question,
//! `slow…`: after DELAY-MS, `big…`: 60 addresses, cut over UDP, `alias…`: an alias and its address.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const A: u16 = 1;
const AAAA: u16 = 28;

struct Server {
    log: Mutex<File>,
    seen: Mutex<HashSet<(u16, String)>>,
    delay: Duration,
}

struct Question {
    name: String,
    kind: u16,
    /// Where it ends in the message.
    end: usize,
}

fn question(message: &[u8]) -> Option<Question> {
    let (mut at, mut name) = (12, String::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(message.get(at..at + length)?).ok()?);
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some(Question {
        name: name.to_ascii_lowercase(),
        kind,
        end: at + 4,
    })
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 1, 44]); // IN, 300 s
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn answers(question: &Question) -> Vec<Vec<u8>> {
    const NAME: [u8; 2] = [0xc0, 12];
    const TARGET: &[u8] = b"\x06target\x04test\x00";
    let first = question.name.bytes().fold(7u8, |sum, byte| sum.wrapping_mul(31) ^ byte);
    match question.kind {
        A if question.name.starts_with("big") => (0..60).map(|n| record(&NAME, A, &[198, 51, 100, n])).collect(),
        A if question.name.starts_with("alias") => {
            vec![record(&NAME, 5, TARGET), record(TARGET, A, &[198, 51, 100, 200])]
        }
        A => vec![record(&NAME, A, &[192, 0, 2, first])],
        AAAA => {
            let mut address = [0; 16];
            address[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
            address[15] = first;
            vec![record(&NAME, AAAA, &address)]
        }
        12 => vec![record(&NAME, 12, TARGET)],
        33 => vec![record(&NAME, 33, &[&[0, 1, 0, 1, 0, 80], TARGET].concat())],
        16 => vec![record(&NAME, 16, b"\x04text")],
        _ => Vec::new(),
    }
}

impl Server {
    /// The answer to a question, after its time; `None`: there is none.
    fn answer(&self, message: &[u8], tcp: bool, arrived: Instant) -> Option<Vec<u8>> {
        let question = question(message)?;
        let begins = |what: &str| question.name.starts_with(what);
        let first = begins("once") && self.seen.lock().unwrap().insert((question.kind, question.name.clone()));
        if begins("slow") {
            std::thread::sleep(self.delay);
        }
        if begins("drop") || first {
            self.write(tcp, &question, "-", arrived);
            return None;
        }
        let (code, name) = match () {
            () if begins("nx") => (3, "NXDOMAIN"),
            () if begins("fail") => (2, "SERVFAIL"),
            () if begins("refused") => (5, "REFUSED"),
            () => (0, "NOERROR"),
        };
        let mut answers = if code == 0 { answers(&question) } else { Vec::new() };
        let cut = begins("big") && question.kind == A && !tcp;
        if cut {
            answers.clear();
        }
        let mut bytes = message.get(..question.end)?.to_vec();
        let flags: u16 = 0x8180 | if cut { 0x0200 } else { 0 } | code;
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&(answers.len() as u16).to_be_bytes());
        bytes[8..12].fill(0);
        bytes.extend(answers.concat());
        self.write(tcp, &question, name, arrived);
        Some(bytes)
    }

    fn write(&self, tcp: bool, question: &Question, code: &str, arrived: Instant) {
        let transport = if tcp { "tcp" } else { "udp" };
        let line = format!(
            "{transport} {} {} {code} {}\n",
            question.kind,
            question.name,
            arrived.elapsed().as_nanos()
        );
        self.log.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// One connection.
    fn stream(&self, mut stream: std::net::TcpStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut message).is_err() {
                return;
            }
            if let Some(answer) = self.answer(&message, true, Instant::now()) {
                let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
                if stream.write_all(&framed).is_err() {
                    return;
                }
            }
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let delay = args.get(3).map_or(0, |text| text.parse().unwrap());
    let server = Arc::new(Server {
        log: Mutex::new(File::options().create(true).append(true).open(&args[2]).unwrap()),
        seen: Mutex::default(),
        delay: Duration::from_millis(delay),
    });
    let socket = Arc::new(UdpSocket::bind(&args[1]).unwrap());
    let listener = TcpListener::bind(&args[1]).unwrap();
    let streams = server.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = streams.clone();
            std::thread::spawn(move || server.stream(stream));
        }
    });
    let mut buffer = [0; 4096];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
        let (arrived, message) = (Instant::now(), buffer[..n].to_vec());
        let (server, socket) = (server.clone(), socket.clone());
        let work = move || {
            if let Some(answer) = server.answer(&message, false, arrived) {
                let _ = socket.send_to(&answer, from);
            }
        };
        // Only what sleeps needs a thread of its own.
        if buffer[12..n].windows(4).any(|part| part == b"slow") {
            std::thread::spawn(work);
        } else {
            work();
        }
    }
}

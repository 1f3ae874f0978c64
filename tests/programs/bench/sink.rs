//! A receiver of OTLP over HTTP that takes everything and looks at nothing.

use anyhow::Result;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The longest head of a request, bytes.
const HEAD: u64 = 64 << 10;

pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever goes away in the middle is not missed.
            std::thread::spawn(move || answer(stream));
        }
    });
    crate::hold(&json!({ "address": address }))
}

/// Takes requests with a length until the connection ends.
fn answer(stream: TcpStream) -> Result<()> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::with_capacity(1 << 16, stream);
    loop {
        let (mut length, mut head) = (0, (&mut input).take(HEAD));
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        std::io::copy(&mut (&mut input).take(length), &mut std::io::sink())?;
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")?;
    }
}

//! A receiver of OTLP over HTTP that takes everything and looks at nothing.

use anyhow::Result;
use onlooker_tests::http::{Connection, Stream};
use serde_json::json;
use std::net::{TcpListener, TcpStream};

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
    let mut connection = Connection::of(Stream::Tcp(stream));
    loop {
        let length = connection.head()?.content_length().unwrap_or(0);
        connection.exactly(length)?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")?;
    }
}

//! A connection as a list of steps, run by the test itself or, so that the client is a service of its own, by
//! `rawhttp ask`.

use crate::http::{Connection, Target};
use crate::wait;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::net::Shutdown;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One thing a client does. A connection is opened by the first step and after each that ends one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Sends text in one write.
    Send(String),
    /// Sends text in writes of so many bytes, with a pause after each.
    SendPieces {
        /// What.
        text: String,
        /// Bytes a write.
        piece: usize,
        /// Milliseconds after each write.
        pause_ms: u64,
    },
    /// Reads the whole answer to a request of this method.
    Response(String),
    /// Reads so many bytes.
    Read(usize),
    /// Reads until the peer ends the stream.
    ReadToEnd,
    /// Lets the connection idle, or paces a peer (never to wait for something).
    Pause(u64),
    /// Waits until there is a file, by which the test says to go on.
    AwaitFile(PathBuf),
    /// `shutdown(SHUT_WR)`.
    FinishSending,
    /// Closes.
    Close,
    /// Closes with a reset.
    Reset,
}

/// What one [`Step::Response`] brought.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Interim statuses before it.
    pub interim: Vec<u16>,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// From just before the first send since the last answer to the last byte, seconds.
    pub seconds: f64,
    /// The same to the first byte.
    pub first_byte_seconds: f64,
}

impl Step {
    /// Sends a request in one write and reads its answer.
    pub fn exchange(method: &str, target: &str, body: &str) -> Vec<Step> {
        let bytes = crate::http::request(method, target, &[], body.as_bytes());
        vec![
            Step::Send(String::from_utf8_lossy(&bytes).into_owned()),
            Step::Response(method.into()),
        ]
    }
}

/// Runs the steps.
pub fn run(target: &Target, steps: &[Step]) -> Result<Vec<Answer>> {
    let mut connection: Option<Connection> = None;
    let mut answers = Vec::new();
    let mut sent: Option<Instant> = None;
    for (n, step) in steps.iter().enumerate() {
        let open = match connection.as_mut() {
            Some(open) => open,
            None => connection.insert(Connection::open(target)?),
        };
        let result = match step {
            Step::Send(text) => {
                sent.get_or_insert_with(Instant::now);
                open.send(text.as_bytes())
            }
            Step::SendPieces { text, piece, pause_ms } => {
                sent.get_or_insert_with(Instant::now);
                text.as_bytes().chunks(*piece).try_for_each(|piece| {
                    open.send(piece)?;
                    pause(*pause_ms);
                    Ok(())
                })
            }
            Step::Response(method) => open.response(method).map(|response| {
                let since = sent.take().unwrap_or(response.first_byte);
                answers.push(Answer {
                    status: response.status,
                    interim: response.interim.clone(),
                    body_bytes: response.body.len(),
                    seconds: (response.last_byte - since).as_secs_f64(),
                    first_byte_seconds: response.first_byte.saturating_duration_since(since).as_secs_f64(),
                });
            }),
            Step::Read(bytes) => open.exactly(*bytes).map(drop),
            Step::ReadToEnd => open.to_end().map(drop),
            Step::Pause(ms) => {
                pause(*ms);
                Ok(())
            }
            Step::AwaitFile(path) => wait::until_true("file to go on by", wait::SOON * 3, || path.exists()),
            Step::FinishSending => open.stream.shutdown(Shutdown::Write),
            Step::Close => {
                connection = None;
                sent = None;
                Ok(())
            }
            Step::Reset => {
                sent = None;
                connection.take().map_or(Ok(()), |open| open.stream.reset())
            }
        };
        result.with_context(|| format!("step {n}: {}", head(step)))?;
    }
    Ok(answers)
}

fn pause(ms: u64) {
    if ms > 0 {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

fn head(step: &Step) -> String {
    format!("{step:?}").chars().take(80).collect()
}

//! Both ends of TCP connections, told by standard input what to do. Each line is an order, and each is answered with one line of JSON:
//! the numbers that this program counted and timed itself. It ends when standard input does.
//!
//! An exchange is a head of eight bytes (how much is asked, how much is to be answered), the request and the response.
//!
//! As a server:
//! - `listen ADDRESS BACKLOG serve|hold|shared`: accepts and answers at once, or leaves them in the queue, or at once with `SO_REUSEPORT`
//! - `listeners ADDRESS N`: so many sockets that listen, on which nothing is accepted
//! - `daemon ADDRESS BACKLOG`: listens, and leaves the socket to a child of its own, which goes on here; the parent ends
//! - `accept N`: takes so many out of the queue of what is held, and answers them
//! - `served`: accepted, closed, bytes; `unlisten`: closes the listeners
//!
//! As a client:
//! - `connect ADDRESS N REQUEST RESPONSE close|reset|unread|server|keep [TIMEOUT_MS]`: so many connections, one after the other, each
//!   with one exchange (none when both sizes are 0), and how they end: closed when all is read; reset (`SO_LINGER` of 0); closed while
//!   the response lies unread; closed by the server first; not at all
//! - `exchange REQUEST RESPONSE TIMES`, `info` (`TCP_INFO`), `fill` (until the peer's window is closed), `end close|reset`: those kept
//! - `sweep ADDRESS N`: one connection to this port and each of those that follow, closed at once
//! - `resolve NAME`: the first IPv4 address that the resolver of the C library gives
//! - `cancel ADDRESS N`: connects without waiting, closed at once; `pending ADDRESS N`: the same, kept until `end`

mod client;
mod info;
mod server;
mod sys;

use serde_json::{Value, json};
use std::io::BufRead;

#[derive(Default)]
struct Both {
    server: server::Server,
    client: client::Client,
}

impl Both {
    fn obey(&mut self, words: &[&str]) -> Result<Value, String> {
        let number = |at: usize| {
            words
                .get(at)
                .and_then(|word| word.parse::<u64>().ok())
                .ok_or("a number?")
        };
        let address = || words.get(1).and_then(|word| word.parse().ok()).ok_or("an address?");
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let (server, client) = (&mut self.server, &mut self.client);
        match word(0) {
            "listen" => server.listen(address()?, number(2)?, word(3)),
            "listeners" => server.many(address()?, number(2)?),
            "daemon" => server.daemon(address()?, number(2)?),
            "accept" => server.accept(number(1)?),
            "served" => Ok(server.numbers()),
            "unlisten" => Ok(server.unlisten()),
            "connect" => {
                let exchange = client::Exchange {
                    request: number(3)? as u32,
                    response: number(4)? as u32,
                };
                client.connect(address()?, number(2)?, exchange, word(5), number(6).unwrap_or(0))
            }
            "exchange" => {
                let exchange = client::Exchange {
                    request: number(1)? as u32,
                    response: number(2)? as u32,
                };
                client.exchange(exchange, number(3)?)
            }
            "sweep" => client.sweep(address()?, number(2)?),
            "resolve" => client::resolve(word(1)),
            "info" => client.info(),
            "fill" => client.fill(),
            "end" => client.end(word(1)),
            "cancel" => client.begin(address()?, number(2)?, false),
            "pending" => client.begin(address()?, number(2)?, true),
            other => Err(format!("{other}?")),
        }
    }
}

fn main() {
    sys::many_files().unwrap();
    let mut both = Both::default();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = both.obey(&words);
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": error })));
    }
}

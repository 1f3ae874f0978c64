//! Two network namespaces with a wire between them (`programs/tunwire.rs`) that delays, drops and swaps what goes by as it is told. It
//! needs nothing of the kernel but TUN devices: `tc netem` is not in every kernel.

use crate::netns::{NetNs, ip};
use crate::require::own_program;
use crate::talk::Talker;
use anyhow::Result;
use serde_json::Value;
use std::process::Command;

/// Addresses of the near end.
pub const NEAR: [&str; 2] = ["10.9.0.1", "fd09::1"];
/// Addresses of the far end.
pub const FAR: [&str; 2] = ["10.9.0.2", "fd09::2"];

/// The wire and both its ends.
#[derive(Debug)]
pub struct Wire {
    /// What is dropped or swapped comes from here.
    pub near: NetNs,
    /// The other end.
    pub far: NetNs,
    program: Talker,
}

impl Wire {
    /// Makes one that lets everything pass at once.
    pub fn new() -> Result<Wire> {
        let near = NetNs::new("near", "127.0.0.1")?;
        let far = NetNs::new("far", "127.0.0.1")?;
        let mut command = Command::new(own_program("tunwire"));
        command.args([&near.name, &far.name]);
        let mut program = Talker::start("tunwire", command)?;
        program.ask("count")?; // the devices are there
        for (ns, addresses) in [(&near, NEAR), (&far, FAR)] {
            // Bursts wait for the program, they are not dropped uncounted.
            ip(&["-n", &ns.name, "link", "set", "wire", "txqueuelen", "10000", "up"])?;
            ip(&[
                "-n",
                &ns.name,
                "addr",
                "add",
                &format!("{}/24", addresses[0]),
                "dev",
                "wire",
            ])?;
            let six = format!("{}/64", addresses[1]);
            ip(&["-n", &ns.name, "addr", "add", &six, "dev", "wire", "nodad"])?;
        }
        Ok(Wire { near, far, program })
    }

    /// Tells the wire something, see `programs/tunwire.rs`; gives what went by until then.
    pub fn tell(&mut self, order: &str) -> Result<Value> {
        self.program.ask(order)
    }
}

//! Families of netlink that have a name, and a number of their own on each host (`include/uapi/linux/genetlink.h`).

use super::{Socket, attribute, attributes, u16_at};
use crate::collectors::node::CollectError;

/// Kind of messages to the family of families.
const CONTROL: u16 = 0x10;
/// Bytes of `struct genlmsghdr`.
const HEAD: usize = 4;

/// A family of netlink.
#[derive(Debug)]
pub(crate) struct Generic {
    name: &'static str,
    socket: Socket,
    /// `None`: not known yet.
    id: Option<u16>,
}

impl Generic {
    /// Nothing is asked yet.
    pub(crate) fn new(name: &'static str) -> Generic {
        Generic {
            name,
            socket: Socket::generic(),
            id: None,
        }
    }

    /// Asks for a list by a command with attributes: `each` sees the attributes of every message.
    ///
    /// # Errors
    /// The kernel has no such family, or what it says to it.
    pub(crate) fn dump<T: Default>(
        &mut self,
        command: u8,
        version: u8,
        asked: &[u8],
        mut each: impl FnMut(&mut T, &[u8]),
    ) -> Result<T, CollectError> {
        let id = match self.id {
            Some(id) => id,
            None => self.find()?,
        };
        let mut body = vec![command, version, 0, 0];
        body.extend_from_slice(asked);
        let result = self.socket.dump(id, &body, |found: &mut T, _, body| {
            if let Some(body) = body.get(HEAD..) {
                each(found, body);
            }
        });
        // The module may have been loaded anew, with another number.
        self.id = result.is_ok().then_some(id);
        result
    }

    fn find(&mut self) -> Result<u16, CollectError> {
        let mut body = vec![libc::CTRL_CMD_GETFAMILY as u8, 1, 0, 0];
        let name = [self.name.as_bytes(), b"\0"].concat();
        attribute(&mut body, libc::CTRL_ATTR_FAMILY_NAME as u16, &name);
        let mut id = None;
        self.socket.get(CONTROL, &body, |_, body| {
            let mut attributes = attributes(body.get(HEAD..).unwrap_or_default());
            let found = attributes.find(|(kind, _)| i32::from(*kind) == libc::CTRL_ATTR_FAMILY_ID);
            id = id.or(found.and_then(|(_, value)| u16_at(value, 0)));
        })?;
        id.ok_or_else(|| CollectError::NoData(format!("no netlink family {}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::netlink::text;

    #[test]
    fn the_family_of_families_is_in_its_list() {
        let mut generic = Generic::new("nlctrl");
        let names = generic.dump(
            libc::CTRL_CMD_GETFAMILY as u8,
            1,
            &[],
            |found: &mut Vec<String>, body| {
                let names = attributes(body).filter(|(kind, _)| i32::from(*kind) == libc::CTRL_ATTR_FAMILY_NAME);
                found.extend(names.map(|(_, value)| text(value)));
            },
        );
        assert!(names.unwrap().iter().any(|name| name == "nlctrl"));
        assert_eq!(generic.id, Some(CONTROL));
    }

    #[test]
    fn a_family_that_is_not_there_is_nothing() {
        let error = Generic::new("no-such-family")
            .dump(1, 1, &[], |(): &mut (), _| {})
            .unwrap_err();
        assert!(error.is_no_data(), "{error}");
    }
}

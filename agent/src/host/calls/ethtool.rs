//! What a driver of a network device says of itself: `SIOCETHTOOL` of `ioctl(2)` (`include/uapi/linux/ethtool.h`).
//!
//! netlink has a family of the same name, but no statistics of drivers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `ETHTOOL_GSET`.
const GET_SETTINGS: u32 = 0x01;
/// `ETHTOOL_GDRVINFO`.
const GET_DRIVER: u32 = 0x03;
/// `ETHTOOL_GSTRINGS`.
const GET_STRINGS: u32 = 0x1b;
/// `ETHTOOL_GSTATS`.
const GET_STATISTICS: u32 = 0x1d;
/// `ETH_SS_STATS`: names of statistics.
const NAMES: u32 = 1;
/// `ETH_GSTRING_LEN`.
const NAME: usize = 32;

/// Statistics of a device at most.
const MOST: usize = 16 * 1024;
/// There is room for so many: a device that is set up anew between two calls may have more than it said. It is never touched where
/// nothing is written, and costs address space alone.
const ROOM: usize = 4 * MOST;

/// A driver and its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the firmware.
    pub firmware: String,
    /// Where the device is.
    pub bus: String,
    /// Version of the expansion ROM.
    pub rom: String,
    /// How many statistics it has.
    pub statistics: usize,
}

/// What a device can do, and offers to the other end: bits of `enum ethtool_link_mode_bit_indices`, the first 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Can do.
    pub supported: u32,
    /// Offers.
    pub advertised: u32,
    /// Speed and duplex are agreed upon with the other end: 1.
    pub autonegotiates: u8,
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    reserved: [u8; 12],
    private_flags: u32,
    statistics: u32,
    tests: u32,
    eeprom: u32,
    registers: u32,
}

/// `struct ethtool_cmd`.
#[repr(C)]
#[derive(Default)]
struct Settings {
    command: u32,
    supported: u32,
    advertised: u32,
    speed: u16,
    duplex: u8,
    port: u8,
    phy_address: u8,
    transceiver: u8,
    autonegotiates: u8,
    mdio: u8,
    packets: [u32; 2],
    speed_high: u16,
    crossover: [u8; 2],
    peer: u32,
    reserved: [u32; 2],
}

/// What the driver of a device says of itself. `socket` is any of the network's namespace.
///
/// # Errors
/// The kernel's: `EOPNOTSUPP` of devices that have no such driver.
pub fn driver(socket: BorrowedFd<'_>, device: &str) -> io::Result<Driver> {
    let mut info = DriverInfo {
        command: GET_DRIVER,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        rom: [0; 32],
        reserved: [0; 12],
        private_flags: 0,
        statistics: 0,
        tests: 0,
        eeprom: 0,
        registers: 0,
    };
    // SAFETY: for this command the kernel reads and writes a `struct ethtool_drvinfo`, which this is.
    unsafe { ask(socket, device, (&raw mut info).cast())? };
    Ok(Driver {
        name: text(&info.driver),
        version: text(&info.version),
        firmware: text(&info.firmware),
        bus: text(&info.bus),
        rom: text(&info.rom),
        statistics: info.statistics as usize,
    })
}

/// What a device can do and offers.
///
/// # Errors
/// The kernel's: `EOPNOTSUPP` of devices without a link.
pub fn link(socket: BorrowedFd<'_>, device: &str) -> io::Result<Link> {
    let mut settings = Settings {
        command: GET_SETTINGS,
        ..Settings::default()
    };
    // SAFETY: for this command the kernel reads and writes a `struct ethtool_cmd`, which this is.
    unsafe { ask(socket, device, (&raw mut settings).cast())? };
    Ok(Link {
        supported: settings.supported,
        advertised: settings.advertised,
        autonegotiates: settings.autonegotiates,
    })
}

/// All statistics of a device by the names its driver gives them, in its order; `count` is what [`driver`] said.
///
/// # Errors
/// The kernel's, or there are more than 16,384.
pub fn statistics(socket: BorrowedFd<'_>, device: &str, count: usize) -> io::Result<Vec<(String, u64)>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if count > MOST {
        return Err(io::Error::other(format!("it has {count} statistics, more than {MOST}")));
    }
    // `struct ethtool_gstrings`: command, set, length; then names.
    let mut names = vec![0u32; 3 + ROOM * NAME / size_of::<u32>()];
    if let [command, set, length, ..] = names.as_mut_slice() {
        (*command, *set, *length) = (GET_STRINGS, NAMES, count as u32);
    }
    // SAFETY: for this command the kernel writes behind the head as many names as the driver has at that moment. Drivers have some
    // thousands; there is room for 65,536.
    unsafe { ask(socket, device, names.as_mut_ptr().cast())? };
    // `struct ethtool_stats`: command and length, then numbers.
    let mut numbers = vec![0u64; 1 + ROOM];
    if let Some(head) = numbers.first_mut() {
        *head = head_of(GET_STATISTICS, count as u32);
    }
    // SAFETY: as above, with numbers in place of names.
    unsafe { ask(socket, device, numbers.as_mut_ptr().cast())? };
    let told = names.get(2).map_or(0, |length| *length as usize).min(count);
    let names = names.get(3..).unwrap_or_default().chunks_exact(NAME / size_of::<u32>());
    let names = names.map(|words| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        text(&bytes)
    });
    let numbers = numbers.iter().skip(1).copied();
    Ok(names
        .zip(numbers)
        .take(told)
        .filter(|(name, _)| !name.is_empty())
        .collect())
}

/// Two words as one, in the order they have in memory.
fn head_of(first: u32, second: u32) -> u64 {
    let [a, b, c, d] = first.to_ne_bytes();
    let [e, f, g, h] = second.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// A text up to its first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

/// `SIOCETHTOOL`.
///
/// # Safety
/// `data` begins with a command, and is all that the kernel reads and writes for it.
unsafe fn ask(socket: BorrowedFd<'_>, device: &str, data: *mut libc::c_char) -> io::Result<()> {
    let mut name = [0 as libc::c_char; libc::IFNAMSIZ];
    // The last stays zero.
    if device.len() >= name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in name.iter_mut().zip(device.bytes()) {
        *place = byte as libc::c_char;
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data },
    };
    // SAFETY: the request is whole and outlives the call, and the caller answers for what it points to.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn sizes_are_the_kernels() {
        assert_eq!((size_of::<DriverInfo>(), size_of::<Settings>()), (196, 44));
        assert_eq!(
            head_of(GET_STATISTICS, 7).to_ne_bytes()[..4],
            GET_STATISTICS.to_ne_bytes()
        );
        assert_eq!(text(b"ab\0c"), "ab");
        assert_eq!(text(&[b'x'; 32]).len(), 32);
    }

    #[test]
    fn devices_of_this_host_answer_or_say_why_not() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for name in std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
            let name = name.file_name().into_string().unwrap();
            let Ok(driver) = driver(socket.as_fd(), &name) else {
                continue;
            };
            assert!(!driver.name.is_empty(), "{name}");
            let found = statistics(socket.as_fd(), &name, driver.statistics).unwrap();
            assert!(found.len() <= driver.statistics, "{name}");
        }
        for unknown in ["no-such-dev", "a name that is longer than any"] {
            assert!(driver(socket.as_fd(), unknown).is_err());
            assert!(link(socket.as_fd(), unknown).is_err());
            assert!(statistics(socket.as_fd(), unknown, 1).is_err());
        }
        assert!(statistics(socket.as_fd(), "lo", MOST + 1).is_err());
        assert!(statistics(socket.as_fd(), "lo", 0).unwrap().is_empty());
    }
}

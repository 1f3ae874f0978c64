//! Programs that the kernel runs for each of many things when somebody reads (`Documentation/bpf/bpf_iterators.rst`). aya cannot say
//! which map is to be iterated over, so the calls are made here.

use super::tables::{TableError, Tables};
use aya::Pod;
use aya::maps::Map;
use aya::programs::Program;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
/// `enum bpf_attach_type`.
const BPF_TRACE_ITER: u32 = 28;

/// `struct { … } link_create` of `union bpf_attr`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    pad: u32,
}

/// `struct { … } iter_create` of `union bpf_attr`.
#[repr(C)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// A program that iterates. Each [`Walk::each`] goes over all there is.
pub struct Walk {
    link: OwnedFd,
    buffer: Vec<u8>,
}

impl Tables {
    /// An iterator of the object, over the elements of a map or over what its hook says. `None`: its program is not loaded.
    ///
    /// # Errors
    /// [`TableError`]: the map is not there (any more), or the kernel refuses.
    pub fn walk(&mut self, program: &'static str, map: Option<&'static str>) -> Result<Option<Walk>, TableError> {
        let Some(Program::Iter(iterator)) = self.programs.program(program) else {
            return Err(TableError::Missing(program));
        };
        let Ok(iterator) = iterator.fd() else { return Ok(None) };
        let over = match map {
            None => None,
            Some(name) => match self.programs.map(name) {
                Some(Map::HashMap(data)) => Some(data.fd().as_fd()),
                _ => return Err(TableError::Missing(name)),
            },
        };
        let link = link(iterator.as_fd(), over).map_err(|error| TableError::Iterator(program, error))?;
        Ok(Some(Walk {
            link,
            buffer: vec![0; 32 << 10],
        }))
    }
}

fn link(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    // `union bpf_iter_link_info`: the map's descriptor, the rest zero.
    let mut info = [0u32; 4];
    if let Some(map) = map {
        info[0] = map.as_raw_fd() as u32;
    }
    let attributes = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_fd: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: map.map_or(0, |_| info.as_ptr() as u64),
        iter_info_len: map.map_or(0, |_| size_of_val(&info) as u32),
        pad: 0,
    };
    call(BPF_LINK_CREATE, &attributes)
}

fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: `attributes` is what the command wants, and outlives the call with all it points to.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

impl Walk {
    /// Goes over all, and shows each `T` that the program wrote.
    ///
    /// # Errors
    /// What the kernel said; what was shown before is right.
    pub fn each<T: Pod>(&mut self, mut show: impl FnMut(&T)) -> io::Result<()> {
        let attributes = IterCreate {
            link_fd: self.link.as_raw_fd() as u32,
            flags: 0,
        };
        let mut file = File::from(call(BPF_ITER_CREATE, &attributes)?);
        let (size, mut held) = (size_of::<T>().max(1), 0);
        loop {
            let read = match file.read(&mut self.buffer[held..]) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                // It went over a million of them and wrote nothing yet, or a signal came.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let length = held + read;
            let whole = length / size * size;
            for bytes in self.buffer[..whole].chunks_exact(size) {
                // SAFETY: `T` is plain data of this size; the address may be any.
                show(&unsafe { bytes.as_ptr().cast::<T>().read_unaligned() });
            }
            self.buffer.copy_within(whole..length, 0);
            held = length - whole;
        }
    }
}

//! Connections and listening sockets as they are now: iterators, which run only when the user side reads them.
//!
//! - over the maps of `tcp.rs` (`bpf_iter_bpf_map_elem(struct bpf_iter_meta *meta, struct bpf_map *map, void *key, void *value)`): what
//!   open connections have moved up to now, how long the queues of listening sockets are. Written one behind the other.
//! - over the open files of all processes (`bpf_iter_task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd,
//!   struct file *file)`): sockets that were there before the agent, whatever their network namespace, and whose they are.
//!
//! By probe reads: a socket may go while it is looked at. Its entry goes first; what was read is told only if it is still there.

use crate::{
    moved::{moved, moving},
    read::{Access, Probed, kernel},
    sock::{AF_INET, AF_INET6, IPPROTO_TCP, S_IFMT, S_IFSOCK},
    tables::Keyed,
    task::actor_of,
    tcp::*,
};
use aya_ebpf::helpers::generated::bpf_seq_write;
use core::ffi::c_void;
use onlooker_common::{
    layout,
    tcp::{Connection, Listening, Open, mark, role},
};

/// `struct bpf_iter_meta`; its first member is the file that is written.
#[repr(C)]
pub struct Meta {
    seq: *mut c_void,
}

/// `struct bpf_iter__bpf_map_elem`.
#[repr(C)]
pub struct Element {
    meta: *const Meta,
    map: *const u8,
    key: *const u64,
    value: *const u8,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct TaskFile {
    meta: *const Meta,
    task: *const u8,
    fd: u64,
    file: *const u8,
}

/// # Safety
/// `meta` is the iterator's.
#[inline(always)]
unsafe fn write<T>(meta: *const Meta, value: &T) {
    // SAFETY: the caller's; `value` is whole.
    unsafe { bpf_seq_write((*meta).seq.cast(), (&raw const *value).cast(), size_of::<T>() as u32) };
}

/// Writes an [`Open`] for each connection.
///
/// # Safety
/// Called by the kernel alone.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub unsafe extern "C" fn tcp_open_connections(element: *const Element) -> i32 {
    // SAFETY: the context is the iterator's; a value of a map.
    unsafe {
        let key = (*element).key;
        if key.is_null() {
            return 0;
        }
        let id = *key;
        let Some(connection) = TCP_CONNECTIONS.at(&id) else {
            return 0;
        };
        let sk = id as *const u8;
        let (moved, now) = moving::<Probed>(sk, sk, (*connection).key.role);
        let open = Open {
            key: (*connection).key,
            sock: id,
            sent: moved.sent.wrapping_sub((*connection).sent),
            received: moved.received.wrapping_sub((*connection).received),
            segments: [
                moved.segments[0].wrapping_sub((*connection).segments[0]),
                moved.segments[1].wrapping_sub((*connection).segments[1]),
                moved.segments[2].wrapping_sub((*connection).segments[2]),
                moved.segments[3].wrapping_sub((*connection).segments[3]),
            ],
            rtt: Probed::get::<u32>(sk, layout::TCP_SRTT) >> 3,
            variation: Probed::get::<u32>(sk, layout::TCP_MDEV) >> 2,
            established: u32::from((*connection).marks & mark::OPENED != 0),
            zero_window: u32::from(
                (now == state::ESTABLISHED || now == state::CLOSE_WAIT)
                    && Probed::get::<u32>(sk, layout::TCP_SND_WND) == 0,
            ),
        };
        // Asked last: still the same connection, and not counted by its end.
        if let Some(connection) = TCP_CONNECTIONS.at(&id)
            && (*connection).marks & mark::CLOSED == 0
        {
            write((*element).meta, &open);
        }
    }
    0
}

/// Writes a [`Listening`] for each listening socket.
///
/// # Safety
/// Called by the kernel alone.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub unsafe extern "C" fn tcp_open_listeners(element: *const Element) -> i32 {
    // SAFETY: the context is the iterator's; a value of a map.
    unsafe {
        let key = (*element).key;
        if key.is_null() {
            return 0;
        }
        let id = *key;
        let Some(listener) = TCP_LISTENERS.at(&id) else {
            return 0;
        };
        let sk = id as *const u8;
        let mut listening = Listening {
            sock: id,
            listener: *listener,
        };
        listening.listener.queue = Probed::get(sk, layout::SK_BACKLOG);
        listening.listener.limit = Probed::get(sk, layout::SK_MAX_BACKLOG);
        listening.listener.drops = Probed::get::<u32>(sk, layout::SK_DROPS).wrapping_sub(listening.listener.drops);
        if TCP_LISTENERS.at(&id).is_some() {
            // Of many that share a port all that were remembered for it may be gone.
            remembers(&listening.listener, id);
            write((*element).meta, &listening);
        }
    }
    0
}

/// Takes note of listening sockets that are not known, and of whose those are whose owner is not.
///
/// # Safety
/// Called by the kernel alone.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub unsafe extern "C" fn tcp_open_find_listeners(context: *const TaskFile) -> i32 {
    // SAFETY: the context is the iterator's; values of maps.
    unsafe {
        let Some((sk, now, task)) = tcp_of(context) else {
            return 0;
        };
        if now != state::LISTEN {
            return 0;
        }
        let actor = actor_of::<Probed>(task);
        let id = sk as u64;
        let Some(listener) = TCP_LISTENERS.at(&id) else {
            // One that finds no room is counted where it begins to listen, not each time that it is gone by.
            let _ = listens::<Probed>(sk, &actor);
            return 0;
        };
        if (*listener).tgid == 0 {
            (*listener).start = actor.start;
            (*listener).tgid = actor.tgid;
        }
    }
    0
}

/// Takes note of connections that are not known. Listening sockets must be: whose port it is tells a server's end.
///
/// # Safety
/// Called by the kernel alone.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub unsafe extern "C" fn tcp_open_find_connections(context: *const TaskFile) -> i32 {
    const NOEXIST: u64 = 1;
    // SAFETY: the context is the iterator's.
    unsafe {
        let Some((sk, now, task)) = tcp_of(context) else {
            return 0;
        };
        let id = sk as u64;
        if matches!(now, state::LISTEN | state::CLOSE) || TCP_CONNECTIONS.at(&id).is_some() {
            return 0;
        }
        let actor = actor_of::<Probed>(task);
        let ends = ends::<Probed>(sk);
        let of = if server_of(&ends).1 != 0 {
            role::SERVER
        } else {
            role::CLIENT
        };
        let moved = moved::<Probed>(sk, sk, of, now);
        let connection = Connection {
            key: key_of(&ends, of, actor.start, actor.tgid),
            since: 0,
            sent: moved.sent,
            received: moved.received,
            segments: moved.segments,
            handshake: 0,
            netns: ends.netns,
            marks: mark::OPENED,
            state: now,
            pad: [0; 6],
        };
        let put = TCP_CONNECTIONS.insert(&id, &connection, NOEXIST).is_ok();
        // It may have closed meanwhile, unseen. Its file is held here, so it is not gone.
        if put && Probed::get::<u8>(sk, layout::SK_STATE) == state::CLOSE {
            let _ = TCP_CONNECTIONS.remove(&id);
        }
    }
    0
}

/// The TCP socket of an open file, its state, and whose file it is.
///
/// # Safety
/// `context` is the iterator's.
#[inline(always)]
unsafe fn tcp_of(context: *const TaskFile) -> Option<(*const u8, u8, *const u8)> {
    // SAFETY: the caller's. Volatile: read again, a pointer would be unchecked again.
    unsafe {
        let task = (&raw const (*context).task).read_volatile();
        let file = (&raw const (*context).file).read_volatile();
        if task.is_null() || file.is_null() {
            return None;
        }
        let inode: *const u8 = Probed::get(file, layout::FILE_INODE);
        if Probed::get::<u16>(inode, layout::INODE_MODE) & S_IFMT != S_IFSOCK {
            return None;
        }
        let socket: *const u8 = Probed::get(file, layout::FILE_PRIVATE);
        let sk: u64 = kernel(socket as u64 + crate::globals::offset(layout::SOCKET_SK) as u64);
        let sk = sk as *const u8;
        if sk.is_null() {
            return None;
        }
        let family: u16 = Probed::get(sk, layout::SK_FAMILY);
        if family != AF_INET && family != AF_INET6 || Probed::get::<u16>(sk, layout::SK_PROTOCOL) != IPPROTO_TCP {
            return None;
        }
        Some((sk, Probed::get(sk, layout::SK_STATE), task))
    }
}

const _: () = assert!(core::mem::offset_of!(TaskFile, file) == 24);

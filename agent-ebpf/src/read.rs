//! Reading kernel structs by offset, in three ways with one face: directly through pointers that the verifier knows (the
//! arguments of tp_btf programs; a load each), the same through any pointer once the verifier was told what it is
//! (`bpf_rdonly_cast`), or by probe read (a helper call each, any pointer).

use crate::globals::{offset, type_id};
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user, bpf_skc_to_tcp_sock};
use core::{arch::asm, ffi::c_void, mem::MaybeUninit};
use onlooker_common::{kfunc, layout};

/// How members are read.
pub(crate) trait Access {
    /// The member at an index of `layout` of the struct at `base`; zero when it cannot be read.
    ///
    /// # Safety
    /// `Direct` wants a pointer that the verifier knows to be of the member's struct.
    unsafe fn get<T: Copy>(base: *const u8, field: usize) -> T;
    /// The socket as a `tcp_sock`; null when it is none. Only for sockets of protocol TCP.
    unsafe fn tcp(sk: *const u8) -> *const u8;
}

/// Loads through BTF pointers.
pub(crate) struct Direct;
/// Loads through any pointer, kernel 6.2 and later.
pub(crate) struct Cast;
/// Probe reads.
pub(crate) struct Probed;

impl Access for Direct {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, field: usize) -> T {
        // SAFETY: the verifier checks the load; a fault yields zero.
        unsafe { core::ptr::read_volatile(base.add(offset(field)).cast()) }
    }
    #[inline(always)]
    unsafe fn tcp(sk: *const u8) -> *const u8 {
        // SAFETY: the helper takes any `struct sock_common *`.
        unsafe { bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast() }
    }
}

impl Access for Cast {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, field: usize) -> T {
        // SAFETY: the caller's.
        unsafe { Direct::get(base, field) }
    }
    #[inline(always)]
    unsafe fn tcp(sk: *const u8) -> *const u8 {
        cast(sk, layout::TYPE_TCP_SOCK)
    }
}

/// Tells the verifier that a pointer is one to a struct, an index of `layout::TYPES`. Loads through it yield zero where there
/// is nothing to read. Costs nothing at run time.
#[inline(always)]
pub(crate) fn cast(at: *const u8, to: usize) -> *const u8 {
    let known: *const u8;
    // SAFETY: a call of a kernel function that returns its first argument; the loader knows which.
    unsafe {
        asm!("call {n}", n = const kfunc::RDONLY_CAST,
            out("r0") known,
            inout("r1") at => _, inout("r2") type_id(to) => _, out("r3") _, out("r4") _, out("r5") _)
    };
    known
}

impl Access for Probed {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, field: usize) -> T {
        kernel(base as u64 + offset(field) as u64)
    }
    #[inline(always)]
    unsafe fn tcp(sk: *const u8) -> *const u8 {
        sk
    }
}

/// A value at a kernel address; zero when it cannot be read.
#[inline(always)]
pub(crate) fn kernel<T: Copy>(at: u64) -> T {
    // MaybeUninit: zeroing an array calls a byte loop; the helper fills with zeros on a fault.
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes or zeros; T is plain data at every call.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, at as *const c_void);
        value.assume_init()
    }
}

/// A value at a user address; `None` when it cannot be read.
#[inline(always)]
pub(crate) fn user<T: Copy>(at: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes or zeros; T is plain data at every call.
    unsafe {
        if bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, at as *const c_void) == 0 {
            Some(value.assume_init())
        } else {
            None
        }
    }
}

/// Copies bytes of user memory; `true` when all were read. The length is a whole register: the kernel's helper takes 32 bits
/// of it, but the verifiers of older kernels lose what they know of a number when it is cut to 32 bits.
///
/// # Safety
/// `to` has room for `bytes` bytes, and the verifier knows it.
#[inline(always)]
pub(crate) unsafe fn copy_user(to: *mut u8, bytes: u64, from: u64) -> bool {
    type Helper = unsafe extern "C" fn(*mut c_void, u64, *const c_void) -> i64;
    // SAFETY: the number of bpf_probe_read_user, which is how the helper is called.
    unsafe {
        let helper: Helper = core::mem::transmute(BPF_FUNC_PROBE_READ_USER);
        helper(to.cast(), bytes, from as *const c_void) == 0
    }
}

/// `enum bpf_func_id` in `include/uapi/linux/bpf.h`.
const BPF_FUNC_PROBE_READ_USER: usize = 112;

/// Hides a value from the compiler, so that the bounds check that follows is really emitted for the verifier.
/// (An empty asm body would duplicate `line_info`, which the kernel refuses.)
#[inline(always)]
pub(crate) fn opaque(value: u64) -> u64 {
    let mut hidden = value;
    // SAFETY: moves a register onto itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) hidden) };
    hidden
}

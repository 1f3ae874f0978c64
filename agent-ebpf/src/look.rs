//! The first bytes of a call: do they begin a request?

use crate::{
    capture::Call,
    fill::{NONE, VECTOR},
    globals::forget,
    read::{copy_user, user},
};
use core::mem::MaybeUninit;
use onlooker_common::limits::HELD;

/// What was seen of a call's first bytes.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// They look like a request.
    pub asks: bool,
    /// All of the call's bytes are in the room of its socket.
    pub kept: bool,
    /// The first eight bytes.
    pub first: u64,
}

const PEEK: usize = 24;

/// Do the first bytes look like the head of a request: a token, a space, the start of a target? A short call may hold less;
/// then what is there must fit. `room`: where all bytes of the call go, or null.
///
/// # Safety
/// `room` has `HELD` bytes, and the verifier knows it.
#[inline(always)]
pub(crate) unsafe fn looks_like_request(call: &Call, room: *mut u8) -> Look {
    const NO: Look = Look {
        asks: false,
        kept: false,
        first: 0,
    };
    let (mut at, mut available) = (call.at, call.result as u64);
    if call.which == NONE {
        return NO;
    }
    if call.which == VECTOR {
        let Some(first) = user::<[u64; 2]>(at) else {
            return NO;
        };
        at = first[0];
        if first[1] < available {
            available = first[1];
        }
    }
    let available = forget(available);
    let mut words = MaybeUninit::<[u64; PEEK / 8]>::uninit();
    let kept = !room.is_null();
    // SAFETY: all PEEK bytes are written first, n of them once more by the helper.
    let words = unsafe {
        let stack = words.as_mut_ptr().cast::<u64>();
        let to = if kept { room.cast::<u64>() } else { stack };
        to.write_volatile(END_WORD);
        to.add(1).write_volatile(END_WORD);
        to.add(2).write_volatile(END_WORD);
        if kept {
            let n = crate::read::opaque(available);
            if n > HELD as u64 || !copy_user(room, n, at) {
                return NO;
            }
            stack.write_volatile(to.read_volatile());
            stack.add(1).write_volatile(to.add(1).read_volatile());
            stack.add(2).write_volatile(to.add(2).read_volatile());
        } else {
            let n = if available < PEEK as u64 {
                available
            } else {
                PEEK as u64
            };
            let n = crate::read::opaque(n);
            if n > PEEK as u64 || !copy_user(stack.cast(), n, at) {
                return NO;
            }
        }
        words.assume_init()
    };
    Look {
        asks: begins_request(&words),
        kept,
        first: words[0],
    }
}

/// By whole words, not byte by byte: the verifier walks each way out of a loop. User space looks closer.
#[inline(always)]
fn begins_request(words: &[u64; PEEK / 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// The high bit of each byte that is no printable character, exact up to the first of them.
    #[inline(always)]
    fn stops(word: u64) -> u64 {
        (word | (word.wrapping_sub(ONES * 0x21) & !word)) & (ONES << 7)
    }
    let letter = words[0] & 0xff | 0x20;
    if letter.wrapping_sub(u64::from(b'a')) > 25 {
        return false;
    }
    let (mut word, mut next) = (words[0], words[1]);
    if stops(word) == 0 {
        (word, next) = (words[1], words[2]);
    }
    if stops(word) == 0 {
        (word, next) = (words[2], END_WORD);
    }
    let found = stops(word);
    if found == 0 {
        return true;
    }
    // A one in the byte of the first stop; the ones below it, one a byte, count its place.
    let one = (found & found.wrapping_neg()) >> 7;
    let place = forget(((one - 1) & ONES).wrapping_mul(ONES) >> 56 << 3);
    let byte = (word >> (place & 63)) as u8;
    if byte != b' ' {
        // No character of a token ends the method, or this is where the call ends.
        return byte == END;
    }
    let after = if place == 56 { next } else { word >> ((place + 8) & 63) } as u8;
    after == END || starts_target(after)
}

/// Stands behind the last byte of a short call. (The same byte in the data passes for the end; user space looks again.)
const END: u8 = 0xff;
const END_WORD: u64 = u64::MAX;

/// First character of a request target: origin, absolute, authority or asterisk form.
#[inline(always)]
fn starts_target(byte: u8) -> bool {
    matches!(byte, b'/' | b'*' | b'[') || byte.is_ascii_alphanumeric()
}

//! Puts into the object the calls of kernel functions (kfuncs) that it asks for by place holders: see
//! `onlooker_common::kfunc`.

use super::btf::Btf;
use onlooker_common::kfunc::{PREEMPT_DISABLE, PREEMPT_ENABLE};

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as source register, `include/uapi/linux/bpf.h`.
const KFUNC: u8 = 2 << 4;
/// `r0 = 0`.
const NOTHING: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];

/// From this kernel on tracing programs are preempted.
const PREEMPTIBLE: (u32, u32) = (7, 0);

/// Does this kernel preempt tracing programs? Then second copies of programs are attached too.
pub(super) fn preemptible() -> bool {
    release().is_some_and(|release| release >= PREEMPTIBLE)
}

/// Fills the place holders of an object for the kernel with these types.
pub(super) fn fill(object: &mut [u8], btf: &Btf) {
    let wanted = preemptible();
    let ids = (btf.function("bpf_preempt_disable"), btf.function("bpf_preempt_enable"));
    put(
        object,
        match ids {
            (Some(disable), Some(enable)) if wanted => Some((disable, enable)),
            _ => None,
        },
    );
}

/// `ids`: BTF ids of both functions; without them nothing is called.
fn put(object: &mut [u8], ids: Option<(u32, u32)>) {
    // Instructions are eight bytes and aligned.
    for instruction in object.chunks_exact_mut(8) {
        let Ok(&[CALL, 0, 0, 0, a, b, c, d]) = <&[u8; 8]>::try_from(&*instruction) else {
            continue;
        };
        let id = match i32::from_le_bytes([a, b, c, d]) {
            PREEMPT_DISABLE => ids.map(|(disable, _)| disable),
            PREEMPT_ENABLE => ids.map(|(_, enable)| enable),
            _ => continue,
        };
        match id {
            Some(id) => {
                instruction[1] = KFUNC;
                instruction[4..].copy_from_slice(&id.to_le_bytes());
            }
            None => instruction.copy_from_slice(&NOTHING),
        }
    }
}

/// Major and minor version of the running kernel.
fn release() -> Option<(u32, u32)> {
    let uname = rustix::system::uname();
    let mut numbers = uname
        .release()
        .to_str()
        .ok()?
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: i32) -> [u8; 8] {
        let [a, b, c, d] = n.to_le_bytes();
        [CALL, 0, 0, 0, a, b, c, d]
    }

    #[test]
    fn place_holders_become_calls_or_nothing_and_all_else_stays() {
        let object = [call(PREEMPT_DISABLE), call(14), NOTHING, call(PREEMPT_ENABLE)].concat();
        let mut filled = object.clone();
        put(&mut filled, Some((77, 78)));
        let expect = [
            [CALL, KFUNC, 0, 0, 77, 0, 0, 0],
            call(14),
            NOTHING,
            [CALL, KFUNC, 0, 0, 78, 0, 0, 0],
        ];
        assert_eq!(filled, expect.concat());
        let mut filled = object;
        put(&mut filled, None);
        assert_eq!(filled, [NOTHING, call(14), NOTHING, NOTHING].concat());
    }
}

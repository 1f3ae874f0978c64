//! Puts into the object the calls of kernel functions (kfuncs) that it asks for by place holders: see
//! `onlooker_common::kfunc`.

use super::btf::Btf;
use onlooker_common::kfunc::{PREEMPT_DISABLE, PREEMPT_ENABLE, RDONLY_CAST};

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as source register, `include/uapi/linux/bpf.h`.
const KFUNC: u8 = 2 << 4;
/// `r0 = 0`.
const NOTHING: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];

/// From this kernel on tracing programs are preempted.
const PREEMPTIBLE: (u32, u32) = (7, 0);

/// Does this kernel preempt tracing programs? Then second copies of programs are attached too.
pub(crate) fn preemptible() -> bool {
    release().is_some_and(|release| release >= PREEMPTIBLE)
}

/// BTF ids of the functions that are called on this kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kfuncs {
    /// Disabling and enabling preemption, both or none: nothing is called where it is not needed.
    preempt: Option<(u32, u32)>,
    cast: Option<u32>,
}

impl Kfuncs {
    /// Those of the kernel with these types.
    pub(super) fn find(btf: &Btf) -> Kfuncs {
        let wanted = preemptible();
        let [disable, enable, cast] =
            ["bpf_preempt_disable", "bpf_preempt_enable", "bpf_rdonly_cast"].map(|name| btf.function(name));
        Kfuncs {
            preempt: disable.zip(enable).filter(|_| wanted),
            cast,
        }
    }

    /// Those of a kernel that casts, or does not.
    #[cfg(test)]
    pub(super) fn assumed(casts: bool) -> Kfuncs {
        Kfuncs {
            preempt: None,
            cast: casts.then_some(1),
        }
    }

    /// Can pointers be cast?
    pub(super) fn cast(&self) -> bool {
        self.cast.is_some()
    }

    /// Fills the place holders of an object.
    pub(super) fn fill(&self, object: &mut [u8]) {
        // Instructions are eight bytes and aligned.
        for instruction in object.chunks_exact_mut(8) {
            let Ok(&[CALL, 0, 0, 0, a, b, c, d]) = <&[u8; 8]>::try_from(&*instruction) else {
                continue;
            };
            let id = match i32::from_le_bytes([a, b, c, d]) {
                PREEMPT_DISABLE => self.preempt.map(|(disable, _)| disable),
                PREEMPT_ENABLE => self.preempt.map(|(_, enable)| enable),
                RDONLY_CAST => self.cast,
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
        let object = [
            call(PREEMPT_DISABLE),
            call(14),
            call(RDONLY_CAST),
            NOTHING,
            call(PREEMPT_ENABLE),
        ]
        .concat();
        let mut filled = object.clone();
        let all = Kfuncs {
            preempt: Some((77, 78)),
            cast: Some(79),
        };
        all.fill(&mut filled);
        let expect = [
            [CALL, KFUNC, 0, 0, 77, 0, 0, 0],
            call(14),
            [CALL, KFUNC, 0, 0, 79, 0, 0, 0],
            NOTHING,
            [CALL, KFUNC, 0, 0, 78, 0, 0, 0],
        ];
        assert_eq!(filled, expect.concat());
        let mut filled = object;
        Kfuncs::default().fill(&mut filled);
        assert_eq!(filled, [NOTHING, call(14), NOTHING, NOTHING, NOTHING].concat());
    }
}

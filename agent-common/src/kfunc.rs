//! Functions of the kernel (kfuncs) that the kernel side calls where a kernel has them. Its compiler does not know their BTF ids:
//! it emits a call of a helper that no kernel has, which the loader turns into the call meant, or into nothing.

/// `void bpf_preempt_disable(void)`, kernel 6.10 and later.
pub const PREEMPT_DISABLE: i32 = 0x7f6f_0001;
/// `void bpf_preempt_enable(void)`.
pub const PREEMPT_ENABLE: i32 = 0x7f6f_0002;
/// `void *bpf_rdonly_cast(const void *obj, u32 btf_id)`, kernel 6.2 and later.
pub const RDONLY_CAST: i32 = 0x7f6f_0003;

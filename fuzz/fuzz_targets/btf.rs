//! Any bytes as a kernel's type information: an error or absent members, no panic, no endless search.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::kernel::btf::Btf;
use onlooker::kernel::layout::Layout;

fuzz_target!(|data: &[u8]| {
    if let Ok(btf) = Btf::parse(data.to_vec()) {
        let _ = Layout::resolve(&btf);
        assert!(btf.tracepoints().len() <= data.len() / 12);
    }
});

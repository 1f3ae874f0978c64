//! Puts the kernel side's object where the loader embeds it: from `ONLOOKER_BPF_OBJECT`, else from where
//! `cargo xtask build` leaves it. Without one the library still compiles, for tests that need no kernel: an empty file is
//! embedded, and `ONLOOKER_BPF` tells the program so at compile time (`present` or `absent`).

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=ONLOOKER_BPF_OBJECT");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let embedded = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("onlooker.bpf.o");
    let object = match env::var_os("ONLOOKER_BPF_OBJECT") {
        Some(path) => PathBuf::from(path),
        None => here.join("../target/ebpf/onlooker.bpf.o"),
    };
    let present = object.is_file();
    if present {
        println!("cargo:rerun-if-changed={}", object.display());
        fs::copy(&object, &embedded)?;
    } else {
        watch_for(&object);
        fs::write(&embedded, [])?;
    }
    println!(
        "cargo:rustc-env=ONLOOKER_BPF={}",
        if present { "present" } else { "absent" }
    );
    Ok(())
}

/// Cargo takes a watched file that is missing for changed at each build: watch its folder until it appears.
fn watch_for(object: &Path) {
    if let Some(folder) = object.parent() {
        // A read-only source tree only costs a rebuild each time.
        let _ = fs::create_dir_all(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
    }
}

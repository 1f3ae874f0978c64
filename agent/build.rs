//! Puts the kernel side's object, by gzip, where the loader embeds it: from `ONLOOKER_BPF_OBJECT`, else from where
//! `cargo xtask build` leaves it. Without one the library still compiles, for tests that need no kernel: an empty file is
//! embedded, and `ONLOOKER_BPF` tells the program so at compile time (`present` or `absent`).

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=ONLOOKER_BPF_OBJECT");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let embedded = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("onlooker.bpf.o.gz");
    let object = match env::var_os("ONLOOKER_BPF_OBJECT") {
        Some(path) => PathBuf::from(path),
        None => here.join("../target/ebpf/onlooker.bpf.o"),
    };
    let present = object.is_file();
    if present {
        println!("cargo:rerun-if-changed={}", object.display());
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&fs::read(&object)?)?;
        fs::write(&embedded, packed.finish()?)?;
    } else {
        watch_for(&object);
        fs::write(&embedded, [])?;
    }
    println!(
        "cargo:rustc-env=ONLOOKER_BPF={}",
        if present { "present" } else { "absent" }
    );
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rustc-env=ONLOOKER_BUILT={}", built());
    Ok(())
}

/// When this was built, seconds since 1970: what the clock of a host cannot be before. `SOURCE_DATE_EPOCH` for builds that
/// are to be the same (<https://reproducible-builds.org/specs/source-date-epoch/>).
fn built() -> u64 {
    let given = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    given.unwrap_or_else(now)
}

/// Cargo takes a watched file that is missing for changed at each build: watch its folder until it appears.
fn watch_for(object: &Path) {
    if let Some(folder) = object.parent() {
        // A read-only source tree only costs a rebuild each time.
        let _ = fs::create_dir_all(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
    }
}

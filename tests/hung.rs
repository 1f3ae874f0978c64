//! A mounted file system that never answers: FUSE (`/dev/fuse`, `include/uapi/linux/fuse.h`) whose server says how it speaks and no more.

use anyhow::{Context, Result, ensure};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `FUSE_INIT`.
const INIT: u32 = 26;
/// Bytes of `struct fuse_in_header` and of `struct fuse_out_header`.
const IN: usize = 40;
const OUT: usize = 16;
/// Bytes of `struct fuse_init_out` of protocol 7.23 and later.
const INIT_OUT: usize = 64;

/// The mount. Gone when dropped: what waits for it gets an error then.
#[derive(Debug)]
pub struct HungMount {
    at: PathBuf,
    /// Dropped first, which ends the connection and so every wait.
    server: Option<File>,
}

impl HungMount {
    /// Mounts it on an empty folder.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or it may not be mounted.
    pub fn new(at: &Path) -> Result<HungMount> {
        let mut server = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .context("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let texts = ["hung", "fuse.hung", &options].map(|text| CString::new(text).unwrap_or_default());
        let [name, kind, options] = &texts;
        let path = CString::new(at.as_os_str().as_bytes())?;
        // SAFETY: texts that end with NUL.
        let mounted = unsafe {
            libc::mount(
                name.as_ptr(),
                path.as_ptr(),
                kind.as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV,
                options.as_ptr().cast(),
            )
        };
        ensure!(mounted == 0, "mount: {}", std::io::Error::last_os_error());
        let mount = HungMount {
            at: at.to_owned(),
            server: Some(server.try_clone()?),
        };
        let mut room = vec![0; 128 << 10];
        let n = server.read(&mut room)?;
        ensure!(n >= IN + 8, "a request of {n} bytes");
        let word = |at: usize| {
            room[at..at + 4]
                .iter()
                .rev()
                .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
        };
        ensure!(word(4) == INIT, "first request {}", word(4));
        let mut answer = vec![0; OUT + INIT_OUT];
        answer[..4].copy_from_slice(&((OUT + INIT_OUT) as u32).to_ne_bytes());
        answer[8..16].copy_from_slice(&room[8..16]); // its number
        answer[OUT..OUT + 8].copy_from_slice(&room[IN..IN + 8]); // the version
        answer[OUT + 20..OUT + 24].copy_from_slice(&4096u32.to_ne_bytes()); // max_write
        server.write_all(&answer).context("the answer to FUSE_INIT")?;
        Ok(mount)
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        let path = CString::new(self.at.as_os_str().as_bytes()).unwrap_or_default();
        // SAFETY: a text that ends with NUL.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::MNT_FORCE) };
        self.server = None;
    }
}

//! What a test needs of the machine. A missing need skips the test with its reason, and fails it under `CI=true`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// One need.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The built agent, root, bpf() and BTF.
    Agent,
    /// The built agent alone, for what it does where it cannot work.
    AgentProgram,
    /// A program on the `PATH`.
    Program(&'static str),
    /// The OpenTelemetry Collector that the test command builds of Go's modules. They come from the network at each build, so where
    /// they cannot be had the test is left out, said so, under CI too.
    Collector,
    /// The Python environment with flask, gunicorn and aiohttp (made by the harness when absent).
    PythonPackages,
    /// The Go program of the tests (built by the harness).
    GoProgram,
    /// IPv6 on loopback.
    Ipv6,
    /// TUN devices.
    Tun,
}

/// True when all needs are met. Otherwise says why the test is skipped.
///
/// # Panics
/// Under `CI=true` when a need is not met.
pub fn have(needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().find_map(|need| missing(*need)) else {
        return true;
    };
    let may_be_absent = missing(Need::Collector).as_ref() == Some(&reason);
    assert!(
        may_be_absent || std::env::var("CI").as_deref() != Ok("true"),
        "under CI=true nothing is skipped: {reason}"
    );
    say(&format!("skipped: {reason}"));
    false
}

/// Says something that is worth reading of a test that passes too: its figures, or why it was skipped. (What `println!` says
/// is shown for failures alone.)
pub fn say(text: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    let _ = writeln!(std::io::stderr(), "{test}: {text}");
}

/// Returns from the test when a need is not met.
#[macro_export]
macro_rules! need {
    ($($need:expr),+ $(,)?) => {
        if !$crate::require::have(&[$($need),+]) {
            return;
        }
    };
}

/// Folder of this build (`target` or `CARGO_TARGET_DIR`).
pub fn target_dir() -> PathBuf {
    profile_dir().parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A program of this crate, built beside the tests.
pub fn own_program(name: &str) -> PathBuf {
    profile_dir().join(name)
}

/// `TARGET/PROFILE`: programs lie in it, test binaries in its folder `deps`.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let folder = exe.parent().unwrap_or(Path::new(""));
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    folder.to_path_buf()
}

/// Folder of this crate's sources.
pub fn source_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The agent under test: `ONLOOKER_BIN`, or the release program of this build or of the workspace.
pub fn agent_program() -> Option<PathBuf> {
    let given = std::env::var_os("ONLOOKER_BIN").map(PathBuf::from);
    let workspace = source_dir().parent().map(|root| root.join("target/release/onlooker"));
    [given, Some(target_dir().join("release/onlooker")), workspace]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
}

/// Where a program lies on the `PATH`.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/local/go/bin"];
    std::env::split_paths(&path)
        .chain(system.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

const NOT_BUILT: &str = "the agent is not built: cargo xtask build";

fn missing(need: Need) -> Option<String> {
    match need {
        Need::Agent => agent_missing(),
        Need::AgentProgram => agent_program().is_none().then(|| NOT_BUILT.into()),
        Need::Collector => {
            let name = crate::collector::COLLECTOR;
            which(name).is_none().then(|| format!("{name} is not there"))
        }
        Need::Program(name) => which(name).is_none().then(|| format!("{name} is not installed")),
        Need::PythonPackages => crate::servers::python_environment()
            .err()
            .map(|error| format!("no Python environment: {error:#}")),
        Need::GoProgram => crate::servers::go_program()
            .err()
            .map(|error| format!("no Go program: {error:#}")),
        Need::Tun => std::fs::File::open("/dev/net/tun")
            .err()
            .map(|error| format!("no TUN devices: {error}")),
        Need::Ipv6 => std::net::TcpListener::bind("[::1]:0")
            .err()
            .map(|error| format!("no IPv6 on loopback: {error}")),
    }
}

fn agent_missing() -> Option<String> {
    static ANSWER: OnceLock<Option<String>> = OnceLock::new();
    ANSWER
        .get_or_init(|| {
            // SAFETY: geteuid has no preconditions.
            if unsafe { libc::geteuid() } != 0 {
                return Some("not root".into());
            }
            if !Path::new("/sys/kernel/btf/vmlinux").exists() {
                return Some("the kernel has no BTF (/sys/kernel/btf/vmlinux)".into());
            }
            if !bpf_allowed() {
                return Some("bpf() is refused".into());
            }
            if agent_program().is_none() {
                return Some(NOT_BUILT.into());
            }
            None
        })
        .clone()
}

/// Makes and closes the smallest map.
fn bpf_allowed() -> bool {
    const BPF_MAP_CREATE: libc::c_long = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    // map_type, key_size, value_size, max_entries, and zeros for the rest of union bpf_attr.
    let attr: [u32; 18] = [BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the attribute block is valid for the length given, and unknown trailing members are zero.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            attr.as_ptr(),
            std::mem::size_of_val(&attr),
        )
    };
    if fd < 0 {
        return false;
    }
    // SAFETY: the descriptor was just made here and is used nowhere else.
    unsafe { libc::close(fd as libc::c_int) };
    true
}

/// What a test needs and makes itself. `None`, said why: this machine does not let it.
///
/// # Panics
/// Then under `CI`.
pub fn made<T>(what: &str, made: anyhow::Result<T>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no {what}: {error:#}");
            say(&format!("skipped: no {what}: {error:#}"));
            None
        }
    }
}

//! The name a program gives a process: its script, jar or module for an interpreter, else its executable.
//!
//! | command line | name | because |
//! |---|---|---|
//! | `python3 /srv/app.py` | `app` | the script's file name without extension, however general it is |
//! | `python3 -m shop.web` | `shop.web` | the module |
//! | `flask --app shop run`, `python -m flask -A shop run` | `shop` | a launcher's application |
//! | `gunicorn shop.wsgi:app`, `uvicorn main:app` | `shop`, `main` | its module, without a trailing `wsgi`, `asgi`, `app`, `main`, `application`, `server` while something is left |
//! | `gunicorn: worker [shop]` | `shop` | a title written over the arguments |
//! | `celery -A shop worker` | `shop` | |
//! | `flask run`, `python -m http.server` | `flask`, `http.server` | a launcher that was not told |
//! | `java -jar shop-1.2.jar`, `java -cp … com.acme.Shop`, `java -m acme/com.acme.Shop` | `shop-1.2`, `com.acme.Shop`, `acme` | |
//! | `node /srv/server.js`, `node /srv/shop`, `node .` | `server`, `shop`, name of the working directory | |
//! | `deno run -A main.ts`, `bun run main.ts`, `tsx main.ts` | `main` | |
//! | `ruby bin/puma`, `puma 6.4 (tcp://…) [shop]` | `puma`, `shop` | |
//! | `dotnet Shop.dll`, `Rscript api.R`, `bash run.sh`, `php artisan serve` | `Shop`, `api`, `run`, `artisan` | |
//! | `beam.smp … -sname shop@host` | `shop` | the Erlang node |
//! | `python3 -c … --multiprocessing-fork` | its parent's | a worker of `multiprocessing` |
//! | `python3.11 -c …`, `bash -c …`, `python3.11` | `python3.11`, `bash`, `python3.11` | code is no name |
//! | `/usr/sbin/nginx` under any title | `nginx` | the executable's file name |
//! | `busybox httpd` | `httpd` | the applet |

mod interpreter;
mod launcher;

#[cfg(test)]
mod tests;

use super::text;

/// Longest path of an executable that is kept, bytes; a longer one counts as not known.
const PATH_MAX: usize = 512;

/// What is kept of a program: never its arguments, which may hold secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Path of the executable, when known and absolute; `process.executable.path`.
    pub exe: Option<Box<str>>,
    /// File name of the executable; `process.executable.name`.
    pub exe_name: Option<Box<str>>,
    /// `argv[0]`, `process.command`. `None` when it was overwritten by a title with spaces, which may hold arguments.
    pub command: Option<Box<str>>,
    /// What an interpreter runs.
    pub script: Option<Box<str>>,
    /// `process.runtime.name` of an interpreter: `cpython`, `nodejs`, …
    pub runtime: Option<&'static str>,
    /// A worker that Python's `multiprocessing` started as a program of its own (`uvicorn --workers`): code instead of a
    /// script, so that it is its parent's script that serves.
    pub spawned: bool,
}

/// How `multiprocessing.spawn` marks its workers.
const SPAWNED: &[u8] = b"--multiprocessing-fork";

impl Program {
    /// From the executable's path (empty: not known), the arguments separated by NUL, and the working directory, which
    /// is asked for only where the arguments point to it.
    pub fn new(exe: &[u8], args: &[u8], cwd: impl FnOnce() -> Option<Vec<u8>>) -> Program {
        let exe = exe.strip_suffix(b" (deleted)").unwrap_or(exe);
        let args: Vec<&[u8]> = split(args);
        let command = args.first().copied().unwrap_or_default();
        let mut name = match exe.strip_prefix(b"/memfd:") {
            // Its creator names it, and may add anything (`runc_cloned:/proc/self/exe`).
            Some(rest) => rest.split(|b| matches!(b, b':' | b'/')).next().unwrap_or_default(),
            None => base(exe),
        };
        let mut found = interpreter::find(name);
        let mut path = Some(exe).filter(|exe| exe.starts_with(b"/") && exe.len() <= PATH_MAX);
        if found.is_none() && args.iter().skip(1).any(|arg| *arg == exe) {
            // `#!`: the kernel names the script as executed, and the arguments begin with its interpreter.
            found = interpreter::find(base(command));
            if found.is_some() {
                name = base(command);
                path = None;
            }
        }
        let mut title = None;
        if name.is_empty() && is_title(command) {
            title = launcher::title(command);
        } else if name.is_empty() {
            // A program that nobody saw: the arguments are all there is.
            name = base(command.strip_prefix(b"-").unwrap_or(command));
            found = interpreter::find(name);
        }
        let script = match found {
            Some(interpreter) if is_title(command) => {
                launcher::title(command).filter(|title| interpreter::find(title.as_bytes()) != Some(interpreter))
            }
            Some(interpreter) => interpreter.script(&args[1.min(args.len())..], cwd),
            None if matches!(name, b"busybox" | b"toybox" | b"coreutils") => applet(name, &args),
            None => title,
        };
        Program {
            exe: path.map(|path| String::from_utf8_lossy(path).into()),
            exe_name: boxed(name),
            command: if is_title(command) { None } else { boxed(command) },
            script: script.and_then(|script| boxed(script.as_bytes())),
            runtime: found.and_then(|_| interpreter::runtime(name)),
            spawned: found.is_some() && args.contains(&SPAWNED),
        }
    }
}

fn boxed(raw: &[u8]) -> Option<Box<str>> {
    text::clean(raw).map(String::into_boxed_str)
}

/// The last argument may lack its NUL (cut) or have many behind it (a shorter title).
fn split(args: &[u8]) -> Vec<&[u8]> {
    let end = args.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Vec::new();
    }
    args[..end].split(|b| *b == 0).collect()
}

/// A process title (setproctitle) rather than a command: it has spaces and is no path.
fn is_title(command: &[u8]) -> bool {
    command.contains(&b' ') && !command.starts_with(b"/")
}

fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let path = &path[..end];
    path.iter()
        .rposition(|b| *b == b'/')
        .map_or(path, |slash| &path[slash + 1..])
}

fn applet(name: &[u8], args: &[&[u8]]) -> Option<String> {
    let called = base(args.first()?);
    let applet = if called == name { base(args.get(1)?) } else { called };
    (!applet.starts_with(b"-")).then(|| String::from_utf8_lossy(applet).into_owned())
}

//! Which lines belong to the one before, by what the first one was.

use memchr::memmem;

/// Whether a line belongs to the group at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// It does.
    Yes,
    /// It is empty: it does if the next one does.
    Blank,
    /// It begins another group.
    No,
}

/// What the group at hand is, and where in it the last line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A line by itself, and indented ones behind it.
    Text,
    /// The same of a line that is indented itself, so far: only what is indented further goes with it, so that lines which all are stay
    /// apart.
    Indented(u8),
    /// Java, JavaScript, .NET, Ruby: frames are indented. `true`: the last frame opened a brace that closes in a line of its own.
    Frames(bool),
    /// A traceback of Python, before the line with the exception.
    Traceback,
    /// The same behind that line.
    Raised,
    /// The blank line and the sentence between two tracebacks were there.
    Between,
    /// A panic or a dump of Go.
    Goroutines,
    /// The first line of a panic of Rust: the message is the next one.
    Panicked,
    /// Behind a panic's message.
    Backtrace,
    /// A place in a source as Node prints it before an exception; so many lines of it are left.
    Source(u8),
    /// A trace of PHP.
    Php,
    /// JSON over several lines: how deep, and whether the last line ended within a text.
    Json(Json),
    /// A key in PEM.
    Pem,
    /// Nothing can follow.
    Complete,
}

/// Where in a value of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Json {
    depth: u32,
    text: bool,
}

impl State {
    pub(super) fn complete(self) -> bool {
        self == State::Complete
    }
}

/// What a group is that begins with a line.
pub(super) fn first(line: &[u8]) -> State {
    match line.first() {
        // An empty line by itself waits for nothing.
        None => State::Complete,
        Some(b' ' | b'\t') => State::Indented(indent(line)),
        Some(b'{' | b'[') => structure(line),
        Some(b'T') if line.starts_with(TRACEBACK) => State::Traceback,
        Some(b'p') if line.starts_with(b"panic: ") => State::Goroutines,
        Some(b'f') if line.starts_with(b"fatal error: ") => State::Goroutines,
        Some(b'S') if line.starts_with(b"SIG") && memmem::find(line, b": ").is_some() => State::Goroutines,
        Some(b'g') if goroutine(line) => State::Goroutines,
        Some(b't' | b'\'') if panicked(line) => {
            // Before Rust 1.73 the message stands in the first line.
            if line.ends_with(b":") {
                State::Panicked
            } else {
                State::Backtrace
            }
        }
        Some(b'/' | b'f' | b'n') if node_source(line) => State::Source(3),
        Some(b'-') if line.starts_with(b"-----BEGIN ") => State::Pem,
        Some(b'P') if line.starts_with(b"PHP ") => State::Php,
        Some(b'U') if line.starts_with(b"Unhandled exception") => State::Frames(false),
        Some(b'E') if line.starts_with(b"Exception in thread ") => State::Frames(false),
        _ if exception(line) => State::Frames(false),
        _ if pem_begins(line) => State::Pem,
        _ => State::Text,
    }
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// Whether a line belongs to a group, and what the group is then.
pub(super) fn follows(state: &mut State, line: &[u8], blank: bool) -> Follows {
    if let State::Json(json) = state {
        return json_follows(*json, state, line);
    }
    let empty = line.iter().all(u8::is_ascii_whitespace);
    if *state == State::Pem {
        if empty {
            return Follows::Blank;
        }
        return pem(state, line);
    }
    if empty {
        return match state {
            State::Source(left @ 1..) => {
                *left -= 1;
                Follows::Blank
            }
            State::Complete => Follows::No,
            _ => Follows::Blank,
        };
    }
    let indented = matches!(line.first(), Some(b' ' | b'\t'));
    let next = if indented {
        inside(*state, line, blank)
    } else {
        outside(*state, line, blank)
    };
    match next {
        Some(next) => {
            *state = next;
            Follows::Yes
        }
        None => Follows::No,
    }
}

/// An indented line: it belongs to what is before it, unless an empty line stands between where that is no habit.
fn inside(state: State, line: &[u8], blank: bool) -> Option<State> {
    Some(match state {
        State::Complete => return None,
        State::Text | State::Indented(_) | State::Raised if blank => return None,
        State::Indented(depth) if indent(line) <= depth => return None,
        State::Text if frame(line) => State::Frames(line.ends_with(b"{")),
        State::Frames(open) => State::Frames(line.ends_with(b"{") || (open && !line.ends_with(b"}"))),
        State::Source(_) if frame(line) => State::Frames(line.ends_with(b"{")),
        State::Source(left) => State::Source(left.saturating_sub(1)),
        State::Panicked => State::Backtrace,
        State::Between => State::Between,
        state => state,
    })
}

/// A line that is not indented belongs to what is before it only by what it says.
fn outside(state: State, line: &[u8], blank: bool) -> Option<State> {
    match state {
        State::Traceback if !blank && !begins_record(line) => return Some(State::Raised),
        State::Panicked if !begins_record(line) => return Some(State::Backtrace),
        State::Source(left @ 1..) if !begins_record(line) => {
            let next = if exception(line) {
                State::Frames(false)
            } else {
                State::Source(left - 1)
            };
            return Some(next);
        }
        State::Source(0) if exception(line) => return Some(State::Frames(false)),
        State::Between if line == TRACEBACK => return Some(State::Traceback),
        State::Raised if blank && between(line) => return Some(State::Between),
        State::Goroutines if goroutines(line) => return Some(State::Goroutines),
        State::Backtrace if line.starts_with(b"note: ") || line.starts_with(b"stack backtrace:") => {
            return Some(State::Backtrace);
        }
        State::Frames(open) => {
            let closes = open && line.first() == Some(&b'}');
            let of_node = blank && line.starts_with(b"Node.js v");
            let more = !blank
                && (line.starts_with(b"Caused by: ")
                    || line.starts_with(b"Suppressed: ")
                    || line.starts_with(b"... ")
                    || line.starts_with(b"--- End of "));
            return (closes || of_node || more).then_some(State::Frames(false));
        }
        State::Php if line.first() == Some(&b'#') || line.starts_with(b"Stack trace:") => return Some(State::Php),
        State::Complete => return None,
        _ => {}
    }
    // A trace behind the line of a logger that tells of it.
    match state {
        // Spring puts an empty line between.
        State::Text if java_exception(line) => Some(State::Frames(false)),
        _ if blank => None,
        State::Text if line == TRACEBACK => Some(State::Traceback),
        State::Text if line.starts_with(b"Caused by: ") => Some(State::Frames(false)),
        State::Text if goroutine(line) => Some(State::Goroutines),
        State::Text if line.starts_with(b"Stack trace:") || line.starts_with(b"[stacktrace]") => Some(State::Php),
        State::Text if line.starts_with(b"#0 ") => Some(State::Php),
        State::Text if line.starts_with(b"stack backtrace:") => Some(State::Backtrace),
        _ => None,
    }
}

/// A time, an object of JSON or klog's head at the start: the line is another record, whatever is waited for.
fn begins_record(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"[").unwrap_or(line);
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match line {
        [b'{', ..] => true,
        [b'I' | b'W' | b'E' | b'F', rest @ ..] if rest.len() > 5 => {
            rest.iter().take(4).all(u8::is_ascii_digit) && rest.get(4) == Some(&b' ')
        }
        _ => digits == 4 && matches!(line.get(4), Some(b'-' | b'/')) && line.get(5).is_some_and(u8::is_ascii_digit),
    }
}

/// How far a line is indented: its blanks and tabs.
fn indent(line: &[u8]) -> u8 {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    u8::try_from(blanks).unwrap_or(u8::MAX)
}

/// `    at f (file.js:1:2)`, `\tfrom file.rb:1`.
fn frame(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.starts_with(b"at ") || line.starts_with(b"from ")
}

fn between(line: &[u8]) -> bool {
    line == b"During handling of the above exception, another exception occurred:"
        || line == b"The above exception was the direct cause of the following exception:"
}

fn goroutine(line: &[u8]) -> bool {
    line.strip_prefix(b"goroutine ")
        .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit) && line.contains(&b'['))
}

/// Lines of a dump of Go that are not indented.
fn goroutines(line: &[u8]) -> bool {
    let call = line.ends_with(b")") && line.contains(&b'(') && !line.contains(&b' ') || line.ends_with(b"...)");
    let starts: [&[u8]; 9] = [
        b"goroutine ",
        b"created by ",
        b"panic: ",
        b"[signal ",
        b"runtime stack:",
        b"exit status ",
        b"PC=",
        b"runtime: ",
        b"...",
    ];
    call || starts.iter().any(|start| line.starts_with(start)) || register(line) || method(line)
}

/// `main.(*Server).Serve(0xc000, {0x1, 0x2})`: calls whose arguments have blanks.
fn method(line: &[u8]) -> bool {
    let Some(open) = line.iter().position(|byte| *byte == b'(') else {
        return false;
    };
    let name = line.get(..open).unwrap_or_default();
    line.ends_with(b")") && (name.contains(&b'.') || name == b"panic") && !name.contains(&b' ')
}

/// `rax    0x7f` of a dump.
fn register(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let rest = line.get(name..).unwrap_or_default();
    (2..=6).contains(&name) && rest.first() == Some(&b' ') && rest.trim_ascii_start().starts_with(b"0x")
}

fn panicked(line: &[u8]) -> bool {
    line.starts_with(b"thread '") && memmem::find(line, b" panicked at ").is_some()
}

/// `/srv/app.js:3`, `file:///srv/app.mjs:3`, `node:internal/errors:496`.
fn node_source(line: &[u8]) -> bool {
    let known = [b"/".as_slice(), b"file://", b"node:"]
        .iter()
        .any(|start| line.starts_with(start));
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let colon = digits > 0 && digits < line.len() && line.get(line.len() - digits - 1) == Some(&b':');
    known && colon && !line.contains(&b' ')
}

/// `Error: message`, `java.lang.IllegalStateException: message`, `Uncaught TypeError: message`: the name of an exception at the start.
fn exception(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"Uncaught ").unwrap_or(line);
    let end = name_end(line);
    let name = line.get(..end).unwrap_or_default();
    let ends = [b"Exception".as_slice(), b"Error", b"Throwable"]
        .iter()
        .any(|suffix| name.ends_with(suffix));
    let rest = line.get(end..).unwrap_or_default();
    ends && (rest.is_empty() || rest.starts_with(b":") || rest.starts_with(b" ["))
}

/// The same with a package before it, which prose does not have.
fn java_exception(line: &[u8]) -> bool {
    let name = line.get(..name_end(line)).unwrap_or_default();
    name.contains(&b'.') && exception(line)
}

fn name_end(line: &[u8]) -> usize {
    line.iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b"._$".contains(byte)))
        .unwrap_or(line.len())
}

/// A key goes on until its end, and ends early with a line that cannot be one of it.
fn pem(state: &mut State, line: &[u8]) -> Follows {
    if line.starts_with(b"-----END ") {
        *state = State::Complete;
        return Follows::Yes;
    }
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    // The headers of old formats: `Proc-Type: 4,ENCRYPTED`.
    let header = line.starts_with(b"Proc-Type: ") || line.starts_with(b"DEK-Info: ");
    if header || line.trim_ascii().iter().all(base64) {
        return Follows::Yes;
    }
    Follows::No
}

fn pem_begins(line: &[u8]) -> bool {
    line.ends_with(b" KEY-----") && memmem::find(line, b"-----BEGIN ").is_some()
}

/// A line that begins with a brace or a bracket: a whole value, the start of one, or a text.
fn structure(line: &[u8]) -> State {
    let trimmed = line.trim_ascii_end();
    match (line.first(), trimmed.last()) {
        // Nearly all lines of JSON.
        (Some(b'{'), Some(b'}')) => return State::Complete,
        // `[main] text` is none.
        (Some(b'['), _) if trimmed.len() > 1 => return State::Text,
        _ => {}
    }
    let member = trimmed.get(1..).unwrap_or_default().trim_ascii_start().first();
    if !matches!(member, None | Some(b'"')) {
        return State::Text;
    }
    let mut json = Json::default();
    json.read(line);
    if json.depth == 0 || json.text {
        State::Text
    } else {
        State::Json(json)
    }
}

fn json_follows(json: Json, state: &mut State, line: &[u8]) -> Follows {
    let start = line.trim_ascii_start().first();
    // Every line of a value begins with one of these; a record behind a value that was cut off mostly does not.
    let may = matches!(
        start,
        Some(b'"' | b'{' | b'}' | b'[' | b']' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') | None
    );
    let another = line.first() == Some(&b'{') && line.trim_ascii_end().ends_with(b"}") && line.len() > 2;
    if !may || another || begins_record(line) && line.first() != Some(&b'{') {
        return Follows::No;
    }
    let mut json = json;
    json.read(line);
    *state = if json.depth == 0 {
        State::Complete
    } else {
        State::Json(json)
    };
    // Texts do not go over line ends: it is no JSON after all.
    if json.text { Follows::No } else { Follows::Yes }
}

impl Json {
    fn read(&mut self, line: &[u8]) {
        let mut bytes = line.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' if self.text => {
                    bytes.next();
                }
                b'"' => self.text = !self.text,
                b'{' | b'[' if !self.text => self.depth += 1,
                b'}' | b']' if !self.text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }
}

//! The part of the terminal that the live summary owns: the lines it drew last, which the next frame replaces in place.
//! No alternate screen, so what scrolled away stays readable. The cursor is hidden only within one write, so no way of
//! ending the program leaves it hidden.

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
};
use crossterm::{Command, terminal};
use std::io::{self, IsTerminal, Write};
use std::sync::{LazyLock, Mutex};
use unicode_width::UnicodeWidthStr;

static SCREEN: Mutex<Screen> = Mutex::new(Screen { drawn: Vec::new() });
static STDERR_IS_TERMINAL: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());

/// Size of the terminal, columns and lines; 80 by 24 when it does not tell.
pub fn size() -> (usize, usize) {
    match terminal::size() {
        Ok((columns, lines)) if columns > 0 && lines > 0 => (columns.into(), lines.into()),
        _ => (80, 24),
    }
}

/// Replaces the last frame on standard output by this one.
///
/// # Errors
/// Standard output is closed or broken.
pub fn show(frame: &str, columns: usize) -> io::Result<()> {
    let mut screen = SCREEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let text = screen.replace(frame, columns);
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes something else to the terminal (`write` does it): above it the summary is taken away, below it drawn again with
/// the next frame. Does not wait for a terminal that has stalled.
pub fn aside<T>(write: impl FnOnce() -> T) -> T {
    let Ok(mut screen) = SCREEN.try_lock() else {
        return write();
    };
    if *STDERR_IS_TERMINAL && !screen.drawn.is_empty() {
        let text = screen.erase(size().0);
        let mut out = io::stdout().lock();
        // A broken standard output is found by the next frame; what is written aside must not suffer from it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
    write()
}

/// Leaves the last frame where it is: what is written from now on comes below it.
pub fn leave() {
    if let Ok(mut screen) = SCREEN.try_lock() {
        screen.drawn.clear();
    }
}

/// What is on the terminal: the widths of the drawn lines, in columns.
#[derive(Debug, Default)]
struct Screen {
    drawn: Vec<usize>,
}

impl Screen {
    /// The text that takes the last frame away: the terminal now has `columns`, and wraps what no longer fits.
    fn erase(&mut self, columns: usize) -> String {
        let lines: usize = self
            .drawn
            .iter()
            .map(|width| width.div_ceil(columns.max(1)).max(1))
            .sum();
        self.drawn.clear();
        let mut out = String::new();
        put(&mut out, MoveToColumn(0));
        if lines > 0 {
            put(&mut out, MoveUp(u16::try_from(lines).unwrap_or(u16::MAX)));
        }
        put(&mut out, Clear(ClearType::FromCursorDown));
        out
    }

    /// The text that puts a frame in the place of the last one.
    fn replace(&mut self, frame: &str, columns: usize) -> String {
        let mut out = String::with_capacity(frame.len() + 64);
        put(&mut out, BeginSynchronizedUpdate);
        put(&mut out, Hide);
        put(&mut out, DisableLineWrap);
        out.push_str(&self.erase(columns));
        for line in frame.lines() {
            out.push_str(line);
            out.push_str("\r\n");
            self.drawn.push(line.width());
        }
        put(&mut out, EnableLineWrap);
        put(&mut out, Show);
        put(&mut out, EndSynchronizedUpdate);
        out
    }
}

fn put(out: &mut String, command: impl Command) {
    // Writing to a string cannot fail.
    let _ = command.write_ansi(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_one_before() {
        let mut screen = Screen::default();
        let first = screen.replace("one\ntwo\n", 80);
        assert!(
            first.contains("one\r\ntwo\r\n") && !first.contains("\x1b[2A"),
            "{first:?}"
        );
        let second = screen.replace("three\n", 80);
        assert!(
            second.contains("\x1b[2A\x1b[J") && second.contains("three\r\n"),
            "{second:?}"
        );
    }

    #[test]
    fn lines_that_a_narrower_terminal_wrapped_are_taken_away_whole() {
        let mut screen = Screen::default();
        screen.replace("0123456789\nab\n\n", 80);
        // 10 columns wrap to 3 lines of 4; the others take one each.
        assert!(screen.erase(4).contains("\x1b[5A"), "3 + 1 + 1 lines");
        assert!(!screen.erase(4).contains('A'), "nothing is left to take away");
    }

    #[test]
    fn the_cursor_is_shown_again_by_the_same_write() {
        let text = Screen::default().replace("x", 80);
        assert!(text.find("\x1b[?25l").expect("hidden") < text.find("\x1b[?25h").expect("shown"));
        assert!(text.find("\x1b[?7l").expect("no wrap") < text.find("\x1b[?7h").expect("wrap again"));
    }

    #[test]
    fn aside_always_writes() {
        assert_eq!(aside(|| 7), 7);
        let _held = SCREEN.lock().expect("free");
        assert_eq!(aside(|| 8), 8, "also while a frame is being drawn");
    }
}

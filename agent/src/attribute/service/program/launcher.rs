//! Programs that run an application named by an argument: a service is the application, not its launcher.

use super::interpreter::stem;

/// Name of what a script or module runs, given the arguments behind it; the script's own name unless it is a launcher that
/// was told its application.
pub(super) fn application(script: &str, rest: &[&str]) -> String {
    let app = match script {
        "flask" | "celery" => option(rest, &["--app", "-A"]),
        "gunicorn" | "uvicorn" | "hypercorn" | "daphne" | "waitress" | "waitress-serve" | "granian" => rest
            .iter()
            .copied()
            .find(|arg| is_object(arg))
            .or_else(|| bare_module(script, rest)),
        "streamlit" | "fastapi" => match rest {
            ["run" | "dev", rest @ ..] => rest.iter().copied().find(|arg| arg.ends_with(".py")),
            _ => None,
        },
        "ts-node" | "tsx" | "nodemon" | "ts-node-dev" => rest
            .iter()
            .copied()
            .find(|arg| !arg.starts_with('-') && stem(arg) != arg.rsplit('/').next().unwrap_or(arg)),
        _ => None,
    };
    app.map_or(script, module).to_owned()
}

/// Name from a process title: what stands in its last brackets, else its first word (`gunicorn: worker [shop]`,
/// `puma 6.4 (tcp://0.0.0.0:3000) [shop]`, `next-server (v14.1)`).
pub(super) fn title(title: &[u8]) -> Option<String> {
    let title = String::from_utf8_lossy(title);
    let bracketed = title
        .rsplit_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(inside, _)| inside.trim())
        .filter(|inside| !inside.is_empty() && !inside.contains(['/', ' ']));
    if let Some(inside) = bracketed {
        return Some(module(inside).to_owned());
    }
    let first = title.split_whitespace().next()?.trim_end_matches(':');
    (!first.is_empty()).then(|| first.to_owned())
}

fn option<'a>(args: &[&'a str], names: &[&str]) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(at, arg)| match arg.split_once('=') {
        Some((name, value)) if names.contains(&name) => Some(value),
        _ if names.contains(arg) => args.get(at + 1).copied(),
        _ => None,
    })
}

/// `shop.wsgi:application`, not `127.0.0.1:80`, `localhost:80` or `unix:/run/shop.sock`.
fn is_object(arg: &str) -> bool {
    arg.split_once(':').is_some_and(|(module, object)| {
        is_module(module) && object.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })
}

fn is_module(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}

/// `gunicorn -w 4 shop`: the object may be left out, then the module is the last argument. With an option right before it,
/// it may be that option's value, so only what cannot be one is taken.
fn bare_module<'a>(script: &str, rest: &[&'a str]) -> Option<&'a str> {
    let (last, before) = rest.split_last()?;
    let free = before
        .last()
        .is_none_or(|arg| !arg.starts_with('-') || arg.contains('='));
    (script == "gunicorn" && free && is_module(last)).then_some(*last)
}

/// `shop.wsgi:application` -> `shop`, `/srv/shop.py` -> `shop`.
fn module(app: &str) -> &str {
    let app = match app.split_once(':') {
        Some((module, _)) => module,
        None => app,
    };
    let mut name = stem(app);
    while let Some((rest, last)) = name.rsplit_once('.') {
        if rest.is_empty() || !matches!(last, "wsgi" | "asgi" | "app" | "main" | "application" | "server") {
            break;
        }
        name = rest;
    }
    name
}

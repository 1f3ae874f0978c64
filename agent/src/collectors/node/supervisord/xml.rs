//! What is said and answered in XML-RPC.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

/// A process, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) state: i64,
    pub(super) exit_status: i64,
    /// Unix time.
    pub(super) start: i64,
}

/// A call without arguments.
pub(super) fn call(method: &str) -> String {
    format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params></params></methodCall>")
}

/// Processes in an answer.
///
/// # Errors
/// It is none, or tells what went wrong.
pub(super) fn processes(text: &str) -> Result<Vec<Process>, String> {
    let mut reader = Reader::from_str(text);
    let mut processes = Vec::new();
    let mut process = Process::default();
    // The text of the innermost element: white space around it is none of it.
    let (mut key, mut value, mut is_inside) = (String::new(), String::new(), false);
    let (mut is_answer, mut is_fault) = (false, false);
    loop {
        match reader
            .read_event()
            .map_err(|error| format!("its answer is no XML: {error}"))?
        {
            Event::Start(tag) => {
                let name = tag.name();
                let name: &str = name.as_ref();
                match name {
                    "fault" => is_fault = true,
                    "struct" => process = Process::default(),
                    _ => {}
                }
                value.clear();
                is_inside = true;
            }
            Event::Empty(_) => {
                value.clear();
                is_inside = false;
            }
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if !is_inside => {}
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::CData(text) => value.push_str(&text.xml10_content()),
            Event::GeneralRef(name) => match name.resolve_char_ref() {
                Ok(Some(char)) => value.push(char),
                _ => value.push_str(resolve_predefined_entity(&name.xml10_content()).unwrap_or_default()),
            },
            Event::End(tag) => {
                is_inside = false;
                let name = tag.name();
                let name: &str = name.as_ref();
                match name {
                    "name" => key = value.trim().to_owned(),
                    "member" if is_fault && key == "faultString" => return Err(format!("it says {:?}", value.trim())),
                    "member" if !is_fault => set(&mut process, &key, &value)?,
                    "methodResponse" => is_answer = true,
                    "struct" if !process.name.is_empty() => processes.push(std::mem::take(&mut process)),
                    _ => {}
                }
            }
            Event::Eof if is_answer && !is_fault => return Ok(processes),
            Event::Eof => return Err("its answer is not whole".to_owned()),
            _ => {}
        }
    }
}

fn set(process: &mut Process, key: &str, value: &str) -> Result<(), String> {
    let number = || {
        let text = value.trim();
        text.parse::<i64>()
            .map_err(|error| format!("its answer has a {key} of {text:?}: {error}"))
    };
    match key {
        "name" => process.name = value.to_owned(),
        "group" => process.group = value.to_owned(),
        "state" => process.state = number()?,
        "exitstatus" => process.exit_status = number()?,
        "start" => process.start = number()?,
        _ => {}
    }
    Ok(())
}

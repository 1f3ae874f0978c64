use super::*;
use crate::collectors::node::testing::Fixture;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

/// One that answers the next question at a socket with these bytes.
fn answering(answer: Option<&str>) -> Fixture {
    let fixture = Fixture::new(&[("root/", "")]);
    let socket = fixture.host().root.join("supervisor.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.map(str::to_owned);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"</methodCall>") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        let asked = String::from_utf8(asked).unwrap();
        assert!(
            asked.starts_with("POST /RPC2 HTTP/1.0\r\nHost: localhost\r\n"),
            "{asked}"
        );
        assert!(
            asked.contains("<methodName>supervisor.getAllProcessInfo</methodName>"),
            "{asked}"
        );
        match answer {
            Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
            // Until the other side hangs up.
            None => drop(stream.read(&mut [0])),
        }
    });
    fixture.set(URL.name, &format!("unix://{}", socket.display()))
}

fn process(name: &str, state: u32, exit: i32) -> String {
    format!(
        "<value><struct><member><name>name</name><value><string>{name}</string>
</value>
</member>
<member><name>group</name><value>shop &amp; c&#111;</value></member>
<member><name>start</name><value><int>1700000000</int></value></member>
<member><name>stop</name><value><int>0</int></value></member>
<member><name>state</name><value><i4>{state}</i4></value></member>
<member><name>spawnerr</name><value><string/>
</value></member>
<member><name>exitstatus</name><value><int>{exit}</int></value></member></struct></value>"
    )
}

fn answer(processes: &[String]) -> String {
    format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n<?xml version='1.0'?>
<methodResponse><params><param><value><array><data>{}</data></array></value></param></params></methodResponse>",
        processes.concat()
    )
}

#[test]
fn processes_in_all_states() {
    let fixture = answering(Some(&answer(&[process("web", 20, 0), process("old", 100, -9)])));
    let expected = "node_supervisord_state{group=\"shop & co\",name=\"web\"} 20
node_supervisord_state{group=\"shop & co\",name=\"old\"} 100
node_supervisord_exit_status{group=\"shop & co\",name=\"web\"} 0
node_supervisord_exit_status{group=\"shop & co\",name=\"old\"} -9
node_supervisord_up{group=\"shop & co\",name=\"web\"} 1
node_supervisord_up{group=\"shop & co\",name=\"old\"} 0
node_supervisord_start_time_seconds{group=\"shop & co\",name=\"web\"} 1.7e+09
";
    assert_eq!(fixture.text(&COLLECTOR), expected);
}

#[test]
fn strange_answers_are_told() {
    let fault = "HTTP/1.0 200 OK\r\n\r\n<methodResponse><fault><value><struct><member><name>faultCode</name>
<value><int>1</int></value></member><member><name>faultString</name><value><string>UNKNOWN_METHOD</string></value>
</member></struct></value></fault></methodResponse>";
    let whole = answer(&[process("web", 20, 0)]);
    let cut = &whole[..whole.find("</struct>").unwrap() + 9];
    for (bytes, what) in [
        ("", "its answer ends too early"),
        ("nonsense\r\n\r\n", "its answer is no HTTP: invalid HTTP version"),
        ("HTTP/1.0 401 Unauthorized\r\n\r\n", "it answers with 401 Unauthorized"),
        ("HTTP/1.0 200 OK\r\n\r\n", "its answer is not whole"),
        ("HTTP/1.0 200 OK\r\n\r\n<html></b>", "its answer is no XML: "),
        (fault, "it says \"UNKNOWN_METHOD\""),
        (cut, "its answer is not whole"),
        (
            &answer(&[process("web", 20, 0).replace("1700000000", "many")]),
            "its answer has a start of \"many\": invalid digit",
        ),
    ] {
        let error = answering(Some(bytes)).error(&COLLECTOR);
        let (_, told) = error.split_once(".sock: ").unwrap();
        assert!(told.starts_with(what), "{bytes}: {error}");
    }
}

#[test]
fn one_that_does_not_answer_is_not_waited_for() {
    let start = Instant::now();
    let error = answering(None).error(&COLLECTOR);
    assert!(error.ends_with("supervisor.sock: no answer in time"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn nobody_there() {
    let fixture = Fixture::new(&[]);
    let socket = fixture.host().root.join("none.sock");
    let error = fixture
        .set(URL.name, &format!("unix://{}", socket.display()))
        .error(&COLLECTOR);
    assert!(error.contains("none.sock: No such file"), "{error}");
}

//! Servers that forget, refuse, stop in the middle, or say nothing.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::field::{Field, Visit};

#[tokio::test]
async fn a_version_that_is_too_old_makes_it_list_the_latest_state() {
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version", "status": "Failure"});
    let watched = Watched::start(vec![
        Answer::whole(list(&[pod("a", 3), pod("b", 3)], 7, "")),
        Answer::stream([event("ADDED", &pod("c", 8)), event("ERROR", &gone)], End::Never),
        Answer::whole(list(&[pod("b", 3), pod("d", 20)], 21, "")),
        Answer::error(410, "too old"),
        Answer::whole(list(&[pod("e", 30)], 31, "")),
    ])
    .await;
    let calls = watched.calls(6).await;
    assert_eq!(watched.names(), ["e"]);
    let told = |name: &str| calls.iter().map(|call| call.get(name)).collect::<Vec<_>>();
    assert_eq!(
        told("resourceVersion"),
        [Some("0"), Some("7"), None, Some("21"), None, Some("31")]
    );
    assert_eq!((watched.errors(Reason::Gone), watched.pods.counts().events(4)), (2, 1));
}

#[tokio::test]
async fn a_list_whose_next_page_is_too_old_begins_anew() {
    let watched = Watched::start(vec![
        Answer::whole(list(&[pod("a", 3)], 7, "more")),
        Answer::error(410, "the provided continue parameter is too old"),
        Answer::whole(list(&[pod("b", 8)], 9, "")),
    ])
    .await;
    let calls = watched.calls(4).await;
    assert_eq!(
        (calls[2].get("continue"), calls[2].get("resourceVersion")),
        (None, None)
    );
    assert_eq!(watched.names(), ["b"], "half a list is none");
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_from_its_last_event() {
    let half = event("ADDED", &pod("c", 9));
    let (half, _) = half.split_at(half.len() / 2);
    let mut answers = vec![Answer::whole(list(&[pod("a", 3)], 7, ""))];
    for end in [End::Broken, End::Whole] {
        answers.push(Answer::stream([event("ADDED", &pod("b", 8)), half.to_owned()], end));
    }
    let watched = Watched::start(answers).await;
    let calls = watched.calls(4).await;
    assert_eq!(watched.names(), ["a", "b"]);
    assert_eq!([2, 3].map(|at: usize| calls[at].get("resourceVersion")), [Some("8"); 2]);
    assert_eq!(watched.errors(Reason::Cut), 2);
    assert_eq!(watched.pods.counts().lists(), 1);
}

#[tokio::test]
async fn silence_ends_a_watch() {
    let watched = Watched::with(
        vec![
            Answer::whole(list(&[pod("a", 3)], 7, "")),
            Answer::stream([bookmark(8)], End::Never),
            Answer::stream([event("ADDED", &pod("b", 9)), bookmark(10)], End::Never),
        ],
        100,
        |settings| settings.timing.silence = Duration::from_millis(300),
    )
    .await;
    let calls = watched.calls(4).await;
    assert_eq!(watched.names(), ["a", "b"]);
    assert_eq!(
        [2, 3].map(|at: usize| calls[at].get("resourceVersion")),
        [Some("8"), Some("10")]
    );
    assert_eq!(watched.errors(Reason::Stall), 2);
}

#[tokio::test]
async fn answers_that_are_none_are_counted_and_asked_for_again() {
    let watched = Watched::start(vec![
        Answer::whole("<html>"),
        Answer::whole(r#"{"items": [], "metadata": {}}"#),
        Answer::error(503, "busy").header("retry-after", "0"),
        Answer::error(500, "etcd"),
        Answer::error(302, "").header("location", "http://192.0.2.1/"),
        Answer::whole(list(&[pod("a", 3)], 7, "")),
        Answer::stream(["nonsense\n"], End::Never),
        Answer::whole(list(&[pod("a", 3), pod("b", 8)], 9, "")),
        Answer::stream([event("SHOUTED", &json!({}))], End::Never),
        Answer::whole(list(&[pod("b", 8)], 9, "")),
    ])
    .await;
    watched.calls(11).await;
    assert_eq!(watched.names(), ["b"]);
    let errors = [Reason::Invalid, Reason::Busy, Reason::Refused].map(|reason| watched.errors(reason));
    assert_eq!(errors, [4, 1, 2]);
}

#[tokio::test]
async fn a_server_that_ends_each_watch_at_once_is_waited_for() {
    let ended = Answer::stream::<String>([], End::Whole);
    let mut answers = vec![Answer::whole(list(&[pod("a", 3)], 7, ""))];
    answers.extend(vec![ended; 5]);
    let watched = Watched::with(answers, 100, |settings| {
        // Longer than an answer takes, so that each of them ends at once.
        settings.timing.pause = Duration::from_secs(600);
        settings.timing.pause_max = Duration::from_millis(1);
    })
    .await;
    watched.calls(7).await;
    assert_eq!(watched.errors(Reason::Cut), 5);
}

/// Counts warnings of this thread that hold a text.
struct Warnings(&'static str, Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.1
            .fetch_add(usize::from(text.0.contains(self.0)), Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{value:?} ");
    }
}

#[tokio::test]
async fn a_refusal_is_told_once_with_what_mends_it() {
    let told = Arc::new(AtomicUsize::new(0));
    let _here = tracing::subscriber::set_default(Warnings("ClusterRoleBinding", told.clone()));
    let forbidden = Answer::error(403, "pods is forbidden");
    let mut answers = vec![forbidden.clone(), forbidden.clone(), forbidden.clone()];
    answers.push(Answer::whole(list(&[pod("a", 3)], 7, "")));
    answers.push(Answer::error(401, "Unauthorized"));
    let watched = Watched::start(answers.clone()).await;
    watched.calls(6).await;
    assert_eq!(watched.names(), ["a"], "what is known stays");
    assert_eq!(
        [Reason::Forbidden, Reason::Unauthorized].map(|reason| watched.errors(reason)),
        [3, 1]
    );
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_node_that_has_no_pods_may_have_another_name() {
    let told = Arc::new(AtomicUsize::new(0));
    let _here = tracing::subscriber::set_default(Warnings("--kubernetes.node", told.clone()));
    let gone = Answer::error(410, "");
    let none = Answer::whole(r#"{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":null}"#);
    let watched = Watched::start(vec![none.clone(), gone, none]).await;
    watched.calls(4).await;
    assert_eq!((watched.pods.is_empty(), watched.pods.counts().lists()), (true, 2));
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

/// What `onlooker doctor` asks.
#[tokio::test]
async fn one_question_tells_whether_the_server_tells() {
    let server = Server::start(
        None,
        vec![
            Answer::whole(list(&[pod("a", 3)], 7, "more")),
            Answer::whole(list(&[], 7, "")),
            Answer::error(403, "pods is forbidden"),
            Answer::whole("<html>"),
        ],
    )
    .await;
    let settings = settings(&format!("http://{}", server.address));
    let mut told = Vec::new();
    for _ in 0..4 {
        let settings = settings.clone();
        // It has a runtime of its own.
        let asked = tokio::task::spawn_blocking(move || has_pods(&settings));
        told.push(asked.await.expect("no panic"));
    }
    assert_eq!(told[..2], [Ok(true), Ok(false)]);
    let errors: Vec<&str> = told[2..]
        .iter()
        .filter_map(|told| told.as_ref().err().map(String::as_str))
        .collect();
    assert_eq!(errors[0], "the API server answers 403: pods is forbidden");
    assert!(errors[1].starts_with("the answer is no list of pods: "), "{errors:?}");
    let calls = server.calls();
    assert!(calls.iter().all(|call| call.get("limit") == Some("1")));
}

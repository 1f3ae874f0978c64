//! What is too much.

use super::*;

#[tokio::test]
async fn a_full_table_refuses_and_takes_in_when_there_is_room() {
    let all: Vec<Value> = ["a", "b", "c", "d", "e"].map(|name| pod(name, 1)).into();
    let watched = Watched::with(
        vec![
            Answer::whole(list(&all[..2], 7, "more")),
            Answer::whole(list(&all[2..], 7, "")),
            Answer::stream(
                [
                    event("ADDED", &pod("f", 8)),
                    event("MODIFIED", &pod("a", 9)),
                    event("DELETED", &pod("b", 10)),
                    event("ADDED", &pod("g", 11)),
                ],
                End::Whole,
            ),
        ],
        3,
        |_| {},
    )
    .await;
    watched.calls(4).await;
    assert_eq!(watched.names(), ["a", "c", "g"]);
    assert_eq!((watched.pods.len(), watched.pods.counts().refusals()), (3, 3));
    for gone in ["b", "d", "f"] {
        assert_eq!(
            (watched.pods.of_uid(&uid(gone)), watched.pods.of_container(&id(gone))),
            (None, None)
        );
    }
}

#[tokio::test]
async fn a_page_that_is_too_long_is_asked_for_in_smaller_parts() {
    let long = || Answer::stream(vec![vec![b' '; 1 << 20]; 9], End::Whole);
    let watched = Watched::start(vec![long(), long(), long(), Answer::whole(list(&[pod("a", 3)], 7, ""))]).await;
    let calls = watched.calls(5).await;
    assert_eq!(watched.names(), ["a"]);
    let told = |name: &str| calls.iter().take(4).map(|call| call.get(name)).collect::<Vec<_>>();
    assert_eq!(told("limit"), [Some("64"), Some("64"), Some("32"), Some("16")]);
    assert_eq!(told("resourceVersion"), [Some("0"), None, None, None]);
    assert_eq!(watched.errors(Reason::TooLong), 3);
}

#[tokio::test]
async fn an_event_that_is_too_long_costs_itself_alone() {
    let mut huge = pod("b", 8);
    huge["metadata"]["annotations"]["x"] = "x".repeat(5 << 20).into();
    let huge = event("ADDED", &huge).into_bytes();
    let mut pieces: Vec<Vec<u8>> = huge.chunks(1 << 20).map(<[u8]>::to_vec).collect();
    pieces.push(event("ADDED", &pod("c", 9)).into_bytes());
    let watched = Watched::start(vec![
        Answer::whole(list(&[pod("a", 3)], 7, "")),
        Answer::stream(pieces, End::Whole),
    ])
    .await;
    let calls = watched.calls(3).await;
    assert_eq!(watched.names(), ["a", "c"]);
    assert_eq!(
        (watched.errors(Reason::TooLong), calls[2].get("resourceVersion")),
        (1, Some("9"))
    );
}

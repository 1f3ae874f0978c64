//! One question to the API server, for who wants to know whether it answers.

use super::client::{Client, body};
use super::object::PodList;
use super::settings::Settings;

/// Bytes of the answer, which is one pod.
const ANSWER_MAX: usize = 4 << 20;

/// Whether the node has a pod, as the API server tells it. Blocks for as long as [`super::Timing`] allows.
///
/// # Errors
/// Why it does not tell, in words that hold no token.
pub fn has_pods(settings: &Settings) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let mut client = Client::new(settings);
        // From the server's cache, which has an index of nodes.
        let query = [("limit", "1"), ("resourceVersion", "0")];
        let response = client.pods(settings, &query).await.map_err(|failure| failure.why)?;
        let answer = body(response, ANSWER_MAX, settings.timing.answer).await;
        let answer = answer.map_err(|failure| failure.why)?;
        let list: PodList =
            serde_json::from_slice(&answer).map_err(|error| format!("the answer is no list of pods: {error}"))?;
        Ok(list.items.is_some_and(|items| !items.is_empty()))
    })
}

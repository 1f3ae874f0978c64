//! An API server that answers as scripted and remembers what it was asked. It knows nothing of the client.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) path: String,
    /// Names and values, decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) authorization: Option<String>,
}

impl Call {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    pieces: VecDeque<Bytes>,
    end: End,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// As it should.
    Whole,
    /// Not at all.
    Never,
    /// The connection is cut.
    Broken,
}

impl Answer {
    /// All at once.
    pub(super) fn whole(body: impl Into<Bytes>) -> Answer {
        Answer::stream([body], End::Whole)
    }

    /// Piece by piece.
    pub(super) fn stream<B: Into<Bytes>>(pieces: impl IntoIterator<Item = B>, end: End) -> Answer {
        Answer {
            status: 200,
            headers: Vec::new(),
            pieces: pieces.into_iter().map(Into::into).collect(),
            end,
        }
    }

    /// An error, as Kubernetes tells it.
    pub(super) fn error(status: u16, message: &str) -> Answer {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": "Some", "details": {"kind": "pods"}, "code": status,
        });
        Answer {
            status,
            ..Answer::whole(body.to_string())
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Answer {
        self.headers.push((name, value));
        self
    }
}

/// Ends with the runtime of the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// Answers as scripted; whoever asks after that waits for as long as the test runs.
    pub(super) async fn start(tls: Option<rustls::ServerConfig>, answers: Vec<Answer>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let seen = calls.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (seen, answers, tls) = (seen.clone(), answers.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(TokioIo::new(stream), seen, answers).await,
                        // A client that does not trust the server goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(TokioIo::new(stream), seen, answers).await;
                            }
                        }
                    }
                });
            }
        });
        Server { address, calls }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("not poisoned").clone()
    }
}

async fn serve<IO>(io: IO, seen: Arc<Mutex<Vec<Call>>>, answers: Arc<Mutex<VecDeque<Answer>>>)
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let url = format!("http://server{}", request.uri());
        let url = reqwest::Url::parse(&url).expect("a URL");
        let authorization = request.headers().get("authorization");
        seen.lock().expect("not poisoned").push(Call {
            path: url.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            authorization: authorization.map(|value| value.to_str().expect("text").to_owned()),
        });
        let next = answers.lock().expect("not poisoned").pop_front();
        async move {
            let Some(answer) = next else {
                return std::future::pending().await;
            };
            let mut response = Response::builder().status(answer.status);
            for (name, value) in &answer.headers {
                response = response.header(*name, *value);
            }
            Ok::<_, Infallible>(response.body(Script(answer)).expect("a response"))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
    let _ = connection.await;
}

struct Script(Answer);

impl Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, to: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(piece) = self.0.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.0.end {
            End::Whole => Poll::Ready(None),
            End::Never => Poll::Pending,
            End::Broken => {
                // Once more round, so that what was written goes out before the connection does.
                if self.0.headers.is_empty() {
                    self.0.headers.push(("x", "x"));
                    to.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(std::io::Error::other("scripted"))))
            }
        }
    }
}

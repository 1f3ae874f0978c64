//! A server of HTTP that answers as scripted: HTTP/2 for gRPC or HTTP/1, with TLS or without. It knows nothing of the exporter.

use super::*;
use crate::web::tests::pki::Pki;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use tokio_rustls::TlsAcceptor;

/// A request as the server saw it.
pub(super) struct Call {
    pub(super) path: String,
    pub(super) version: hyper::Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Number of the connection that it came on, from 1.
    pub(super) connection: usize,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What the server says.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) frames: VecDeque<Frame<Bytes>>,
    pub(super) end: End,
}

/// How an answer ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    /// As it should.
    Whole,
    /// Not at all.
    Never,
    /// The stream is reset.
    Broken,
    /// The same bytes again and again.
    Endless,
}

impl Answer {
    /// A message of gRPC, and trailers.
    pub(super) fn grpc(message: &[u8], trailers: &[(&'static str, &str)]) -> Answer {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let framed = [&[0], length.as_slice(), message].concat();
        Answer {
            status: 200,
            headers: vec![("content-type", "application/grpc".to_owned())],
            frames: [Frame::data(framed.into()), Frame::trailers(map(trailers))].into(),
            end: End::Whole,
        }
    }

    pub(super) fn ok() -> Answer {
        Answer::grpc(&[], &[("grpc-status", "0")])
    }

    /// All in the head.
    pub(super) fn head(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        Answer {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            frames: VecDeque::new(),
            end: End::Whole,
        }
    }

    pub(super) fn ending(self, end: End) -> Answer {
        Answer { end, ..self }
    }
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

/// Ends with the guard.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) calls: Receiver<Call>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// Serves by HTTP/2 (`grpc`) or HTTP/1; what is not scripted is answered as the first line says.
pub(super) fn serve(listener: TcpListener, grpc: bool, tls: Option<ServerConfig>, answers: Vec<Answer>) -> Server {
    let address = listener.local_addr().unwrap();
    let (seen, calls) = channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    listener.set_nonblocking(true).unwrap();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    std::thread::spawn(move || {
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let accept = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answers, tls) = (seen.clone(), answers.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => one(TokioIo::new(stream), grpc, connection, seen, answers).await,
                        // A client that does not trust the server, or is not trusted, goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                one(TokioIo::new(stream), grpc, connection, seen, answers).await;
                            }
                        }
                    }
                });
            }
        };
        runtime().block_on(async {
            tokio::select! {
                () = accept => {}
                _ = stopped => {}
            }
        });
    });
    Server {
        address,
        calls,
        _stop: stop,
    }
}

async fn one<IO>(
    io: IO,
    grpc: bool,
    connection: usize,
    seen: std::sync::mpsc::Sender<Call>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answers) = (seen.clone(), answers.clone());
        async move {
            let (head, body) = request.into_parts();
            // A client that gives up in the middle is not seen.
            let body = body.collect().await?.to_bytes();
            let call = Call {
                path: head.uri.path().to_owned(),
                version: head.version,
                headers: head.headers,
                body,
                connection,
            };
            let _ = seen.send(call);
            let next = answers.lock().unwrap().pop_front();
            let answer = next.unwrap_or_else(|| if grpc { Answer::ok() } else { Answer::head(200, &[]) });
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            let body = Script {
                frames: answer.frames,
                end: answer.end,
            };
            Ok::<_, hyper::Error>(response.body(body).unwrap())
        }
    });
    if grpc {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await;
    }
}

/// Frames as scripted.
struct Script {
    frames: VecDeque<Frame<Bytes>>,
    end: End,
}

impl Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.end {
            End::Whole => Poll::Ready(None),
            End::Never => Poll::Pending,
            End::Broken => Poll::Ready(Some(Err(std::io::Error::other("scripted")))),
            End::Endless => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1000]))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.end == End::Whole
    }
}

/// A server's side of TLS, of the files that [`Pki::server`] makes; `asks`: for a certificate of the client.
pub(super) fn tls(pki: &Pki, asks: bool, alpn: &[&str]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::from_pem_file(pki.path("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pki.path("server.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = if asks {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(pki.path("ca.crt")).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    }
    .with_single_cert(vec![chain], key)
    .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Sends these bytes once by a transport of these settings.
pub(super) async fn send<T: OtlpItem>(transport: &OtlpTransport, items: Vec<T>) -> retry::Outcome {
    use retry::Transport;
    let packed = transport.pack(T::encode(items));
    transport.send(packed).await
}

pub(super) fn transport<T: OtlpItem>(config: &OtlpConfig, clients: &mut OtlpClients) -> OtlpTransport {
    OtlpTransport::new::<T>(config, clients).unwrap()
}

/// Settings of an exporter of this item, read as the agent reads them.
pub(super) fn settings<T: OtlpItem>(variables: &[(&str, &str)]) -> OtlpConfig {
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    OtlpConfig::from_env(T::SIGNAL, &get).unwrap().unwrap()
}

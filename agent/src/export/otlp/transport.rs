//! One request of OTLP by whichever protocol was asked for: what is sent, and what the answer means.

use super::retry::{Outcome, Transport};
use super::signal::Names;
use super::text::causes;
use super::{
    Link, Loss, OtlpClients, OtlpCompression, OtlpConfig, OtlpItem, OtlpProtocol, OtlpSetupError, grpc, http, json,
};
use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use reqwest::{Response, Url};
use std::sync::Arc;
use std::time::Duration;

/// How many items a response rejects, and why.
pub(super) type Partial = Option<(i64, String)>;

pub(super) struct OtlpTransport {
    link: Arc<Link>,
    endpoint: Url,
    headers: HeaderMap,
    timeout: Duration,
    protocol: OtlpProtocol,
    compression: OtlpCompression,
    /// The endpoint without user, password and query.
    target: String,
    names: &'static Names,
    /// See [`OtlpItem::partial`].
    partial: fn(&[u8]) -> Partial,
}

impl OtlpTransport {
    pub(super) fn new<I: OtlpItem>(
        config: &OtlpConfig,
        clients: &mut OtlpClients,
    ) -> Result<OtlpTransport, OtlpSetupError> {
        let endpoint = config.endpoint.clone();
        let target = format!("{}{}", endpoint.origin().ascii_serialization(), endpoint.path());
        let link = clients
            .of(&endpoint, config.protocol, &config.tls)
            .map_err(|source| OtlpSetupError {
                target: target.clone(),
                source,
            })?;
        let mut headers = config.headers.clone();
        let (kind, encoding) = match config.protocol {
            OtlpProtocol::HttpProtobuf => ("application/x-protobuf", CONTENT_ENCODING),
            OtlpProtocol::HttpJson => ("application/json", CONTENT_ENCODING),
            OtlpProtocol::Grpc => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
                headers.insert("grpc-timeout", grpc::timeout(config.timeout));
                ("application/grpc", HeaderName::from_static("grpc-encoding"))
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        match config.compression.name() {
            Some(name) => headers.insert(encoding, HeaderValue::from_static(name)),
            None => headers.remove(encoding),
        };
        Ok(OtlpTransport {
            link,
            endpoint,
            headers,
            timeout: config.timeout,
            protocol: config.protocol,
            compression: config.compression,
            target,
            names: I::SIGNAL.names(),
            partial: I::partial,
        })
    }

    async fn judge(&self, response: Response) -> Result<Outcome, reqwest::Error> {
        match self.protocol {
            OtlpProtocol::Grpc => grpc::judge(response, self.partial).await,
            OtlpProtocol::HttpProtobuf => Ok(http::judge(response, self.partial).await),
            OtlpProtocol::HttpJson => {
                let partial = |body: &[u8]| json::partial(self.names.rejected, body);
                Ok(http::judge(response, partial).await)
            }
        }
    }
}

impl Transport for OtlpTransport {
    async fn send(&self, request: Bytes) -> Outcome {
        let client = self.link.client().await;
        let request = client
            .post(self.endpoint.clone())
            .headers(self.headers.clone())
            .timeout(self.timeout)
            .body(request);
        let outcome = async {
            let response = request.send().await?;
            self.link.heard(response.remote_addr());
            self.judge(response).await
        };
        match outcome.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_builder() => Outcome::Refused {
                loss: Loss::RefusedOther,
                why: causes(&error),
            },
            Err(error) => {
                // A connection of HTTP/2 is kept when a request on it is given up: if it is dead, the next would wait in vain too.
                if error.is_timeout() && self.protocol == OtlpProtocol::Grpc {
                    self.link.renew();
                }
                Outcome::Retry {
                    after: None,
                    why: causes(&error),
                }
            }
        }
    }

    fn pack(&self, request: Vec<u8>) -> Bytes {
        let packed = match self.protocol {
            OtlpProtocol::Grpc => grpc::frame(self.compression, &request),
            OtlpProtocol::HttpProtobuf if self.compression == OtlpCompression::None => request,
            OtlpProtocol::HttpProtobuf => self.compression.append(&request, Vec::with_capacity(request.len() / 4)),
            OtlpProtocol::HttpJson => {
                // Requests are made by this agent: what it encoded it can decode.
                let json = (self.names.json)(&request).unwrap_or_default();
                self.compression.append(&json, Vec::with_capacity(request.len() / 2))
            }
        };
        packed.into()
    }

    fn packs_gzip(&self) -> bool {
        self.protocol == OtlpProtocol::HttpProtobuf && self.compression == OtlpCompression::Gzip
    }

    fn target(&self) -> &str {
        &self.target
    }
}

//! One request over HTTP: TLS, time limits, redirects.

use crate::cache::Options;
use crate::{Error, Result};
use std::sync::Arc;
use ureq::Agent;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use ureq::http::{Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

const MOST_REDIRECTS: usize = 5;

/// What a server answered: the body, and what its headers say of it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: ureq::Body,
    /// Bytes of the body, if they are announced.
    pub(crate) length: Option<u64>,
    /// Whether the body says itself where it ends.
    pub(crate) chunked: bool,
    /// Of a part: its first byte, and the bytes of the whole.
    pub(crate) range: Option<(u64, Option<u64>)>,
    /// The version of the file.
    pub(crate) etag: Option<String>,
    /// The sha256 that the server states, and the size.
    pub(crate) stated: Option<String>,
}

pub(crate) struct Client {
    agent: Agent,
    mirror: Option<String>,
}

fn setting(message: impl Into<String>) -> Error {
    Error::Setting(message.into())
}

/// Roots of trust: those of `SSL_CERT_FILE`, which networks with a gateway of their own set, or Mozilla's.
fn roots() -> Result<RootCerts> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let pem = std::fs::read(&path).map_err(Error::io("read", std::path::Path::new(&path)))?;
    let roots: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match roots.is_empty() {
        true => Err(setting(format!("SSL_CERT_FILE: no certificate in {}", path.display()))),
        false => Ok(RootCerts::new_with_certs(&roots)),
    }
}

/// Whether this address is of the machine itself.
fn is_loopback(uri: &Uri) -> bool {
    matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

impl Client {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        if let Some(mirror) = &options.mirror {
            let uri: Uri = mirror.parse().map_err(|e| setting(format!("the mirror {mirror} is no address: {e}")))?;
            let fine = uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_loopback(&uri));
            if !fine {
                return Err(setting(format!("the mirror {mirror} must be https (or http on this machine)")));
            }
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()))
            .root_certs(roots()?)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(Some(options.patience))
            .timeout_connect(Some(options.patience))
            .timeout_recv_response(Some(options.patience))
            .user_agent(concat!("ukulele/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), mirror: options.mirror.clone() })
    }

    /// Where a file of the table is really asked for: `MIRROR/host/path`.
    fn place(&self, url: &str) -> String {
        match &self.mirror {
            None => url.to_owned(),
            Some(mirror) => {
                format!("{}/{}", mirror.trim_end_matches('/'), url.trim_start_matches("https://"))
            }
        }
    }

    /// Asks for the bytes from `start` of the version `etag`. Redirects are followed from https to https only.
    pub(crate) fn get(&self, url: &str, start: u64, etag: Option<&str>) -> Result<Answer> {
        let mut place = self.place(url);
        let mut stated = None;
        for _ in 0..=MOST_REDIRECTS {
            let uri: Uri = place.parse().map_err(|e| Error::network(url, format!("{place} is no address: {e}")))?;
            let mut request = self.agent.get(&uri);
            if start > 0 {
                request = request.header(RANGE, format!("bytes={start}-"));
                if let Some(etag) = etag {
                    request = request.header("If-Range", etag);
                }
            }
            let response = request.call().map_err(|e| Error::network(url, e.to_string()))?;
            let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let digits = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            let linked = text("x-linked-etag").map(|etag| etag.trim_matches('"').to_ascii_lowercase());
            stated = stated.or(linked.filter(digits));
            if !response.status().is_redirection() {
                return Ok(Answer::of(response, stated));
            }
            let to = text(LOCATION.as_str()).ok_or_else(|| Error::network(url, "a redirect that leads nowhere"))?;
            let next = resolve(&uri, &to);
            let there: Uri = next.parse().map_err(|e| Error::network(url, format!("a redirect to {to:?}: {e}")))?;
            let safe = match there.scheme_str() {
                Some("https") => true,
                Some("http") => uri.scheme_str() == Some("http") && is_loopback(&uri) && is_loopback(&there),
                _ => false,
            };
            if !safe {
                return Err(Error::network(url, format!("a redirect to {next}, which is not https: refused")));
            }
            place = next;
        }
        Err(Error::network(url, format!("more than {MOST_REDIRECTS} redirects")))
    }
}

/// The address that `to` means, seen from `from`.
fn resolve(from: &Uri, to: &str) -> String {
    let (scheme, host) = (from.scheme_str().unwrap_or_default(), from.authority().map_or("", |a| a.as_str()));
    match to {
        _ if to.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric())) => {
            to.to_owned()
        }
        _ if to.starts_with("//") => format!("{scheme}:{to}"),
        _ if to.starts_with('/') => format!("{scheme}://{host}{to}"),
        _ => {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{host}{folder}/{to}")
        }
    }
}

impl Answer {
    fn of(response: Response<ureq::Body>, stated: Option<String>) -> Self {
        let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let range = text(CONTENT_RANGE.as_str()).and_then(|range| {
            let (part, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
            Some((part.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
        });
        let length = text(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        // A weak version tells only that files are alike.
        let etag = text(ETAG.as_str()).filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        let chunked = text("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let status = response.status().as_u16();
        Self { status, length, chunked, range, etag, stated, body: response.into_body() }
    }
}

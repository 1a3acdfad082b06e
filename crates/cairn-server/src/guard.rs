//! The guard in front of every route: who may talk to a port of this machine.
//!
//! Loopback is no boundary by itself, because web pages can make a browser send requests to it.
//! Programs such as MLflow's client send a `Host` of ours and none of the headers that browsers
//! add, so the guard refuses everything else, whatever the path and the method. It never answers
//! with `Access-Control-*` headers. Then comes the token, where one is wanted ([`crate::access`]).

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::IntoResponse as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use tower::{Layer, Service};

use crate::{
    access::{Access, DELAY, Verdict},
    error::{ApiError, ErrorCode},
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What a port accepts.
///
/// Names are compared exactly, without patterns. Nothing is exempt, health checks included.
#[derive(Debug, Clone)]
pub struct GuardPolicy {
    port: u16,
    extra_hosts: Vec<String>,
    origins: Vec<String>,
    serves_own_pages: bool,
}

impl GuardPolicy {
    /// For the port of MLflow's API, which serves no pages: every sign of a browser is refused.
    pub fn mlflow(port: u16) -> Self {
        Self { port, extra_hosts: Vec::new(), origins: Vec::new(), serves_own_pages: false }
    }

    /// For the port that serves the interface to a browser: pages of this very origin may call it.
    pub fn interface(port: u16) -> Self {
        Self { serves_own_pages: true, ..Self::mlflow(port) }
    }

    /// Also accepts a host name that the user typed, such as `host.docker.internal`.
    #[must_use]
    pub fn allow_host(mut self, name: &str) -> Self {
        self.extra_hosts.push(name.to_ascii_lowercase());
        self
    }

    /// Also accepts an `Origin` that the user typed, such as `http://notebook.example:8888`.
    #[must_use]
    pub fn allow_origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// Decides about a request by its head alone.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = only_value(headers, &header::HOST).ok_or(Refusal::Host)?;
        if !self.is_own_host(host) {
            return Err(Refusal::Host);
        }
        if let Some(authority) = uri.authority() {
            let agrees =
                uri.scheme_str() == Some("http") && authority.as_str().eq_ignore_ascii_case(host);
            if !agrees {
                return Err(Refusal::Host);
            }
        }
        if *method == Method::OPTIONS || *method == Method::CONNECT || *method == Method::TRACE {
            return Err(Refusal::Method);
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = only_value(headers, &header::ORIGIN).ok_or(Refusal::Origin)?;
            let is_own = self.serves_own_pages
                && origin.strip_prefix("http://").is_some_and(|own| own.eq_ignore_ascii_case(host));
            if !is_own && !self.origins.iter().any(|allowed| allowed == origin) {
                return Err(Refusal::Origin);
            }
        }
        if headers.contains_key(SEC_FETCH_SITE) {
            let site = only_value(headers, &SEC_FETCH_SITE).ok_or(Refusal::Site)?;
            if !self.serves_own_pages || !matches!(site, "same-origin" | "none") {
                return Err(Refusal::Site);
            }
        }
        Ok(())
    }

    /// Whether a `Host` is one of ours: a known name, and our port.
    fn is_own_host(&self, host: &str) -> bool {
        let Some((name, port)) = split_port(host) else { return false };
        let port_is_ours = match port {
            Some(digits) => is_number(digits, self.port),
            // 80 is what HTTP means by no port.
            None => self.port == 80,
        };
        port_is_ours
            && (["127.0.0.1", "localhost", "[::1]"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
                || self.extra_hosts.iter().any(|extra| name.eq_ignore_ascii_case(extra)))
    }
}

/// Why the guard refused. The text for the client repeats nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `Host` is missing, repeated, not ours, or contradicts the request line.
    Host,
    /// A method that only browsers and proxies use.
    Method,
    /// A web page sent it.
    Origin,
    /// A browser sent it on behalf of another site.
    Site,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => {
                "This request was refused: its Host is not an address of this server. Use \
                 127.0.0.1, localhost or [::1] with the port of this server."
            }
            Self::Method => "This request was refused: the method is not served here.",
            Self::Origin | Self::Site => {
                "This request was refused: it comes from a web browser. This address is for MLflow \
                 clients; open Cairn to look at runs."
            }
        })
    }
}

/// The value of a header that occurs exactly once and is plain text.
pub(crate) fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Splits `name`, `name:port` or `[v6]:port`. `None` if it is neither.
fn split_port(host: &str) -> Option<(&str, Option<&str>)> {
    if host.starts_with('[') {
        let end = host.find(']')? + 1;
        let (name, rest) = host.split_at(end);
        return match rest {
            "" => Some((name, None)),
            _ => Some((name, Some(rest.strip_prefix(':')?))),
        };
    }
    match host.split_once(':') {
        None => Some((host, None)),
        // A second colon is no digit of a port.
        Some((name, port)) => Some((name, Some(port))),
    }
}

/// Whether `digits` is the number in its only plain spelling.
fn is_number(digits: &str, number: u16) -> bool {
    !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits.parse() == Ok(number)
}

/// Puts the guard in front of a service, and its headers on every answer.
#[derive(Debug, Clone)]
pub struct GuardLayer {
    policy: Arc<GuardPolicy>,
    access: Access,
}

impl GuardLayer {
    /// A layer with a policy, and without a token.
    pub fn new(policy: GuardPolicy) -> Self {
        Self { policy: Arc::new(policy), access: Access::default() }
    }

    /// The same layer with a rule about tokens.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { policy: self.policy.clone(), access: self.access.clone(), inner }
    }
}

/// A service behind the guard.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    policy: Arc<GuardPolicy>,
    access: Access,
    inner: S,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Err(refusal) = self.policy.check(request.method(), request.uri(), request.headers())
        {
            return Box::pin(std::future::ready(Ok(refusal_response(refusal))));
        }
        match self.access.check(request.headers()) {
            Verdict::Served => {}
            Verdict::Refused => return Box::pin(std::future::ready(Ok(no_token_response()))),
            Verdict::RefusedLater(waiting) => {
                return Box::pin(async move {
                    tokio::time::sleep(DELAY).await;
                    drop(waiting);
                    Ok(no_token_response())
                });
            }
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            harden(response.headers_mut());
            Ok(response)
        })
    }
}

fn refusal_response(refusal: Refusal) -> Response<Body> {
    let mut response =
        ApiError::new(ErrorCode::PermissionDenied, refusal.to_string()).into_response();
    harden(response.headers_mut());
    response
}

fn no_token_response() -> Response<Body> {
    let text = "This server wants its token. Set MLFLOW_TRACKING_TOKEN to what 'cairn token' prints, \
                or copy it from Cairn's window.";
    let mut response = ApiError::new(ErrorCode::Unauthenticated, text).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    harden(response.headers_mut());
    response
}

/// Sets the headers of every answer; a caching rule of the route's own stays.
fn harden(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &GuardPolicy, headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        policy.check(&Method::GET, &Uri::from_static("/health"), &map)
    }

    #[test]
    fn only_own_hosts_pass() {
        let policy = GuardPolicy::mlflow(5000).allow_host("host.docker.internal");
        for host in [
            "127.0.0.1:5000",
            "localhost:5000",
            "LocalHost:5000",
            "[::1]:5000",
            "host.docker.internal:5000",
        ] {
            assert_eq!(check(&policy, &[("host", host)]), Ok(()), "{host}");
        }
        let long = "a".repeat(9 << 10);
        for host in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:5001",
            "127.0.0.1:05000",
            "127.0.0.1:+5000",
            "127.0.0.1:",
            "127.0.0.1:5000:5000",
            "0.0.0.0:5000",
            "[::]:5000",
            "::1:5000",
            "[::ffff:127.0.0.1]:5000",
            "[0:0:0:0:0:0:0:1]:5000",
            "[::1",
            "[::1]5000",
            "127.1:5000",
            "2130706433:5000",
            "0x7f.0.0.1:5000",
            "127.0.0.2:5000",
            "10.evil.example",
            "10.evil.example:5000",
            "192.168.evil.example:5000",
            "172.16.evil.example:5000",
            "evil.example:5000",
            "localhost.evil:5000",
            "localhost.:5000",
            "127.0.0.1.:5000",
            "localhost.localdomain:5000",
            "127.0.0.1:5000@evil",
            "127.0.0.1:5000@evil:5000",
            "user@127.0.0.1:5000",
            "127.0.0.1:5000/",
            "127.0.0.1:5000 ",
            " 127.0.0.1:5000",
            "http://127.0.0.1:5000",
            "127.0.0.1:5000,evil",
            "fd00::1",
            "[fd00::1]:5000",
            "[::1%lo]:5000",
            "lоcalhost:5000",
            "127.0.0.1\\:5000",
            "*",
            "*:5000",
            &long,
        ] {
            assert_eq!(check(&policy, &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check(&policy, &[]), Err(Refusal::Host));
        let twice = [("host", "127.0.0.1:5000"), ("host", "127.0.0.1:5000")];
        assert_eq!(check(&policy, &twice), Err(Refusal::Host));
    }

    #[test]
    fn no_port_means_80() {
        assert_eq!(check(&GuardPolicy::mlflow(80), &[("host", "localhost")]), Ok(()));
        assert_eq!(check(&GuardPolicy::mlflow(80), &[("host", "localhost:80")]), Ok(()));
        assert_eq!(check(&GuardPolicy::mlflow(80), &[("host", "[::1]")]), Ok(()));
        assert_eq!(check(&GuardPolicy::mlflow(80), &[("host", "::1")]), Err(Refusal::Host));
    }

    #[test]
    fn every_sign_of_a_browser_is_refused_on_the_api() {
        let policy = GuardPolicy::mlflow(5000);
        for origin in [
            "null",
            "",
            "http://127.0.0.1:5000",
            "http://localhost:9999",
            "https://evil.example",
            "tauri://localhost",
            "http://localhost.evil",
            "http://127.0.0.1:5000@evil",
        ] {
            let headers = [("host", "127.0.0.1:5000"), ("origin", origin)];
            assert_eq!(check(&policy, &headers), Err(Refusal::Origin), "{origin}");
        }
        for site in ["cross-site", "same-site", "same-origin", "none", "", "nonsense"] {
            let headers = [("host", "127.0.0.1:5000"), ("sec-fetch-site", site)];
            assert_eq!(check(&policy, &headers), Err(Refusal::Site), "{site}");
        }
    }

    #[test]
    fn the_interface_serves_its_own_pages_only() {
        let policy = GuardPolicy::interface(5000);
        let host = ("host", "127.0.0.1:5000");
        assert_eq!(
            check(
                &policy,
                &[host, ("origin", "http://127.0.0.1:5000"), ("sec-fetch-site", "same-origin")]
            ),
            Ok(())
        );
        assert_eq!(check(&policy, &[host, ("sec-fetch-site", "none")]), Ok(()));
        for origin in [
            "null",
            "http://localhost:5000",
            "https://127.0.0.1:5000",
            "http://127.0.0.1:5001",
            "http://127.0.0.1:5000.evil",
        ] {
            assert_eq!(
                check(&policy, &[host, ("origin", origin)]),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site", "SAME-ORIGIN"] {
            assert_eq!(
                check(&policy, &[host, ("sec-fetch-site", site)]),
                Err(Refusal::Site),
                "{site}"
            );
        }
        let twice =
            [host, ("origin", "http://127.0.0.1:5000"), ("origin", "http://127.0.0.1:5000")];
        assert_eq!(check(&policy, &twice), Err(Refusal::Origin));
    }

    #[test]
    fn an_allowed_origin_passes_exactly() {
        let policy = GuardPolicy::mlflow(5000).allow_origin("http://notebook.example:8888");
        let host = ("host", "127.0.0.1:5000");
        assert_eq!(check(&policy, &[host, ("origin", "http://notebook.example:8888")]), Ok(()));
        assert!(check(&policy, &[host, ("origin", "http://notebook.example")]).is_err());
    }

    #[test]
    fn a_full_address_in_the_request_line_must_agree() {
        let policy = GuardPolicy::mlflow(5000);
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:5000"));
        let check =
            |uri: &'static str| policy.check(&Method::GET, &Uri::from_static(uri), &headers);
        assert_eq!(check("http://127.0.0.1:5000/health"), Ok(()));
        assert_eq!(check("http://evil.example/health"), Err(Refusal::Host));
        assert_eq!(check("http://localhost:5000/health"), Err(Refusal::Host));
        assert_eq!(check("https://127.0.0.1:5000/health"), Err(Refusal::Host));
    }

    #[test]
    fn a_refusal_says_what_to_do_instead() {
        for (refusal, words) in [
            (Refusal::Host, "Use 127.0.0.1, localhost or [::1]"),
            (Refusal::Method, "the method is not served"),
            (Refusal::Origin, "open Cairn"),
            (Refusal::Site, "open Cairn"),
        ] {
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
    }

    #[test]
    fn preflights_are_refused() {
        let policy = GuardPolicy::interface(5000);
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:5000"));
        for method in [Method::OPTIONS, Method::CONNECT, Method::TRACE] {
            let refused = policy.check(&method, &Uri::from_static("/x"), &headers);
            assert_eq!(refused, Err(Refusal::Method));
        }
    }
}

//! `cairn-file://localhost/<handle>`: images of runs, and nothing else.
//!
//! The page's own origin may load these as images. Each handle is random and was given out by a
//! preview; there is no path in the address, so there is nothing to climb out of.

use std::sync::Arc;

use cairn_app::{OpenedFile, dto::CommandError};
use tauri::{
    Manager as _, Runtime, UriSchemeContext, UriSchemeResponder,
    http::{Method, Request, Response, StatusCode, Uri, header},
};

use crate::{host::Session, window};

/// The scheme's name; the interface knows it from `host.fileUrl`.
pub const NAME: &str = "cairn-file";

/// Answers a request of the window, off the main thread.
pub fn answer<R: Runtime>(
    context: UriSchemeContext<'_, R>,
    request: Request<Vec<u8>>,
    responder: UriSchemeResponder,
) {
    let session = context.app_handle().state::<Arc<Session>>().inner().clone();
    let is_ours = context.webview_label() == window::LABEL && request.method() == Method::GET;
    let handle = if is_ours { handle_of(request.uri()) } else { None };
    tauri::async_runtime::spawn(async move {
        let Some(handle) = handle else { return responder.respond(not_found()) };
        let app = session.app().await;
        let opened = tokio::task::spawn_blocking(move || app.open_file(&handle)).await;
        responder.respond(opened.map_or_else(|_| not_found(), response));
    });
}

/// The handle in an address: hexadecimal digits alone after the slash.
fn handle_of(uri: &Uri) -> Option<String> {
    let handle = uri.path().strip_prefix('/')?;
    let is_handle = !handle.is_empty() && handle.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_handle && uri.query().is_none()).then(|| handle.to_owned())
}

fn response(opened: Result<OpenedFile, CommandError>) -> Response<Vec<u8>> {
    match opened {
        Ok(file) if file.mime.starts_with("image/") => {
            guarded(StatusCode::OK, file.mime, file.bytes)
        }
        _ => not_found(),
    }
}

fn not_found() -> Response<Vec<u8>> {
    guarded(StatusCode::NOT_FOUND, "text/plain", Vec::new())
}

/// An answer that stays an image: not sniffed for another type, and if it were ever opened as a
/// document (an SVG can be) without scripts, origin or network.
fn guarded(status: StatusCode, mime: &str, bytes: Vec<u8>) -> Response<Vec<u8>> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, mime)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:",
        )
        .header(header::CACHE_CONTROL, "no-store")
        .body(bytes)
        .expect("these headers are valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_app::dto::ErrorCode;

    #[test]
    fn only_a_bare_handle_is_a_handle() {
        let check = |address: &str, expected: Option<&str>| {
            let uri: Uri = address.parse().unwrap();
            assert_eq!(handle_of(&uri).as_deref(), expected, "{address}");
        };
        check("cairn-file://localhost/00ff", Some("00ff"));
        check("cairn-file://localhost/", None);
        check("cairn-file://localhost/00ff/..", None);
        check("cairn-file://localhost/00ff?x=1", None);
        check("cairn-file://localhost/..%2fetc", None);
        check("cairn-file://localhost/index.html", None);
    }

    #[test]
    fn an_image_cannot_become_anything_else() {
        let file = OpenedFile { mime: "image/svg+xml", bytes: b"<svg/>".to_vec() };
        let answer = response(Ok(file));
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "image/svg+xml");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("sandbox; default-src 'none'"), "{policy}");
        assert!(!policy.contains("allow-") && !policy.contains("script-src"), "{policy}");
    }

    #[test]
    fn what_is_no_image_is_not_there() {
        let html = OpenedFile { mime: "text/html", bytes: b"<script>".to_vec() };
        for opened in [Ok(html), Err(CommandError::new(ErrorCode::NotFound, "gone"))] {
            let answer = response(opened);
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert!(answer.body().is_empty());
        }
    }
}

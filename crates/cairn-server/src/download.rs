//! Sending a file: type, name, ranges, and the headers that keep a browser from running it.

use std::{
    io::{self, Read as _, Seek as _},
    os::unix::fs::MetadataExt as _,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use cairn_core::ArtifactPath;
use cairn_store::{
    Store,
    artifacts::{Location, OpenFile},
};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinHandle;

use crate::{artifacts::blocking, call::Answer, error::ApiError};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// What may stand in a file name parameter as it is (RFC 5987, attr-char).
const PLAIN_IN_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Sends a file of a location as an attachment, or the part of it that `Range` asks for.
///
/// Errors: 404 for no file, 400 for a folder.
pub(crate) async fn send(
    store: Store,
    location: Location,
    path: ArtifactPath,
    request: &HeaderMap,
) -> Answer {
    let name = path.file_name().to_owned();
    let file = blocking(move || store.artifacts().open(&location, &path)).await?;
    let size = file.size_bytes;
    let etag = etag(&file).map_err(unreadable)?;
    let modified = file.modified.map(http_date);

    let range = match requested_range(request, size, &etag, modified.as_deref()) {
        Requested::Whole => None,
        Requested::Part(start, end) => Some((start, end)),
        Requested::Beyond => return Ok(beyond(size)),
    };
    let (start, length) = range.map_or((0, size), |(start, end)| (start, end - start + 1));
    let mut handle = file.file;
    if start > 0 {
        handle.seek(io::SeekFrom::Start(start)).map_err(unreadable)?;
    }
    // Never more than was announced, even if the file grows meanwhile.
    let stream = pieces(handle, length);
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    headers.insert(header::CONTENT_DISPOSITION, disposition(&name));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    headers.insert(header::ETAG, ascii(&etag));
    if let Some(modified) = modified {
        headers.insert(header::LAST_MODIFIED, ascii(&modified));
    }
    if let Some((start, end)) = range {
        headers.insert(header::CONTENT_RANGE, ascii(&format!("bytes {start}-{end}/{size}")));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The next `length` bytes of a file. While a piece is sent, the next one is read; a client that waits
/// holds two pieces and no thread.
fn pieces(file: std::fs::File, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Reading::begin(file, length), |reading| async {
        match reading?.0.await {
            Ok(Ok((file, left, piece))) => Some((Ok(piece), Reading::begin(file, left))),
            Ok(Err(error)) => Some((Err(error), None)),
            // Only at the end of the program is such work given up.
            Err(error) => Some((Err(io::Error::other(error)), None)),
        }
    })
}

/// A piece that is being read: it comes with the file, and how many bytes are left after it.
struct Reading(JoinHandle<io::Result<(std::fs::File, u64, Bytes)>>);

impl Reading {
    /// Begins to read the next piece of the `left` bytes; `None` when there is none.
    fn begin(mut file: std::fs::File, left: u64) -> Option<Self> {
        if left == 0 {
            return None;
        }
        Some(Self(tokio::task::spawn_blocking(move || {
            let wanted = left.min(PIECE_BYTES as u64);
            let mut piece = Vec::with_capacity(wanted as usize);
            io::Read::by_ref(&mut file).take(wanted).read_to_end(&mut piece)?;
            if (piece.len() as u64) < wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((file, left - wanted, Bytes::from(piece)))
        })))
    }
}

fn unreadable(error: io::Error) -> ApiError {
    tracing::warn!(%error, "an artifact could not be read");
    ApiError::new(crate::error::ErrorCode::InternalError, "The file could not be read.")
}

fn beyond(size: u64) -> Response {
    use axum::response::IntoResponse as _;
    let mut response = ApiError::new(
        crate::error::ErrorCode::RangeNotSatisfiable,
        format!("The range lies beyond the end of the file, which has {size} bytes."),
    )
    .into_response();
    response.headers_mut().insert(header::CONTENT_RANGE, ascii(&format!("bytes */{size}")));
    response
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and plain signs only")
}

/// What `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Requested {
    Whole,
    /// First and last byte.
    Part(u64, u64),
    Beyond,
}

/// Reads `Range` and `If-Range`. What is not understood, and more than one range, asks for the
/// whole file.
fn requested_range(
    headers: &HeaderMap,
    size: u64,
    etag: &str,
    modified: Option<&str>,
) -> Requested {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Requested::Whole;
    };
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes() != etag.as_bytes()
        && Some(condition.as_bytes()) != modified.map(str::as_bytes)
    {
        return Requested::Whole;
    }
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Requested::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match last.parse::<u64>() {
            Err(_) => Requested::Whole,
            Ok(0) => Requested::Beyond,
            Ok(_) if size == 0 => Requested::Beyond,
            Ok(count) => Requested::Part(size.saturating_sub(count), size - 1),
        };
    }
    let Ok(first) = first.parse::<u64>() else { return Requested::Whole };
    let last = match last {
        "" => u64::MAX,
        digits => match digits.parse() {
            Ok(last) if last >= first => last,
            _ => return Requested::Whole,
        },
    };
    if first >= size { Requested::Beyond } else { Requested::Part(first, last.min(size - 1)) }
}

/// A tag that changes when the file is replaced or written to.
fn etag(file: &OpenFile) -> io::Result<String> {
    let metadata = file.file.metadata()?;
    Ok(format!(
        "\"{:x}-{:x}-{:x}{:08x}\"",
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec()
    ))
}

/// `Content-Disposition`: always an attachment, under the file's own name.
fn disposition(name: &str) -> HeaderValue {
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_plain {
        ascii(&format!("attachment; filename={name}"))
    } else {
        let encoded = utf8_percent_encode(name, PLAIN_IN_NAME);
        ascii(&format!("attachment; filename*=UTF-8''{encoded}"))
    }
}

/// The type that MLflow gives a file by its name; code and text are all plain text.
fn content_type(name: &str) -> &'static str {
    const TEXT: &[&str] = &[
        "txt",
        "log",
        "err",
        "cfg",
        "conf",
        "cnf",
        "cf",
        "ini",
        "properties",
        "prop",
        "hocon",
        "toml",
        "yaml",
        "yml",
        "xml",
        "json",
        "js",
        "py",
        "py3",
        "md",
        "rst",
        "csv",
        "ipynb",
    ];
    if matches!(name, "MLmodel" | "MLproject") {
        return "text/plain";
    }
    let lower = name.to_ascii_lowercase();
    if [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"].iter().any(|end| lower.ends_with(end)) {
        return "application/x-tar";
    }
    let Some((_, extension)) = lower.rsplit_once('.') else { return "application/octet-stream" };
    if TEXT.contains(&extension) {
        return "text/plain";
    }
    mime_guess::from_ext(extension).first_raw().unwrap_or("application/octet-stream")
}

/// A time as HTTP writes it: `Sat, 21 Nov 2026 12:16:27 GMT`.
fn http_date(millis: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = millis.div_euclid(1000);
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Counted in eras of 400 years that begin on 1 March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize],
        time / 3_600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_795_263_387_999, "Sat, 21 Nov 2026 12:16:27 GMT"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199_000, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599_000, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (-1_000, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(millis), text);
        }
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        let check = |range: &'static str, size| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(range));
            requested_range(&headers, size, "\"e\"", None)
        };
        assert_eq!(check("bytes=0-3", 10), Requested::Part(0, 3));
        assert_eq!(check("bytes=4-", 10), Requested::Part(4, 9));
        assert_eq!(check("bytes=-3", 10), Requested::Part(7, 9));
        assert_eq!(check("bytes=-30", 10), Requested::Part(0, 9));
        assert_eq!(check("bytes=5-99", 10), Requested::Part(5, 9));
        assert_eq!(check("bytes=10-", 10), Requested::Beyond);
        assert_eq!(check("bytes=-0", 10), Requested::Beyond);
        assert_eq!(check("bytes=0-", 0), Requested::Beyond);
        for whole in ["bytes=3-1", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=-"] {
            assert_eq!(check(whole, 10), Requested::Whole, "{whole}");
        }
    }

    #[test]
    fn a_changed_file_is_sent_whole() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-3"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"old\""));
        assert_eq!(requested_range(&headers, 10, "\"new\"", None), Requested::Whole);
        assert_eq!(requested_range(&headers, 10, "\"old\"", None), Requested::Part(0, 3));
    }

    #[test]
    fn names_cannot_break_out_of_the_header() {
        for (name, text) in [
            ("tab.json", "attachment; filename=tab.json"),
            ("a b.txt", "attachment; filename*=UTF-8''a%20b.txt"),
            ("ü\"\r\nX: y", "attachment; filename*=UTF-8''%C3%BC%22%0D%0AX%3A%20y"),
            ("a;b", "attachment; filename*=UTF-8''a%3Bb"),
        ] {
            assert_eq!(disposition(name), text);
        }
    }

    #[test]
    fn types_are_the_ones_of_mlflow() {
        for (name, expected) in [
            ("a.txt", "text/plain"),
            ("a.JSON", "text/plain"),
            ("MLmodel", "text/plain"),
            ("n.ipynb", "text/plain"),
            ("r.html", "text/html"),
            ("p.svg", "image/svg+xml"),
            ("p.png", "image/png"),
            ("x.tar.gz", "application/x-tar"),
            ("model.pkl", "application/octet-stream"),
            ("README", "application/octet-stream"),
            ("a.unknown", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}

//! Files of a run: folders, previews, and images by handle.

use std::{
    collections::HashMap,
    io::{Read as _, Take},
    path::Path,
    sync::Mutex,
};

use cairn_core::ArtifactPath;
use cairn_store::{
    StoreError,
    artifacts::{Location, OpenFile},
};
use serde::Deserialize;
use ts_rs::TS;

use crate::{
    app::App,
    dto::{ArtifactEntry, ArtifactPreview, CommandError, ErrorCode},
    errors,
    runs::parse_run,
};

/// How much of a text file is shown, bytes.
const TEXT_BYTES: u64 = 512 << 10;
/// Images larger than this are not shown, bytes.
const IMAGE_BYTES: u64 = 64 << 20;
/// How many image handles are kept; the oldest go first.
const HANDLES: usize = 256;

/// A file or folder of a run.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ArtifactRef {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// The path below the run's folder; empty for the folder itself.
    pub path: String,
}

/// A file opened by its handle.
#[derive(Debug)]
pub struct OpenedFile {
    /// Its media type: always an image.
    pub mime: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Which handles lead to which files.
#[derive(Default)]
pub(crate) struct FileHandles(Mutex<Handles>);

#[derive(Default)]
struct Handles {
    by_handle: HashMap<String, (Location, ArtifactPath, &'static str)>,
    order: Vec<String>,
}

impl FileHandles {
    pub fn clear(&self) {
        *self.0.lock().expect("no holder of this lock panics") = Handles::default();
    }

    fn issue(&self, location: Location, path: ArtifactPath, mime: &'static str) -> String {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has a source of randomness");
        let handle = bytes.iter().fold(String::new(), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut handles = self.0.lock().expect("no holder of this lock panics");
        if handles.order.len() >= HANDLES {
            let oldest = handles.order.remove(0);
            handles.by_handle.remove(&oldest);
        }
        handles.order.push(handle.clone());
        handles.by_handle.insert(handle.clone(), (location, path, mime));
        handle
    }
}

impl App {
    /// Reads the file behind a handle that a preview gave; blocks.
    ///
    /// Errors: `not_found` for a handle that was never given, or was given for another store.
    pub fn open_file(&self, handle: &str) -> Result<OpenedFile, CommandError> {
        let store = self.store()?;
        let known = {
            let handles = self.inner.files.0.lock().expect("no holder of this lock panics");
            handles.by_handle.get(handle).cloned()
        };
        let (location, path, mime) = known.ok_or_else(|| {
            CommandError::new(ErrorCode::NotFound, "This file is not open any more")
                .with_hint("Open it again from the run's page.")
        })?;
        let opened = store.artifacts().open(&location, &path).map_err(errors::store_error)?;
        let mut bytes = Vec::new();
        opened.file.take(IMAGE_BYTES).read_to_end(&mut bytes).map_err(errors::internal)?;
        Ok(OpenedFile { mime, bytes })
    }
}

pub(crate) async fn list(app: &App, args: ArtifactRef) -> Result<Vec<ArtifactEntry>, CommandError> {
    let (location, below) = locate(app, &args).await?;
    let store = app.store()?;
    let folder = below.clone();
    let entries = crate::runs::blocking(move || store.artifacts().list(&location, &folder)).await?;
    let mut entries: Vec<ArtifactEntry> = entries
        .into_iter()
        .map(|entry| ArtifactEntry {
            path: if below.is_root() {
                entry.name.clone()
            } else {
                format!("{below}/{}", entry.name)
            },
            size_bytes: (!entry.is_dir).then_some(entry.size_bytes),
            is_dir: entry.is_dir,
            modified: entry.modified,
            name: entry.name,
        })
        .collect();
    entries.sort_by(|a, b| (!a.is_dir, &a.name).cmp(&(!b.is_dir, &b.name)));
    Ok(entries)
}

pub(crate) async fn preview(app: &App, args: ArtifactRef) -> Result<ArtifactPreview, CommandError> {
    let (location, below) = locate(app, &args).await?;
    let store = app.store()?;
    let app = app.clone();
    crate::runs::blocking(move || {
        let opened = store.artifacts().open(&location, &below)?;
        look(&app, location, &below, opened)
    })
    .await
}

fn look(
    app: &App,
    location: Location,
    path: &ArtifactPath,
    opened: OpenFile,
) -> Result<ArtifactPreview, StoreError> {
    let size_bytes = opened.size_bytes;
    let mut head = Vec::new();
    let mut limited: Take<_> = opened.file.take(TEXT_BYTES);
    limited.read_to_end(&mut head).map_err(|source| StoreError::Io {
        path: path.as_path().to_owned(),
        action: "read",
        source: std::sync::Arc::new(source),
    })?;
    if let Some(mime) = image_mime(&head, path.as_str())
        && size_bytes <= IMAGE_BYTES
    {
        let handle = app.inner.files.issue(location, path.clone(), mime);
        return Ok(ArtifactPreview::Image { handle, mime: mime.to_owned(), size_bytes });
    }
    let is_truncated = size_bytes > head.len() as u64;
    match text_of(head, is_truncated) {
        Some(text) => Ok(ArtifactPreview::Text { text, is_truncated, size_bytes }),
        None => Ok(ArtifactPreview::None {
            mime: mime_guess::from_path(Path::new(path.file_name()))
                .first_or_octet_stream()
                .to_string(),
            size_bytes,
        }),
    }
}

/// The media type of an image that a webview shows, by its first bytes; SVG by name and text.
fn image_mime(head: &[u8], name: &str) -> Option<&'static str> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if starts(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Some("image/gif")
    } else if starts(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else if starts(b"BM") && name.to_ascii_lowercase().ends_with(".bmp") {
        Some("image/bmp")
    } else if name.to_ascii_lowercase().ends_with(".svg")
        && std::str::from_utf8(head).is_ok_and(|text| text.contains("<svg"))
    {
        // Shown by an <img> only, where its scripts and links do nothing.
        Some("image/svg+xml")
    } else {
        None
    }
}

/// The text of a file that is text: UTF-8 without NUL; a cut last character is left out.
fn text_of(mut bytes: Vec<u8>, is_truncated: bool) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let is_cut_character =
                error.utf8_error().error_len().is_none() && is_truncated && valid > 0;
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            is_cut_character.then(|| String::from_utf8(bytes).ok()).flatten()
        }
    }
}

async fn locate(app: &App, args: &ArtifactRef) -> Result<(Location, ArtifactPath), CommandError> {
    let store = app.store()?;
    let id = parse_run(&args.run_id)?;
    let below = ArtifactPath::parse(&args.path).map_err(errors::invalid)?;
    let info = store.read(move |tx| tx.run_info(&id)).await.map_err(errors::store_error)?;
    Ok((store.artifacts().locate(&info.artifact_uri), below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_content_not_by_name() {
        assert_eq!(image_mime(b"\x89PNG\r\n\x1a\n....", "x.txt"), Some("image/png"));
        assert_eq!(image_mime(b"<html>", "x.png"), None);
        assert_eq!(image_mime(b"<?xml?><svg/>", "x.svg"), Some("image/svg+xml"));
    }

    #[test]
    fn text_is_utf8_and_may_be_cut_inside_a_character() {
        assert_eq!(text_of("añb".into(), false).as_deref(), Some("añb"));
        assert_eq!(text_of("añ".as_bytes()[..2].to_vec(), true).as_deref(), Some("a"));
        assert_eq!(text_of("añ".as_bytes()[..2].to_vec(), false), None);
        assert_eq!(text_of(vec![0x80, 0x04, 0x95, 0, 0], false), None);
        assert_eq!(text_of(Vec::new(), false).as_deref(), Some(""));
    }
}

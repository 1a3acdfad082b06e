//! The built interface, inside the program.

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// The files of `ui/build`: embedded in release builds, read from the folder in debug builds.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../ui/build"]
#[allow_missing = true]
struct Build;

/// A file of the interface.
pub struct Asset {
    /// Its bytes.
    pub bytes: Cow<'static, [u8]>,
    /// Its media type.
    pub mime: String,
    /// Whether its name has a hash of its content, so that it never changes.
    pub is_immutable: bool,
}

/// The file of a path below the root; `None` if the build has no such file.
pub fn find(path: &str) -> Option<Asset> {
    let file = Build::get(path)?;
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    Some(Asset {
        bytes: file.data,
        mime: if mime.type_() == "text" || mime.subtype() == "javascript" {
            format!("{mime}; charset=utf-8")
        } else {
            mime.to_string()
        },
        is_immutable: path.contains("/immutable/"),
    })
}

/// The page that every address of the interface answers; `None` when the interface was not built.
pub fn page() -> Option<String> {
    let page = Build::get("index.html")?;
    String::from_utf8(page.data.into_owned()).ok()
}

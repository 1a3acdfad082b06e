//! What must stand in the environment before GTK and WebKit start.

use std::{env, ffi::OsString, fs};

/// Mends the environment of this process. Must be the first thing that `main` does: no other thread
/// may run while the environment changes.
pub fn prepare() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for (name, value) in additions(|name| env::var_os(name), has_gpu()) {
        set(name, value);
    }
}

/// The variables to add, given those that are set.
///
/// - WebKit draws two to four times faster without its DMA-BUF renderer where there is no GPU; where
///   there is one, or the person has chosen, nothing changes.
/// - Under `LANG=C` WebKit tells pages that the language is `C`, which `Intl` refuses. `LANGUAGE`
///   names a real one; it is what WebKit asks first, and unlike `LANG` it changes neither the
///   character set nor the sort order of programs that are started from here.
fn additions(
    variable: impl Fn(&str) -> Option<OsString>,
    has_gpu: bool,
) -> Vec<(&'static str, &'static str)> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let mut additions = Vec::new();
    if !has_gpu && variable("WEBKIT_DISABLE_DMABUF_RENDERER").is_none() {
        additions.push(("WEBKIT_DISABLE_DMABUF_RENDERER", "1"));
    }
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        .unwrap_or_default();
    let language = locale.to_string_lossy();
    let language = language.split(['.', '@']).next().unwrap_or_default();
    if matches!(language, "" | "C" | "POSIX") && !is_set("LANGUAGE") {
        additions.push(("LANGUAGE", "en_US"));
    }
    additions
}

/// Whether the system has a graphics card that programs can draw with.
fn has_gpu() -> bool {
    fs::read_dir("/dev/dri").is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
    })
}

#[cfg(target_os = "linux")]
fn set(name: &str, value: &str) {
    // The standard library's own function is unsafe since other threads may read meanwhile.
    let _ = glib::setenv(name, value, true);
}

#[cfg(not(target_os = "linux"))]
fn set(_: &str, _: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&str, &str)], has_gpu: bool, expected: &[&str]) {
        let variable = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let names: Vec<_> =
            additions(variable, has_gpu).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{set:?}, GPU: {has_gpu}");
    }

    #[test]
    fn the_renderer_is_changed_only_without_a_gpu_and_without_a_choice() {
        const RENDERER: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
        check(&[("LANG", "de_DE.UTF-8")], false, &[RENDERER]);
        check(&[("LANG", "de_DE.UTF-8")], true, &[]);
        check(&[("LANG", "de_DE.UTF-8"), (RENDERER, "0")], false, &[]);
    }

    #[test]
    fn a_language_is_added_only_where_there_is_none() {
        check(&[], true, &["LANGUAGE"]);
        check(&[("LANG", "C")], true, &["LANGUAGE"]);
        check(&[("LANG", "C.UTF-8")], true, &["LANGUAGE"]);
        check(&[("LANG", "POSIX")], true, &["LANGUAGE"]);
        check(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], true, &["LANGUAGE"]);
        check(&[("LANG", "C"), ("LC_ALL", "de_DE.UTF-8")], true, &[]);
        check(&[("LANG", "C"), ("LANGUAGE", "fr")], true, &[]);
        check(&[("LANG", "sr_RS@latin")], true, &[]);
    }
}

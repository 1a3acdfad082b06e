//! The one window: where it was left, in the right colour from the first moment, and unable to
//! leave the interface.

use std::{
    env, fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use cairn_app::{
    AppOptions,
    dto::{LiveEvent, Settings, Theme},
};
use tauri::{
    DragDropEvent, Runtime, Url, WebviewWindow, WebviewWindowBuilder, WindowEvent,
    plugin::TauriPlugin,
    webview::{Color, NewWindowResponse, PageLoadEvent},
};
use tauri_plugin_window_state::StateFlags;

use crate::{bench, host::Session};

/// The window's name in the configuration and in its capability.
pub const LABEL: &str = "main";

/// The interface's `--ground` in light and in dark (`tokens.css`), shown until it draws itself.
const LIGHT_GROUND: Color = Color(245, 243, 240, 255);
const DARK_GROUND: Color = Color(20, 19, 16, 255);

/// How long a page must have lived to be loaded again after its process died.
const LEAST_LIFE: Duration = Duration::from_secs(10);

/// Whether there is a display to open a window on.
pub fn has_display() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(not(target_os = "linux")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Keeps the window's size and place in `window.json` beside the settings.
pub fn remembered_state<R: Runtime>(options: &AppOptions) -> TauriPlugin<R> {
    // Tauri joins its own folder with this, and an absolute path replaces that.
    let file = std::path::absolute(&options.config_dir)
        .unwrap_or_else(|_| options.config_dir.clone())
        .join("window.json");
    tauri_plugin_window_state::Builder::new()
        .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
        .with_filename(file.to_string_lossy())
        .build()
}

/// Opens the window as the configuration describes it.
pub fn open(
    app: &tauri::App,
    options: &AppOptions,
    session: &Arc<Session>,
) -> Result<(), Box<dyn std::error::Error>> {
    let theme = theme_before_start(options);
    let config = app
        .config()
        .app
        .windows
        .iter()
        .find(|window| window.label == LABEL)
        .ok_or("tauri.conf.json describes no main window")?;
    let data_directory = private_folder(options.data_dir.join("webview"))?;
    let left = session.clone();
    let mut builder = WebviewWindowBuilder::from_config(app.handle(), config)?
        .theme(native(theme))
        .background_color(if theme == Theme::Dark { DARK_GROUND } else { LIGHT_GROUND })
        .data_directory(data_directory)
        .initialization_script(theme_script(theme))
        .on_navigation(is_own)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .on_download(|_, _| false)
        .on_page_load(move |_, payload| {
            if payload.event() == PageLoadEvent::Started {
                left.drop_listeners();
            }
        });
    if bench::is_on() {
        bench::allow(app.handle())?;
        builder = builder.initialization_script(bench::SCRIPT);
    }
    let window = builder.build()?;
    take_drops(&window, session.clone());
    if theme == Theme::System && window.theme().is_ok_and(|theme| theme == tauri::Theme::Dark) {
        window.set_background_color(Some(DARK_GROUND))?;
    }
    #[cfg(target_os = "linux")]
    window.with_webview(|webview| revive(&webview.inner()))?;
    session.set_window(window.clone());
    tauri::async_runtime::spawn(follow_theme(window, session.clone(), theme));
    Ok(())
}

/// Hands what is dragged over the window and dropped on it to the application: paths never pass
/// through the page.
fn take_drops(window: &WebviewWindow, session: Arc<Session>) {
    window.on_window_event(move |event| {
        let WindowEvent::DragDrop(event) = event else { return };
        let (session, event) = (session.clone(), event.clone());
        tauri::async_runtime::spawn(async move {
            let app = session.app().await;
            match event {
                DragDropEvent::Enter { paths, .. } => app.dragged(Some(&paths)),
                DragDropEvent::Drop { paths, .. } => app.dropped(paths).await,
                DragDropEvent::Leave => app.dragged(None),
                _ => {}
            }
        });
    });
}

/// Makes a folder that only this user can enter; WebKit would make it for everyone.
fn private_folder(folder: PathBuf) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

/// Loads the page again when the process that holds it has died (out of memory, a fault in WebKit):
/// the program and what clients log go on, so only a blank window would be lost. A page that dies
/// again within [`LEAST_LIFE`] stays blank, since another try would end the same way.
#[cfg(target_os = "linux")]
fn revive(view: &webkit2gtk::WebView) {
    use webkit2gtk::WebViewExt as _;
    let revived = std::cell::Cell::new(None::<Instant>);
    view.connect_web_process_terminated(move |view, reason| {
        tracing::error!(?reason, "the process of the page ended");
        if revived.get().is_none_or(|last| last.elapsed() > LEAST_LIFE) {
            revived.set(Some(Instant::now()));
            view.reload();
        }
    });
}

/// Whether an address belongs to the interface. The window shows nothing else, whatever is clicked,
/// dropped or scripted.
fn is_own(address: &Url) -> bool {
    if cfg!(any(windows, target_os = "android")) {
        address.scheme().starts_with("http") && address.host_str() == Some("tauri.localhost")
    } else {
        address.scheme() == "tauri" && address.host_str() == Some("localhost")
    }
}

/// The chosen theme, read before the application has started.
fn theme_before_start(options: &AppOptions) -> Theme {
    let settings = fs::read(options.config_dir.join("settings.json")).ok();
    let settings = settings.and_then(|bytes| serde_json::from_slice::<Settings>(&bytes).ok());
    settings.unwrap_or_default().theme
}

/// Tells the page the chosen theme before its first line runs: its own copy (`static/theme.js` reads
/// it) may be missing or old.
fn theme_script(theme: Theme) -> String {
    let theme = serde_json::to_string(&theme).expect("a theme is a word");
    format!(r#"try {{ localStorage.setItem("cairn.theme", {theme}); }} catch {{}}"#)
}

/// The theme of what the system draws: title bar and dialogs.
fn native(theme: Theme) -> Option<tauri::Theme> {
    match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    }
}

/// Gives the title bar and the dialogs the theme that the person chooses.
async fn follow_theme(window: WebviewWindow, session: Arc<Session>, mut shown: Theme) {
    let mut events = session.app().await.listen();
    while let Ok(event) = events.recv().await {
        if let LiveEvent::Settings { settings } = event
            && settings.theme != shown
        {
            shown = settings.theme;
            if let Err(error) = window.set_theme(native(shown)) {
                tracing::warn!(%error, "the title bar keeps its theme");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_window_never_leaves_the_interface() {
        let check = |address: &str, expected: bool| {
            assert_eq!(is_own(&Url::parse(address).unwrap()), expected, "{address}");
        };
        check("tauri://localhost/", true);
        check("tauri://localhost/experiments/0?filter=a", true);
        check("tauri://localhost.example.org/", false);
        check("tauri://elsewhere/", false);
        check("http://localhost/", false);
        check("https://tauri.localhost.example.org/", false);
        check("http://127.0.0.1:5000/", false);
        check("cairn-file://localhost/00ff", false);
        check("file:///etc/passwd", false);
        check("data:text/html,x", false);
        check("about:blank", false);
    }

    #[test]
    fn the_page_learns_the_theme_by_the_name_that_it_keeps() {
        assert_eq!(
            theme_script(Theme::Dark),
            r#"try { localStorage.setItem("cairn.theme", "dark"); } catch {}"#
        );
        let reader =
            fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ui/static/theme.js"));
        assert!(reader.unwrap().contains(r#"localStorage.getItem("cairn.theme")"#));
    }

    #[test]
    fn the_policy_lets_no_foreign_or_inline_script_in() {
        let config: Value = serde_json::from_str(include_str!("../tauri.conf.json")).unwrap();
        let security = &config["app"]["security"];
        let policy = security["csp"].as_object().unwrap();
        for (directive, sources) in policy {
            for word in ["*", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"] {
                let sources = sources.as_str().unwrap();
                assert!(!sources.split(' ').any(|source| source == word), "{directive}: {word}");
            }
        }
        assert_eq!(policy["default-src"], "'self'");
        assert_eq!(policy["script-src"], "'self'");
        for closed in ["object-src", "base-uri", "frame-ancestors", "form-action"] {
            assert_eq!(policy[closed], "'none'", "{closed}");
        }
        for loosened in ["dangerousDisableAssetCspModification", "assetProtocol"] {
            assert!(security.get(loosened).is_none(), "{loosened}");
        }
        assert_eq!(security["capabilities"], serde_json::json!(["main"]));
    }

    #[test]
    fn the_page_may_call_our_commands_and_nothing_else() {
        let capability: Value =
            serde_json::from_str(include_str!("../capabilities/main.json")).unwrap();
        assert_eq!(capability["windows"], serde_json::json!([LABEL]));
        assert_eq!(capability["permissions"], serde_json::json!(["allow-call", "allow-listen"]));
        assert!(capability.get("remote").is_none());
        let files: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/capabilities"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["main.json"]);
    }
}

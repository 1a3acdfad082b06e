//! Embeds the interface, the configuration and the list of commands that a window may be given.

fn main() {
    // Every command named here needs a permission of its own; none is open to all windows.
    let commands =
        tauri_build::AppManifest::new().commands(&["call", "listen", "bench_first_table"]);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(commands))
        .expect("tauri.conf.json and the capabilities can be read");
}

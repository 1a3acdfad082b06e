//! Measures the start: with `CAIRN_BENCH_START=1` the program prints `FIRST_TABLE <ms>` once the
//! page shows its first filled run table.

use std::{
    env, fs,
    sync::atomic::{AtomicBool, Ordering},
};

use tauri::{AppHandle, Manager as _, ipc::CapabilityBuilder};

use crate::window;

/// Looks at every frame whether a data row with text is drawn, then says so once.
pub const SCRIPT: &str = r#"
(() => {
  const look = () => {
    const row = document.querySelector('[role="grid"] [role="row"][aria-rowindex="2"]:not([aria-busy="true"])');
    if (row && row.textContent.trim() !== "") {
      // The frame after this one has been painted when the second callback runs.
      requestAnimationFrame(() =>
        requestAnimationFrame(() => window.__TAURI_INTERNALS__.invoke("bench_first_table")));
    } else {
      requestAnimationFrame(look);
    }
  };
  requestAnimationFrame(look);
})();
"#;

/// Whether the start is measured.
pub fn is_on() -> bool {
    env::var_os("CAIRN_BENCH_START").is_some_and(|value| value == "1")
}

/// Lets the page say that its table is filled; only a measured start gets this permission.
pub fn allow(app: &AppHandle) -> tauri::Result<()> {
    let capability = CapabilityBuilder::new("bench").window(window::LABEL);
    app.add_capability(capability.permission("allow-bench-first-table"))
}

/// Prints the time since the process began, once.
#[tauri::command]
pub fn bench_first_table() {
    static PRINTED: AtomicBool = AtomicBool::new(false);
    if PRINTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let Some(ms) = since_process_start_ms() else {
        return tracing::error!("the start of the process can only be read on Linux");
    };
    #[expect(clippy::print_stdout, reason = "the measurement is read from stdout")]
    {
        println!("FIRST_TABLE {ms}");
    }
}

/// Milliseconds since the kernel made this process, in steps of 10: loading the libraries counts.
fn since_process_start_ms() -> Option<u64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    age_ms(&uptime, &stat)
}

/// `uptime` is `/proc/uptime` (seconds with two decimals), `stat` is `/proc/self/stat`, whose 22nd
/// field is the start in ticks of 10 ms after the machine's.
fn age_ms(uptime: &str, stat: &str) -> Option<u64> {
    const MS_PER_TICK: u64 = 10;
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    let now = seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10;
    // The second field is the program's name in parentheses and may hold spaces.
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    now.checked_sub(ticks * MS_PER_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_counts_from_the_start_of_the_process() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194304 100 0 0 0 5 1 0 0 20 0 9 0 123456 1000 50";
        assert_eq!(age_ms("1235.81 2000.00", stat), Some(1250));
        assert_eq!(age_ms("1.00 2.00", stat), None);
        assert_eq!(age_ms("", stat), None);
    }

    #[test]
    fn this_process_has_an_age() {
        let ms = since_process_start_ms().expect("Linux");
        assert!(ms < 3_600_000, "{ms}");
    }
}

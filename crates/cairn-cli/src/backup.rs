//! `cairn backup`, `cairn backups` and `cairn restore`: copies of a store's database outside it.

use std::{path::PathBuf, time::Duration};

use anyhow::anyhow;
use cairn_app::{AppOptions, app::usual_store};
use cairn_core::UnixMillis;
use cairn_store::{
    backup::{Backup, BackupError, BackupFolder},
    store::DATABASE,
};

/// Takes a backup.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn take(store: Option<PathBuf>) -> anyhow::Result<()> {
    let (folder, database) = folder_of(store)?;
    if !database.is_file() {
        return Err(anyhow!("There is no database at {}.", database.display()));
    }
    let backup = folder.take(UnixMillis::now()).map_err(with_hint)?;
    println!("Backed up {} as {}", database.display(), backup.name());
    println!("In {}", folder.dir().display());
    Ok(())
}

/// Lists the backups, newest first.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn list(store: Option<PathBuf>) -> anyhow::Result<()> {
    let (folder, database) = folder_of(store)?;
    let backups = folder.list().map_err(with_hint)?;
    if backups.is_empty() {
        println!("There is no backup of {} yet.", database.display());
        return Ok(());
    }
    println!("Backups of {}, in {}", database.display(), folder.dir().display());
    let now = UnixMillis::now();
    for backup in backups {
        println!("{}  {:>10}  {}", backup.name(), size(backup.size_bytes), age(&backup, now));
    }
    Ok(())
}

/// Puts a backup in the place of the database; the newest one if none is named.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn restore(store: Option<PathBuf>, name: Option<&str>) -> anyhow::Result<()> {
    let (folder, database) = folder_of(store)?;
    let backup = folder.find(name).map_err(with_hint)?;
    let restored = folder.restore(&backup, UnixMillis::now()).map_err(with_hint)?;
    println!("Restored {} from {}", database.display(), backup.name());
    if let Some(replaced) = restored.replaced {
        println!("The database that was there is kept as {}", replaced.display());
        if restored.lost.is_zero() {
            println!("Nothing was written to it after the backup.");
        } else {
            println!(
                "What happened in the {} after the backup is only in it.",
                span(restored.lost)
            );
        }
    }
    Ok(())
}

/// The backups of a store that is named as for `cairn serve`, and its database.
fn folder_of(store: Option<PathBuf>) -> anyhow::Result<(BackupFolder, PathBuf)> {
    let options = AppOptions::for_this_user(store.clone()).map_err(|text| anyhow!(text))?;
    let path = std::path::absolute(store.unwrap_or_else(|| usual_store(&options)))?;
    let is_database = path.is_file() || path.extension().is_some_and(|extension| extension == "db");
    let database = if is_database { path } else { path.join(DATABASE) };
    Ok((BackupFolder::new(&options.backups(), &database), database))
}

fn with_hint(error: BackupError) -> anyhow::Error {
    let hint = error.hint();
    anyhow!("{error}\n{hint}")
}

/// A size for people, in the largest unit that keeps it above 1.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn age(backup: &Backup, now: UnixMillis) -> String {
    let age_ms = u64::try_from(now.0 - backup.taken_at.0).unwrap_or(0);
    format!("{} ago", span(Duration::from_millis(age_ms)))
}

/// A length of time in its largest unit.
fn span(duration: Duration) -> String {
    let minutes = duration.as_millis().div_ceil(60_000);
    let (count, unit) = match minutes {
        0..=119 => (minutes, "minute"),
        120..=2_879 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_read_at_a_glance() {
        assert_eq!(size(512), "0.5 kB");
        assert_eq!(size(1_234_567_890), "1.2 GB");
        assert_eq!(span(Duration::from_millis(30)), "1 minute");
        assert_eq!(span(Duration::from_mins(119)), "119 minutes");
        assert_eq!(span(Duration::from_hours(30)), "30 hours");
        assert_eq!(span(Duration::from_hours(72)), "3 days");
    }
}

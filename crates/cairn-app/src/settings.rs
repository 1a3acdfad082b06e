//! `settings.json`: what a person chose to keep between starts.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::dto::Settings;

/// The settings and where they are kept.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    settings: Settings,
}

impl SettingsFile {
    /// Reads the file. One that is missing or damaged counts as empty; a damaged one is kept beside
    /// the new one as `settings.json.damaged`.
    pub fn load(config_dir: &Path) -> Self {
        let path = config_dir.join("settings.json");
        let settings = match read(&path) {
            Some(Ok(settings)) => settings,
            Some(Err(error)) => {
                tracing::warn!(%error, "settings.json is damaged; starting with empty settings");
                let _ = fs::rename(&path, path.with_extension("json.damaged"));
                Settings::default()
            }
            None => Settings::default(),
        };
        Self { path, settings }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings and writes them; answers whether anything changed.
    ///
    /// A file that cannot be written is no reason to stop: the settings hold until the end.
    pub fn update(&mut self, change: impl FnOnce(&mut Settings)) -> bool {
        // Another Cairn (a browser host beside the window) may have written since.
        if let Some(current) = read(&self.path).and_then(Result::ok) {
            self.settings = current;
        }
        let before = self.settings.clone();
        change(&mut self.settings);
        if self.settings == before {
            return false;
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, "settings.json could not be written");
        }
        true
    }

    fn write(&self) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        let dir = self.path.parent().expect("made by joining a name");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let temporary = dir.join(format!(".settings.json.{}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&self.settings)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
    }
}

/// The settings in a file; `None` if there is no such file.
fn read(path: &Path) -> Option<serde_json::Result<Settings>> {
    fs::read(path).ok().map(|bytes| serde_json::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::Theme;

    #[test]
    fn settings_are_there_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let mut file = SettingsFile::load(&config);
        assert!(file.update(|settings| settings.theme = Theme::Dark));
        assert!(!file.update(|settings| settings.theme = Theme::Dark));
        assert_eq!(SettingsFile::load(&config).settings().theme, Theme::Dark);
    }

    #[test]
    fn a_damaged_file_is_kept_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("settings.json"), "{ not json").unwrap();
        let file = SettingsFile::load(dir.path());
        assert_eq!(*file.settings(), Settings::default());
        assert!(dir.path().join("settings.json.damaged").exists());
    }
}

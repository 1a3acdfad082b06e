//! What a person drags over the window and drops on it. Nothing that is dropped is run.

use std::path::{Path, PathBuf};

use crate::{
    app::App,
    dto::{CommandError, DropOutcome, ErrorCode, LiveEvent},
    errors,
    projects::{self, dto::ProjectRef},
};

impl App {
    /// Tells the window what a drop would do while files are dragged over it; `None` once they
    /// left it.
    pub fn dragged(&self, paths: Option<&[PathBuf]>) {
        let verb = paths.map(|paths| match project_of(paths) {
            Ok(path) => format!("Add {} to the projects", errors::shorten_home(path)),
            Err(error) => error.message,
        });
        self.tell(LiveEvent::Drag { verb });
    }

    /// Takes what was dropped: the folder or the zip file of a project is added to the projects.
    /// The window is told what came of it.
    pub async fn dropped(&self, paths: Vec<PathBuf>) {
        self.tell(LiveEvent::Drag { verb: None });
        let outcome = match project_of(&paths) {
            Ok(path) => {
                let uri = path.display().to_string();
                projects::add(self, ProjectRef { uri, version: None }).await
            }
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(project) => DropOutcome::Project { uri: project.uri },
            Err(error) => DropOutcome::Refused { error },
        };
        self.tell(LiveEvent::Dropped { outcome });
    }
}

/// The one folder or zip file among what is dropped.
fn project_of(paths: &[PathBuf]) -> Result<&Path, CommandError> {
    let is_zip = |path: &Path| {
        path.is_file() && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
    };
    match paths {
        [path] if path.is_dir() || is_zip(path) => Ok(path),
        [_] => Err(refused("Only the folder or the zip file of a project can be dropped here")),
        _ => Err(refused("One project is dropped at a time")),
    }
}

fn refused(message: &str) -> CommandError {
    CommandError::new(ErrorCode::InvalidInput, message)
        .with_hint("Drop the folder that holds the project's files.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_or_zip_file_is_a_project_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let [zip, text] = ["a#1.ZIP", "a.txt"].map(|name| folder.path().join(name));
        for file in [&zip, &text] {
            std::fs::write(file, b"").unwrap();
        }
        let check = |paths: &[&PathBuf], expected: bool| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
            assert_eq!(project_of(&paths).is_ok(), expected, "{paths:?}");
        };
        let whole = folder.path().to_owned();
        check(&[&whole], true);
        check(&[&zip], true);
        check(&[&text], false);
        check(&[&whole, &zip], false);
        check(&[&folder.path().join("gone")], false);
        check(&[], false);
    }
}

//! Notebooks as entry points: run from the first cell to the last by papermill, which passes parameters.

use std::ffi::OsString;
use std::path::Path;

use super::{EnvironmentContent, EnvironmentSpec, Requirement};

/// What running a notebook needs beside what the project asks for.
const NEEDED: [&str; 2] = ["papermill", "ipykernel"];

/// A parameter of a notebook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotebookParameter {
    /// Its name, as the notebook's `parameters` cell has it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether a value that looks like a number or truth value is one. A text stays a text.
    pub is_typed: bool,
}

/// The environment with papermill and a kernel added where they are missing.
///
/// The lock of a project and a lock of Cairn are taken as they are: what is in them is known only to them.
pub fn with_papermill(spec: &EnvironmentSpec) -> EnvironmentSpec {
    let mut spec = spec.clone();
    let list = match &mut spec.content {
        EnvironmentContent::Python(content) => &mut content.requirements,
        EnvironmentContent::Conda(content) => &mut content.pip,
        EnvironmentContent::UvProject(_) | EnvironmentContent::Lock(_) => return spec,
    };
    for name in NEEDED {
        if !list.iter().any(|requirement| requirement.package() == name) {
            list.push(Requirement::parse(name).expect("this is a name"));
        }
    }
    spec
}

/// The environment of a notebook in a project that has none: papermill and a kernel only.
pub fn papermill_alone() -> EnvironmentSpec {
    EnvironmentSpec::python("notebook", None, NEEDED).expect("these are names")
}

/// The arguments that run a notebook and write what it made of itself to `output`.
///
/// What its cells print is printed. Ends with 1 when a cell fails; `output` then holds the notebook up to there.
pub fn command(
    python: &Path,
    notebook: &Path,
    output: &Path,
    folder: &Path,
    parameters: &[NotebookParameter],
) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec![
        python.into(),
        "-m".into(),
        "papermill".into(),
        notebook.into(),
        output.into(),
        // The kernel of this environment, whatever the notebook was written with.
        "--kernel".into(),
        "python3".into(),
        "--cwd".into(),
        folder.into(),
        "--log-output".into(),
        "--no-progress-bar".into(),
    ];
    for parameter in parameters {
        argv.push(if parameter.is_typed { "-p".into() } else { "-r".into() });
        argv.push(parameter.name.clone().into());
        argv.push(parameter.value.clone().into());
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papermill_is_added_once() {
        let spec =
            EnvironmentSpec::python("a", None, ["Papermill==2.7.0", "toolz"]).expect("it is one");
        let texts: Vec<String> =
            with_papermill(&spec).requirements().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["Papermill==2.7.0", "toolz", "ipykernel"]);
    }
}

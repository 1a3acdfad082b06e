//! The values of parameters: which are given, which are wrong, and what the command gets.

use std::path::{Path, PathBuf};

use crate::plan::{Code, ParameterOrigin, PlannedParam};
use crate::problem::Problem;
use crate::project::{EntryPoint, ParameterKind};
use crate::request::RunRequest;
use crate::source::local_path;
use crate::template::{check_float, fill, quote};
use crate::yaml::shortened;

/// The parameters of an entry point with what was given, in MLflow's order: declared, then extra.
///
/// A remote `path` gets the folder it will be downloaded to: `<downloads>/param_<position>`.
pub(crate) fn resolve(
    entry_point: &EntryPoint,
    request: &RunRequest,
    project_folder: &Path,
    code: Code,
    downloads: &Path,
) -> Vec<PlannedParam> {
    let mut params = Vec::new();
    for (position, declared) in entry_point.parameters.iter().enumerate() {
        let given = request.param(&declared.name);
        let origin = match (given, &declared.default) {
            (Some(_), _) => ParameterOrigin::Given,
            (None, Some(_)) => ParameterOrigin::Default,
            (None, None) => ParameterOrigin::Missing,
        };
        let value = given.map(str::to_owned).or_else(|| declared.default.clone());
        let mut param = PlannedParam {
            name: declared.name.clone(),
            value,
            used: None,
            kind: declared.kind.clone(),
            origin,
            problem: None,
        };
        match &param.value {
            None => param.problem = Some("needs a value".to_owned()),
            Some(value) => {
                match check(&declared.kind, value, &request.caller_folder, project_folder, code) {
                    Ok(Checked::AsItIs) => {}
                    Ok(Checked::Local(path)) => {
                        param.used = Some(path.to_string_lossy().into_owned());
                    }
                    Ok(Checked::Remote) => {
                        let name = remote_name(value);
                        let path = downloads.join(format!("param_{position}")).join(name);
                        param.used = Some(path.to_string_lossy().into_owned());
                    }
                    Err(problem) => param.problem = Some(problem),
                }
            }
        }
        params.push(param);
    }
    for (name, value) in &request.params {
        if entry_point.parameter(name).is_some() {
            continue;
        }
        let has_zero = name.contains('\0') || value.contains('\0');
        params.push(PlannedParam {
            name: name.clone(),
            value: Some(value.clone()),
            used: None,
            kind: ParameterKind::String,
            origin: ParameterOrigin::Extra,
            problem: has_zero
                .then(|| "holds a zero byte, which no program can be given".to_owned()),
        });
    }
    params
}

/// What is wrong with the values, a problem each.
pub(crate) fn problems(params: &[PlannedParam]) -> Vec<Problem> {
    let missing: Vec<&str> = params
        .iter()
        .filter(|param| param.origin == ParameterOrigin::Missing)
        .map(|param| param.name.as_str())
        .collect();
    let mut found = Vec::new();
    if !missing.is_empty() {
        let names: Vec<String> =
            missing.iter().map(|name| format!("'{}'", shortened(name))).collect();
        found.push(Problem::of_request(
            format!("No value given for missing parameters: {}", names.join(", ")),
            format!("Give each one: -P {}=VALUE", shortened(missing[0])),
        ));
    }
    for param in params.iter().filter(|param| param.origin != ParameterOrigin::Missing) {
        if let Some(problem) = &param.problem {
            let hint = match param.kind {
                ParameterKind::Float => Some("Give a number such as 0.5 or 1e-3.".to_owned()),
                ParameterKind::Path => Some(
                    "A path begins at the folder you are in; if nothing is there, at the project's folder.".to_owned(),
                ),
                ParameterKind::Uri => Some("Give an address with a scheme, such as https://host/file.".to_owned()),
                _ => None,
            };
            found.push(Problem::of_request(
                format!("The parameter \"{}\" {problem}", shortened(&param.name)),
                hint,
            ));
        }
    }
    found
}

/// The command of an entry point with all values in it, each quoted for a POSIX shell as MLflow quotes it.
///
/// Errors: the problem when the command itself is wrong. A missing value is shown as `<name>`.
pub(crate) fn command(
    entry_point: &EntryPoint,
    params: &[PlannedParam],
) -> Result<String, Problem> {
    let value = |param: &PlannedParam| match param.used.as_ref().or(param.value.as_ref()) {
        Some(value) => quote(value),
        None => format!("<{}>", param.name),
    };
    let filled = fill(&entry_point.command, |name| {
        let declared =
            |param: &&PlannedParam| param.name == name && param.origin != ParameterOrigin::Extra;
        params.iter().find(declared).map(value)
    })
    .map_err(|problem| Problem::of_request(problem.message, problem.hint))?;
    let mut command = filled;
    for param in params.iter().filter(|param| param.origin == ParameterOrigin::Extra) {
        command.push_str(" --");
        command.push_str(&quote(&param.name));
        command.push(' ');
        command.push_str(&value(param));
    }
    Ok(command)
}

/// What the check of a value found.
enum Checked {
    AsItIs,
    Local(PathBuf),
    Remote,
}

fn check(
    kind: &ParameterKind,
    value: &str,
    caller_folder: &Path,
    project_folder: &Path,
    code: Code,
) -> Result<Checked, String> {
    if value.contains('\0') {
        return Err("holds a zero byte, which no program can be given".to_owned());
    }
    match kind {
        ParameterKind::Float => check_float(value).map(|()| Checked::AsItIs),
        ParameterKind::Uri if scheme(value).is_none() => {
            Err(format!("is \"{}\", which has no scheme", shortened(value)))
        }
        ParameterKind::Path => path(value, caller_folder, project_folder, code),
        _ => Ok(Checked::AsItIs),
    }
}

/// MLflow's rule first: from the caller's folder on. What is not there may lie in the project, which is what the
/// default of a parameter usually means.
fn path(
    value: &str,
    caller_folder: &Path,
    project_folder: &Path,
    code: Code,
) -> Result<Checked, String> {
    match scheme(value).as_deref() {
        None => {}
        Some("file") => {
            let rest = &value["file:".len()..];
            let is_elsewhere = rest.strip_prefix("//").is_some_and(|rest| {
                let host = rest.split('/').next().unwrap_or_default();
                !host.is_empty() && host != "localhost"
            });
            if is_elsewhere {
                return Err(format!("is \"{}\", a file on another computer", shortened(value)));
            }
        }
        Some("http" | "https" | "runs" | "mlflow-artifacts") => return Ok(Checked::Remote),
        Some(other) => {
            return Err(format!(
                "is \"{}\", and Cairn downloads nothing by {}:",
                shortened(value),
                shortened(other)
            ));
        }
    }
    let path = local_path(value);
    let from_caller = caller_folder.join(&path);
    let from_project = project_folder.join(&path);
    let found = [&from_caller, &from_project].into_iter().find(|path| path.exists());
    match found {
        Some(found) => {
            Ok(Checked::Local(std::path::absolute(found).unwrap_or_else(|_| found.clone())))
        }
        None if path.is_absolute() => {
            Err(format!("is \"{}\", which does not exist", shortened(value)))
        }
        // It may lie beside the code that is not there yet.
        None if code == Code::Elsewhere => Ok(Checked::AsItIs),
        None => Err(format!(
            "is \"{}\", which is neither in {} nor in the project",
            shortened(value),
            caller_folder.display()
        )),
    }
}

/// The scheme of an address as Python's `urlparse` sees it, in lower case.
pub(crate) fn scheme(address: &str) -> Option<String> {
    let (scheme, _) = address.trim_start_matches(|c: char| c <= ' ').split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

/// The last part of an address, as a plain file name.
fn remote_name(address: &str) -> String {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control() && *c != ':').take(120).collect();
    if name.is_empty() || name.starts_with('.') || name.starts_with('-') {
        format!("file{name}")
    } else {
        name
    }
}

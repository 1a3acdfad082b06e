//! Small things that no compiler sees, in every tracked text file.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::exec;
use crate::steps::Outcome;
use crate::workspace::Workspace;

/// Names that may stand for a person's folder in examples and tests.
const EXAMPLE_PEOPLE: &[&str] = &["a", "ada", "before", "me", "name", "user", "what", "x", "you"];

/// Where packages may come from, by lock file.
const PUBLIC_REGISTRIES: &[(&str, &str, &str)] = &[
    ("package-lock.json", "\"resolved\": \"", "https://registry.npmjs.org/"),
    ("Cargo.lock", "source = \"", "registry+https://github.com/rust-lang/crates.io-index"),
];

/// Checks the files that git tracks.
pub fn check(workspace: &Workspace) -> Result<Outcome> {
    let listed = exec::capture(exec::program("git", &workspace.root).args(["ls-files", "-z"]))?;
    let mut machine = vec![workspace.root.to_string_lossy().into_owned()];
    machine.extend(env::var("HOME"));
    let mut remarks = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        // A file that is not text has nothing to be read; a deleted one is git's affair.
        if let Ok(text) = fs::read_to_string(workspace.root.join(name)) {
            remarks.extend(remarks_on(name, &text, &machine));
            if Path::new(name).extension().is_some_and(|ext| ext == "md") {
                remarks.extend(dead_paths(name, &text, &|path| workspace.root.join(path).exists()));
            }
        }
    }
    if !remarks.is_empty() {
        bail!("{} remarks:\n    {}", remarks.len(), remarks.join("\n    "));
    }
    Ok(Outcome::Done)
}

/// One line for each remark. `machine` holds folders that exist on this machine only.
fn remarks_on(name: &str, text: &str, machine: &[String]) -> Vec<String> {
    let mut remarks = Vec::new();
    let file_name = Path::new(name).file_name().unwrap_or_default();
    for (number, line) in text.lines().enumerate() {
        let mut remark = |what: &str| remarks.push(format!("{name}:{}: {what}", number + 1));
        if machine.iter().any(|folder| names_folder(line, folder)) || names_a_person(line) {
            remark("a path of one machine");
        }
        if has_ownerless_mark(line) {
            remark("an open end without an owner; write TODO(name) or finish it");
        }
        for (lock, before, registry) in PUBLIC_REGISTRIES {
            if file_name == *lock
                && let Some((_, from)) = line.split_once(before)
                && !from.starts_with(registry)
            {
                remark("a package from somewhere else than the public registry");
            }
        }
    }
    remarks
}

/// One line for each file of this checkout that a document names in backticks and that is not there.
fn dead_paths(name: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    const ROOTS: [&str; 7] =
        ["crates/", "docs/", "icons/", "src-tauri/", "tests/", "ui/", "xtask/"];
    // What is built is not there in a fresh clone.
    const BUILT: [&str; 2] = ["ui/build", "ui/node_modules"];
    let mut remarks = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in line.split('`').skip(1).step_by(2) {
            let is_pattern = word.contains(|c: char| "*<>{}… ".contains(c));
            let is_ours = ROOTS.iter().any(|root| word.starts_with(root))
                && !BUILT.iter().any(|built| word.starts_with(built));
            if is_ours && !is_pattern && !exists(word) {
                remarks.push(format!("{name}:{}: {word} does not exist", number + 1));
            }
        }
    }
    remarks
}

/// Whether the line holds `folder/…` as an absolute path of its own, not as the end of another.
fn names_folder(line: &str, folder: &str) -> bool {
    let with_slash = format!("{}/", folder.trim_end_matches('/'));
    with_slash.len() > 1
        && line.match_indices(&with_slash).any(|(at, _)| {
            !line[..at]
                .ends_with(|before: char| before.is_alphanumeric() || "_-./~}>$".contains(before))
        })
}

/// Whether the line holds the home folder of somebody who is no example.
fn names_a_person(line: &str) -> bool {
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
    homes.iter().any(|home| {
        line.match_indices(home).any(|(at, _)| {
            let starts_path = !line[..at]
                .ends_with(|before: char| before.is_alphanumeric() || "_-.~}>$".contains(before));
            let person: String = line[at + home.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            starts_path && !person.is_empty() && !EXAMPLE_PEOPLE.contains(&person.as_str())
        })
    })
}

fn has_ownerless_mark(line: &str) -> bool {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    marks.iter().any(|mark| {
        line.match_indices(mark).any(|(at, _)| {
            let is_word =
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            let after = &line[at + mark.len()..];
            let continues = after.starts_with(|next: char| next.is_alphanumeric() || next == '_');
            is_word && !continues && !after.starts_with('(')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, line: &str, expected: usize) {
        let machine = ["/srv/cairn".to_owned(), "/home/me".to_owned()];
        let remarks = remarks_on(name, line, &machine);
        assert_eq!(remarks.len(), expected, "{name}: {line}: {remarks:?}");
    }

    #[test]
    fn folders_of_this_machine_are_found_as_whole_paths_only() {
        check("a.md", "see /srv/cairn/ui", 1);
        check("a.rs", "open(\"/home/me/x\")", 1);
        check("a.rs", "artifact/home/me/x and {base}/home/me/x", 0);
        check("a.rs", "/srv/cairns/ui", 0);
    }

    #[test]
    fn homes_of_people_are_found_unless_they_are_examples() {
        check("a.md", concat!("/ho", "me/grace/notes"), 1);
        check("a.md", concat!("C: /Us", "ers/grace"), 1);
        check("a.md", "/home/ada/churn", 0);
        check("a.md", "https://example.org/home/page", 0);
    }

    #[test]
    fn open_ends_need_an_owner() {
        check("a.rs", concat!("// TO", "DO: later"), 1);
        check("a.rs", concat!("// TO", "DO(ada): later"), 0);
        check("a.rs", "TODOS and MY_TODO_LIST", 0);
    }

    #[test]
    fn documents_name_files_that_exist() {
        let check = |line: &str, expected: usize| {
            let exists = |path: &str| path == "crates/cairn-core/src/lib.rs";
            assert_eq!(dead_paths("a.md", line, &exists).len(), expected, "{line}");
        };
        check("see `crates/cairn-core/src/lib.rs` and `crates/gone.rs`", 1);
        check("`crates/<name>/tests/`, `ui/src/**/*.test.ts`, `ui/build`", 0);
        check("crates/gone.rs outside of backticks, `other/gone.rs` elsewhere", 0);
    }

    #[test]
    fn packages_come_from_the_public_registries() {
        check("ui/package-lock.json", "\"resolved\": \"https://mirror.example/x.tgz\",", 1);
        check("ui/package-lock.json", "\"resolved\": \"https://registry.npmjs.org/x.tgz\",", 0);
        check("Cargo.lock", "source = \"registry+https://mirror.example/index\"", 1);
        check("notes.txt", "\"resolved\": \"https://mirror.example/x.tgz\",", 0);
    }
}

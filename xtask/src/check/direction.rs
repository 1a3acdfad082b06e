//! Which crate may depend on which. The picture is in `ARCHITECTURE.md`; this is its check.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::metadata::{self, Graph};
use crate::steps::Outcome;
use crate::workspace::Workspace;

/// Each crate and those directly below it. A crate may also depend on everything below those.
///
/// Crates that do not exist yet are listed, so that their first commit already has its place.
const BELOW: &[(&str, &[&str])] = &[
    ("cairn-core", &[]),
    ("cairn-faults", &[]),
    ("cairn-store", &["cairn-core", "cairn-faults"]),
    ("cairn-server", &["cairn-store"]),
    // A program of its own, which nothing links. Its tests call it as the runtime does.
    ("cairn-conda", &["cairn-runtime"]),
    ("cairn-runtime", &["cairn-core"]),
    ("cairn-inspect", &["cairn-core"]),
    ("cairn-charts", &["cairn-core"]),
    ("cairn-projects", &["cairn-runtime"]),
    ("cairn-models", &["cairn-runtime"]),
    (
        "cairn-app",
        &[
            "cairn-store",
            "cairn-runtime",
            "cairn-projects",
            "cairn-inspect",
            "cairn-charts",
            "cairn-models",
        ],
    ),
    ("cairn-cli", &["cairn-app", "cairn-server"]),
    ("cairn-desktop", &["cairn-app", "cairn-server"]),
    ("cairn-perf", &["cairn-app"]),
    ("xtask", &[]),
];

/// Packages from elsewhere that a crate must not need, directly or through others.
const NEVER: &[(&str, &[&str])] = &[("cairn-core", &["tokio", "rusqlite"])];

/// Only this crate may need a webview.
const WINDOW: &str = "cairn-desktop";

/// Checks the crates of this checkout.
pub fn check(workspace: &Workspace) -> Result<Outcome> {
    let violations = violations(&metadata::read(workspace)?);
    if !violations.is_empty() {
        bail!("dependencies against the direction:\n    {}", violations.join("\n    "));
    }
    Ok(Outcome::Done)
}

fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for member in &graph.members {
        let Some(allowed) = all_below(member) else {
            found.push(format!("{member} has no place in the direction of dependencies yet"));
            continue;
        };
        let named = graph.names.get(member).into_iter().flatten();
        for other in named.filter(|other| graph.members.contains(*other)) {
            if !allowed.contains(other.as_str()) {
                found.push(format!("{member} must not depend on {other}"));
            }
        }
        if member != WINDOW
            && let Some(way) = graph.path(member, "tauri")
        {
            found.push(format!("only {WINDOW} may need a webview: {}", way.join(" → ")));
        }
    }
    for (member, unwanted) in NEVER {
        for other in *unwanted {
            if let Some(way) = graph.path(member, other) {
                found.push(format!("{member} must not need {other}: {}", way.join(" → ")));
            }
        }
    }
    found
}

/// Everything below a crate, however far; `None` for a crate that has no place.
fn all_below(name: &str) -> Option<BTreeSet<&'static str>> {
    let directly =
        |name: &str| BELOW.iter().find(|(package, _)| *package == name).map(|(_, below)| *below);
    let mut waiting: Vec<&str> = directly(name)?.to_vec();
    let mut all = BTreeSet::new();
    while let Some(package) = waiting.pop() {
        if all.insert(package) {
            waiting.extend(directly(package).unwrap_or_default());
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A workspace of the given edges; every package whose name starts with `cairn-` is a member.
    fn check(edges: &[(&str, &str)], expected: &[&str]) {
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut members = BTreeSet::new();
        for (from, to) in edges {
            needs.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            for package in [from, to] {
                if package.starts_with("cairn-") {
                    members.insert((*package).to_owned());
                }
            }
        }
        let graph = Graph { members, names: needs.clone(), needs };
        assert_eq!(violations(&graph), expected, "{edges:?}");
    }

    #[test]
    fn downward_and_far_downward_edges_are_fine() {
        check(
            &[
                ("cairn-cli", "cairn-app"),
                ("cairn-cli", "cairn-core"),
                ("cairn-app", "cairn-runtime"),
                ("cairn-server", "cairn-store"),
                ("cairn-desktop", "tauri"),
                ("cairn-store", "rusqlite"),
            ],
            &[],
        );
    }

    #[test]
    fn server_and_app_do_not_know_each_other() {
        check(
            &[("cairn-server", "cairn-app"), ("cairn-app", "cairn-server")],
            &[
                "cairn-app must not depend on cairn-server",
                "cairn-server must not depend on cairn-app",
            ],
        );
    }

    #[test]
    fn core_needs_no_runtime_even_through_others() {
        check(
            &[("cairn-core", "helper"), ("helper", "tokio")],
            &["cairn-core must not need tokio: cairn-core → helper → tokio"],
        );
    }

    #[test]
    fn only_the_window_needs_a_webview() {
        check(
            &[("cairn-cli", "tauri-plugin-x"), ("tauri-plugin-x", "tauri")],
            &["only cairn-desktop may need a webview: cairn-cli → tauri-plugin-x → tauri"],
        );
    }

    #[test]
    fn a_crate_without_a_place_is_refused() {
        check(
            &[("cairn-new", "cairn-core")],
            &["cairn-new has no place in the direction of dependencies yet"],
        );
    }

    #[test]
    fn the_direction_has_no_circle() {
        for (package, _) in BELOW {
            let below = all_below(package).expect("a listed crate");
            assert!(!below.contains(package), "{package} is below itself");
        }
    }
}

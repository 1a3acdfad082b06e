//! What `cargo metadata` says about the workspace, as far as the checks need it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::exec;
use crate::workspace::Workspace;

/// Packages by name; a dependency is a name too. Several versions of one package count as one.
pub struct Graph {
    /// The packages of this workspace.
    pub members: BTreeSet<String>,
    /// For each package what it depends on to be built and run (not for its own tests).
    pub needs: BTreeMap<String, BTreeSet<String>>,
    /// For each member what it depends on in any way, tests and build scripts included.
    pub names: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Asks cargo for the resolved graph of the whole workspace.
pub fn read(workspace: &Workspace) -> Result<Graph> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--quiet"]);
    parse(&exec::capture(&mut cargo)?)
}

fn parse(text: &str) -> Result<Graph> {
    let metadata: Metadata =
        serde_json::from_str(text).context("cargo metadata is not readable")?;
    let name_of: HashMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let name = |id: &str| name_of.get(id).copied().unwrap_or(id).to_owned();

    let members: BTreeSet<String> = metadata.workspace_members.iter().map(|id| name(id)).collect();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in &metadata.resolve.nodes {
        let package = name(&node.id);
        for dependency in &node.deps {
            let other = name(&dependency.pkg);
            let is_only_for_tests =
                dependency.dep_kinds.iter().all(|kind| kind.kind.as_deref() == Some("dev"));
            if !is_only_for_tests {
                needs.entry(package.clone()).or_default().insert(other.clone());
            }
            if members.contains(&package) {
                names.entry(package.clone()).or_default().insert(other);
            }
        }
    }
    Ok(Graph { members, needs, names })
}

impl Graph {
    /// How `from` comes to need `to`: the packages on the way, both ends included.
    pub fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut waiting = std::collections::VecDeque::from([from]);
        while let Some(package) = waiting.pop_front() {
            if package == to && package != from {
                let mut way = vec![to.to_owned()];
                let mut at = to;
                while let Some(previous) = came_from.get(at) {
                    way.push((*previous).to_owned());
                    at = previous;
                }
                way.reverse();
                return Some(way);
            }
            for next in self.needs.get(package).into_iter().flatten() {
                if next != from && !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, package);
                    waiting.push_back(next);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{
        "packages": [
            {"id": "path+file:///a", "name": "a"}, {"id": "path+file:///b", "name": "b"},
            {"id": "registry#x@1.0.0", "name": "x"}, {"id": "registry#y@1.0.0", "name": "y"}
        ],
        "workspace_members": ["path+file:///a", "path+file:///b"],
        "resolve": {"nodes": [
            {"id": "path+file:///a", "deps": [
                {"pkg": "path+file:///b", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
                {"pkg": "registry#y@1.0.0", "dep_kinds": [{"kind": "dev"}]}
            ]},
            {"id": "path+file:///b", "deps": [{"pkg": "registry#x@1.0.0", "dep_kinds": [{"kind": "build"}]}]},
            {"id": "registry#x@1.0.0", "deps": []}, {"id": "registry#y@1.0.0", "deps": []}
        ]}
    }"#;

    #[test]
    fn test_dependencies_are_named_but_not_needed() {
        let graph = parse(EXAMPLE).expect("readable metadata");
        assert_eq!(graph.members, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(graph.needs["a"], BTreeSet::from(["b".to_owned()]));
        assert_eq!(graph.names["a"], BTreeSet::from(["b".to_owned(), "y".to_owned()]));
    }

    #[test]
    fn the_way_to_a_distant_package_is_known() {
        let graph = parse(EXAMPLE).expect("readable metadata");
        assert_eq!(
            graph.path("a", "x"),
            Some(vec!["a".to_owned(), "b".to_owned(), "x".to_owned()])
        );
        assert_eq!(graph.path("a", "y"), None);
        assert_eq!(graph.path("b", "a"), None);
    }
}

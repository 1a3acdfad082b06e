//! System packages, on Debian and Ubuntu through apt. Nothing else is installed globally.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Purpose;
use crate::exec;
use crate::steps::Outcome;
use crate::workspace::Workspace;

/// Packages and what they are for.
struct Group {
    reason: &'static str,
    packages: &'static [&'static str],
}

const WINDOW: Group = Group {
    reason: "to build and show the window (WebKitGTK)",
    packages: &[
        "libwebkit2gtk-4.1-dev",
        "libgtk-3-dev",
        "librsvg2-dev",
        "libssl-dev",
        "libxdo-dev",
        "pkg-config",
        "build-essential",
        "file",
    ],
};

const TESTS: Group = Group {
    reason: "to test the window and the interface (a display without a screen, drivers, Chromium, fonts), and programs' calls to the disk",
    packages: &[
        "xvfb",
        "openbox",
        "xdotool",
        "imagemagick",
        "x11-utils",
        "x11-apps",
        "xauth",
        "webkit2gtk-driver",
        "chromium",
        "fonts-dejavu-core",
        "fonts-liberation",
        "dbus-x11",
        "at-spi2-core",
        "libgl1-mesa-dri",
        "procps",
        "strace",
    ],
};

const PYTHON: Group = Group {
    reason: "to make Python environments for the tests",
    packages: &["python3", "python3-venv"],
};

/// Installs what is missing, after one line for each group that says what and why.
pub fn install_missing(workspace: &Workspace, purpose: Purpose) -> Result<Outcome> {
    let mut groups = vec![&WINDOW];
    if purpose == Purpose::Tests {
        groups.push(&TESTS);
        if !python_makes_environments(workspace) {
            groups.push(&PYTHON);
        }
    }
    if !exec::is_on_path("dpkg-query") || !exec::is_on_path("apt-get") {
        for group in &groups {
            println!("  needed {}: what Debian calls {}", group.reason, group.packages.join(" "));
        }
        return Ok(Outcome::Skipped(
            "this system has no apt; install the above by its own means".to_owned(),
        ));
    }

    let wanted: Vec<&str> = groups.iter().flat_map(|group| group.packages).copied().collect();
    let present = installed(&workspace.root, &wanted)?;
    let mut missing = Vec::new();
    for group in &groups {
        let of_group: Vec<&str> =
            group.packages.iter().copied().filter(|name| !present.contains(*name)).collect();
        if !of_group.is_empty() {
            println!("  missing {}: {}", group.reason, of_group.join(" "));
        }
        missing.extend(of_group);
    }
    if missing.is_empty() {
        return Ok(Outcome::Skipped(format!("all {} are present", wanted.len())));
    }

    let Some(prefix) = privilege() else {
        bail!(
            "installing needs root, and there is no sudo. Run this as root, then again:\n\n    \
             apt-get update && apt-get install -y --no-install-recommends {}\n",
            missing.join(" ")
        );
    };
    apt(workspace, prefix, &["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&missing);
    apt(workspace, prefix, &install)?;

    let present = installed(&workspace.root, &missing)?;
    match missing.iter().find(|name| !present.contains(**name)) {
        None => Ok(Outcome::Done),
        Some(name) => bail!("apt-get ended well, but {name} is still not installed"),
    }
}

fn apt(workspace: &Workspace, prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let mut words = prefix.to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
    words.extend(arguments);
    let mut command = exec::program(words[0], &workspace.root);
    exec::run(command.args(&words[1..]))
}

/// What stands before a command that needs root: nothing for root, else sudo, else `None`.
fn privilege() -> Option<&'static [&'static str]> {
    let user = Command::new("id").arg("-u").stdin(Stdio::null()).output().ok()?;
    if String::from_utf8_lossy(&user.stdout).trim() == "0" {
        return Some(&[]);
    }
    exec::is_on_path("sudo").then_some(&["sudo"])
}

/// Those of `names` that are installed now.
fn installed(folder: &Path, names: &[&str]) -> Result<HashSet<String>> {
    // dpkg-query exits with 1 as soon as it does not know one name, so its exit status says nothing.
    let output = exec::program("dpkg-query", folder)
        .args(["-W", "-f", "${db:Status-Status} ${Package}\n"])
        .args(names)
        .output()
        .context("dpkg-query cannot be started")?;
    Ok(parse_installed(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_installed(text: &str) -> HashSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(|name| name.trim().to_owned())
        .collect()
}

fn python_makes_environments(workspace: &Workspace) -> bool {
    exec::succeeds(exec::program("python3", &workspace.root).args(["-c", "import ensurepip, venv"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_packages_with_kept_settings_are_not_installed() {
        let present = parse_installed("installed file\nconfig-files xvfb\nnot-installed openbox\n");
        assert_eq!(present, HashSet::from(["file".to_owned()]));
    }

    #[test]
    fn no_package_is_listed_twice() {
        let mut seen = HashSet::new();
        for group in [&WINDOW, &TESTS, &PYTHON] {
            for name in group.packages {
                assert!(seen.insert(name), "{name} is listed twice");
            }
        }
    }
}

//! Downloading and linking packages into a prefix, and what activating it sets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rattler::install::{Installer, Reporter, Transaction};
use rattler::package_cache::PackageCache;
use rattler_conda_types::{PrefixRecord, RepoDataRecord, Subdir};
use rattler_repodata_gateway::Gateway;
use rattler_shell::activation::{ActivationVariables, Activator, PathModificationBehavior};
use rattler_shell::shell::Bash;
use sha2::{Digest as _, Sha256};

use crate::request::{Failure, Made, Request};
use crate::solve;

/// How long a server may take to answer, and to send more.
const NETWORK_LIMIT: Duration = Duration::from_mins(1);

/// Makes the environment that is asked for.
#[expect(clippy::print_stdout, reason = "progress is told line by line")]
pub async fn make(request: &Request) -> Result<Made, Failure> {
    let platform = Subdir::current()
        .ok_or_else(|| Failure::new("There are no conda packages for this kind of machine"))?;
    let client = reqwest::Client::builder()
        .connect_timeout(NETWORK_LIMIT)
        .read_timeout(NETWORK_LIMIT)
        .user_agent(concat!("cairn-conda/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::because("The network cannot be used", error))?;
    let packages = PackageCache::new(request.cache.join("packages"));
    let gateway = Gateway::builder()
        .with_client(client.clone())
        .with_cache_dir(request.cache.join("channels"))
        .with_package_cache(packages.clone())
        .finish();
    let records = if request.explicit.is_empty() {
        solve::solve(request, &gateway, platform).await?
    } else {
        println!("Taking {} packages from the lock", request.explicit.len());
        solve::explicit(&request.explicit, &gateway, platform).await?
    };
    check_files(&records)?;
    println!("Installing {} packages", records.len());
    let explicit = records.iter().map(solve::lock_line).collect();
    Installer::new()
        .with_package_cache(packages)
        .with_download_client(client)
        .with_target_platform(platform)
        .with_installed_packages(Vec::new())
        .with_reporter(Told::default())
        .install(&request.prefix, records)
        .await
        .map_err(|error| Failure::because("The packages could not be installed", error))?;
    let variables = activation(&request.prefix, platform)?;
    Ok(Made { explicit, variables })
}

/// Compares files of local channels with their digests; what comes over the network is compared as it comes.
fn check_files(records: &[RepoDataRecord]) -> Result<(), Failure> {
    for record in records {
        let (Ok(path), Some(wanted)) = (record.url.to_file_path(), record.package_record.sha256)
        else {
            continue;
        };
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
        if Sha256::digest(&bytes)[..] != wanted[..] {
            return Err(Failure::new(format!(
                "{} is not the file that is meant: its digest is another one",
                path.display()
            )));
        }
    }
    Ok(())
}

/// What activating the environment sets, beside its own place: variables of its packages and their scripts.
fn activation(prefix: &Path, platform: Subdir) -> Result<Vec<(String, String)>, Failure> {
    let failed =
        |error| Failure::because("The environment cannot be activated", anyhow::Error::from(error));
    let activator = Activator::from_path(prefix, Bash::default(), platform).map_err(failed)?;
    if activator.env_vars.is_empty() && activator.activation_scripts.is_empty() {
        return Ok(Vec::new());
    }
    let variables = ActivationVariables {
        conda_prefix: None,
        path: None,
        path_modification_behavior: PathModificationBehavior::default(),
        current_env: HashMap::new(),
    };
    let own: Vec<_> = ["PATH", "HOME", "LANG", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .collect();
    let environment =
        own.iter().map(|(name, value)| (OsStr::new(name), value.as_os_str())).collect();
    let set = activator.run_activation(variables, Some(environment)).map_err(failed)?;
    let mut set: Vec<(String, String)> = set
        .into_iter()
        .filter(|(name, _)| {
            let is_shells =
                matches!(name.as_str(), "PATH" | "PS1" | "SHLVL" | "PWD" | "OLDPWD" | "_");
            !is_shells && !name.starts_with("CONDA_")
        })
        .collect();
    set.sort();
    Ok(set)
}

/// Tells what is downloaded and linked.
#[derive(Debug, Default)]
struct Told {
    /// Names of packages by the number that the installer knows them by.
    names: Mutex<Vec<String>>,
}

impl Told {
    fn remember(&self, record: &RepoDataRecord) -> usize {
        let mut names = self.names.lock().expect("no holder of this lock panics");
        let package = &record.package_record;
        names.push(format!("{} {}", package.name.as_source(), package.version));
        names.len() - 1
    }

    #[expect(clippy::print_stdout, reason = "progress is told line by line")]
    fn say(&self, verb: &str, index: usize) {
        let names = self.names.lock().expect("no holder of this lock panics");
        if let Some(name) = names.get(index) {
            println!("{verb} {name}");
        }
    }
}

impl Reporter for Told {
    fn on_transaction_start(&self, _: &Transaction<PrefixRecord, RepoDataRecord>) {}
    fn on_transaction_operation_start(&self, _: usize) {}
    fn on_populate_cache_start(&self, _: usize, record: &RepoDataRecord) -> usize {
        self.remember(record)
    }
    fn on_validate_start(&self, cache_entry: usize) -> usize {
        cache_entry
    }
    fn on_validate_complete(&self, _: usize) {}
    fn on_download_start(&self, cache_entry: usize) -> usize {
        self.say("Downloading", cache_entry);
        cache_entry
    }
    fn on_download_progress(&self, _: usize, _: u64, _: Option<u64>) {}
    fn on_download_completed(&self, _: usize) {}
    fn on_populate_cache_complete(&self, _: usize) {}
    fn on_unlink_start(&self, operation: usize, _: &PrefixRecord) -> usize {
        operation
    }
    fn on_unlink_complete(&self, _: usize) {}
    fn on_link_start(&self, _: usize, record: &RepoDataRecord) -> usize {
        let index = self.remember(record);
        self.say("Linking", index);
        index
    }
    fn on_link_complete(&self, _: usize) {}
    fn on_transaction_operation_complete(&self, _: usize) {}
    fn on_transaction_complete(&self) {}
    fn on_post_link_start(&self, _: &str, _: &str) -> usize {
        0
    }
    fn on_post_link_complete(&self, _: usize, _: bool) {}
    fn on_pre_unlink_start(&self, _: &str, _: &str) -> usize {
        0
    }
    fn on_pre_unlink_complete(&self, _: usize, _: bool) {}
}

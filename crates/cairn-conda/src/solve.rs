//! Which packages: chosen from channels, or named exactly.

use std::fmt::Write as _;
use std::path::Path;

use rattler_conda_types::{
    Channel, ChannelConfig, ExplicitEnvironmentEntry, GenericVirtualPackage, MatchSpec,
    PackageArchiveHash, PackageName, ParseMatchSpecOptions, RepoDataRecord, Subdir,
};
use rattler_repodata_gateway::{Gateway, RepoData};
use rattler_solve::{SolverImpl as _, SolverTask, resolvo};
use rattler_virtual_packages::{VirtualPackage, VirtualPackageOverrides};
use url::Url;

use crate::request::{Failure, Request};

/// Where channels without an address are; the variable that names another place is conda's own.
const ALIAS_VARIABLE: &str = "CONDA_CHANNEL_ALIAS";

/// What conda means by `defaults`.
const DEFAULTS: [&str; 2] =
    ["https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r"];

/// A channel, and how it was named.
struct Named {
    name: String,
    channel: Channel,
}

/// Chooses packages for what is asked, with all that they need.
#[expect(clippy::print_stdout, reason = "progress is told line by line")]
pub async fn solve(
    request: &Request,
    gateway: &Gateway,
    platform: Subdir,
) -> Result<Vec<RepoDataRecord>, Failure> {
    let config = channel_config(&request.cache)?;
    let mut channels = Vec::new();
    for name in &request.channels {
        add_channel(name, &config, &mut channels)?;
    }
    let mut specs = Vec::new();
    for text in &request.dependencies {
        let spec =
            MatchSpec::from_str(text, ParseMatchSpecOptions::lenient()).map_err(|error| {
                Failure::new(format!("\"{text}\" is not the name of a conda package: {error}"))
            })?;
        if let Some(channel) = &spec.channel
            && !channels.iter().any(|named| named.channel.base_url == channel.base_url)
        {
            let name = text.split("::").next().unwrap_or(text).to_owned();
            channels.push(Named { name, channel: Channel::clone(channel) });
        }
        specs.push(spec);
    }
    let names: Vec<&str> = channels.iter().map(|named| named.name.as_str()).collect();
    println!("Reading the channels {}", names.join(", "));
    let found = gateway
        .query(
            channels.iter().map(|named| named.channel.clone()),
            [platform, Subdir::NoArch],
            specs.clone(),
        )
        .recursive(true)
        .await;
    let found = match found {
        Ok(found) => found,
        Err(error) => return Err(unreachable(gateway, &channels, platform, error.into()).await),
    };
    let count: usize = found.repodata.iter().map(RepoData::len).sum();
    println!("Choosing versions among {count} packages");
    let virtual_packages = virtual_packages()?;
    // Solving takes one thread for as long as it takes.
    let solved = tokio::task::spawn_blocking(move || {
        let task = SolverTask {
            specs,
            virtual_packages,
            ..found.repodata.iter().collect::<SolverTask<'_, _>>()
        };
        resolvo::Solver.solve(task)
    })
    .await
    .map_err(|error| Failure::because("Choosing versions failed", error))?;
    match solved {
        Ok(solved) => Ok(solved.records),
        Err(error) => Err(Failure::new(format!("No versions fit together: {error}"))),
    }
}

/// The packages that a lock names, by what they say of themselves.
pub async fn explicit(
    urls: &[String],
    gateway: &Gateway,
    platform: Subdir,
) -> Result<Vec<RepoDataRecord>, Failure> {
    let mut specs = Vec::new();
    for text in urls {
        let wrong = |why: &str| Failure::new(format!("\"{text}\" in the lock {why}"));
        let mut url = Url::parse(text).map_err(|_| wrong("is not an address"))?;
        let hash = ExplicitEnvironmentEntry { url: url.clone() }
            .package_archive_hash()
            .map_err(|_| wrong("has no digest that can be read"))?
            .ok_or_else(|| wrong("has no digest"))?;
        url.set_fragment(None);
        let name = name_of(&url).ok_or_else(|| wrong("names no package"))?;
        let mut spec = MatchSpec { url: Some(url.clone()), ..MatchSpec::from(name) };
        match hash {
            PackageArchiveHash::Md5(md5) => spec.md5 = Some(md5),
            PackageArchiveHash::Sha256(sha256) => spec.sha256 = Some(sha256),
        }
        specs.push(spec);
    }
    let found = gateway
        .query(Vec::<Channel>::new(), [platform, Subdir::NoArch], specs)
        .recursive(false)
        .await
        .map_err(|error| Failure::because("A package of the lock could not be read", error))?;
    Ok(found.repodata.iter().flat_map(|data| data.iter().cloned().collect::<Vec<_>>()).collect())
}

/// `numpy` of `…/numpy-2.1.0-py311_0.conda`.
fn name_of(url: &Url) -> Option<PackageName> {
    let file = url.path_segments()?.next_back()?;
    let stem = file.strip_suffix(".conda").or_else(|| file.strip_suffix(".tar.bz2"))?;
    let mut parts = stem.rsplitn(3, '-');
    let (_build, _version, name) = (parts.next()?, parts.next()?, parts.next()?);
    PackageName::try_from(name).ok()
}

fn channel_config(root: &Path) -> Result<ChannelConfig, Failure> {
    let mut config = ChannelConfig::default_with_root_dir(root.to_owned());
    if let Ok(alias) = std::env::var(ALIAS_VARIABLE)
        && !alias.is_empty()
    {
        config.channel_alias = Url::parse(&alias).map_err(|error| {
            Failure::new(format!("{ALIAS_VARIABLE} is not an address: {error}"))
        })?;
    }
    Ok(config)
}

fn add_channel(
    name: &str,
    config: &ChannelConfig,
    channels: &mut Vec<Named>,
) -> Result<(), Failure> {
    let single = [name];
    let addresses: &[&str] = if name == "defaults" { &DEFAULTS } else { &single };
    for address in addresses {
        let channel = Channel::from_str(address, config).map_err(|error| Failure {
            message: format!("The channel {name} cannot be one: {error}"),
            channel: Some(name.to_owned()),
        })?;
        channels.push(Named { name: name.to_owned(), channel });
    }
    Ok(())
}

/// What this machine offers: its system's C library, its processor, its GPU.
fn virtual_packages() -> Result<Vec<GenericVirtualPackage>, Failure> {
    let found = VirtualPackage::detect(&VirtualPackageOverrides::from_env(), None)
        .map_err(|error| Failure::because("This machine cannot be described", error))?;
    Ok(found.into_iter().map(GenericVirtualPackage::from).collect())
}

/// Finds out which channel it was: one after the other is asked for its names.
async fn unreachable(
    gateway: &Gateway,
    channels: &[Named],
    platform: Subdir,
    error: anyhow::Error,
) -> Failure {
    for named in channels {
        let asked = gateway.names([named.channel.clone()], [platform, Subdir::NoArch]).await;
        if let Err(error) = asked {
            return Failure {
                message: format!("{}: {:#}", named.channel.base_url, anyhow::Error::from(error)),
                channel: Some(named.name.clone()),
            };
        }
    }
    Failure::new(format!("The channels could not be read: {error:#}"))
}

/// Where packages come from, with a digest: what a lock is made of.
pub fn lock_line(record: &RepoDataRecord) -> String {
    let mut url = record.url.clone();
    let package = &record.package_record;
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let digest = match (&package.sha256, &package.md5) {
        (Some(sha256), _) => Some(format!("sha256:{}", hex(sha256))),
        (None, Some(md5)) => Some(hex(md5)),
        (None, None) => None,
    };
    url.set_fragment(digest.as_deref());
    // A password of a channel stays out of what is kept.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

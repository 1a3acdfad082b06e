//! A conda channel in a folder, written by the test that uses it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Stands in files for the place that the package is installed to.
pub const PLACEHOLDER: &str = "/opt/placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold";

/// One package.
pub struct Package {
    name: &'static str,
    version: String,
    subdir: &'static str,
    depends: Vec<String>,
    files: Vec<(String, Content)>,
    entry_points: Vec<&'static str>,
    is_noarch_python: bool,
}

enum Content {
    File { bytes: Vec<u8>, mode: u32, prefix: Option<&'static str> },
    Link(String),
}

impl Package {
    /// A package for this kind of machine.
    pub fn native(name: &'static str, version: &str) -> Self {
        Self {
            name,
            version: version.to_owned(),
            subdir: subdir(),
            depends: Vec::new(),
            files: Vec::new(),
            entry_points: Vec::new(),
            is_noarch_python: false,
        }
    }

    /// A package of Python modules for every machine.
    pub fn noarch_python(name: &'static str, version: &str) -> Self {
        Self { subdir: "noarch", is_noarch_python: true, ..Self::native(name, version) }
    }

    pub fn depends(mut self, on: &str) -> Self {
        self.depends.push(on.to_owned());
        self
    }

    /// A program, made by the installer, that calls a function.
    pub fn entry_point(mut self, text: &'static str) -> Self {
        self.entry_points.push(text);
        self
    }

    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        let content = Content::File { bytes: bytes.into(), mode, prefix: None };
        self.files.push((path.to_owned(), content));
        self
    }

    /// A file in which [`PLACEHOLDER`] is replaced; `kind` is `text` or `binary`.
    pub fn placed_file(
        mut self,
        path: &str,
        bytes: impl Into<Vec<u8>>,
        mode: u32,
        kind: &'static str,
    ) -> Self {
        let content = Content::File { bytes: bytes.into(), mode, prefix: Some(kind) };
        self.files.push((path.to_owned(), content));
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.files.push((path.to_owned(), Content::Link(target.to_owned())));
        self
    }

    /// All files below a folder of this machine, without those that `skips` names.
    pub fn folder(mut self, root: &Path, below: &str, skips: &dyn Fn(&str) -> bool) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let mut waiting = vec![root.join(below)];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
                let path = entry.path();
                let relative = path.strip_prefix(root).expect("it is below").display().to_string();
                let name = entry.file_name().to_string_lossy().into_owned();
                if skips(&name) {
                    continue;
                }
                let data = fs::metadata(&path).expect("it is there");
                if data.is_dir() {
                    waiting.push(path);
                } else {
                    let bytes = fs::read(&path).expect("it can be read");
                    self = self.file(&relative, bytes, data.permissions().mode() & 0o777);
                }
            }
        }
        self
    }

    fn file_name(&self) -> String {
        format!("{}-{}-{}.tar.bz2", self.name, self.version, Self::BUILD)
    }

    const BUILD: &'static str = "h0_0";

    fn record(&self) -> Value {
        let mut record = json!({
            "name": self.name,
            "version": self.version,
            "build": Self::BUILD,
            "build_number": 0,
            "depends": self.depends,
            "subdir": self.subdir,
        });
        if self.is_noarch_python {
            record["noarch"] = json!("python");
        }
        record
    }

    fn archive(&self) -> Vec<u8> {
        let compression = bzip2::Compression::new(1);
        let mut archive = tar::Builder::new(bzip2::write::BzEncoder::new(Vec::new(), compression));
        let mut add = |path: &str, bytes: &[u8], mode: u32| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(mode);
            archive.append_data(&mut header, path, bytes).expect("memory takes it");
        };
        let mut paths = Vec::new();
        let mut list = String::new();
        for (path, content) in &self.files {
            let _ = writeln!(list, "{path}");
            let mut entry = json!({ "_path": path });
            match content {
                Content::File { bytes, prefix, .. } => {
                    entry["path_type"] = json!("hardlink");
                    entry["sha256"] = json!(hex(&Sha256::digest(bytes)));
                    entry["size_in_bytes"] = json!(bytes.len());
                    if let Some(kind) = prefix {
                        entry["file_mode"] = json!(kind);
                        entry["prefix_placeholder"] = json!(PLACEHOLDER);
                    }
                }
                Content::Link(_) => {
                    entry["path_type"] = json!("softlink");
                    entry["size_in_bytes"] = json!(0);
                }
            }
            paths.push(entry);
        }
        let json = |value: &Value| serde_json::to_vec(value).expect("it is JSON");
        add("info/index.json", &json(&self.record()), 0o644);
        add("info/paths.json", &json(&json!({ "paths": paths, "paths_version": 1 })), 0o644);
        add("info/files", list.as_bytes(), 0o644);
        if self.is_noarch_python {
            let link = json!({
                "noarch": { "type": "python", "entry_points": self.entry_points },
                "package_metadata_version": 1,
            });
            add("info/link.json", &json(&link), 0o644);
        }
        for (path, content) in &self.files {
            if let Content::File { bytes, mode, .. } = content {
                add(path, bytes, *mode);
            }
        }
        for (path, content) in &self.files {
            if let Content::Link(target) = content {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                header.set_mode(0o777);
                archive.append_link(&mut header, path, target).expect("memory takes it");
            }
        }
        let mut encoder = archive.into_inner().expect("memory takes it");
        encoder.flush().expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }
}

/// Conda's name for this kind of machine.
pub fn subdir() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux-aarch64",
        _ => "linux-64",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes packages and the list of them; answers the channel's address.
pub fn write(folder: &Path, packages: &[Package]) -> String {
    for subdir in [subdir(), "noarch"] {
        let place = folder.join(subdir);
        fs::create_dir_all(&place).expect("it can be made");
        let mut records = Map::new();
        for package in packages.iter().filter(|package| package.subdir == subdir) {
            let bytes = package.archive();
            let mut record = package.record();
            record["sha256"] = json!(hex(&Sha256::digest(&bytes)));
            record["size"] = json!(bytes.len());
            fs::write(place.join(package.file_name()), bytes).expect("it can be written");
            records.insert(package.file_name(), record);
        }
        let list = json!({
            "info": { "subdir": subdir },
            "packages": records,
            "packages.conda": {},
            "repodata_version": 1,
        });
        let text = serde_json::to_vec(&list).expect("it is JSON");
        fs::write(place.join("repodata.json"), text).expect("it can be written");
    }
    format!("file://{}", folder.display())
}

/// The package `python`, taken from a Python of this machine, with which pip's packages can be installed.
pub fn python() -> Package {
    let program = std::process::Command::new("python3")
        .args([
            "-c",
            "import sys; print(sys.base_prefix); print('%d.%d.%d' % sys.version_info[:3])",
        ])
        .output()
        .expect("python3 is on PATH");
    let text = String::from_utf8(program.stdout).expect("it is text");
    let mut lines = text.lines();
    let root = PathBuf::from(lines.next().expect("a prefix"));
    let version = lines.next().expect("a version").to_owned();
    let minor = version.rsplit_once('.').expect("three parts").0.to_owned();
    let skips = |name: &str| {
        let is_large = [
            "test",
            "tests",
            "__pycache__",
            "idlelib",
            "lib2to3",
            "tkinter",
            "turtledemo",
            "ensurepip",
            "site-packages",
            "dist-packages",
        ];
        is_large.contains(&name) || name.starts_with("config-")
    };
    let bytes = fs::read(root.join(format!("bin/python{minor}"))).expect("it can be read");
    Package::native("python", &version)
        .file(&format!("bin/python{minor}"), bytes, 0o755)
        .link("bin/python", &format!("python{minor}"))
        .link("bin/python3", &format!("python{minor}"))
        .folder(&root, &format!("lib/python{minor}"), &skips)
        .placed_file("share/python-place", format!("{PLACEHOLDER}\n"), 0o644, "text")
}

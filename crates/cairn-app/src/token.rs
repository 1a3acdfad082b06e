//! The token that MLflow clients send when this person wants one.
//!
//! It lies beside the settings, in a file for this person alone and outside every store, so that
//! nothing that is served can name it. It is made when it is first needed and stays the same; who
//! deletes the file gets another one at the next start.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::app::AppOptions;

/// The number of hexadecimal digits: 256 bits.
const DIGITS: usize = 64;

/// Who may use the port for MLflow clients.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientAccess {
    /// Every program on this computer.
    Everyone,
    /// Who sends this token.
    Token(String),
    /// No one: a token is wanted, but it cannot be read.
    Nobody,
}

/// Where the token is kept.
pub fn token_file(options: &AppOptions) -> PathBuf {
    options.config_dir.join("token")
}

/// The token, made if there is none.
///
/// A file that others may read, or that holds no token, is replaced.
///
/// Errors: the file cannot be read or written, or the system has no source of randomness.
pub fn token(options: &AppOptions) -> io::Result<String> {
    let path = token_file(options);
    match read(&path) {
        Ok(Some(token)) => return Ok(token),
        Ok(None) => fs::remove_file(&path).or_else(|error| match error.kind() {
            // Another Cairn was at it too.
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    make(&path)?;
    // Of two programs that make one at once, the first one's stays.
    read(&path)?.ok_or_else(|| io::Error::other("the token was changed while it was made"))
}

/// The file with the token, for what Cairn starts: it sends the token whether or not one is asked for
/// at the moment, so that turning the switch on later breaks nothing that is at work. `None` when
/// there is no token and none can be made.
pub fn token_of_launches(options: &AppOptions) -> Option<PathBuf> {
    token(options)
        .inspect_err(|error| tracing::warn!(%error, "what is started gets no token"))
        .ok()
        .map(|_| token_file(options))
}

/// Who may use the port, by the settings of this person.
///
/// `is_required` asks for the token whatever the settings say.
pub fn client_access(options: &AppOptions, is_required: bool) -> ClientAccess {
    if !is_required && !crate::app::wants_token(options) {
        return ClientAccess::Everyone;
    }
    token(options).map_or_else(
        |error| {
            tracing::error!(%error, "the token cannot be read; MLflow clients are refused");
            ClientAccess::Nobody
        },
        ClientAccess::Token,
    )
}

/// The token in a file; `None` if the file holds none, is no plain file, or others may read it.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path);
    let file = match file {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        file => file?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
        return Ok(None);
    }
    let mut text = String::new();
    // Damaged bytes make it no token, like any other text.
    if file.take(DIGITS as u64 + 2).read_to_string(&mut text).is_err() {
        return Ok(None);
    }
    let text = text.trim_end();
    let is_token =
        text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    Ok(is_token.then(|| text.to_owned()))
}

fn make(path: &Path) -> io::Result<()> {
    let mut bytes = [0; DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let mut text = bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    });
    text.push('\n');
    let dir = path.parent().expect("made by joining a name");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let temporary = dir.join(format!(".token.{}", std::process::id()));
    // What an earlier end of a program of this number left behind.
    let _ = fs::remove_file(&temporary);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // Unlike a rename, a link never replaces a token that is there meanwhile.
    let made = written.and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(home: &Path) -> AppOptions {
        AppOptions { config_dir: home.join("config"), data_dir: home.join("data"), store: None }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_token_is_made_once_for_one_person_alone() {
        let home = tempfile::tempdir().unwrap();
        let options = options(home.path());
        let first = token(&options).unwrap();
        assert_eq!(first.len(), DIGITS);
        assert_eq!(token(&options).unwrap(), first);
        assert_eq!(mode(&token_file(&options)), 0o600);
        assert_eq!(mode(&options.config_dir), 0o700);
        let left = fs::read_dir(&options.config_dir).unwrap().count();
        assert_eq!(left, 1, "nothing else is left");
    }

    #[test]
    fn a_token_that_others_saw_or_damaged_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let options = options(home.path());
        let path = token_file(&options);
        let mut seen = vec![token(&options).unwrap()];
        let spoil: [&dyn Fn(); 4] = [
            &|| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap(),
            &|| fs::write(&path, "short").unwrap(),
            &|| fs::write(&path, [0xff; 64]).unwrap(),
            &|| {
                let elsewhere = home.path().join("elsewhere");
                fs::write(&elsewhere, "0".repeat(DIGITS)).unwrap();
                fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
                fs::remove_file(&path).unwrap();
                std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
            },
        ];
        for spoil in spoil {
            spoil();
            let next = token(&options).unwrap();
            assert!(!seen.contains(&next));
            assert_eq!(mode(&path), 0o600);
            seen.push(next);
        }
        assert!(!seen.contains(&"0".repeat(DIGITS)));
    }

    #[test]
    fn programs_that_start_together_agree_on_one() {
        let home = tempfile::tempdir().unwrap();
        let options = options(home.path());
        fs::create_dir_all(&options.config_dir).unwrap();
        fs::write(token_file(&options), "0".repeat(DIGITS) + "\n").unwrap();
        fs::set_permissions(token_file(&options), fs::Permissions::from_mode(0o600)).unwrap();
        // One whose token appeared between looking and making keeps the one that is there.
        make(&token_file(&options)).unwrap();
        assert_eq!(token(&options).unwrap(), "0".repeat(DIGITS));
    }

    #[test]
    fn a_token_that_cannot_be_read_lets_no_one_in() {
        let home = tempfile::tempdir().unwrap();
        let options = options(home.path());
        assert!(client_access(&options, false) == ClientAccess::Everyone);
        assert!(!token_file(&options).exists(), "nothing is made before it is needed");
        let made = token(&options).unwrap();
        assert!(client_access(&options, true) == ClientAccess::Token(made));
        fs::remove_file(token_file(&options)).unwrap();
        fs::create_dir(token_file(&options)).unwrap();
        assert!(client_access(&options, true) == ClientAccess::Nobody);
    }
}

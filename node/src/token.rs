//! The bearer token of the admin API: made at the first start, in a file that only its owner may
//! read.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

/// The secret that authorises a caller of the admin API.
#[derive(Clone)]
pub struct Token(String);

/// The token's file in the data directory.
pub const FILE: &str = "admin-token";

/// The random bytes of a token: 256 bits cannot be guessed.
const BYTES: usize = 32;

/// The permissions of the file.
const MODE: u32 = 0o600;

/// The longest file that is read. Reason: a token is far shorter; a longer file was named by
/// mistake.
const MAX_FILE: u64 = 4 * 1024;

impl Token {
    /// The token of a data directory, made if the directory has none.
    pub fn of(data: &Path) -> Result<Self, TokenError> {
        Self::load_or_make(&data.join(FILE))
    }

    /// The token of a file, made if there is no such file.
    pub fn load_or_make(file: &Path) -> Result<Self, TokenError> {
        match Self::load(file) {
            Err(TokenError {
                what: Fault::Io(error),
                ..
            }) if error.kind() == io::ErrorKind::NotFound => Self::make(file),
            loaded => loaded,
        }
    }

    /// Reads a token's file, which only its owner may read.
    pub fn load(file: &Path) -> Result<Self, TokenError> {
        let fault = |what| TokenError {
            file: file.to_owned(),
            what,
        };
        let found = fs::metadata(file).map_err(|error| fault(Fault::Io(error)))?;
        if found.mode() & 0o077 != 0 {
            return Err(fault(Fault::Open));
        }
        if !found.is_file() || found.len() > MAX_FILE {
            return Err(fault(Fault::NoToken));
        }
        let text = fs::read_to_string(file).map_err(|error| fault(Fault::Io(error)))?;
        let token = text.trim();
        if token.len() < BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault(Fault::NoToken));
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether the value of an Authorization header has this token (RFC 6750, 2.1).
    pub fn is_in(&self, authorization: &str) -> bool {
        let bearer = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        bearer.is_some_and(|(_, token)| self.is(token.trim()))
    }

    fn make(file: &Path) -> Result<Self, TokenError> {
        let fault = |error| TokenError {
            file: file.to_owned(),
            what: Fault::Io(error),
        };
        let mut bytes = [0; BYTES];
        let random = SystemRandom::new().fill(&mut bytes);
        random.map_err(|_| fault(io::Error::other("no random numbers")))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // A reader of the file finds all of it or no file.
        let new = file.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(MODE).open(&new);
        opened
            .and_then(|mut opened| {
                writeln!(opened, "{token}")?;
                opened.sync_all()
            })
            .and_then(|()| fs::rename(&new, file))
            .map_err(fault)?;
        Ok(Self(token))
    }

    /// Whether this is the token; the time does not depend on `given`.
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The token itself, for sending and never for the log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The reason for which a token was not read or made.
#[derive(Debug)]
pub struct TokenError {
    file: PathBuf,
    what: Fault,
}

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    /// Other users may read it.
    Open,
    NoToken,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.what {
            Fault::Io(error) => write!(f, "the secret {file}: {error}"),
            Fault::Open => write!(
                f,
                "the secret {file} can be read by others; remove it to have a new one made, \
                 or chmod 600 it if nobody has seen it"
            ),
            Fault::NoToken => write!(
                f,
                "{file} holds no secret of Tributary; remove it to have one made at the next start"
            ),
        }
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_for_its_user_alone() {
        let data = tempfile::tempdir().unwrap();
        let made = Token::of(data.path()).unwrap();
        let file = data.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(made.reveal().len(), 64);
        let again = Token::of(data.path()).unwrap();
        assert!(made.is(again.reveal()));
        let other = tempfile::tempdir().unwrap();
        assert!(!made.is(Token::of(other.path()).unwrap().reveal()));
        for wrong in ["", "x", &made.reveal()[1..], &made.reveal().to_uppercase()] {
            assert!(!made.is(wrong), "{wrong}");
        }
        assert!(!format!("{made:?}").contains(made.reveal()));
    }

    #[test]
    fn a_file_that_others_read_or_that_holds_none_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(FILE);
        fs::write(&file, "x".repeat(64)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Token::of(data.path()).unwrap_err().to_string();
        assert!(error.contains("read by others"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Token::of(data.path()).is_ok());
        for text in ["", "short", &"x".repeat(5000), &"a b".repeat(30)] {
            fs::write(&file, text).unwrap();
            let error = Token::of(data.path()).unwrap_err().to_string();
            assert!(error.contains("holds no secret"), "{error}");
        }
        let nowhere = data.path().join("none");
        assert!(Token::of(&nowhere).is_err());
    }
}

//! The file of users.

use std::{collections::HashMap, fmt};

use data_encoding::BASE64;
use tributary_settings::Secret;

/// The users of encoders, and how each proves to be one.
#[derive(Clone, Debug, Default)]
pub struct Users(HashMap<String, Proof>);

/// The knowledge of an edge about a user's password.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Password(Secret),
    /// Of the scheme adobe: the salt, and base64(md5(user, salt, password)).
    Adobe {
        salt: String,
        verifier: Secret,
    },
    /// Of the scheme llnw: hex(md5(`user:live:password`)).
    Llnw(Secret),
}

impl Users {
    /// Reads a file of users, one on each line; empty lines and those that begin with `#` do not
    /// count. All mistakes are reported.
    ///
    /// | line | meaning |
    /// |---|---|
    /// | `alice:PASSWORD` | the password; one that begins with `{` is written behind `{plain}` |
    /// | `alice:{adobe}SALT,V` | a verifier: SALT is the base64 of 8 bytes, V that of the MD5 of user, SALT and password |
    /// | `alice:{llnw}H` | a verifier: H is the MD5 of `alice:live:PASSWORD` in hexadecimal |
    ///
    /// A verifier serves its own scheme alone, and whoever reads it can log in: it only keeps the
    /// password, which people use elsewhere too, out of the file. A shell makes one:
    ///
    /// ```text
    /// SALT=$(openssl rand -base64 8)
    /// printf 'alice%s%s' "$SALT" "$PASSWORD" | openssl md5 -binary | base64
    /// ```
    pub fn read(text: &str) -> Result<Self, Vec<UserMistake>> {
        if text.len() > MAX_USERS_FILE {
            let reason = UserFault::FileTooLong;
            return Err(vec![UserMistake { line: 0, reason }]);
        }
        let mut users = HashMap::new();
        let mut mistakes = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let added = user(line).and_then(|(user, proof)| match users.insert(user, proof) {
                None => Ok(()),
                Some(_) => Err(UserFault::Twice),
            });
            if let Err(reason) = added {
                let line = number + 1;
                mistakes.push(UserMistake { line, reason });
            }
        }
        if mistakes.is_empty() {
            return Ok(Self(users));
        }
        Err(mistakes)
    }

    pub(super) fn find(&self, user: &str) -> Option<&Proof> {
        self.0.get(user)
    }
}

/// Whether a user may have this name: one that a URL, a query and a description can hold as it is.
pub(super) fn is_user(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
    (1..=MAX_USER).contains(&name.len()) && name.bytes().all(fits)
}

fn user(line: &str) -> Result<(String, Proof), UserFault> {
    let (user, rest) = line.split_once(':').ok_or(UserFault::Form)?;
    if !is_user(user) {
        return Err(UserFault::Name);
    }
    let form = |text: &'static str| rest.strip_prefix(text);
    let proof = if let Some(stored) = form("{adobe}") {
        adobe(stored.trim_end()).ok_or(UserFault::Verifier)?
    } else if let Some(stored) = form("{llnw}") {
        llnw(stored.trim_end()).ok_or(UserFault::Verifier)?
    } else {
        let password = form("{plain}").unwrap_or(rest);
        if password == rest && rest.starts_with('{') {
            return Err(UserFault::Brace);
        }
        if !(1..=MAX_PASSWORD).contains(&password.len()) || password.contains(char::is_control) {
            return Err(UserFault::Password);
        }
        Proof::Password(Secret::new(password))
    };
    Ok((user.to_owned(), proof))
}

fn adobe(stored: &str) -> Option<Proof> {
    let (salt, verifier) = stored.split_once(',')?;
    let length = |text: &str| BASE64.decode(text.as_bytes()).ok().map(|bytes| bytes.len());
    (length(salt) == Some(8) && length(verifier) == Some(16)).then(|| Proof::Adobe {
        salt: salt.to_owned(),
        verifier: Secret::new(verifier),
    })
}

fn llnw(stored: &str) -> Option<Proof> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = stored.len() == 32 && stored.bytes().all(is_hex);
    fits.then(|| Proof::Llnw(Secret::new(stored)))
}

/// A line of the file that is no user. Its text has the remedy behind a semicolon, and neither the
/// name nor the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserMistake {
    /// From 1 on; 0 for the whole file.
    pub line: usize,
    reason: UserFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserFault {
    FileTooLong,
    Form,
    Name,
    Password,
    Brace,
    Verifier,
    Twice,
}

impl fmt::Display for UserMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match self.reason {
            UserFault::FileTooLong => f.write_str("the file is too long; it holds at most 1 MiB"),
            UserFault::Form => f.write_str("no user; write USER:PASSWORD"),
            UserFault::Name => write!(
                f,
                "this cannot be the name of a user; write 1 to {MAX_USER} letters, digits and _-.@"
            ),
            UserFault::Password => write!(
                f,
                "this cannot be a password; write 1 to {MAX_PASSWORD} bytes without control \
                 characters"
            ),
            UserFault::Brace => f.write_str(
                "this form of a verifier is not known; write {adobe} or {llnw}, or {plain} before \
                 a password that begins with a brace",
            ),
            UserFault::Verifier => f.write_str(
                "the verifier is malformed; write {adobe}SALT,V with the base64 of 8 and of 16 \
                 bytes, or {llnw}H with 32 hexadecimal digits",
            ),
            UserFault::Twice => f.write_str("this user stands in a line above; keep one of them"),
        }
    }
}

impl std::error::Error for UserMistake {}

/// Bytes of a user's name. Reason: a description has it beside two challenges, within 199 bytes.
pub const MAX_USER: usize = 32;
/// Bytes of a password. Reason: each login hashes it.
const MAX_PASSWORD: usize = 128;
/// Bytes of the file: some 30,000 users.
pub const MAX_USERS_FILE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_users() {
        let users = Users::read(
            "# encoders\n\nalice:s3cr3t\nbob@example.com:a:b c#\r\n\
             carol:{plain}{adobe}x\ndave:{adobe}c2FsdHNhbHQ=,NqnUWLHv9hVR2TrBpG3P3Q== \n\
             eve:{llnw}7c2e88907a012b5937a7aeda43e469c4\n",
        )
        .unwrap();
        let password = |user| match users.find(user) {
            Some(Proof::Password(password)) => password.reveal().to_owned(),
            other => panic!("{user}: {other:?}"),
        };
        assert_eq!(password("alice"), "s3cr3t");
        assert_eq!(password("bob@example.com"), "a:b c#");
        assert_eq!(password("carol"), "{adobe}x");
        assert!(matches!(users.find("dave"), Some(Proof::Adobe { .. })));
        assert!(matches!(users.find("eve"), Some(Proof::Llnw(_))));
        assert!(users.find("Alice").is_none() && users.find("").is_none());
        assert!(!format!("{users:?}").contains("s3cr3t"));
    }

    #[test]
    fn every_mistake_has_its_line_and_a_remedy_and_shows_nothing() {
        let long = "l".repeat(MAX_USER + 1);
        let word = "w".repeat(MAX_PASSWORD + 1);
        let text = format!(
            "alice:a\nsecretword\nal&ice:secretword\n:secretword\n{long}:secretword\nbob:\n\
             carol:{word}\ndave:{{sha}}secretword\neve:{{adobe}}secretword\n\
             frank:{{adobe}}c2FsdA==,NqnUWLHv9hVR2TrBpG3P3Q==\ngina:{{llnw}}ABC\nalice:secretword"
        );
        let mistakes = Users::read(&text).unwrap_err();
        let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, (2..=12).collect::<Vec<_>>());
        for mistake in mistakes {
            let text = mistake.to_string();
            assert!(
                text.contains("; ") && !text.contains("secretword"),
                "{text}"
            );
        }
        let mistakes = Users::read(&"#".repeat(MAX_USERS_FILE + 1)).unwrap_err();
        assert_eq!(mistakes[0].line, 0);
    }
}

//! As whom a script runs. The system's own `getent` is asked: it knows every source of users, and this program, where it is linked
//! statically, none. A source can be a directory service that does not answer: the question has a bound.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long the user database may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The home folder.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// Why a script cannot run as that user.
#[derive(Debug)]
pub(crate) enum AccountError {
    /// There is no such user.
    Unknown,
    /// The user database gives no answer.
    NoAnswer,
    /// It could not be found out.
    NotAsked(io::Error),
}

impl Account {
    /// The superuser, who is the same everywhere.
    pub(crate) fn root() -> Self {
        let text = str::to_owned;
        Self { name: text("root"), uid: 0, gid: 0, home: text("/root"), shell: text("/bin/sh") }
    }

    /// Looks up a user.
    ///
    /// # Errors
    /// When there is none with this name, or that cannot be learned within 30 s.
    pub(crate) async fn find(name: &str) -> Result<Self, AccountError> {
        let mut command = Command::new("getent");
        // The runner's own environment may be that of a person's shell.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["passwd", "--", name]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let answer = timeout(PATIENCE, command.output()).await.map_err(|_| AccountError::NoAnswer)?;
        let output = answer.map_err(AccountError::NotAsked)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Self::parse(text.trim_end()).ok_or(AccountError::Unknown)
    }

    /// Reads a line of passwd(5).
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = *fields else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        Some(Self { name: name.to_owned(), uid, gid, home: home.to_owned(), shell: shell.to_owned() })
    }

    /// Whether it is the one that this program runs as.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The name is a setting's value, and so not for a message (invariant S3).
            Self::Unknown => f.write_str("this machine has no user with the name that `user=` gives"),
            Self::NoAnswer => write!(
                f,
                "the user database does not answer within {} s (`getent passwd`; see /etc/nsswitch.conf)",
                PATIENCE.as_secs()
            ),
            Self::NotAsked(why) => write!(f, "getent, which knows the users, cannot be started: {why}"),
        }
    }
}

impl std::error::Error for AccountError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_an_account_and_anything_else_is_none() {
        let account =
            Account::parse("deploy:x:1001:1002:Deploy,,,:/home/deploy:/bin/bash").expect("an account");
        assert_eq!(
            (account.uid, account.gid, &*account.home, &*account.shell),
            (1001, 1002, "/home/deploy", "/bin/bash")
        );
        for line in ["", "deploy", "deploy:x:a:1:::", "a:b:1:2:c:d:e:f"] {
            assert_eq!(Account::parse(line), None, "{line}");
        }
    }
}

//! The user that a script runs as.
//!
//! The agent asks the system's own `getent`, which knows every source of users; a statically linked agent knows none of them
//! itself. A source may be a directory service that does not answer, so the query has a timeout.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::time::timeout;

/// How long the user database may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of the primary group.
    pub gid: u32,
    /// The home folder.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// Why a script cannot run as a user.
#[derive(Debug, Error)]
pub(crate) enum AccountError {
    /// There is no such user. The name is the value of a setting, so the message does not contain it (invariant S3).
    #[error("the user of `user=` does not exist on this machine")]
    Unknown,
    /// The user database does not answer.
    #[error(
        "the user database does not answer within {} s (`getent passwd`; see /etc/nsswitch.conf)",
        QUERY_TIMEOUT.as_secs()
    )]
    NoAnswer,
    /// getent could not be started.
    #[error("cannot start getent, which looks up users: {0}")]
    NoGetent(#[source] io::Error),
}

impl Account {
    /// The superuser, who is the same on every machine.
    pub(crate) fn root() -> Self {
        let text = str::to_owned;
        Self { name: text("root"), uid: 0, gid: 0, home: text("/root"), shell: text("/bin/sh") }
    }

    /// Looks up a user.
    ///
    /// # Errors
    /// There is no user with this name, or the user database does not answer within 30 s.
    pub(crate) async fn find(name: &str) -> Result<Self, AccountError> {
        let mut command = Command::new("getent");
        // The runner's own environment may be that of a person's shell.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["passwd", "--", name]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let answer = timeout(QUERY_TIMEOUT, command.output()).await.map_err(|_| AccountError::NoAnswer)?;
        let output = answer.map_err(AccountError::NoGetent)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Self::parse(text.trim_end()).ok_or(AccountError::Unknown)
    }

    /// Parses a line of passwd(5).
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = *fields else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        Some(Self { name: name.to_owned(), uid, gid, home: home.to_owned(), shell: shell.to_owned() })
    }

    /// Whether this is the superuser.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_passwd_line_is_an_account() {
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

//! The system accounts that a world needs in `/etc/passwd`, `/etc/group` and `/etc/shadow`. This module handles text only, no files.

/// A user id and its group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The account files of a view, and the daemon's account in them.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) passwd: String,
    pub(crate) group: String,
    pub(crate) shadow: String,
    pub(crate) agent: Account,
}

impl Accounts {
    /// The machine's own files, with the missing system users added. root may log in with a key.
    pub(crate) fn complete(passwd: String, group: String, shadow: &str) -> Accounts {
        // sshd refuses an account whose password field starts with "!", which root's does on many images.
        let others = shadow.lines().filter(|line| !line.starts_with("root:"));
        let shadow = std::iter::once("root:*:20000:0:99999:7:::").chain(others);
        let shadow = shadow.map(|line| format!("{line}\n")).collect();
        let (passwd, group, shadow, _) = add(passwd, group, shadow, "sshd", "/run/sshd");
        let (passwd, group, shadow, agent) = add(passwd, group, shadow, "scw-agent", "/nonexistent");
        Accounts { passwd, group, shadow, agent }
    }
}

/// Adds the system user `name`, unless it exists.
fn add(
    mut passwd: String,
    mut group: String,
    mut shadow: String,
    name: &str,
    home: &str,
) -> (String, String, String, Account) {
    if let Some(uid) = id_of(&passwd, name) {
        let gid = passwd.lines().find(|line| is_named(line, name)).and_then(|line| number(line, 3));
        return (passwd, group, shadow, Account { uid, gid: gid.unwrap_or(uid) });
    }
    let free = |id: &u32| !has_id(&passwd, *id) && !has_id(&group, *id);
    let uid = (100..1000).rev().find(free).unwrap_or(64_000);
    let gid = id_of(&group, name).unwrap_or(uid);
    passwd += &format!("{name}:x:{uid}:{gid}::{home}:/usr/sbin/nologin\n");
    if id_of(&group, name).is_none() {
        group += &format!("{name}:x:{gid}:\n");
    }
    shadow += &format!("{name}:!:20000::::::\n");
    (passwd, group, shadow, Account { uid, gid })
}

fn is_named(line: &str, name: &str) -> bool {
    line.split(':').next() == Some(name)
}

fn number(line: &str, field: usize) -> Option<u32> {
    line.split(':').nth(field)?.parse().ok()
}

/// The id of `name`; it is the third field in `passwd` and in `group`.
fn id_of(text: &str, name: &str) -> Option<u32> {
    text.lines().find(|line| is_named(line, name)).and_then(|line| number(line, 2))
}

fn has_id(text: &str, id: u32) -> bool {
    text.lines().any(|line| number(line, 2) == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_accounts_get_free_ids_others_keep_theirs() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nother:x:999:999::/:/bin/sh\nsshd:x:101:65534::/run/sshd:/bin/no\n";
        let made =
            Accounts::complete(passwd.to_owned(), "other:x:998:\n".to_owned(), "root:!secret:1:::::\n");
        assert_eq!(made.agent, Account { uid: 997, gid: 997 });
        assert!(made.passwd.starts_with(passwd));
        assert!(made.passwd.ends_with("scw-agent:x:997:997::/nonexistent:/usr/sbin/nologin\n"));
        assert_eq!(made.group, "other:x:998:\nscw-agent:x:997:\n");
        assert_eq!(made.shadow, "root:*:20000:0:99999:7:::\nscw-agent:!:20000::::::\n");
    }

    #[test]
    fn existing_agent_account_keeps_its_ids() {
        let passwd = "scw-agent:x:321:322::/:/bin/no\nsshd:x:101:101::/:/bin/no\n".to_owned();
        let made = Accounts::complete(passwd, String::new(), "");
        assert_eq!(made.agent, Account { uid: 321, gid: 322 });
    }
}

//! A call of the program as ssh's `KnownHostsCommand`: the tokens `%I %H %h %n %p %t %K`. Pure.

use std::ffi::OsString;

use super::host_key::{HostKey, KeyError};

/// When ssh calls (`%I`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Before the key exchange, to order the host key algorithms. There is no key yet.
    Order,
    /// The server's key has arrived.
    Hostname,
    /// The same key for the address, with `CheckHostIP`.
    Address,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When ssh calls.
    pub invocation: Invocation,
    /// The name that a line of known_hosts must have (`%H`): `name`, `[name]:port`, or the `HostKeyAlias`.
    pub lookup: String,
    /// The host and its alias.
    pub target: Target,
    /// The key in base64 (`%K`), which has its type in it.
    pub key: String,
}

/// The host that the user wants to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host name after `HostName` was applied (`%h`), in lower case, without a dot at its end.
    pub host: String,
    /// What the user typed (`%n`).
    pub typed: String,
    /// The `HostKeyAlias`, if there is one.
    pub alias: Option<String>,
}

/// Why the arguments are no call.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// The number of arguments is wrong.
    #[error("`check` takes the 7 tokens %I %H %h %n %p %t %K; run `scw-known-hosts setup` again")]
    Count,
    /// The first argument is not one of the three.
    #[error("`check` does not know this kind of call (%I)")]
    Invocation,
}

impl Target {
    /// All its names.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = [Some(&self.host), Some(&self.typed), self.alias.as_ref()];
        names.into_iter().flatten().cloned().collect()
    }
}

impl Call {
    /// The call with these arguments. Arguments that are not UTF-8 can belong to no Instance, so their other
    /// characters are replaced.
    pub fn parse(arguments: &[OsString]) -> Result<Self, CallError> {
        let text = |argument: &OsString| argument.to_string_lossy().into_owned();
        let texts: Vec<_> = arguments.iter().map(text).collect();
        let [invocation, lookup, host, typed, port, _key_type, key] = texts.as_slice() else {
            return Err(CallError::Count);
        };
        let invocation = match invocation.as_str() {
            "ORDER" => Invocation::Order,
            "HOSTNAME" => Invocation::Hostname,
            "ADDRESS" => Invocation::Address,
            _ => return Err(CallError::Invocation),
        };
        let is_host = *lookup == *host || *lookup == format!("[{host}]:{port}");
        let alias = (invocation == Invocation::Hostname && !is_host).then(|| lookup.clone());
        let target = Target { host: normal(host), typed: normal(typed), alias };
        Ok(Self { invocation, lookup: lookup.clone(), target, key: key.clone() })
    }

    /// The offered key.
    pub fn host_key(&self) -> Result<HostKey, KeyError> {
        HostKey::parse(&self.key)
    }

    /// The line of known_hosts that has ssh trust this key; `None` if the name would be a pattern, or more than
    /// one word.
    pub fn line(&self, key: &HostKey) -> Option<String> {
        let is_literal =
            |c: char| c.is_ascii_graphic() && !matches!(c, '*' | '?' | ',' | '!' | '|' | '#' | '@');
        let is_name = !self.lookup.is_empty() && self.lookup.chars().all(is_literal);
        is_name.then(|| format!("{} {} {}\n", self.lookup, key.kind(), key.base64()))
    }
}

/// A host name as it is compared: in lower case, without a dot at its end.
pub(crate) fn normal(name: &str) -> String {
    let name = name.to_lowercase();
    name.strip_suffix('.').map_or(name.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: [&str; 7]) -> Call {
        Call::parse(&arguments.map(OsString::from)).expect("a call")
    }

    #[test]
    fn alias_is_what_is_neither_host_nor_host_with_port() {
        for (invocation, lookup, host, port, alias) in [
            ("HOSTNAME", "web", "web", "22", None),
            ("HOSTNAME", "[web]:2222", "web", "2222", None),
            ("HOSTNAME", "[2001:db8::1]:2222", "2001:db8::1", "2222", None),
            ("HOSTNAME", "other", "web", "22", Some("other")),
            ("HOSTNAME", "other", "web", "2222", Some("other")),
            ("ADDRESS", "192.0.2.1", "web", "22", None),
        ] {
            let call = call([invocation, lookup, host, host, port, "ssh-ed25519", "AAAA"]);
            assert_eq!(call.target.alias.as_deref(), alias, "{lookup}");
        }
    }

    #[test]
    fn line_is_printed_only_for_a_literal_name() {
        let key = HostKey::parse("AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X");
        let key = key.expect("a key");
        for (lookup, printed) in [
            ("[2001:db8::1]:22", true),
            ("fe80::1%eth0", true),
            ("*", false),
            ("a,b", false),
            ("!a", false),
            ("|1|a", false),
            ("@revoked", false),
            ("a b", false),
            ("a\nb", false),
            ("", false),
        ] {
            let call = call(["HOSTNAME", lookup, "web", "web", "22", "ssh-ed25519", "AAAA"]);
            assert_eq!(call.line(&key).is_some(), printed, "{lookup:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_errors() {
        assert_eq!(Call::parse(&[]), Err(CallError::Count));
        let arguments = ["LATER", "a", "a", "a", "22", "x", "x"].map(OsString::from);
        assert_eq!(Call::parse(&arguments), Err(CallError::Invocation));
    }
}

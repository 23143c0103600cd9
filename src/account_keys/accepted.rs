//! Which keys sshd accepts for a login, by its own configuration. Pure.

use crate::account_keys::key_line::KeyLine;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys};

/// The names of the setting, the present one and that of OpenSSH before 8.5.
const ALGORITHMS: [&str; 2] = ["pubkeyacceptedalgorithms", "pubkeyacceptedkeytypes"];
const REQUIRED_RSA: &str = "requiredrsasize";

/// sshd's settings about keys of users. The rules are those for host keys.
pub(crate) struct AcceptedKeys(EffectiveHostKeys);

impl AcceptedKeys {
    /// From what sshd prints of its configuration. A setting that is not there excludes no key.
    pub(crate) fn of_printed(printed: &str) -> Self {
        let value = |names: &[&str]| {
            let lines = printed.lines().filter_map(|line| line.split_once(' '));
            let mut values = lines.filter(|(name, _)| names.iter().any(|it| it.eq_ignore_ascii_case(name)));
            values.next().map(|(_, value)| value.to_owned())
        };
        Self(EffectiveHostKeys {
            source: ConfigSource::Sshd,
            files: Vec::new(),
            algorithms: value(&ALGORITHMS),
            required_rsa: value(&[REQUIRED_RSA]).and_then(|bits| bits.parse().ok()),
            agent: None,
        })
    }

    /// Whether root gets a shell with it for sure. A key with options may be for one command only, and what was not checked completely may
    /// be a certificate, or no key.
    pub(crate) fn is_a_way_in(&self, line: &KeyLine) -> bool {
        line.is_checked() && !line.has_options() && self.accepts(line)
    }

    /// Whether sshd accepts the key.
    pub(crate) fn accepts(&self, line: &KeyLine) -> bool {
        self.0.offers(line.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_keys::key_line::tests::line;

    #[test]
    fn sshd_decides_which_keys_it_accepts() {
        for (printed, accepted) in [
            ("", true),
            ("port 22\npubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512\n", true),
            ("PubkeyAcceptedAlgorithms rsa-sha2-512\n", false),
            ("pubkeyacceptedkeytypes rsa-sha2-512\n", false),
            ("hostkeyalgorithms rsa-sha2-512\nrequiredrsasize 4096\n", true),
        ] {
            assert_eq!(AcceptedKeys::of_printed(printed).accepts(&line(1)), accepted, "{printed}");
        }
    }
}

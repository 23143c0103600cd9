//! The parsed output of judge.sh.

use std::collections::{BTreeMap, BTreeSet};

/// The lines that a script printed, by their first word.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, Vec<String>>);

impl Seen {
    pub(super) fn parse(output: &str) -> Seen {
        let mut seen = Seen::default();
        for line in output.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            seen.0.entry(word.to_owned()).or_default().push(rest.to_owned());
        }
        seen
    }

    pub(super) fn all(&self, word: &str) -> &[String] {
        self.0.get(word).map_or(&[], Vec::as_slice)
    }

    pub(super) fn one(&self, word: &str) -> &str {
        self.all(word).first().map_or("", String::as_str)
    }

    /// The keys in the lines with this word: short name, fingerprint of the private key if OpenSSH loads it, fingerprint of the public
    /// key.
    pub(super) fn keys(&self, word: &str) -> Vec<(String, Option<String>, String)> {
        let key = |line: &String| {
            let mut fields = line.splitn(3, ' ').map(str::to_owned);
            let (private, public) = (fields.next().expect("a fingerprint"), fields.next().expect("another"));
            let path = fields.next().expect("a path");
            (short(&path), (private != "-").then_some(private), public)
        };
        self.all(word).iter().map(key).collect()
    }

    pub(super) fn set(&self, word: &str) -> BTreeSet<String> {
        self.all(word).iter().cloned().collect()
    }
}

/// The short name of a key file: `ed25519` for /etc/ssh/ssh_host_ed25519_key.
fn short(path: &str) -> String {
    let name = path.strip_prefix("/etc/ssh/ssh_host_").and_then(|name| name.strip_suffix("_key"));
    name.unwrap_or(path).to_owned()
}

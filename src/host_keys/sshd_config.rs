//! What of sshd's configuration decides which host keys it serves: `HostKey`, `HostKeyAlgorithms`, `RequiredRSASize` (sshd_config(5)).
//!
//! The same reader takes the files as they are written, before there is an sshd to ask, and what `sshd -T` prints. It is
//! pure but for [`SshdConfig::read`]; everything that it does not know, it passes over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::wildcard;
use crate::files;

/// Far over any configuration.
const LARGEST: u64 = 1024 * 1024;
/// As deep as sshd itself follows `Include`.
const DEEPEST: usize = 16;
/// As many patterns and files as all `Include` lines together may come to. Depth alone is no bound: a file that includes itself twice doubles the
/// work at each step, and sshd waits for us. No configuration comes near it.
const MOST_INCLUDED: usize = 512;

/// The three settings, as far as they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshdConfig {
    /// `HostKey`, in their order.
    pub host_keys: Vec<PathBuf>,
    /// `HostKeyAlgorithms` as written: a list, or one that begins with `+`, `-` or `^`.
    pub algorithms: Option<String>,
    /// `RequiredRSASize`, in bits.
    pub required_rsa: Option<usize>,
}

impl SshdConfig {
    /// Reads the configuration at `path` with the files that it includes; `None` where there is none.
    ///
    /// # Errors
    /// When the file at `path` is there and cannot be read. An included one that cannot be read is passed over.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::read_with_texts(path)?.map(|(config, _)| config))
    }

    /// All that [`SshdConfig::read`] reads, in its order; nothing where there is no configuration.
    ///
    /// # Errors
    /// As there.
    pub(super) fn texts(path: &Path) -> io::Result<Vec<String>> {
        Ok(Self::read_with_texts(path)?.map(|(_, texts)| texts).unwrap_or_default())
    }

    fn read_with_texts(path: &Path) -> io::Result<Option<(Self, Vec<String>)>> {
        let Some(text) = read_text(path)? else { return Ok(None) };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let (mut config, mut left) = (Self::default(), MOST_INCLUDED);
        let mut texts = vec![text.clone()];
        let mut include = |pattern: &str| {
            let more = included(folder, pattern, &mut left);
            texts.extend(more.iter().cloned());
            more
        };
        config.take(&text, &mut include, DEEPEST);
        Ok(Some((config, texts)))
    }

    /// Reads a text that includes nothing, such as `sshd -T` prints.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        config.take(text, &mut |_| Vec::new(), 0);
        config
    }

    fn take(&mut self, text: &str, include: &mut dyn FnMut(&str) -> Vec<String>, depth: usize) {
        for line in text.lines() {
            let mut words = words(line).into_iter();
            let Some(keyword) = words.next() else { continue };
            match &*keyword.to_ascii_lowercase() {
                // What follows holds for some connections only; host keys are chosen for all.
                "match" => return,
                "hostkey" => self.host_keys.extend(words.next().map(absolute)),
                // The first one counts.
                "hostkeyalgorithms" => self.algorithms = self.algorithms.take().or(words.next()),
                "requiredrsasize" => {
                    self.required_rsa = self.required_rsa.or(words.next().and_then(|size| size.parse().ok()));
                }
                "include" if depth > 0 => {
                    for text in words.flat_map(|pattern| include(&pattern)).collect::<Vec<_>>() {
                        self.take(&text, include, depth - 1);
                    }
                }
                _ => {}
            }
        }
    }
}

/// sshd's working folder is the root.
fn absolute(path: String) -> PathBuf {
    Path::new("/").join(path)
}

/// The texts that an `Include` names: a path, relative to the configuration's folder, perhaps with wildcards in its last part. No more than are
/// `left` of those that may be read in all.
fn included(folder: &Path, pattern: &str, left: &mut usize) -> Vec<String> {
    let Some(still) = left.checked_sub(1) else { return Vec::new() };
    *left = still;
    let path = folder.join(pattern);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let entry = entry.file_name();
            let entry = entry.to_str().unwrap_or_default();
            // As in a shell: a wildcard does not stand for the dot of a hidden file.
            wildcard::matches(name, entry) && entry.starts_with('.') == name.starts_with('.')
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort_unstable();
    paths.truncate(*left);
    *left -= paths.len();
    paths.iter().filter_map(|path| read_text(path).ok().flatten()).collect()
}

fn read_text(path: &Path) -> io::Result<Option<String>> {
    let bytes = files::read_bounded(path, LARGEST)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A line's words. The first may be joined to the second by `=`; a word may stand in quotes; `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let line = line.trim_start();
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    if keyword.is_empty() || keyword.starts_with('#') {
        return Vec::new();
    }
    let mut found = vec![keyword.trim_matches('"').to_owned()];
    let rest = rest.trim_start();
    let mut rest = rest.strip_prefix('=').unwrap_or(rest);
    loop {
        rest = rest.trim_start();
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len())),
        };
        if rest.is_empty() || rest.starts_with('#') {
            return found;
        }
        found.push(word.to_owned());
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_over_host_keys_is_read_and_all_else_passed_over() {
        for (text, host_keys, algorithms, required_rsa) in [
            ("", &[][..], None, None),
            ("# HostKey /a\n  #HostKey /b\nPort 22\n", &[], None, None),
            ("HostKey /a\nhostkey /b\n", &["/a", "/b"], None, None),
            ("HostKey=/a\nHOSTKEY = \"/b c\"\n\tHostKey   /d # ours\n", &["/a", "/b c", "/d"], None, None),
            ("HostKey keys/a\n", &["/keys/a"], None, None),
            ("HostKey\nHostKey \"/a", &["/a"], None, None),
            ("HostKeyAlgorithms -ssh-rsa\nHostKeyAlgorithms ssh-ed25519", &[], Some("-ssh-rsa"), None),
            ("RequiredRSASize 2048\nRequiredRSASize 4096", &[], None, Some(2048)),
            ("RequiredRSASize lots", &[], None, None),
            ("HostKey /a\nMatch User x\nHostKey /b\n", &["/a"], None, None),
        ] {
            let host_keys = host_keys.iter().map(PathBuf::from).collect();
            let expected = SshdConfig { host_keys, algorithms: algorithms.map(str::to_owned), required_rsa };
            assert_eq!(SshdConfig::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn h3_files_that_include_each_other_over_and_over_come_to_an_end_soon() {
        let folder = std::env::temp_dir().join(format!("scw-agent-include-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("made");
        let text = "HostKey /a\nInclude sshd_config s* *\n";
        fs::write(folder.join("sshd_config"), text).expect("written");
        let config = SshdConfig::read(&folder.join("sshd_config"));
        fs::remove_dir_all(&folder).expect("removed");
        let host_keys = config.expect("readable").expect("there").host_keys.len();
        assert!((2..=MOST_INCLUDED).contains(&host_keys), "{host_keys}");
    }

    #[test]
    fn a_file_that_includes_itself_comes_to_an_end() {
        let mut config = SshdConfig::default();
        config.take("Include x\nHostKey /a", &mut |_| vec!["Include x\nHostKey /b".to_owned()], DEEPEST);
        assert_eq!(config.host_keys.len(), DEEPEST + 1);
    }
}

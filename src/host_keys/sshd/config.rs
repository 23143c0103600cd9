//! This program's own reading of sshd's configuration (sshd_config(5)), limited to what decides which host keys sshd serves, and which
//! files of authorized keys it reads.
//!
//! Where sshd gives an answer, that answer is used ([`crate::host_keys::sshd::query`]). This module is for a machine without sshd, for a
//! configuration that sshd refuses, and for noticing that a file has changed. It reads within bounds and ignores everything that it does
//! not know.

use std::io;
use std::path::{Path, PathBuf};

use crate::host_keys::sshd::glob::glob;
use crate::util::files;

/// The largest file that is read. No configuration comes near it.
const MAX_BYTES: u64 = 1024 * 1024;
/// How many levels of `Include` are followed; the same as in sshd.
const MAX_DEPTH: usize = 16;
/// How many patterns and files all `Include` lines together may have; further ones are ignored. The depth alone is no bound: a file that
/// includes itself twice doubles the work at each level, and sshd waits for this. No configuration comes near it.
const MAX_INCLUDED: usize = 512;

/// The settings about host keys, as far as they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshdConfig {
    /// Whether there is a `HostKey` line. Without one, sshd's defaults apply.
    pub has_host_key_lines: bool,
    /// The paths of the `HostKey` lines, in their order. `none` is no path.
    pub host_keys: Vec<PathBuf>,
    /// `HostKeyAlgorithms` as written: a list that may begin with `+`, `-` or `^`.
    pub algorithms: Option<String>,
    /// `RequiredRSASize`, in bits.
    pub required_rsa: Option<usize>,
    /// `HostKeyAgent`, unless `none`.
    pub agent: Option<String>,
    /// The patterns of `AuthorizedKeysFile`.
    pub authorized_keys_files: Option<Vec<String>>,
    /// Whether `AuthorizedKeysFile` is set for some connections only.
    pub has_conditional_keys_files: bool,
}

/// The state while a configuration is read.
struct Reader<'a> {
    config: SshdConfig,
    folder: &'a Path,
    /// A file that is not included.
    except: Option<&'a Path>,
    /// The texts of all files that were read, in their order.
    texts: Vec<String>,
    /// How many patterns and files may still be included.
    remaining_includes: usize,
}

impl SshdConfig {
    /// Reads the options of the command line (`-o`), then the configuration at `path` with the files that it includes. Returns `None` if
    /// there is no file, otherwise also the texts in the order in which they were read.
    ///
    /// # Errors
    /// When the file at `path` exists and cannot be read. An included file that cannot be read is ignored.
    pub fn read(path: &Path, options: &[String]) -> io::Result<Option<(Self, Vec<String>)>> {
        Self::read_except(path, options, None)
    }

    /// The same as if one of the included files was not there.
    ///
    /// # Errors
    /// As [`SshdConfig::read`].
    pub(crate) fn read_except(
        path: &Path,
        options: &[String],
        except: Option<&Path>,
    ) -> io::Result<Option<(Self, Vec<String>)>> {
        let Some(text) = read_text(path)? else { return Ok(None) };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let (config, texts) = (Self::default(), Vec::new());
        let mut reader = Reader { config, folder, except, texts, remaining_includes: MAX_INCLUDED };
        for option in options {
            reader.text(option, &mut true, 0);
        }
        reader.texts.push(text.clone());
        reader.text(&text, &mut true, MAX_DEPTH);
        Ok(Some((reader.config, reader.texts)))
    }

    /// Reads the output of `sshd -G` and `sshd -T`: a name and its value on each line, the value without quotes.
    pub fn parse_printed(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            if let Some((keyword, value)) = line.split_once(' ') {
                config.set(keyword, value);
            }
        }
        config
    }

    /// The first line is used, and below a `Match` it may be another one.
    fn set_authorized_keys_files(&mut self, patterns: Vec<String>, is_active: bool) {
        if !is_active {
            self.has_conditional_keys_files = true;
        } else if self.authorized_keys_files.is_none() && !patterns.is_empty() {
            self.authorized_keys_files = Some(patterns);
        }
    }

    fn set(&mut self, keyword: &str, value: &str) {
        match &*keyword.to_ascii_lowercase() {
            // The second name is the older one.
            "hostkey" | "hostdsakey" => {
                self.has_host_key_lines = true;
                // sshd prints `none` as `(null)`. A path that is not UTF-8 is not guessed.
                let is_path = !value.contains(char::REPLACEMENT_CHARACTER) && value != "(null)";
                if is_path && !value.eq_ignore_ascii_case("none") {
                    self.host_keys.push(absolute(value));
                }
            }
            // For the other settings, the first line is used.
            "hostkeyalgorithms" => {
                self.algorithms = self.algorithms.take().or_else(|| Some(value.to_owned()))
            }
            "requiredrsasize" => self.required_rsa = self.required_rsa.or_else(|| value.parse().ok()),
            "hostkeyagent" => self.agent = self.agent.take().or_else(|| Some(value.to_owned())),
            _ => {}
        }
    }
}

impl Reader<'_> {
    /// Reads one text. `active` is false below a `Match` that applies to some connections only. Files that are included there are still
    /// read, because sshd reads them.
    fn text(&mut self, text: &str, active: &mut bool, depth: usize) {
        for line in text.lines() {
            let mut words = words(line).into_iter();
            let Some(keyword) = words.next() else { continue };
            if keyword.eq_ignore_ascii_case("match") {
                *active = words.next().is_some_and(|word| word.eq_ignore_ascii_case("all"));
            } else if keyword.eq_ignore_ascii_case("include") && depth > 0 {
                for pattern in words {
                    self.include(&pattern, *active, depth);
                }
            } else if keyword.eq_ignore_ascii_case("authorizedkeysfile") {
                self.config.set_authorized_keys_files(words.collect(), *active);
            } else if let (true, Some(value)) = (*active, words.next()) {
                self.config.set(&keyword, &value);
            }
        }
    }

    /// Reads the files of an `Include` line. A relative path starts at the configuration's folder.
    fn include(&mut self, pattern: &str, active: bool, depth: usize) {
        let Some(remaining_includes) = self.remaining_includes.checked_sub(1) else { return };
        let paths = glob(&self.folder.join(from_home(pattern)), remaining_includes);
        self.remaining_includes = remaining_includes.saturating_sub(paths.len());
        for path in paths {
            if Some(&*path) == self.except {
                continue;
            }
            if let Ok(Some(text)) = read_text(&path) {
                self.texts.push(text.clone());
                // A Match in the file ends with the file.
                self.text(&text, &mut active.clone(), depth - 1);
            }
        }
    }
}

/// The absolute form of a path. sshd's working folder is `/`, and its user is root.
fn absolute(path: &str) -> PathBuf {
    Path::new("/").join(from_home(path))
}

fn from_home(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => Path::new("/root").join(rest),
        None => PathBuf::from(path),
    }
}

fn read_text(path: &Path) -> io::Result<Option<String>> {
    let bytes = files::read_bounded(path, MAX_BYTES)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The words of a line. The first two may be joined by `=`. A part of a word may be in quotes of either kind. A word that begins with
/// `#` begins a comment.
pub(crate) fn words(line: &str) -> Vec<String> {
    let line = line.trim_start();
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    if keyword.is_empty() || keyword.starts_with('#') {
        return Vec::new();
    }
    let rest = rest.trim_start();
    let mut words = vec![keyword.trim_matches('"').to_owned()];
    words.extend(split_quoted(rest.strip_prefix('=').unwrap_or(rest)));
    words
}

/// Splits a text at white space as OpenSSH 8.7 and later do.
pub(crate) fn split_quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(char::is_ascii_whitespace).is_some() {}
        match characters.peek() {
            None | Some('#') => return words,
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = characters.next() {
            match (quote, c) {
                (None, c) if c.is_ascii_whitespace() => break,
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (_, '\\') => {
                    let stands_for_itself =
                        |next: &char| matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ');
                    word.push(characters.next_if(stands_for_itself).unwrap_or('\\'));
                }
                (_, c) => word.push(c),
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::util::random;

    /// Reads these files, of which the first is the configuration. Returns it with the number of texts.
    fn read(files: &[(&str, &str)]) -> (SshdConfig, usize) {
        let folder = std::env::temp_dir().join(format!("scw-agent-config-{:x}", random::generator().u64(..)));
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let read = SshdConfig::read(&folder.join(files[0].0), &[]);
        fs::remove_dir_all(folder).expect("removed");
        let (config, texts) = read.expect("readable").expect("there");
        (config, texts.len())
    }

    #[test]
    fn h3_settings_about_host_keys_are_read() {
        for (text, host_keys, algorithms, required_rsa) in [
            ("", &[][..], None, None),
            ("# HostKey /a\n  #HostKey /b\nPort 22\n", &[], None, None),
            ("HostKey /a\nhostkey /b\nHostDSAKey /c", &["/a", "/b", "/c"], None, None),
            ("HostKey=/a\nHOSTKEY = \"/b c\"\n\tHostKey   /d # ours\n", &["/a", "/b c", "/d"], None, None),
            (
                "HostKey '/a b'\nHostKey /mid\"dle quo\"ted\nHostKey /a#b",
                &["/a b", "/middle quoted", "/a#b"],
                None,
                None,
            ),
            ("HostKey /a\\ b\nHostKey \"/a\\\"b\"\r\n", &["/a b", "/a\"b"], None, None),
            ("HostKey keys/a\nHostKey ~/a\nHostKey none", &["/keys/a", "/root/a"], None, None),
            ("HostKey\nHostKey \"/a", &["/a"], None, None),
            ("HostKeyAlgorithms -ssh-rsa\nHostKeyAlgorithms ssh-ed25519", &[], Some("-ssh-rsa"), None),
            ("RequiredRSASize 2048\nRequiredRSASize 4096", &[], None, Some(2048)),
            ("RequiredRSASize lots", &[], None, None),
            ("HostKey /a\nMatch User x\nHostKey /b\nMatch all\nHostKey /c", &["/a", "/c"], None, None),
        ] {
            let (config, _) = read(&[("sshd_config", text)]);
            let paths: Vec<_> = host_keys.iter().map(PathBuf::from).collect();
            assert_eq!(config.host_keys, paths, "{text:?}");
            assert_eq!((config.algorithms.as_deref(), config.required_rsa), (algorithms, required_rsa));
        }
    }

    #[test]
    fn h3_output_of_sshd_has_no_quotes() {
        let text =
            "HostKey /with space # and more\nhostkey (null)\nhostkeyagent none\nRequiredRSASize 1024\nport\n";
        let config = SshdConfig::parse_printed(text);
        assert_eq!(config.host_keys, [PathBuf::from("/with space # and more")]);
        assert_eq!((config.agent.as_deref(), config.required_rsa), (Some("none"), Some(1024)));
        let none = SshdConfig::parse_printed("hostkey (null)\n");
        assert!(none.has_host_key_lines && none.host_keys.is_empty());
    }

    #[test]
    fn h3_every_included_file_is_read() {
        let (config, texts) = read(&[
            (
                "sshd_config",
                "Include [0-9]*.conf '*.d/*.conf' \"a b\"\nMatch User x\nInclude later\nHostKey /no\n",
            ),
            ("50-a.conf", "HostKey /a\n"),
            ("b.conf", "HostKey /b\n"),
            ("x.d/c.conf", "Match User y\nHostKey /no\n"),
            ("x.d/d.conf", "HostKey /d\n"),
            ("a b", "HostKey /e\n"),
            ("later", "HostKey /no\n"),
        ]);
        assert_eq!(config.host_keys, ["/a", "/d", "/e"].map(PathBuf::from));
        assert_eq!(texts, 6);
    }

    #[test]
    fn files_of_authorized_keys_are_read() {
        for (text, files, is_conditional) in [
            ("Port 22\n", None, false),
            ("AuthorizedKeysFile .ssh/a \"/etc/keys/%u\" # ours\nauthorizedkeysfile /b\n", Some(2), false),
            ("AuthorizedKeysFile=/a\nMatch User x\nPort 22\n", Some(1), false),
            ("Match User x\nAuthorizedKeysFile /a\n", None, true),
            ("AuthorizedKeysFile\nAuthorizedKeysFile none\n", Some(1), false),
        ] {
            let (config, _) = read(&[("sshd_config", text)]);
            let found =
                (config.authorized_keys_files.map(|files| files.len()), config.has_conditional_keys_files);
            assert_eq!(found, (files, is_conditional), "{text}");
        }
    }

    #[test]
    fn h3_recursive_includes_are_bounded() {
        let (config, _) = read(&[("sshd_config", "HostKey /a\nInclude sshd_config s* *\n")]);
        assert!((2..=MAX_INCLUDED).contains(&config.host_keys.len()), "{}", config.host_keys.len());
        let (config, _) = read(&[("sshd_config", "Include x\nHostKey /a"), ("x", "Include x\nHostKey /b")]);
        assert_eq!(config.host_keys.len(), MAX_DEPTH + 1);
    }
}

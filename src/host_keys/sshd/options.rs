//! The program and the options with which sshd's unit starts sshd. They are read from the unit's file, its drop-ins, and their
//! environment files, because an administrator may move sshd's configuration or configure host keys there.
//!
//! Options that change which host keys sshd serves are used when sshd is queried. The others are dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::host_keys::sshd::config::split_quoted;
use crate::host_keys::sshd::glob::glob;
use crate::util::files;

const MAX_BYTES: u64 = 64 * 1024;
/// How many files one pattern may match; further ones are ignored.
const MAX_FILES: usize = 64;
/// The names of sshd's unit. Often one is a link to the other.
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// The folders of systemd's units, the one with the highest precedence first.
const UNIT_FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// sshd's path, the same on every distribution.
const SSHD: &str = "/usr/sbin/sshd";
/// sshd's options that take a value.
const OPTIONS_WITH_VALUE: &str = "bCcEfghkopuV";

/// How sshd is started, as far as it changes the host keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshdOptions {
    /// The path of the program.
    pub(crate) program: String,
    /// The options to use in queries.
    pub(crate) words: Vec<String>,
    /// The same options as lines of a configuration.
    pub(crate) lines: Vec<String>,
    /// The path of the configuration (`-f`).
    pub(crate) config: Option<PathBuf>,
}

impl Default for SshdOptions {
    fn default() -> Self {
        Self { program: SSHD.to_owned(), words: Vec::new(), lines: Vec::new(), config: None }
    }
}

impl SshdOptions {
    /// The options on this machine.
    pub(crate) fn read() -> Self {
        let unit = UNITS.into_iter().find_map(|unit| {
            let paths = UNIT_FOLDERS.into_iter().map(|folder| Path::new(folder).join(unit));
            paths.filter(|path| path.exists()).find_map(|path| read_text(&path))
        });
        let Some(unit) = unit else { return Self::default() };
        let mut settings = UnitSettings::default();
        settings.read(&unit);
        for path in drop_ins() {
            settings.read(&read_text(&path).unwrap_or_default());
        }
        settings.options()
    }

    fn parse(program: &str, words: impl IntoIterator<Item = String>) -> Self {
        let mut options = Self { program: program.to_owned(), ..Self::default() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-') else { continue };
            // Several letters may be one word; the last one may have a value.
            let Some(at) = letters.find(|c| OPTIONS_WITH_VALUE.contains(c)) else { continue };
            let (letter, rest) = letters[at..].split_at(1);
            let value = if rest.is_empty() { words.next().unwrap_or_default() } else { rest.to_owned() };
            match letter {
                "f" => options.config = Some(Path::new("/").join(&value)),
                "h" => options.lines.push(format!("HostKey \"{value}\"")),
                "o" => options.lines.push(value.clone()),
                _ => continue,
            }
            options.words.push(format!("-{letter}{value}"));
        }
        options
    }
}

/// The drop-ins of both unit names, in the order in which systemd reads them: sorted by file name. A file replaces one of the same name in
/// a folder of lower precedence.
fn drop_ins() -> Vec<PathBuf> {
    let mut by_name = BTreeMap::new();
    for folder in UNIT_FOLDERS.into_iter().rev() {
        for unit in UNITS {
            for path in glob(Path::new(&format!("{folder}/{unit}.d/*.conf")), MAX_FILES) {
                by_name.insert(path.file_name().map(ToOwned::to_owned), path);
            }
        }
    }
    by_name.into_values().collect()
}

/// The settings of the unit's file and its drop-ins.
#[derive(Debug, Default)]
struct UnitSettings {
    /// The command line. A service of this kind has one `ExecStart=`.
    start: Option<String>,
    variables: BTreeMap<String, String>,
    environment_files: Vec<String>,
}

impl UnitSettings {
    fn read(&mut self, text: &str) {
        // A backslash at the end of a line joins it to the next.
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            let Some((key, value)) = line.split_once('=') else { continue };
            match (key.trim(), value.trim()) {
                ("ExecStart", value) => self.start = (!value.is_empty()).then(|| value.to_owned()),
                ("EnvironmentFile", "") => self.environment_files.clear(),
                ("EnvironmentFile", path) => {
                    self.environment_files.push(path.trim_start_matches('-').to_owned())
                }
                ("Environment", "") => self.variables.clear(),
                ("Environment", value) => {
                    let pairs = split_quoted(value);
                    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
                    self.variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
                }
                _ => {}
            }
        }
    }

    fn options(mut self) -> SshdOptions {
        for path in std::mem::take(&mut self.environment_files) {
            for path in glob(Path::new(&path), MAX_FILES) {
                self.variables.extend(variables(&read_text(&path).unwrap_or_default()));
            }
        }
        let start = self.start.unwrap_or_default();
        // Prefixes that systemd allows before the program's path.
        let start = start.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let mut words = split_quoted(start).into_iter().flat_map(|word| expanded(word, &self.variables));
        match words.next() {
            Some(program) if program.ends_with("/sshd") => SshdOptions::parse(&program, words),
            _ => SshdOptions::default(),
        }
    }
}

/// Expands the variables in a word of a command line: `$NAME` becomes the words of the variable, `${NAME}` its text.
fn expanded(word: String, variables: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| variables.get(name).cloned().unwrap_or_default();
    if let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
        return split_quoted(&value(name));
    }
    let mut text = String::new();
    let mut rest = &*word;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        text += before;
        text += &value(name);
        rest = after;
    }
    vec![text + rest]
}

/// The variables of an environment file.
fn variables(text: &str) -> BTreeMap<String, String> {
    let variable = |line: &str| {
        let (name, value) = line.trim().split_once('=').filter(|(name, _)| !name.starts_with(['#', ';']))?;
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        Some((name.trim().to_owned(), quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned()))
    };
    text.lines().filter_map(variable).collect()
}

fn read_text(path: &Path) -> Option<String> {
    let bytes = files::read_bounded(path, MAX_BYTES).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(unit: &[&str], environment: &[(&str, &str)]) -> SshdOptions {
        let mut settings = UnitSettings::default();
        unit.iter().for_each(|text| settings.read(text));
        for (_, text) in environment {
            settings.variables.extend(variables(text));
        }
        settings.options()
    }

    const DEBIAN: &str = "[Service]\nEnvironmentFile=-/nowhere/ssh\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n";

    #[test]
    fn h3_options_about_host_keys_are_kept() {
        let text = "# ours\nSSHD_OPTS=-4\nSSHD_OPTS='-oHostKeyAlgorithms=x -f /etc/ssh/own -p 22 -eh /a -o \"HostKey /b c\" -u0'\n";
        let debian = options(&[DEBIAN], &[("ssh", text)]);
        assert_eq!(debian.words, ["-oHostKeyAlgorithms=x", "-f/etc/ssh/own", "-h/a", "-oHostKey /b c"]);
        assert_eq!(debian.lines, ["HostKeyAlgorithms=x", "HostKey \"/a\"", "HostKey /b c"]);
        assert_eq!(debian.config, Some(PathBuf::from("/etc/ssh/own")));
        assert_eq!(options(&[DEBIAN], &[]), SshdOptions::default());

        let rhel_8 = "[Service]\nExecStart=/usr/sbin/sshd -D $OPTIONS $CRYPTO_POLICY\n";
        let policy =
            [("policy", "CRYPTO_POLICY='-oCiphers=x -oHostKeyAlgorithms=y'\n"), ("own", "OPTIONS=\"\"\n")];
        assert_eq!(options(&[rhel_8], &policy).lines, ["Ciphers=x", "HostKeyAlgorithms=y"]);
        // An administrator opts out by setting the same variable later.
        let opted_out = [policy[0], ("own", "CRYPTO_POLICY=\n")];
        assert_eq!(options(&[rhel_8], &opted_out).words, [""; 0]);
    }

    #[test]
    fn h3_drop_in_replaces_the_command() {
        let drop_in = "[Service]\nEnvironment=\"DIR=/srv/ssh keys\" A=b\nExecStart=\nExecStart=-/opt/ssh/sbin/sshd -D \\\n -f ${DIR}/config\n";
        let replaced = options(&[DEBIAN, drop_in], &[]);
        assert_eq!(
            (&*replaced.program, replaced.config),
            ("/opt/ssh/sbin/sshd", Some("/srv/ssh keys/config".into()))
        );
        let other = "[Service]\nExecStart=\nExecStart=/usr/sbin/dropbear -F\n";
        assert_eq!(options(&[DEBIAN, other], &[]), SshdOptions::default());
    }
}

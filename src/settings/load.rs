//! Reads the files of the configuration and merges them. Each file is validated separately, and only valid files are used. The
//! origin of each value is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::settings::Settings;
use crate::settings::error::{FileFault, SettingsError};
use crate::settings::file;
use crate::settings::keys::{KEYS, Key};
use crate::settings::sources::Sources;
use crate::util::{files, printable};

/// The size limit of a file. A larger file is an error.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The merged configuration.
#[derive(Debug, Default)]
pub struct LoadedSettings {
    /// The merged settings.
    pub settings: Settings,
    /// The files that are used, the one with the lowest precedence first.
    pub files: Vec<PathBuf>,
    /// The errors of the files that are ignored.
    pub problems: Vec<SettingsError>,
    /// For each key that a file sets, by section and name: the last file that sets it.
    origins: BTreeMap<(&'static str, &'static str), PathBuf>,
}

/// Reads and merges all files.
pub fn load(sources: &Sources) -> LoadedSettings {
    let mut loaded = LoadedSettings::default();
    let (paths, unreadable) = sources.list();
    loaded.problems.extend(unreadable.into_iter().map(|(path, why)| SettingsError::Read(path, why)));
    for path in paths {
        if let Err(why) = loaded.apply_file(path) {
            loaded.problems.push(why);
        }
    }
    loaded
}

impl LoadedSettings {
    /// Applies one more file, which overrides the files before it. If the file has an error, nothing of it is applied.
    fn apply_file(&mut self, path: PathBuf) -> Result<(), SettingsError> {
        let text_error = |fault| SettingsError::Text(path.clone(), fault);
        let content = files::read_bounded(&path, MAX_FILE_BYTES);
        let content = content.map_err(|why| SettingsError::Read(path.clone(), why))?;
        let Some(bytes) = content else { return Ok(()) };
        let text = String::from_utf8(bytes).map_err(|_| {
            let what = "the file is not valid UTF-8".to_owned();
            text_error(FileFault { at: None, what, suggestion: None })
        })?;
        let (settings, set) = file::apply(&text, &self.settings).map_err(text_error)?;
        self.settings = settings;
        self.origins.extend(set.into_iter().map(|key| ((key.section, key.name), path.clone())));
        self.files.push(path);
        Ok(())
    }

    /// The file that sets a key; `None` if the key has its default.
    pub fn origin(&self, key: &Key) -> Option<&Path> {
        self.origins.get(&(key.section, key.name)).map(PathBuf::as_path)
    }

    /// The settings as TOML. A value that a file sets has a comment with the path of the file.
    pub fn to_toml(&self) -> String {
        sections(|key| {
            let origin = self.origin(key).map(|path| path.display().to_string());
            let origin = origin.map(|path| format!("  # {}", printable::line(&path))).unwrap_or_default();
            format!("{} = {}{origin}\n", key.name, (key.value)(&self.settings))
        })
    }
}

/// The defaults as TOML. Each key has a comment that describes it.
pub fn defaults() -> String {
    let defaults = Settings::default();
    sections(|key| format!("# {}\n{} = {}\n", key.about, key.name, (key.value)(&defaults)))
}

fn sections(lines: impl Fn(&Key) -> String) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{}]\n", key.section));
            section = key.section;
        }
        text.push_str(&lines(key));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;
    use crate::metadata::api::user_data_key::UserDataKey;
    use crate::scripts::model::settings::SetupSettings;
    use crate::util::random;

    /// A folder with these files, which takes the role of `/`.
    fn machine(files: &[(&str, &str)]) -> (PathBuf, Sources) {
        let root = std::env::temp_dir().join(format!("scw-agent-settings-{:x}", random::generator().u64(..)));
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        for (path, text) in files {
            let path = below(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let Sources { file, folders } = Sources::default();
        let below = |path: PathBuf| below(path.to_str().expect("UTF-8"));
        let sources = Sources { file: below(file), folders: folders.into_iter().map(below).collect() };
        (root, sources)
    }

    #[test]
    fn drop_ins_override_by_name_and_mask_by_folder() {
        let timeout = |minutes: u32| format!("[setup]\ntimeout = \"{minutes}m\"\n");
        let again = |minutes: u32| format!("[metadata]\nlook-again = \"{minutes}m\"\n");
        let (root, sources) = machine(&[
            ("/etc/scw-agent.toml", &format!("{}{}", timeout(1), again(1))),
            ("/usr/lib/scw-agent.toml.d/50-image.toml", &timeout(2)),
            ("/run/scw-agent.toml.d/40-boot.toml", &timeout(3)),
            ("/usr/lib/scw-agent.toml.d/60-masked.toml", &timeout(4)),
            ("/etc/scw-agent.toml.d/60-masked.toml", "[host-keys]\nregenerate = \"never\"\n"),
            ("/usr/lib/scw-agent.toml.d/70-off.toml", &timeout(5)),
            ("/usr/lib/scw-agent.toml.d/80-no-drop-in.toml.bak", "not TOML"),
            ("/usr/lib/scw-agent.toml.d/.90-hidden.toml", "not TOML"),
        ]);
        symlink("/dev/null", root.join("etc/scw-agent.toml.d/70-off.toml")).expect("linked");
        let loaded = load(&sources);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        assert_eq!(loaded.settings.setup.timeout, Duration::from_secs(120));
        assert_eq!(loaded.settings.check_interval, Duration::from_secs(60));
        assert!(!loaded.settings.regenerate);
        let toml = loaded.to_toml();
        assert!(toml.contains("timeout = \"2m\"  # ") && toml.contains("50-image.toml\n"), "{toml}");
        assert!(toml.contains("connect-timeout = \"2s 500ms\"\n"), "a default has no file: {toml}");
        assert_eq!(loaded.files.len(), 4, "{:?}", loaded.files);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn file_with_an_error_is_ignored_and_the_others_are_used() {
        let (root, sources) = machine(&[
            ("/etc/scw-agent.toml", "[setup]\ntimeout = \"5m\"\n"),
            ("/etc/scw-agent.toml.d/10.toml", "[metadata]\nlook-again = \"1h\"\n[setup]\ntimeuot = \"6m\"\n"),
        ]);
        let loaded = load(&sources);
        let five = Settings {
            setup: SetupSettings { timeout: Duration::from_secs(300), ..SetupSettings::default() },
            ..Settings::default()
        };
        assert_eq!(loaded.settings, five, "nothing of the file with an error is used");
        let [problem] = &loaded.problems[..] else { panic!("{:?}", loaded.problems) };
        let message = problem.to_string();
        let end = "10.toml, line 4, column 1: unknown setting `timeuot` in [setup]; did you mean `timeout`?";
        assert!(message.ends_with(end), "{message}");
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn shown_settings_can_be_read_again() {
        for text in [defaults(), LoadedSettings::default().to_toml()] {
            let read = file::apply(&text, &Settings::default()).map(|(settings, set)| (settings, set.len()));
            assert_eq!(read, Ok((Settings::default(), KEYS.len())), "{text}");
        }
        let odd = UserDataKey::new("a\u{202e}\u{e0001}\"\\é").ok();
        let setup = SetupSettings { outcome_key: odd, ..SetupSettings::default() };
        let settings = Settings { setup, ..Settings::default() };
        let shown = LoadedSettings { settings: settings.clone(), ..LoadedSettings::default() }.to_toml();
        assert!(shown.chars().all(|c| c == '\n' || printable::is_shown(c)), "{shown:?}");
        assert_eq!(file::apply(&shown, &Settings::default()).map(|(read, _)| read), Ok(settings));
    }
}

//! From files to settings: each file is read for itself, the good ones are laid over each other, and the origin of every value is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::settings::Settings;
use crate::settings::error::{FileFault, SettingsError};
use crate::settings::file;
use crate::settings::keys::KEYS;
use crate::settings::keys::Key;
use crate::settings::sources::Sources;
use crate::util::{files, printable};

const LARGEST: u64 = 1024 * 1024;

/// What the files say, together.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The settings that hold.
    pub settings: Settings,
    /// The files that were read, and count; the weakest first.
    pub files: Vec<PathBuf>,
    /// The files that do not count, and why.
    pub problems: Vec<SettingsError>,
    /// Section and name of each key that a file sets, and which file won.
    origins: BTreeMap<(&'static str, &'static str), PathBuf>,
}

/// Reads all there is.
pub fn load(sources: &Sources) -> Loaded {
    let mut loaded = Loaded::default();
    let (paths, bad) = sources.list();
    loaded.problems.extend(bad.into_iter().map(|(path, why)| SettingsError::Read(path, why)));
    for path in paths {
        if let Err(why) = loaded.lay_over(path) {
            loaded.problems.push(why);
        }
    }
    loaded
}

impl Loaded {
    /// One more file, over all those before it; nothing of it where anything in it is wrong.
    fn lay_over(&mut self, path: PathBuf) -> Result<(), SettingsError> {
        let in_text = |fault| SettingsError::Text(path.clone(), fault);
        let read =
            files::read_bounded(&path, LARGEST).map_err(|why| SettingsError::Read(path.clone(), why))?;
        let Some(bytes) = read else { return Ok(()) };
        let text = String::from_utf8(bytes).map_err(|_| {
            in_text(FileFault { at: None, what: "the file is not valid UTF-8".to_owned(), suggestion: None })
        })?;
        let (settings, set) = file::apply(&text, &self.settings).map_err(in_text)?;
        self.settings = settings;
        self.origins.extend(set.into_iter().map(|key| ((key.section, key.name), path.clone())));
        self.files.push(path);
        Ok(())
    }

    /// The file that sets a key; none where the default holds.
    pub fn origin(&self, key: &Key) -> Option<&Path> {
        self.origins.get(&(key.section, key.name)).map(PathBuf::as_path)
    }

    /// The settings as TOML; every value that a file sets with that file's name.
    pub fn to_toml(&self) -> String {
        sections(|key| {
            let origin = self.origin(key).map(|path| path.display().to_string());
            let origin = origin.map(|path| format!("  # {}", printable::line(&path))).unwrap_or_default();
            format!("{} = {}{origin}\n", key.name, (key.value)(&self.settings))
        })
    }
}

/// The defaults as TOML, every key with what it is for.
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
    use crate::scripts::model::policy::Policy;
    use crate::util::random;

    /// A folder with these files in it, taken for `/`.
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
    fn drop_ins_go_over_the_file_by_name_and_mask_each_other_by_folder() {
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
        assert_eq!(loaded.settings.look_again, Duration::from_secs(60));
        assert!(!loaded.settings.regenerate);
        let toml = loaded.to_toml();
        assert!(toml.contains("timeout = \"2m\"  # ") && toml.contains("50-image.toml\n"), "{toml}");
        assert!(toml.contains("connect-timeout = \"2s 500ms\"\n"), "a default has no file: {toml}");
        assert_eq!(loaded.files.len(), 4, "{:?}", loaded.files);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn a_broken_file_does_not_count_and_the_others_do() {
        let (root, sources) = machine(&[
            ("/etc/scw-agent.toml", "[setup]\ntimeout = \"5m\"\n"),
            ("/etc/scw-agent.toml.d/10.toml", "[metadata]\nlook-again = \"1h\"\n[setup]\ntimeuot = \"6m\"\n"),
        ]);
        let loaded = load(&sources);
        let five = Settings {
            setup: Policy { timeout: Duration::from_secs(300), ..Policy::default() },
            ..Settings::default()
        };
        assert_eq!(loaded.settings, five, "no half of a broken file counts");
        let [problem] = &loaded.problems[..] else { panic!("{:?}", loaded.problems) };
        let said = problem.to_string();
        assert!(
            said.ends_with(
                "10.toml, line 4, column 1: there is no key `timeuot` in [setup]; did you mean `timeout`?"
            ),
            "{said}"
        );
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in [defaults(), Loaded::default().to_toml()] {
            let read = file::apply(&text, &Settings::default()).map(|(settings, set)| (settings, set.len()));
            assert_eq!(read, Ok((Settings::default(), KEYS.len())), "{text}");
        }
        let odd = UserDataKey::new("a\u{202e}\u{e0001}\"\\é").ok();
        let setup = Policy { outcome_key: odd, ..Policy::default() };
        let settings = Settings { setup, ..Settings::default() };
        let shown = Loaded { settings: settings.clone(), ..Loaded::default() }.to_toml();
        assert!(shown.chars().all(|c| c == '\n' || printable::is_shown(c)), "{shown:?}");
        assert_eq!(file::apply(&shown, &Settings::default()).map(|(read, _)| read), Ok(settings));
    }
}

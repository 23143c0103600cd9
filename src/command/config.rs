//! `scw-agent config …`: what the files say, as the agent understands it.

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{complain, print, print_json};
use crate::settings;
use crate::settings::sources::Sources;
use crate::util::printable;

/// Says which files count, and what is wrong in the others.
pub(crate) fn check(json: bool) -> Exit {
    let loaded = settings::load(&Sources::default());
    let shown = if json {
        let problems: Vec<_> = loaded.problems.iter().map(settings::SettingsError::to_json).collect();
        let document = serde_json::json!({ "version": 1, "files": loaded.files, "problems": problems });
        print_json(&document.to_string())
    } else {
        for problem in &loaded.problems {
            complain(&AGENT, problem);
        }
        let good = loaded.files.iter().map(|path| path.display().to_string());
        let good = good.map(|path| format!("{} is good\n", printable::line(&path)));
        match (loaded.files.is_empty(), loaded.problems.is_empty()) {
            (true, true) => print(&format!("there is no {}: the defaults hold\n", settings::FILE)),
            _ => print(&good.collect::<String>()),
        }
    };
    if loaded.problems.is_empty() { shown } else { Exit::Usage }
}

/// The settings that hold, and where each comes from; or the defaults, explained.
pub(crate) fn show(defaults: bool) -> Exit {
    if defaults {
        return print(&settings::defaults());
    }
    let loaded = settings::load(&Sources::default());
    for problem in &loaded.problems {
        complain(&AGENT, &format!("{problem}; this file does not count"));
    }
    match print(&loaded.to_toml()) {
        Exit::Success if !loaded.problems.is_empty() => Exit::Usage,
        exit => exit,
    }
}

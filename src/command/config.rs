//! `scw-agent config …`: prints how the agent reads the configuration files.

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{print, print_error, print_json};
use crate::settings;
use crate::settings::sources::Sources;
use crate::util::printable;

/// Prints which configuration files are used, and what is wrong with the others.
pub(crate) fn check(json: bool) -> Exit {
    let loaded = settings::load(&Sources::default());
    let printed = if json {
        let problems: Vec<_> = loaded.problems.iter().map(settings::SettingsError::to_json).collect();
        let document = serde_json::json!({ "version": 1, "files": loaded.files, "problems": problems });
        print_json(&document.to_string())
    } else {
        for problem in &loaded.problems {
            print_error(&AGENT, problem);
        }
        let paths = loaded.files.iter().map(|path| path.display().to_string());
        let lines = paths.map(|path| format!("{} is good\n", printable::line(&path)));
        match (loaded.files.is_empty(), loaded.problems.is_empty()) {
            (true, true) => print(&format!("there is no {}: the defaults are used\n", settings::FILE)),
            _ => print(&lines.collect::<String>()),
        }
    };
    if loaded.problems.is_empty() { printed } else { Exit::Usage }
}

/// Prints the settings in use and the file that each comes from, or the defaults with explanations.
pub(crate) fn show(defaults: bool) -> Exit {
    if defaults {
        return print(&settings::defaults());
    }
    let loaded = settings::load(&Sources::default());
    for problem in &loaded.problems {
        print_error(&AGENT, &format!("{problem}; this file is ignored"));
    }
    print(&loaded.to_toml()).or(if loaded.problems.is_empty() { Exit::Success } else { Exit::Usage })
}

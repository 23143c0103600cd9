//! The configuration: one file and drop-ins. Each file is either used or reported with its error. A file with an error changes nothing, and the
//! shown settings are those in use.
//!
//! The lines after a line `=== NAME` are the drop-in of that name.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use scw_agent::settings::{SettingsError, Sources, load};
use scw_agent_fuzz::{files, folder};

fuzz_target!(|data: &[u8]| {
    let folder = folder();
    let drop_ins = folder.join("scw-agent.toml.d");
    fs::create_dir(&drop_ins).expect("made");
    let sources = Sources { file: folder.join("main"), folders: vec![drop_ins.clone()] };
    let files = files(data, "");
    for (name, text) in &files {
        let path = if name.is_empty() { sources.file.clone() } else { drop_ins.join(format!("{name}.toml")) };
        fs::write(path, text).expect("written");
    }
    let loaded = load(&sources);
    assert_eq!(loaded.files.len() + loaded.problems.len(), files.len(), "{loaded:?}");
    for problem in &loaded.problems {
        let SettingsError::Text(path, fault) = problem else { panic!("{problem}") };
        let text = String::from_utf8_lossy(&fs::read(path).expect("still there")).into_owned();
        let lines = text.split('\n').count();
        assert!(fault.at.is_none_or(|(line, column)| (1..=lines).contains(&line) && column > 0), "{problem}");
        assert!(problem.to_string().starts_with(&path.display().to_string()));
        assert!(
            fault.at.is_some() || std::str::from_utf8(text.as_bytes()).is_err() || text.contains('\u{fffd}'),
            "no line and column: {problem}"
        );
        fs::remove_file(path).expect("removed");
    }
    let fixed = load(&sources);
    assert!(
        fixed.problems.is_empty() && fixed.settings == loaded.settings,
        "a file with an error changed the settings"
    );
    let shown = Sources { file: folder.join("shown"), folders: Vec::new() };
    fs::write(&shown.file, loaded.to_toml()).expect("written");
    let again = load(&shown);
    assert!(
        again.problems.is_empty() && again.settings == loaded.settings,
        "{:?}\n{}",
        again,
        loaded.to_toml()
    );
});

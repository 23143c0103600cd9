//! A script's first line and its script header. Invariant S5: an error has its line, and a script runs with the settings that `setup validate`
//! shows. Invariant S3: an error cannot quote the script.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scw_agent::scripts::{
    Prediction, Preview, Script, ScriptError, ScriptKind, ScriptSettings, SetupSettings, WrongForm,
};

const YEAR: u64 = 366 * 24 * 3600;

fuzz_target!(|data: &[u8]| {
    let setup_settings = SetupSettings::default();
    let script = Script::parse(data);
    for (key, kind) in [
        ("setup-script", ScriptKind::Setup),
        ("startup-script.x", ScriptKind::Startup),
        ("shutdown-script", ScriptKind::Shutdown),
    ] {
        let script_settings = script
            .as_ref()
            .ok()
            .and_then(|script| ScriptSettings::of(kind, false, &script.header, &setup_settings).ok());
        let preview = Preview::of(key, data, &setup_settings);
        assert_eq!(preview.is_good(), script_settings.is_some(), "`setup validate` disagrees: {preview:?}");
        let [part] = &preview.parts[..] else { panic!("not one part: {preview:?}") };
        match (&part.prediction, script_settings) {
            (Prediction::Runs(plan), Some(script_settings)) => {
                let shown =
                    |name| plan.settings.iter().find(|setting| setting.name == name).map(|s| &*s.value);
                let timeout = humantime::parse_duration(shown("timeout").expect("always shown"));
                assert_eq!(
                    timeout.as_ref(),
                    Ok(&script_settings.timeout),
                    "the shown timeout differs from the timeout in use"
                );
            }
            (Prediction::NotRun { line, why }, None) => {
                let lines = data.split(|byte| *byte == b'\n').count();
                assert!(line.is_none_or(|line| (1..=lines).contains(&line)) && !why.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
    match &script {
        Ok(script) => check_script(data, script),
        Err(ScriptError::Header(why)) => {
            let line = data.split(|byte| *byte == b'\n').nth(why.line - 1).expect("the line exists");
            let line = String::from_utf8_lossy(line);
            let Some(number) = why.word else {
                // An almost correct mark of a script header, followed by a setting.
                assert!(line.to_ascii_lowercase().contains("setup"));
                return;
            };
            let (_, settings) = line.split_once("scw-setup:").expect("a script header");
            let word = settings.split_whitespace().nth(number - 1).expect("the setting exists");
            assert!(!word.is_empty());
        }
        Err(why) => {
            let form = (!data.is_empty() && !data.starts_with(b"#!")).then(|| WrongForm::of(data));
            assert_eq!(form.map(ScriptError::NoInterpreter), is_no_interpreter(*why).then_some(*why));
            assert_has_no_text(*why);
        }
    }
});

fn is_no_interpreter(why: ScriptError) -> bool {
    matches!(why, ScriptError::NoInterpreter(_))
}

/// Compiles only for types that are `Copy` and `'static`, which cannot have text of the script (invariant S3).
fn assert_has_no_text(_: impl Copy + 'static) {}

fn check_script(data: &[u8], script: &Script<'_>) {
    let first_line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    assert!(data.starts_with(b"#!") && !first_line.contains(&0) && script.body == data);
    let interpreter = &script.interpreter;
    assert!(interpreter.program.starts_with('/') && !interpreter.program.contains([' ', '\t', '\n']));
    let header = &script.header;
    assert!(header.retries.is_none_or(|retries| retries <= 10));
    for length in [header.timeout, header.retry_delay].into_iter().flatten() {
        assert!(!length.is_zero() && length.as_secs() <= YEAR);
    }
    assert!(header.user.as_ref().is_none_or(|user| !user.is_empty() && !user.contains(['/', ':', '\0'])));
    for (name, _) in &header.environment {
        assert!(
            !name.is_empty() && !name.contains(['=', '\0']) && !name.starts_with("SCW_") && name != "PATH"
        );
    }
}

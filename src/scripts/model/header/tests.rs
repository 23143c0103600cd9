//! Tests of the script header: good and wrong settings, and the marks that lines begin with.

use super::*;

/// Wrong settings, and a text that the message about them contains.
const WRONG_SETTINGS: [(&str, &str); 19] = [
    ("timeuot=10m", "did you mean `timeout`?"),
    ("frobnicate", "the settings are timeout"),
    ("timeout", "`timeout=10m`"),
    ("timeout=", "`timeout=10m`"),
    ("timeout=10", "duration such as"),
    ("timeout=0s", "duration such as"),
    ("timeout=2years", "at most a year"),
    ("retries=11", "0 to 10"),
    ("retries=-1", "0 to 10"),
    ("user=-x", "name of a user"),
    ("user=a/b", "name of a user"),
    ("when=sometimes", "once, change or boot"),
    ("delete-after-success=yes", "`delete-after-success`"),
    ("retries=1 retries=1", "set twice"),
    ("env=A", "`env=NAME=VALUE`"),
    ("env=1=2", "letters"),
    ("env=SCW_ZONE=x", "agent sets"),
    ("env=PATH=x", "agent sets"),
    ("Timeout=1m", "timeout"),
];

/// A misspelt mark with settings after it: an error.
const MISSPELT: HeaderMark<'_> = HeaderMark::Similar { has_settings: true };
/// A similar comment that may be meant for people.
const SIMILAR: HeaderMark<'_> = HeaderMark::Similar { has_settings: false };
/// Lines, and the mark that each one begins with.
const MARKS: [(&str, HeaderMark<'_>); 45] = [
    ("# scw-setup: timeout=1m", HeaderMark::Settings(" timeout=1m")),
    ("#scw-setup:timeout=1m", HeaderMark::Settings("timeout=1m")),
    ("##  scw-setup:", HeaderMark::Settings("")),
    ("# scw-setup timeout=1m", MISSPELT),
    ("# scw-setup delete-after-success", MISSPELT),
    ("# SCW-Setup: timeout=1m", MISSPELT),
    ("# scw_setup: timeout=1m", MISSPELT),
    ("# scw setup: timeout=1m", MISSPELT),
    ("# scwsetup: timeout=1m", MISSPELT),
    ("# scw-setup : timeout=1m", MISSPELT),
    ("# scw-setup=timeout=1m", MISSPELT),
    ("#SCW_SETUP:env=A=1", MISSPELT),
    ("# SCW-Setup: retries=2 timeout=5m", MISSPELT),
    ("# scw_setup: user=deploy", MISSPELT),
    // Not every word is a setting, so the comment may be meant for people.
    ("# SCW Setup: tier=1", SIMILAR),
    ("# scw-setup ver=1.2", SIMILAR),
    ("# scw setup usb=1", SIMILAR),
    ("# scw setup uses=3", SIMILAR),
    ("# SCW setup: env=prod host=web1", SIMILAR),
    ("# scw setup --user=deploy", SIMILAR),
    ("# scw-setup user=deploy env=prod  <- how to call this", SIMILAR),
    ("# scw-setup user=deploy; timeout=1m", SIMILAR),
    ("# scw-setup timeout=10", SIMILAR),
    ("# scw-setup retries=1 retries=1", SIMILAR),
    ("# scw-setup delete-after-success is explained in the wiki", SIMILAR),
    ("# scw-setup = timeuot=1m", SIMILAR),
    // Earlier versions of the agent ran these scripts; the comment may be meant for people.
    ("# SCW setup: installs nginx", SIMILAR),
    ("# scw-setup :", SIMILAR),
    ("# scw-setup=", SIMILAR),
    ("# Scw-Setup: see the wiki, timeout=1m", SIMILAR),
    ("# scw-setup installs nginx", HeaderMark::None),
    ("# scw-setup timeouts are explained in the wiki", HeaderMark::None),
    ("# scw-setup retries", HeaderMark::None),
    ("# SCW \u{2014} setup user=deploy", HeaderMark::None),
    ("# scw\u{2011}setup: user=x", HeaderMark::None),
    ("# scw - setup: user=x", HeaderMark::None),
    ("# scw/setup: user=x", HeaderMark::None),
    ("# scw-setups: timeout=1m", HeaderMark::None),
    ("# scw-setup.sh: timeout=1m", HeaderMark::None),
    ("# about scw-setup: timeout=1m", HeaderMark::None),
    ("# scw: timeout=1m", HeaderMark::None),
    ("# setup: timeout=1m", HeaderMark::None),
    ("# é", HeaderMark::None),
    ("#", HeaderMark::None),
    ("scw-setup: timeout=1m", HeaderMark::None),
];

#[test]
fn settings_come_from_the_leading_comments_only() {
    let script = "#!/bin/sh\n# Sets the machine up.\n# scw-setup: timeout=10m retries=2\n#scw-setup: user=deploy when=once delete-after-success retry-delay=30s\n## scw-setup: env=A=1 env=B_2=x=y\n\n# scw-setup: nonsense\necho '# scw-setup: more'\n";
    let header = Header::parse(script).expect("good settings");
    let expected = Header {
        timeout: Some(Duration::from_secs(600)),
        retries: Some(2),
        retry_delay: Some(Duration::from_secs(30)),
        user: Some("deploy".to_owned()),
        when: Some(When::Once),
        delete_after_success: true,
        environment: vec![("A".to_owned(), "1".to_owned()), ("B_2".to_owned(), "x=y".to_owned())],
    };
    assert_eq!(header, expected);
    assert_eq!(Header::parse("#!/bin/sh\necho\n"), Ok(Header::default()));
}

#[test]
fn s5_wrong_setting_reported_by_line_and_word() {
    for (settings, expected) in WRONG_SETTINGS {
        let why = Header::parse(&format!("#!/bin/sh\n#\n# scw-setup: {settings}\n")).expect_err(settings);
        let text = why.to_string();
        let word = settings.split(' ').count();
        assert!(text.starts_with(&format!("line 3 of the script, word {word}: ")), "{settings}: {text}");
        assert!(text.contains(expected), "{settings}: {text}");
    }
}

#[test]
fn s5_settings_after_a_wrong_mark_are_an_error() {
    for (line, expected) in MARKS {
        assert_eq!(header_mark(line), expected, "{line}");
        let header = Header::parse(&format!("#!/bin/sh\n{line}\n"));
        assert_eq!(header.is_err(), expected == MISSPELT, "{line}");
        if let Err(why) = header {
            assert_eq!((why.line, why.word, why.fault), (2, None, HeaderFault::Mark));
            assert!(why.to_string().starts_with("line 2 of the script: "), "{why}");
        }
    }
}

/// Puts a secret at a random position of a random line of settings, also in the middle of a word.
#[test]
fn s3_errors_do_not_quote_the_settings() {
    const SECRET: &str = "hunter2";
    let pieces = [
        SECRET,
        "=",
        "env",
        "=",
        " ",
        "timeout",
        "evn",
        "-",
        "user",
        "when",
        "retries",
        "once",
        "10m",
        ":",
        "\u{202e}",
        "delete-after-success",
        "DB_PASSWORD",
        "PATH",
        "\"",
        "'",
        "\t",
        "#",
        "retry-delay",
        "3",
        "\u{a0}",
        "\\",
    ];
    let mut random = fastrand::Rng::with_seed(12);
    let mut errors = 0;
    for _ in 0..20_000 {
        let mut line = String::new();
        for _ in 0..random.usize(1..10) {
            line.push_str(random.choice(pieces).unwrap_or_default());
        }
        let positions: Vec<_> = line.char_indices().map(|(at, _)| at).collect();
        line.insert_str(random.choice(positions).unwrap_or_default(), SECRET);
        let mark = random.choice(["scw-setup:", "scw-setup", "SCW_setup: env=A="]).unwrap_or_default();
        if let Err(why) = Header::parse(&format!("#!/bin/sh\n# {mark} {line}\n")) {
            errors += 1;
            assert!(!format!("{why} {why:?}").contains(SECRET), "{line:?}: {why}");
        }
    }
    assert!(errors > 6_000, "{errors}");
}

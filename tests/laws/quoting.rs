//! S3: no message quotes a value. The tests put a secret everywhere a user may write one by mistake. Then they search everything that
//! the agent writes: the journal, standard error, the summary, records, `status`, `setup`, `doctor`, the published outcome.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use scw_stage::{Journald, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

const SECRET: &str = "hunter2";
const SUMMARY: &str = "/run/scw-agent-setup/summary.json";
const RECORDS: &str = "/var/lib/scw-agent/setup";

/// Script headers with a mistake, each for its own script.
const SETTINGS: [&str; 31] = [
    "env=DB-PASSWORD=hunter2",
    "evn=TOKEN=hunter2",
    "env=hunter2",
    "env=1=hunter2",
    "env==hunter2",
    "env=PATH=hunter2",
    "env=SCW_TOKEN=hunter2",
    "env=A=1 B=hunter2",
    "env=A=two words hunter2",
    "env=A=\"quoted hunter2\"",
    "env =A=hunter2",
    "env= A=hunter2",
    "ENV=A=hunter2",
    "hunter2",
    "hunter2=1",
    "=hunter2",
    "hunter2= hunter2=",
    "timeout hunter2",
    "timeout=hunter2",
    "timeout=10m timeout=hunter2",
    "timeout=10mhunter2",
    "retries=hunter2",
    "retry-delay=1s,hunter2",
    "when=hunter2",
    "user=hunter2",
    "user=-hunter2",
    "user=hunter2/hunter2",
    "delete-after-success=hunter2",
    "delete-after-succes,hunter2",
    "timeuot=hunter2",
    "\u{202e}hunter2",
];

/// Invalid values for the keys of scripts.
const VALUES: [&str; 6] = [
    "#!hunter2\n",
    "#!bin/hunter2\n",
    "#!/opt/hunter2/bin/python3 hunter2\n",
    "#!/bin/hunter2\n",
    "hunter2\n",
    "TOKEN=hunter2\n#!/bin/sh\n",
];

/// Values of the key `cloud-init`, most of them invalid.
const CLOUD_INIT: [&[u8]; 9] = [
    b"hunter2\n",
    b"#cloud-config\npassword: hunter2\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=hunter2\n\n--hunter2\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; hunter2\n\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/hunter2\n\nx\n--x\nContent-Type: hunter2\n\nx\n--x--\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: hunter2\n\nx\n--x--\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/x-shellscript; name=token=hunter2\n\n#!hunter2\n--x--\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n# scw-setup: evn=T=hunter2\n--x--\n",
    b"\x1f\x8bhunter2",
];

/// Random header settings: pieces of valid ones, with the secret at a random position.
fn random_settings(count: usize) -> Vec<String> {
    let pieces = [
        "=",
        " ",
        "env",
        "env=",
        "A=",
        "timeout",
        "10m",
        "retry-delay=",
        "user=",
        "when=",
        "boot",
        "-",
        "_",
        ":",
        "\"",
        "\\",
    ];
    let mut random = fastrand::Rng::with_seed(8);
    let mut line = || {
        let mut words: Vec<_> =
            (0..random.usize(1..8)).map(|_| *random.choice(&pieces).expect("some")).collect();
        words.insert(random.usize(..=words.len()), SECRET);
        words.concat()
    };
    (0..count).map(|_| line()).collect()
}

/// All scripts with a secret in a wrong place, with their keys.
fn scripts_with_secret() -> Vec<(String, String)> {
    let random = random_settings(60);
    let settings = SETTINGS.into_iter().chain(random.iter().map(String::as_str));
    let settings = settings.map(|line| format!("#!/bin/sh\n# A script.\n# scw-setup: {line}\n"));
    let values = VALUES.into_iter().map(str::to_owned);
    (1..)
        .zip(settings.chain(values))
        .map(|(number, value)| (format!("setup-script.{number:03}"), value))
        .collect()
}

/// The output of each command that shows these scripts, with the command's name.
fn command_outputs(world: &World, keys: &[String]) -> Vec<(String, String)> {
    let shows =
        keys.iter().flat_map(|key| [vec!["setup", "show", key], vec!["setup", "show", key, "--json"]]);
    let others = ["status", "status --json", "setup list", "setup list --json", "doctor", "doctor --json"];
    let all = others.into_iter().map(|words| words.split(' ').collect()).chain(shows);
    all.map(|words| {
        let ended = agent(world, &words);
        (words.join(" "), ended.out + &ended.err)
    })
    .collect()
}

fn assert_without_secret<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (place, text) in texts {
        let line = text.lines().find(|line| line.contains(SECRET));
        assert!(line.is_none(), "in {place}: {}", line.unwrap_or_default());
    }
}

#[test]
fn s3_secret_in_a_wrong_setting_is_published_nowhere() {
    World::builder().run(|world| {
        make_host_key(world);
        fs::write("/etc/scw-agent.toml", "[setup]\noutcome-key = \"outcome\"\n").expect("written");
        let journald = Journald::start(world).expect("journald");
        let scripts = scripts_with_secret();
        for (key, value) in &scripts {
            world.standin().set_user_data(key, value.as_bytes());
        }
        let daemon = start_daemon(world);
        assert_eq!(run(&mut logging_to_journal(world, "setup run")).code, 1);
        let mut keys: Vec<_> = scripts.into_iter().map(|(key, _)| key).collect();
        // One value after the other, because there is only one such key.
        for (number, value) in CLOUD_INIT.into_iter().enumerate() {
            world.standin().set_user_data("cloud-init", value);
            let by_hand = agent(world, &["setup", "run", "cloud-init", "--again"]);
            assert_without_secret([(&*format!("value {number} of cloud-init, by hand"), &*by_hand.err)]);
            run(&mut logging_to_journal(world, "setup run --again"));
            let summary = fs::read_to_string(SUMMARY).expect("read");
            assert_without_secret([(&*format!("the summary with value {number} of cloud-init"), &*summary)]);
            assert!(number == 0 || summary.contains("cloud-init"), "{summary}");
        }
        keys.push("cloud-init".to_owned());
        let by_hand = agent(world, &["setup", "run", "--again"]);
        let outcome =
            String::from_utf8(world.standin().user_data("outcome").expect("published")).expect("UTF-8");
        let (outputs, journal) =
            (command_outputs(world, &keys), journald.entries(world, &[]).expect("read").concat());
        let (_, logged) = daemon.terminate();
        assert_without_secret([
            ("standard error of a run by hand", &*by_hand.err),
            ("the published outcome", &*outcome),
            ("the journal", &*journal),
            ("the daemon's log", &*logged),
            ("the summary", &*fs::read_to_string(SUMMARY).expect("read")),
        ]);
        assert_without_secret(outputs.iter().map(|(command, text)| (&**command, &**text)));
        for record in fs::read_dir(RECORDS).expect("listed") {
            let path = record.expect("an entry").path();
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600, "{path:?}");
            assert_without_secret([("a record", &*fs::read_to_string(&path).expect("read"))]);
        }
        // The searched texts are the right ones: they contain the reasons.
        for text in [&by_hand.err, &outcome, &journal, &outputs[0].1, &outputs[1].1, &outputs[2].1] {
            assert!(
                text.contains("setup-script.001") && text.contains("line 3 of the script, word 1"),
                "{text}"
            );
        }
    });
}

#[test]
fn s3_validate_quotes_nothing_of_a_file() {
    World::builder().run(|world| {
        let mut values: Vec<_> = scripts_with_secret().into_iter().map(|(_, value)| value.into_bytes()).collect();
        values.extend(CLOUD_INIT.map(<[u8]>::to_vec));
        values.extend(
            [
                "#!/usr/bin/env hunter2\n",
                "#!/bin/sh -c hunter2\n",
                "#!/usr/bin/env -S TOKEN=hunter2 sh\n",
                "#!/bin/sh\n# scw-setup: env=hunter2=hunter2 env=A=hunter2 user=hunter2 timeout=1m\nhunter2\n",
            ]
            .map(|value| value.as_bytes().to_vec()),
        );
        let files: Vec<_> = (0..values.len()).map(|number| format!("/run/file-{number}")).collect();
        for (file, value) in files.iter().zip(&values) {
            fs::write(file, value).expect("written");
        }
        // By mistake, a user may give a script's text instead of a file name.
        let files = files.iter().map(String::as_str).chain(["#!/bin/sh\nTOKEN=hunter2\n", "hunter2", "/run/file-0/hunter2"]);
        for words in [&["setup", "validate"][..], &["setup", "validate", "--json"]] {
            let words: Vec<_> = words.iter().copied().chain(files.clone()).collect();
            let ended = agent(world, &words);
            assert!(ended.out.contains("file-0") && ended.err.contains("file 112 of 113: there is no such file"), "{}{}", ended.out, ended.err);
            assert_without_secret([("the output of validate", &*(ended.out + &ended.err))]);
        }
    });
}

#[test]
fn s3_answers_and_state_files_are_not_quoted() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        for text in [
            "{\"user_data\":\"hunter2\",\"id\":\"hunter2\",\"api\":\"hunter2\"}",
            "{\"hunter2\":",
            "hunter2",
            "\"hunter2\"",
        ] {
            world.standin().set_orders(vec![Order::new(Fault::Body { text: text.to_owned() })]);
            let daemon = start_daemon(world);
            until(world, "requested", || {
                request_lines(world).iter().any(|line| line.contains("/conf")).then_some(())
            });
            for words in ["status", "status --json", "doctor", "doctor --json", "setup run"] {
                let ended = agent(world, &words.split(' ').collect::<Vec<_>>());
                assert_without_secret([(words, &*(ended.out + &ended.err))]);
            }
            let listed = userdata(world, &["--json"]);
            assert!(listed.code == 6 && listed.err.contains("line 1"), "{}", listed.err);
            assert_without_secret([
                ("scw-userdata", &*listed.err),
                ("the daemon's log", &*daemon.terminate().1),
            ]);
        }
        world.standin().set_orders(vec![]);

        // A record contains the end of a script's output.
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        let daemon = start_daemon(world);
        for text in
            ["{\"version\":1,\"runs\":\"hunter2\"}", "{\"version\":\"hunter2\"}", "{\"hunter2\"", "hunter2"]
        {
            for file in
                [&*format!("{RECORDS}/setup-script.json"), SUMMARY, "/var/lib/scw-agent/instance.json"]
            {
                fs::write(file, text).expect("written");
            }
            for words in [
                "setup list",
                "setup show setup-script",
                "status",
                "status --json",
                "setup run",
                "host-keys ensure",
            ] {
                let ended = agent(world, &words.split(' ').collect::<Vec<_>>());
                assert_without_secret([(words, &*(ended.out + &ended.err))]);
            }
        }
        let (_, logged) = daemon.terminate();
        assert!(logged.contains("cannot read /run/scw-agent-setup/summary.json"), "{logged}");
        assert_without_secret([("the daemon's log", &*logged)]);
    });
}

#[test]
fn s3_no_argument_is_quoted() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    World::builder().run(|world| {
        let of_userdata: [&[&str]; 16] = [
            &["-hunter2", "key"],
            &["-Vhunter2", "key"],
            &["-5hunter2"],
            &["--hunter2"],
            &["--hunter2=hunter2", "key"],
            &["--json=hunter2", "key"],
            &["--file=hunter2", "key"],
            &["key", "-f", "hunter2"],
            &["key", "-f", "/dev/null/hunter2"],
            &["key", "-f", pem],
            &[pem],
            &[pem, "key"],
            &["hunter2\nhunter2"],
            &["key", "value", "hunter2"],
            &["key", "hunter2", "--file", "hunter2"],
            &["--delete", "key", "hunter2"],
        ];
        let of_agent: [&[&str]; 14] = [
            &["hunter2"],
            &["key", "hunter2"],
            &["key", pem],
            &[pem],
            &["-hunter2"],
            &["--hunter2"],
            &["status", "--json=hunter2"],
            &["status", "--timeout", "hunter2"],
            &["setup", "show", "key", "hunter2"],
            &["setup", "show", "hunter2\nhunter2"],
            &["setup", "show", "key", "--again=hunter2"],
            &["config", "hunter2"],
            &["help", "hunter2"],
            &["setup", "show", "hunter2", "hunter2", "--help"],
        ];
        let all = of_userdata.into_iter().map(|words| (userdata_program(), words));
        for (program, words) in all.chain(of_agent.into_iter().map(|words| (AGENT, words))) {
            let ended = run(world.command(program).args(words));
            assert_eq!((ended.code, &*ended.out), (2, ""), "{words:?}: {}", ended.err);
            assert!(
                !ended.err.contains("unter2") && ended.err.lines().count() == 1,
                "{words:?}: {}",
                ended.err
            );
        }
        for program in [userdata_program(), AGENT] {
            let ended = run(world.command(program).arg(OsStr::from_bytes(b"hunter2\xff")));
            assert_eq!(ended.code, 2, "{}", ended.err);
            assert_without_secret([(program, &*ended.err)]);
        }
        assert_eq!(request_lines(world), Vec::<String>::new());
        // If a shell variable with the key is empty, the value is used as the key.
        let missing = userdata(world, &["hunter2"]);
        assert_eq!(missing.code, 3, "{}", missing.err);
        assert_without_secret([("the message for a missing key", &*missing.err)]);
    });
}

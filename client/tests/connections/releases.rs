//! C1, C3 with the ssh of Debian's releases: the table of docs/reference/scw-known-hosts.md, a newer key type, and an ssh that is
//! too old.
//!
//! The programs come from the root file systems of `tests/images/rootfs`. The release's own dynamic loader runs them.

use std::fmt::Write;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crate::desk::*;
use crate::matrix::*;
use crate::targets::Background;

/// The releases whose ssh has KnownHostsCommand, and how the page names them.
const RELEASES: [(&str, &str); 3] =
    [("bookworm", "Debian 12"), ("trixie", "Debian 13"), ("forky", "forky, Debian's testing release")];
/// OpenSSH 8.4.
const OLD: &str = "bullseye";
/// The folder of the release's programs in the world.
const PROGRAMS: &str = "/run/release";
/// The log of the release's sshd.
const LOG: &str = "/run/sshd.log";
/// Exists if ssh asked.
const ASKED: &str = "/run/asked";

const PAGE: &str = "docs/reference/scw-known-hosts.md";
const BEGIN: &str =
    "<!-- the table is written by the test `c1_c3_each_release_does_what_the_page_says`: begin -->\n";
const END: &str = "<!-- end -->\n";

/// The root folder of the repository.
fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The root file system of a release. Call it outside of a world, where there is a network.
fn root(release: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let mut script = Command::new(checkout().join("tests/images/rootfs"));
    script.arg(release).env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    PathBuf::from(succeed(&mut script).trim_end())
}

fn write_program(name: &str, text: &str) {
    let path = Path::new(PROGRAMS).join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

/// Has the desk use the release's programs, and its configuration for all users.
fn use_release(desk: &mut Desk, root: &Path) {
    fs::copy(root.join("etc/ssh/ssh_config"), "/etc/ssh/ssh_config").expect("copied");
    let root = root.display();
    let libraries = format!("{root}/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut files = fs::read_dir(&libraries).expect("the libraries").flatten().map(|entry| entry.path());
    let is_loader = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-linux-"))
    };
    let loader = files.find(is_loader).expect("the dynamic loader");
    fs::create_dir_all(PROGRAMS).expect("made");
    for path in [
        "bin/ssh",
        "bin/ssh-keygen",
        "bin/ssh-keyscan",
        "sbin/sshd",
        "lib/openssh/sshd-session",
        "lib/openssh/sshd-auth",
    ] {
        let name = path.rsplit('/').next().expect("a name");
        let loader = loader.display();
        write_program(
            name,
            &format!("exec '{loader}' --library-path '{libraries}' '{root}/usr/{path}' \"$@\""),
        );
    }
    write_program("askpass", &format!("echo >{ASKED}\necho no"));
    desk.variables.insert("PATH", format!("{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"));
}

/// What ssh does, in the words of the page.
fn outcome(desk: &Desk, checking: &str, host: &str) -> (&'static str, String) {
    desk.forget();
    drop(fs::remove_file(ASKED));
    let mut command = desk.command("ssh");
    command.args(["-o", "IdentitiesOnly=yes", "-i", "/run/stage/identity", "-l", "root"]);
    command.args(["-o", &format!("StrictHostKeyChecking={checking}"), host, "echo in"]);
    // The answer to its question is "no".
    command.env("SSH_ASKPASS", format!("{PROGRAMS}/askpass")).env("SSH_ASKPASS_REQUIRE", "force");
    let ran = run(command.stdin(Stdio::null()));
    let is_stored = fs::metadata("/root/.ssh/known_hosts").is_ok_and(|file| file.len() > 0);
    let outcome = match (ran.code, fs::metadata(ASKED).is_ok(), is_stored) {
        (0, false, false) => "connects",
        (0, false, true) => "connects, key stored",
        (255, true, false) => "ssh asks",
        (255, false, false) => "refused",
        _ => unreachable!("{checking} {host}: {ran:?}"),
    };
    assert_eq!(ran.code == 0, ran.out == "in\n", "{ran:?}");
    (outcome, ran.err)
}

/// Whether the program says why, and the four outcomes.
type Row = (bool, [&'static str; 4]);

/// A row of the table: the same as in matrix.rs, where BatchMode answers the question.
fn row(root: &Path, situation: Situation, is_declared: bool, expected: [bool; 4]) -> Row {
    let mut result = (false, [""; 4]);
    at_desk(|desk| {
        use_release(desk, root);
        let arguments: &[&str] = if is_declared { &["setup", "--host", "51.15.*"] } else { &["setup"] };
        desk.client_ok(arguments);
        arrange(desk, situation);
        let host = if situation == NotOurs { OTHER_ADDRESS } else { ADDRESS };
        let rows = CHECKING.map(|checking| outcome(desk, checking, host));
        let says = |(_, err): &(_, String)| err.lines().any(|line| line.starts_with("scw-known-hosts: "));
        result = (says(&rows[0]), rows.each_ref().map(|(outcome, _)| *outcome));
        assert!(rows.iter().all(|row| says(row) == result.0), "{situation:?}: {rows:?}");
        let is_in = result.1.map(|outcome| outcome.starts_with("connects"));
        assert_eq!(is_in, expected, "{}, {situation:?}, declared: {is_declared}: {rows:?}", root.display());
    });
    result
}

/// The result of a thread. Its panic continues here.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The rows of a release: for a host that is not declared, and for one that is.
fn rows(root: &Path) -> Vec<(Situation, [Row; 2])> {
    std::thread::scope(|scope| {
        let all = |is_declared: bool| {
            move || {
                let row = |(situation, listed, declared, _)| {
                    row(root, situation, is_declared, if is_declared { declared } else { listed })
                };
                TABLE.map(row)
            }
        };
        let (listed, declared) = (scope.spawn(all(false)), scope.spawn(all(true)));
        let [listed, declared] = [listed, declared].map(joined);
        TABLE.iter().enumerate().map(|(n, (situation, ..))| (*situation, [listed[n], declared[n]])).collect()
    })
}

fn title(situation: Situation) -> &'static str {
    match situation {
        Published => "the offered key is published",
        Contradicted => "another key is published",
        NothingPublished => "nothing is published",
        ApiDown => "the API is unreachable",
        NoCredentials => "there are no credentials",
        NoPermission => "a permission is missing",
        NotOurs => "no Instance has the address",
        ToolMissing => "the program is missing",
    }
}

/// The table. Situations that follow each other and are the same for ssh and the user share a row.
fn table(rows: &[(Situation, [Row; 2])]) -> String {
    let mut text = "| situation | host | the program says why | `yes` | `ask` | `accept-new` | `no` |\n|---|---|---|---|---|---|---|\n".to_owned();
    for same in rows.chunk_by(|(_, one), (_, other)| one == other) {
        let titles: Vec<_> = same.iter().map(|(situation, _)| title(*situation)).collect();
        let titles = match titles.as_slice() {
            [all @ .., last] if !all.is_empty() => format!("{}, or {last}", all.join(", ")),
            titles => titles.concat(),
        };
        let (situation, [listed, declared]) = same[0];
        let undeclared = if situation == NotOurs { "neither" } else { "listed" };
        let hosts = [(undeclared, listed), ("declared", declared)];
        let hosts = if listed == declared { &[("both", listed)][..] } else { &hosts };
        for (n, (host, (says, outcomes))) in hosts.iter().enumerate() {
            let titles = if n == 0 { format!(" {titles} ") } else { " ".to_owned() };
            let says = if *says { "yes" } else { "no" };
            writeln!(text, "|{titles}| {host} | {says} | {} |", outcomes.join(" | ")).expect("text");
        }
    }
    text
}

/// `OpenSSH 9.2p1`, of the release at this root.
fn version(root: &Path) -> String {
    let mut text = String::new();
    at_desk(|desk| {
        use_release(desk, root);
        text = run(desk.command("ssh").arg("-V")).err;
    });
    text.split([' ', ',']).next().unwrap_or_default().replace('_', " ")
}

#[test]
fn c1_c3_each_release_does_what_the_page_says() {
    let roots = RELEASES.map(|(release, _)| root(release));
    let tables = std::thread::scope(|scope| {
        let threads = roots.each_ref().map(|root| scope.spawn(|| table(&rows(root))));
        threads.map(joined)
    });
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    for ((root, (_, release)), table) in roots.iter().zip(RELEASES).zip(tables) {
        let name = format!("{} ({release})", version(root));
        match groups.iter_mut().find(|(_, other)| *other == table) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], table)),
        }
    }
    let mut text = String::new();
    for (names, table) in groups {
        write!(text, "Tested with {}:\n\n{table}\n", names.join(", ")).expect("text");
    }
    let path = checkout().join(PAGE);
    let page = fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the first mark");
    let (old, after) = rest.split_once(END).expect("the second mark");
    if std::env::var_os("SCW_WRITE").is_some() {
        fs::write(path, format!("{before}{BEGIN}{text}{END}{after}")).expect("written");
    }
    // The versions change with the releases, so only the tables must be current.
    let tables = |text: &str| text.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect();
    let (old, new): (Vec<String>, Vec<String>) = (tables(old), tables(&text));
    assert_eq!(old, new, "{PAGE} is not current: run this test with SCW_WRITE=1, then review the change");
}

/// Starts the release's sshd with only this host key.
fn start_sshd_of_release(desk: &Desk, key: &str) -> Background {
    let mut command = desk.command("setpriv");
    command.arg("--pdeathsig=KILL").arg("--").arg(format!("{PROGRAMS}/sshd"));
    let options = format!("-D -E {LOG} -p 2222 -h {key} -o PidFile=none -o PerSourcePenalties=no");
    command.args(options.split(' '));
    for (option, program) in [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")] {
        command.arg("-o").arg(format!("{option}={PROGRAMS}/{program}"));
    }
    let sshd = Background(command.spawn().expect("started"));
    let started = Instant::now();
    while TcpStream::connect((ADDRESS, 2222)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(300), "{:?}", fs::read_to_string(LOG));
        std::thread::sleep(Duration::from_millis(50));
    }
    sshd
}

#[test]
fn c1_c3_post_quantum_host_key_is_checked() {
    let root = root("forky");
    at_desk(|desk| {
        use_release(desk, &root);
        let key = "/run/mldsa";
        let keygen = |arguments: &[&str]| succeed(desk.command("ssh-keygen").args(arguments));
        keygen(&["-q", "-t", "mldsa44-ed25519", "-N", "", "-f", key]);
        let line = keygen(&["-lf", &format!("{key}.pub")]);
        let publish = || {
            desk.publish();
            let mut value = desk.world.standin().user_data(FINGERPRINTS).expect("published");
            value.extend(format!("\n{}", line.trim_end()).into_bytes());
            desk.world.standin().set_user_data(FINGERPRINTS, value);
        };
        let _sshd = start_sshd_of_release(desk, key);
        desk.configure(&format!("Host {ADDRESS}\n    Port 2222\n"));
        desk.client_ok(&["setup"]);
        publish();
        for checking in ["yes", "no"] {
            let (is_in, err) = desk.is_in(&[&format!("StrictHostKeyChecking={checking}")], ADDRESS);
            assert!(is_in && err.is_empty(), "{err}");
        }
        // `write` and `verify` get it through ssh-keyscan.
        desk.client_ok(&["write", "--file", "/run/hosts", ADDRESS]);
        let file = fs::read_to_string("/run/hosts").expect("the file");
        assert!(file.contains(" ssh-mldsa44-ed25519 "), "{file}");
        let text = desk.client_ok(&["verify", ADDRESS]);
        assert!(text.contains("MLDSA44-ED25519"), "{text}");

        // The keys without it: the client of an older release made them.
        desk.publish();
        for checking in CHECKING {
            let (is_in, err) = desk.is_in(&[&format!("StrictHostKeyChecking={checking}")], ADDRESS);
            assert!(!is_in && err.contains("the MLDSA44-ED25519 key of"), "{checking}: {err}");
        }
    });
}

#[test]
fn setup_refuses_an_ssh_that_is_too_old() {
    let root = root(OLD);
    at_desk(|desk| {
        use_release(desk, &root);
        fs::create_dir("/run/home").expect("made");
        desk.variables.insert("HOME", "/run/home".to_owned());
        let ran = desk.client(&["setup", "--host", "51.15.*"]);
        assert!(ran.code == 1 && ran.out.is_empty(), "{ran:?}");
        for part in
            ["this ssh (OpenSSH_8.4p1", "does not know KnownHostsCommand", "`scw-known-hosts write HOST`"]
        {
            assert!(ran.err.contains(part), "{ran:?}");
        }
        assert_eq!(succeed(desk.command("find").arg("/run/home")), "/run/home\n");
        desk.variables.remove("HOME");
        // What the message says instead.
        desk.client_ok(&["write", ADDRESS]);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], ADDRESS);
        assert!(is_in, "{err}");
    });
}

#[test]
fn old_ssh_with_the_configuration_connects_unchecked() {
    let root = root(OLD);
    at_desk(|desk| {
        // The home folder is shared with a machine that has a newer ssh.
        desk.client_ok(&["setup", "--host", OTHER_ADDRESS]);
        use_release(desk, &root);
        desk.publish_another();
        desk.world.standin().clear_requests();
        let expected = ["refused", "ssh asks", "connects, key stored", "connects, key stored"];
        for (checking, expected) in CHECKING.into_iter().zip(expected) {
            let (outcome, err) = outcome(desk, checking, ADDRESS);
            assert_eq!(outcome, expected, "{checking}: {err}");
            assert!(!err.contains("scw-known-hosts") && !err.contains("onfiguration option"), "{err}");
        }
        // The configuration has StrictHostKeyChecking for a declared host.
        let (is_in, err) = desk.is_in(&[], OTHER_ADDRESS);
        assert!(!is_in && err.contains("host key is known for"), "{err}");
        // This ssh takes `none` for the name of a file of known hosts, in the current folder.
        assert!(desk.is_in(&["StrictHostKeyChecking=accept-new"], OTHER_ADDRESS).0);
        assert!(fs::metadata("/root/none").is_ok());
        assert_eq!(desk.asked(), Vec::<String>::new());
    });
}

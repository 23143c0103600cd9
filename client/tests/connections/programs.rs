//! C1: programs that run ssh ask the client, too; and paramiko, which does not, uses the file of `write`.
//!
//! Ansible and paramiko are downloaded once, in locked versions, to the folder for temporary files of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use scw_stage::Sshd;

use crate::desk::*;

/// An sshd that also serves SFTP listens on this port.
const PORT: &str = "2222";
/// What is transferred.
const CONTENT: &str = "content\n";

/// The folder of the sources for Python.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

/// The folder of the programs of the locked Python packages. Call it outside of a world, where there is a network.
fn python() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-python");
        let (requirements, stamp) = (sources().join("requirements.txt"), folder.join("made-from"));
        let wanted = fs::read(&requirements).expect("the lock file");
        if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
            drop(fs::remove_dir_all(&folder));
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            let mut pip = Command::new(folder.join("bin/pip"));
            succeed(pip.args(["install", "--quiet", "--require-hashes", "--requirement"]).arg(&requirements));
            fs::write(stamp, wanted).expect("written");
        }
        folder.join("bin")
    })
}

fn start_sshd(desk: &Desk) -> Sshd {
    let options = ["-p", PORT, "-o", "PidFile=none", "-o", "Subsystem=sftp internal-sftp"];
    Sshd::start_with(desk.world, &options).expect("sshd")
}

/// A desk at which programs reach the Instance as `web`, with an ssh that accepts every unknown key.
fn with_programs(test: impl FnOnce(&mut Desk) + Send) {
    at_desk(|desk| {
        let _sshd = start_sshd(desk);
        desk.configure(&format!(
            "Host web\n    HostName {ADDRESS}\n    Port {PORT}\n    User root\n    IdentityFile /run/stage/identity\n    \
             IdentitiesOnly yes\n    BatchMode yes\n    StrictHostKeyChecking no\n"
        ));
        fs::write("/root/file", CONTENT).expect("written");
        desk.client_ok(&["setup"]);
        test(desk);
    });
}

/// The program must be refused if another key is published, and work if the key is published. It must make `result`, with the
/// content.
fn check(desk: &Desk, program: &str, arguments: &[&str], result: &str) {
    let command = || {
        let mut command = desk.command(program);
        command.args(arguments);
        command
    };
    desk.forget();
    desk.publish_another();
    let ran = run(&mut command());
    assert!(ran.code != 0 && ran.err.contains("is not one that scw-example"), "{program}: {ran:?}");
    assert!(fs::metadata(result).is_err(), "{program}: {result} exists");
    desk.publish();
    succeed(&mut command());
    assert_eq!(fs::read_to_string(result).expect("the result"), CONTENT, "{program}");
    assert!(fs::metadata("/root/.ssh/known_hosts").is_err(), "{program} stored a key");
}

#[test]
fn c1_git_clone_is_checked() {
    with_programs(|desk| {
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
            succeed(desk.command("git").args(identity).args(arguments))
        };
        git(&["init", "--quiet", "/root/source"]);
        fs::copy("/root/file", "/root/source/file").expect("copied");
        git(&["-C", "/root/source", "add", "file"]);
        git(&["-C", "/root/source", "commit", "--quiet", "--message=first"]);
        git(&["clone", "--quiet", "--bare", "/root/source", "/root/bare.git"]);
        check(desk, "git", &["clone", "--quiet", "web:/root/bare.git", "/root/by-git"], "/root/by-git/file");
    });
}

#[test]
fn c1_rsync_scp_and_sftp_are_checked() {
    with_programs(|desk| {
        check(desk, "rsync", &["/root/file", "web:/root/by-rsync"], "/root/by-rsync");
        check(desk, "scp", &["-q", "/root/file", "web:/root/by-scp"], "/root/by-scp");
        // The older protocol, which runs scp on the other side.
        check(desk, "scp", &["-q", "-O", "/root/file", "web:/root/by-old-scp"], "/root/by-old-scp");
        fs::write("/root/batch", "put /root/file /root/by-sftp\n").expect("written");
        check(desk, "sftp", &["-q", "-b", "/root/batch", "web"], "/root/by-sftp");
    });
}

#[test]
fn c1_ansible_is_checked() {
    let ansible = python().join("ansible");
    with_programs(|desk| {
        for (name, value) in [
            ("LC_ALL", "C.UTF-8"),
            ("ANSIBLE_HOST_KEY_CHECKING", "False"),
            ("ANSIBLE_TIMEOUT", "300"),
            ("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3"),
        ] {
            desk.variables.insert(name, value.to_owned());
        }
        let ping =
            || run(desk.command(&ansible).args(["all", "--inventory", "web,", "--module-name", "ping"]));
        desk.publish_another();
        let ran = ping();
        assert!(
            ran.code == 4
                && ran.out.contains("UNREACHABLE")
                && ran.out.contains("is not one that scw-example"),
            "{ran:?}"
        );
        desk.publish();
        let ran = ping();
        assert!(ran.code == 0 && ran.out.contains("pong"), "{ran:?}");
    });
}

#[test]
fn c1_paramiko_trusts_only_what_was_written() {
    let interpreter = python().join("python");
    at_desk(|desk| {
        let sshd = start_sshd(desk);
        desk.configure(&format!("Host web\n    HostName {ADDRESS}\n    Port {PORT}\n"));
        let file = "/root/hosts";
        let connect = |desk: &Desk| {
            let mut command = desk.command(&interpreter);
            run(command.arg(sources().join("connect.py")).args([file, ADDRESS, PORT]))
        };
        fs::write(file, "").expect("written");
        let ran = connect(desk);
        assert!(ran.code == 1 && ran.err.contains("not found in known_hosts"), "{ran:?}");
        desk.client_ok(&["write", "--file", file, "web"]);
        let ran = connect(desk);
        assert_eq!((ran.code, ran.out.as_str()), (0, "in\n"), "{ran:?}");

        sshd.stop();
        for key in key_files("key").iter().chain(&key_files("pub")) {
            fs::remove_file(key).expect("removed");
        }
        succeed(desk.world.command("ssh-keygen").arg("-A"));
        let _sshd = start_sshd(desk);
        let ran = connect(desk);
        assert!(ran.code == 1 && ran.err.contains("BadHostKeyException"), "{ran:?}");
        // Until the new keys are published, they are not written.
        assert_eq!(desk.client(&["write", "--file", file, "web"]).code, 1);
        assert_eq!(connect(desk).code, 1);
        desk.publish();
        desk.client_ok(&["write", "--file", file, "web"]);
        let ran = connect(desk);
        assert_eq!((ran.code, ran.out.as_str()), (0, "in\n"), "{ran:?}");
    });
}

//! A user's machine and an Instance in one world: ssh and the client on one side, sshd and the API on the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use scw_stage::{Sshd, World};
use scw_standin::{OWNER_TOKEN, Options, PublicApi, Rights};

/// The client under test.
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_scw-known-hosts");

/// The Instance of the stand-in: its id, name, zone and address.
pub(crate) const ID: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
pub(crate) const NAME: &str = "scw-example";
pub(crate) const ADDRESS: &str = "51.15.68.77";
/// An address that no Instance has, at which the same sshd listens.
pub(crate) const OTHER_ADDRESS: &str = "51.15.99.99";

/// The user data key.
pub(crate) const FINGERPRINTS: &str = "ssh-host-fingerprints";

/// A secret key that may do nothing, and one that has expired.
pub(crate) const POWERLESS: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const EXPIRED: &str = "33333333-3333-4333-8333-333333333333";

const API: &str = "https://169.254.42.42";
const AUTHORITY: &str = "/run/api-authority.pem";

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The user's machine, and the running sshd of the Instance.
pub(crate) struct Desk<'w> {
    pub(crate) world: &'w World,
    _sshd: Sshd,
    /// Variables of the environment.
    pub(crate) variables: BTreeMap<&'static str, String>,
}

/// Runs a test at a desk. The Instance has published its keys, and ssh is not set up.
pub(crate) fn at_desk(test: impl FnOnce(&mut Desk) + Send) {
    let tokens = [(POWERLESS.to_owned(), Rights::None), (EXPIRED.to_owned(), Rights::Expired)];
    let public_api = PublicApi {
        listen: "169.254.42.42:443".parse().expect("an address"),
        authority: Some(AUTHORITY.into()),
        tokens: BTreeMap::from(tokens),
    };
    let options = Options { public_api: Some(public_api), ..Options::default() };
    World::builder().with_sshd().standin(options).run(|world| {
        for address in [ADDRESS, OTHER_ADDRESS] {
            succeed(world.command("ip").args(["address", "add", address, "dev", "lo"]));
        }
        succeed(world.command("ssh-keygen").arg("-A"));
        let sshd = Sshd::start(world).expect("sshd");
        let variables = BTreeMap::from([
            ("SCW_API_URL", API.to_owned()),
            ("SCW_SECRET_KEY", OWNER_TOKEN.to_owned()),
            ("SSL_CERT_FILE", AUTHORITY.to_owned()),
        ]);
        let mut desk = Desk { world, _sshd: sshd, variables };
        desk.publish();
        test(&mut desk);
    });
}

impl Desk<'_> {
    /// A program with the desk's environment.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.world.command(program);
        let folder = Path::new(CLIENT).parent().expect("a folder").display();
        command
            .env_clear()
            .env("HOME", "/root")
            .env("PATH", format!("{folder}:/usr/sbin:/usr/bin:/sbin:/bin"));
        command.envs(&self.variables).current_dir("/root");
        command
    }

    /// Runs the client.
    pub(crate) fn client(&self, arguments: &[&str]) -> Ran {
        run(self.command(CLIENT).args(arguments))
    }

    /// Runs the client, which must succeed. Returns its standard output.
    pub(crate) fn client_ok(&self, arguments: &[&str]) -> String {
        succeed(self.command(CLIENT).args(arguments))
    }

    /// `ssh` with the user's configuration, which logs in with the stage's key. The caller adds the host and the command.
    pub(crate) fn ssh(&self, options: &[&str]) -> Command {
        let mut command = self.command("ssh");
        command.args([
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
            "/run/stage/identity",
            "-l",
            "root",
        ]);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command
    }

    /// Whether ssh lets the user in.
    pub(crate) fn is_in(&self, options: &[&str], host: &str) -> (bool, String) {
        let ran = run(self.ssh(options).args([host, "echo in"]));
        assert!(ran.code == 0 || ran.code == 255, "{ran:?}");
        assert_eq!(ran.code == 0, ran.out == "in\n", "{ran:?}");
        (ran.code == 0, ran.err)
    }

    /// Publishes the fingerprints of the host keys, as the agent does.
    pub(crate) fn publish(&self) {
        let mut lines = String::new();
        for file in key_files("pub") {
            lines += &succeed(self.world.command("ssh-keygen").arg("-lf").arg(file));
        }
        self.world.standin().set_user_data(FINGERPRINTS, lines.trim_end());
    }

    /// Publishes another key than those that sshd has.
    pub(crate) fn publish_another(&self) {
        let line = format!("256 SHA256:{} root@web (ED25519)", "A".repeat(43));
        self.world.standin().set_user_data(FINGERPRINTS, line);
    }

    /// Removes what earlier connections stored.
    pub(crate) fn forget(&self) {
        for file in ["/root/.ssh/known_hosts", "/root/.ssh/known_hosts.old"] {
            drop(fs::remove_file(file));
        }
    }

    /// Adds to the user's ssh configuration, before what `setup` adds.
    pub(crate) fn configure(&self, text: &str) {
        fs::create_dir_all("/root/.ssh").expect("made");
        fs::write("/root/.ssh/config", text).expect("written");
    }

    /// The paths of the requests so far, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.world.standin().requests().iter().map(|request| request.target.clone()).collect()
    }
}

/// Has these names resolve to these addresses, and no other ones.
pub(crate) fn resolve(names: &[(&str, &str)]) {
    let lines: String = names.iter().map(|(address, name)| format!("{address} {name}\n")).collect();
    fs::write("/etc/hosts", format!("127.0.0.1 localhost\n{lines}")).expect("written");
}

/// The host keys of the Instance: those with this ending.
pub(crate) fn key_files(ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/etc/ssh").expect("the folder").flatten().map(|entry| entry.path());
    let is_key = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ssh_host_") && name.ends_with(ending)
    };
    let mut files: Vec<_> = entries.filter(is_key).collect();
    files.sort();
    files
}

/// Runs a program.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it ended by itself");
    Ran { code, out: text(&output.stdout), err: text(&output.stderr) }
}

/// Runs a program, which must succeed. Returns its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let ran = run(command);
    assert_eq!(ran.code, 0, "{command:?}: {ran:?}");
    ran.out
}

//! Tests of the real sshd in a world: it serves the view's host keys and accepts the stage's login key; ssh trusts no other host key.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use scw_stage::{Package, Sshd, World};

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn make_host_keys(world: &World) {
    assert!(world.command("ssh-keygen").arg("-A").output().expect("run").status.success());
}

#[test]
fn sshd_serves_the_views_keys_and_accepts_a_login() {
    World::builder().with_sshd().run(|world| {
        make_host_keys(world);
        let sshd = Sshd::start(world).expect("up");
        let known = text(sshd.keyscan(world).output().expect("run"));
        let public = fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").expect("made");
        let key = public.split(' ').nth(1).expect("a key");
        assert!(known.lines().any(|line| line.ends_with(key)), "{known}");

        fs::write("/run/known_hosts", known).expect("written");
        let login =
            |known: &str| sshd.ssh(world, Path::new(known)).args(["echo", "in"]).output().expect("run");
        assert_eq!(text(login("/run/known_hosts")), "in\n");
        fs::write("/run/other_hosts", "").expect("written");
        assert!(!login("/run/other_hosts").status.success());
        sshd.stop();
    });
}

#[test]
fn sshd_prints_its_settings_with_drop_ins() {
    World::builder().with_sshd().run(|world| {
        make_host_keys(world);
        fs::write("/etc/ssh/sshd_config.d/one.conf", "HostKey /etc/ssh/ssh_host_rsa_key\n").expect("written");
        let settings = text(world.command("/usr/sbin/sshd").arg("-T").output().expect("run"));
        let keys: Vec<&str> = settings.lines().filter(|line| line.starts_with("hostkey ")).collect();
        assert_eq!(keys, ["hostkey /etc/ssh/ssh_host_rsa_key"]);
    });
}

#[test]
fn sshd_without_host_keys_reports_the_reason() {
    World::builder().with_sshd().run(|world| {
        let error = Sshd::start(world).expect_err("no keys").to_string();
        assert!(error.contains("no hostkeys available"), "{error}");
    });
}

#[test]
fn no_package_is_installed_on_the_machine() {
    let was_there = Path::new("/usr/sbin/sshd").exists();
    let packages =
        || Command::new("dpkg-query").args(["-W", "openssh-server"]).output().ok().map(|out| out.stdout);
    let before = packages();
    drop(Package::OpensshServer.find().expect("found or fetched"));
    World::builder().with_sshd().run(|_| assert!(Path::new("/usr/sbin/sshd").exists()));
    assert_eq!((Path::new("/usr/sbin/sshd").exists(), packages()), (was_there, before));
}

//! The packages of scw-known-hosts: their content, their dependencies, and the program on each Debian release.

use std::process::Command;

use nix::mount::{MsFlags, mount};
use scw_images::{Disk, Kit, Packages, Ran, Suite};
use scw_stage::World;

/// The name of an Instance, so that ssh asks about it.
const INSTANCE: &str = "11111111-2222-4333-8444-555555555555.pub.instances.scw.cloud";

/// The files that both packages have in the same place.
const FILES: [&str; 6] = [
    "/usr/bin/scw-known-hosts",
    "/usr/share/bash-completion/completions/scw-known-hosts",
    "/usr/share/doc/scw-known-hosts/licences-of-crates.gz",
    "/usr/share/doc/scw-known-hosts/sbom.cdx.json",
    "/usr/share/fish/vendor_completions.d/scw-known-hosts.fish",
    "/usr/share/man/man1/scw-known-hosts.1.gz",
];

/// Only in the .deb.
const DEB_FILES: [&str; 5] = [
    "/usr/share/doc/scw-known-hosts/changelog.Debian.gz",
    "/usr/share/doc/scw-known-hosts/changelog.gz",
    "/usr/share/doc/scw-known-hosts/copyright",
    "/usr/share/lintian/overrides/scw-known-hosts",
    "/usr/share/zsh/vendor-completions/_scw-known-hosts",
];

/// Only in the .rpm.
const RPM_FILES: [&str; 4] = [
    "/usr/share/doc/scw-known-hosts/CHANGELOG.md",
    "/usr/share/doc/scw-known-hosts/LICENSE-APACHE",
    "/usr/share/doc/scw-known-hosts/LICENSE-MIT",
    "/usr/share/zsh/site-functions/_scw-known-hosts",
];

/// The lines that a script prints for a package, sorted.
fn lines(script: &str, packages: &Packages) -> Vec<String> {
    let Packages { deb, rpm, .. } = packages;
    let printed = Ran::run(Command::new("sh").args(["-ec", script, "sh"]).args([deb, rpm])).ok(script);
    let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn sorted(files: &[&str]) -> Vec<String> {
    let mut files: Vec<_> = FILES.iter().chain(files).map(|&file| file.to_owned()).collect();
    files.sort();
    files
}

#[test]
fn client_packages_have_only_its_files_and_no_scripts() {
    let client = &Kit::build().client;
    let listed = lines("dpkg-deb --fsys-tarfile $1 | tar -t | sed -n 's|^[.]\\(/.*[^/]\\)$|\\1|p'", client);
    assert_eq!(listed, sorted(&DEB_FILES));
    assert_eq!(
        lines("dpkg-deb --ctrl-tarfile $1 | tar -t", client),
        ["./", "./control", "./md5sums"],
        "neither scripts nor configuration files"
    );
    assert_eq!(
        lines("dpkg-deb --field $1 Depends", client),
        ["libc6 (>= 2.28), openssh-client, ca-certificates"]
    );

    let listed = "rpm -qp --queryformat '[%{FILEMODES:perms} %{FILENAMES}\\n]' $2";
    assert_eq!(lines(&format!("{listed} | sed -n 's/^-[^ ]* //p'"), client), sorted(&RPM_FILES));
    let others = lines(&format!("{listed} | grep -v '^-\\|/usr/lib/.build-id'"), client);
    assert_eq!(others, ["drwxr-xr-x /usr/share/doc/scw-known-hosts"]);
    assert!(lines("rpm -qp --scripts --triggers --configfiles $2", client).is_empty());
    let required = lines("rpm -qp --requires $2 | grep -v '^rpmlib(\\|^config('", client);
    assert_eq!(required, ["ca-certificates", "libc.so.6(GLIBC_2.28)(64bit)", "openssh-clients"]);
}

#[test]
fn client_runs_on_each_debian_release() {
    Suite::ALL.into_iter().for_each(check_release);
}

fn check_release(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        // The program reads its own path from there.
        let none = None::<&str>;
        mount(Some("/proc"), &disk.path("/proc"), none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .expect("mounted");
        disk.install(&Kit::build().client.deb);
        let run = |script: &str| disk.chroot(&format!("export HOME=/root; {script}"));

        let version = run("scw-known-hosts --version").ok("scw-known-hosts --version");
        assert!(version.starts_with("scw-known-hosts "), "{version}");
        assert!(disk.has("/usr/share/man/man1/scw-known-hosts.1.gz"));
        let printed = run("scw-known-hosts setup --print").ok("setup --print");
        assert!(printed.contains("KnownHostsCommand /usr/bin/scw-known-hosts check "), "{printed}");
        assert!(!disk.has("/root/.ssh/scw-known-hosts.config"), "nothing is written");

        let set_up = run("scw-known-hosts setup");
        let command = format!("ssh -G {INSTANCE} | grep -i ^knownhostscommand");
        if suite == Suite::Bullseye {
            assert_eq!(set_up.code, Some(1), "{}{}", set_up.out, set_up.err);
            assert!(set_up.err.contains("OpenSSH 8.5 or newer is needed"), "{}", set_up.err);
            assert!(!disk.has("/root/.ssh/scw-known-hosts.config"), "nothing is written");
        } else {
            // The configuration is in force. Only the list of Instances needs credentials.
            assert_eq!(set_up.code, Some(4), "{}{}", set_up.out, set_up.err);
            let command = run(&command).ok("ssh -G");
            assert!(command.contains("/usr/bin/scw-known-hosts check "), "{command}");
        }

        run("scw-known-hosts setup --remove; dpkg --purge scw-known-hosts").ok("dpkg --purge");
        let remaining = run("find /usr /etc /root -name '*scw-known-hosts*' ! -name '*.deb'").ok("find");
        assert_eq!(remaining, "", "{suite:?}");
    });
}

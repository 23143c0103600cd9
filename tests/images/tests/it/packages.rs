//! The packages as files: their sizes, the glibc they need, reproducible builds, and the reports of lintian and rpmlint.

use std::fs;
use std::path::Path;
use std::process::Command;

use scw_budgets::{CLIENT_DEB, CLIENT_RPM, DEB, INSTALLED, RPM};
use scw_images::{Build, Kit, Packages, Ran, Suite};
use scw_stage::World;

fn run(program: &str, words: &[&str]) -> Ran {
    Ran::run(Command::new(program).args(words))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("there").len()
}

#[test]
fn packages_stay_small() {
    let Build { agent, client, .. } = Kit::build();
    for Packages { program, dbgsym, debuginfo, .. } in [agent, client] {
        println!(
            "debug information of {program}: .deb {} bytes, .rpm {} bytes",
            size(dbgsym),
            size(debuginfo)
        );
    }
    let installed = run("dpkg-deb", &["--field", text(&agent.deb), "Installed-Size"]).ok("dpkg-deb");
    DEB.check(size(&agent.deb));
    RPM.check(size(&agent.rpm));
    INSTALLED.check(installed.parse().expect("a number"));
    CLIENT_DEB.check(size(&client.deb));
    CLIENT_RPM.check(size(&client.rpm));
}

#[test]
fn programs_need_only_glibc_2_28() {
    for packages in Kit::build().each() {
        assert_needs_only_glibc(packages, "amd64", "X86-64");
    }
}

/// The files of the .rpm are where RHEL has them, and gdb finds the same file by the build id as in the .deb.
#[test]
fn debuginfo_has_same_file_as_dbgsym() {
    Kit::build().each().into_iter().for_each(assert_debuginfo_has_file_of_dbgsym);
}

fn assert_debuginfo_has_file_of_dbgsym(Packages { dbgsym, debuginfo, .. }: &Packages) {
    let listed = |words: &[&str]| {
        let words = [&["-qp", "--queryformat"], words, &[text(debuginfo)]].concat();
        run("rpm", &words).ok("rpm")
    };
    let id = run("dpkg-deb", &["--field", text(dbgsym), "Build-Ids"]).ok("dpkg-deb");
    let (first, rest) = id.split_at(2);
    let by_id = format!("/usr/lib/debug/.build-id/{first}/{rest}.debug");
    let script = r#"dpkg-deb --fsys-tarfile "$1" | tar -xOf - ".$2" | sha256sum | cut -d ' ' -f 1"#;
    let digest = run("sh", &["-ec", script, "sh", text(dbgsym), &by_id]).ok("tar");

    let file = listed(&["%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}"]).replace("-debuginfo", "");
    let file = format!("/usr/lib/debug/usr/bin/{file}.debug");
    let files = listed(&["[%{FILENAMES} %{FILEDIGESTS} %{FILELINKTOS}\n]"]);
    assert!(
        files.lines().any(|line| line.trim_end() == format!("{file} {digest}")),
        "{file} {digest}: {files}"
    );
    assert!(files.lines().any(|line| line == format!("{by_id}  ../../../../..{file}")), "{files}");
}

#[test]
fn package_maintainer_is_checked() {
    let build = |maintainer: &str| {
        let mut command = Command::new(Kit::checkout().join("packaging/build"));
        Ran::run(command.args(["deb", "x86_64"]).env("PACKAGE_MAINTAINER", maintainer))
    };
    for (maintainer, message) in [
        ("Ada", "\"Ada\" has another form"),
        ("<ada@example.org>", "\"<ada@example.org>\" has another form"),
        ("Ada <example.org>", "\"Ada <example.org>\" has another form"),
        ("Ada <ada@example.org> more", "\"Ada <ada@example.org> more\" has another form"),
        ("Ada <ada@example.org>\nX: y", "it has a line break or another control character"),
        ("Ada <ada@example.org>, Bob <bob@example.org>", "it has a comma, and there is only one maintainer"),
    ] {
        let ran = build(maintainer);
        let expected = format!("PACKAGE_MAINTAINER: {message}; expected: Name <user@host>\n");
        assert_eq!((ran.code, ran.err), (Some(2), expected));
    }
}

/// The build itself starts the programs in an emulator of that processor.
#[test]
#[ignore = "a longer run"]
fn aarch64_packages_need_only_glibc_2_28() {
    for packages in Kit::aarch64().each() {
        let Packages { program, deb, rpm, debuginfo, .. } = packages;
        println!("{program} for aarch64: .deb {} bytes, .rpm {} bytes", size(deb), size(rpm));
        assert_needs_only_glibc(packages, "arm64", "AArch64");
        let name = |rpm| run("rpm", &["-qp", "--queryformat", "%{NAME} %{ARCH}", text(rpm)]).ok("rpm");
        assert_eq!(name(rpm), format!("{program} aarch64"));
        assert_eq!(name(debuginfo), format!("{program}-debuginfo aarch64"));
    }
}

/// The architecture of the packages is correct, and the program needs only glibc, version 2.28 or newer.
fn assert_needs_only_glibc(packages: &Packages, architecture: &str, machine: &str) {
    let Packages { program: name, deb, .. } = packages;
    assert_eq!(run("dpkg-deb", &["--field", text(deb), "Architecture"]).ok("dpkg-deb"), architecture);
    let folder = Kit::target().join(format!("tmp/{name}-unpacked-{architecture}"));
    run("dpkg-deb", &["--extract", text(deb), text(&folder)]).ok("dpkg-deb");
    let program = folder.join("usr/bin").join(name);
    let header = run("readelf", &["--file-header", text(&program)]).ok("readelf");
    assert!(header.contains(machine), "{header}");
    let versions = run("readelf", &["--version-info", "--wide", text(&program)]).ok("readelf");
    let mut wanted: Vec<(u32, u32)> = versions
        .split("GLIBC_")
        .skip(1)
        .filter_map(|rest| {
            let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let mut parts = number.split('.').map(|part| part.parse().unwrap_or(0));
            Some((parts.next()?, parts.next()?))
        })
        .collect();
    wanted.sort_unstable();
    println!("newest glibc symbol version: {:?}", wanted.last());
    assert!(!wanted.is_empty() && wanted.last() <= Some(&(2, 28)), "{wanted:?}");

    // The libraries of glibc. Newer versions have some of them in one file.
    let dynamic = run("readelf", &["--dynamic", "--wide", text(&program)]).ok("readelf");
    let libraries: Vec<_> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    for line in &libraries {
        let glibcs = ["libc.so.6", "libpthread.so.0", "libdl.so.2", "libm.so.6", "librt.so.1", "ld-linux"];
        assert!(glibcs.iter().any(|name| line.contains(name)), "{libraries:#?}");
    }
    assert_has_debug_information(packages, &folder, architecture);
}

#[test]
#[ignore = "a longer run"]
fn builds_are_reproducible_in_another_folder() {
    let packages = Kit::build().each().into_iter().flat_map(|packages| [&packages.deb, &packages.rpm]);
    let packages = packages.chain(&Kit::build().ecosystem);
    // A copy of the present sources, with the uncommitted ones, in another folder, built from scratch.
    let folder = Kit::target().join("tmp/another-checkout");
    let script = r#"rm -rf "$2"; mkdir -p "$2/checkout"; cd "$1"
        git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference -t "$2/checkout"
        cd "$2/checkout"; CARGO_TARGET_DIR="$2/target" SOURCE_DATE_EPOCH=$3 PACKAGE_MAINTAINER= packaging/build all"#;
    let time = run("git", &["-C", text(Kit::checkout()), "log", "-1", "--format=%ct"]).ok("git");
    // The versions of what the build downloads are fixed, so both builds use the same linker. The download takes a while.
    let target = folder.join("target");
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh"]).args([Kit::checkout(), &folder]).arg(time);
    let printed = Ran::run(&mut command).ok("the second build");
    // The debug packages, each second one of the first eight, have paths of zig's start files.
    let again: Vec<_> = printed.lines().take(8).step_by(2).chain(printed.lines().skip(8)).collect();
    assert!(again.len() == 6 && again.iter().all(|path| Path::new(path).starts_with(&target)), "{again:?}");
    for (first, second) in packages.zip(again) {
        assert!(
            fs::read(first).expect("read") == fs::read(second).expect("read"),
            "{} and {second} differ",
            first.display()
        );
    }
    fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn sbom_lists_linked_crates_and_fits_schema() {
    Kit::build().each().into_iter().for_each(assert_sbom_is_right);
}

fn assert_sbom_is_right(Packages { program, deb, .. }: &Packages) {
    let folder = Kit::target().join(format!("tmp/{program}-with-a-bill"));
    run("dpkg-deb", &["--extract", text(deb), text(&folder)]).ok("dpkg-deb");
    let folder = folder.join("usr/share/doc").join(program);
    let bill = folder.join("sbom.cdx.json");

    // The bill lists exactly the crates whose licences the package has, and the standard library.
    let licences = folder.join("licences-of-crates.gz");
    let licences = run("zcat", &[text(&licences)]).ok("zcat");
    let licensed = licences.lines().take_while(|line| !line.starts_with("Their licences"));
    let mut expected: Vec<String> = licensed
        .filter_map(|line| line.split_once(": ")?.0.split_once(" v"))
        .map(|(name, version)| format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")))
        .collect();
    let compiler = run("rustc", &["--version"]).ok("rustc");
    expected.push(format!("pkg:generic/rust@{}", compiler.split(' ').nth(1).expect("a version")));
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(&bill).expect("the bill")).expect("JSON");
    let components = document["components"].as_array().expect("components");
    let mut listed: Vec<_> =
        components.iter().map(|one| one["purl"].as_str().expect("a name").to_owned()).collect();
    expected.sort();
    listed.sort();
    assert!(expected.len() > 20);
    assert_eq!(listed, expected);

    let script = r#"[ -e "$1/ready" ] || { python3 -m venv "$1"
            "$1/bin/pip" install --quiet --disable-pip-version-check 'cyclonedx-python-lib[json-validation]==11.12.0'; touch "$1/ready"; }
        exec "$1/bin/python" -c 'import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
for text in open(sys.argv[1]).read(), "{}":
    print(JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None)' "$2""#;
    let validator = Kit::target().join("sbom-validator");
    let valid = run("sh", &["-ec", script, "sh", text(&validator), text(&bill)]).ok("the validator");
    assert_eq!(valid, "True\nFalse", "the bill is valid, and the validator refuses an empty one");
}

#[test]
fn lintian_and_rpmlint_find_nothing_that_is_not_explained() {
    let settings = Kit::checkout().join("packaging/rpm/rpmlint.toml");
    for Packages { deb, dbgsym, rpm, debuginfo, .. } in Kit::build().each() {
        let words = ["--allow-root", "--fail-on", "error,warning", text(deb), text(dbgsym)];
        let lintian = run("lintian", &words);
        assert!(lintian.is_ok(), "{}{}", lintian.out, lintian.err);
        let rpmlint = run("rpmlint", &["--config", text(&settings), text(rpm), text(debuginfo)]);
        let is_clean = rpmlint.is_ok() && rpmlint.out.contains(" 0 errors, 0 warnings");
        assert!(is_clean, "{}{}", rpmlint.out, rpmlint.err);
    }
    let [deb, rpm] = &Kit::build().ecosystem;
    let lintian = run("lintian", &["--allow-root", "--fail-on", "error,warning", text(deb)]);
    assert!(lintian.is_ok(), "{}{}", lintian.out, lintian.err);
    let rpmlint = run("rpmlint", &["--config", text(&settings), text(rpm)]);
    assert!(
        rpmlint.is_ok() && rpmlint.out.contains(" 0 errors, 0 warnings"),
        "{}{}",
        rpmlint.out,
        rpmlint.err
    );
}

/// The debug package belongs to the program of the unpacked .deb: both have the same build id.
fn assert_has_debug_information(packages: &Packages, unpacked: &Path, architecture: &str) {
    let Packages { program: name, dbgsym, .. } = packages;
    let build_id = |path: &Path| {
        let notes = run("readelf", &["--notes", text(path)]).ok("readelf");
        let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ").map(str::to_owned));
        id.expect("a build id")
    };
    let program = unpacked.join("usr/bin").join(name);
    let id = build_id(&program);
    let headers = run("readelf", &["--program-headers", "--wide", text(&program)]).ok("readelf");
    // objcopy drops GNU_RELRO when it removes some sections.
    for header in ["GNU_RELRO", "GNU_EH_FRAME"] {
        assert!(headers.contains(header), "no {header}: {headers}");
    }
    let field = |name| run("dpkg-deb", &["--field", text(dbgsym), name]).ok("dpkg-deb");
    assert_eq!(field("Build-Ids"), id);
    assert_eq!(field("Architecture"), architecture);
    let folder = Kit::target().join(format!("tmp/{name}-dbgsym-unpacked-{architecture}"));
    run("dpkg-deb", &["--extract", text(dbgsym), text(&folder)]).ok("dpkg-deb");
    let (first, rest) = id.split_at(2);
    let file = folder.join(format!("usr/lib/debug/.build-id/{first}/{rest}.debug"));
    assert_eq!(build_id(&file), id);
    let lines = run("readelf", &["--debug-dump=rawline", text(&file)]).ok("readelf");
    assert!(lines.contains("src/command"), "the lines of our sources are there");

    // The debug file has paths of zig's start files; the program has no path of this machine.
    let program = fs::read(program).expect("read");
    let checkout = fs::canonicalize(Kit::checkout()).expect("there");
    for path in [text(&checkout), text(&Kit::target()), "/.cargo/", "/.rustup/"] {
        assert!(!program.windows(path.len()).any(|bytes| bytes == path.as_bytes()), "{path} is there");
    }
}

#[test]
fn one_program_is_both_commands() {
    let kit = Kit::new(Suite::Bookworm);
    World::builder().run(|world| {
        let disk = scw_images::Disk::new(world, &kit);
        disk.install(kit.deb());
        assert!(disk.chroot("scw-userdata --version").ok("scw-userdata").starts_with("scw-userdata "));
        assert!(disk.chroot("scw-agent --version").ok("scw-agent").starts_with("scw-agent "));
        // The example is a valid configuration file that has all defaults as comments.
        disk.chroot("scw-agent config check").ok("config check");
        let example = disk.read("/etc/scw-agent.toml");
        assert!(
            example.contains("#[metadata]")
                && !example.lines().any(|line| !line.is_empty() && !line.starts_with('#')),
            "{example}"
        );
        disk.chroot("sed -i 's/^#\\([^ ]\\)/\\1/' /etc/scw-agent.toml; scw-agent config check")
            .ok("config check of the defaults");
    });
}

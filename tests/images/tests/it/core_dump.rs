//! A core dump of a program from a package: gdb walks its stack, and names its functions and lines with the debug package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use scw_images::{Kit, Packages, Ran};
use scw_stage::{Daemon, World};

/// Far longer than the daemon needs, even on a busy computer.
const LONG: Duration = Duration::from_secs(600);

/// The file that gcore writes, without the process id. Only the test's world has this folder.
const CORE: &str = "/run/stage/core";

/// Unpacks a .deb below the target folder.
fn unpack(deb: &Path, name: &str) -> PathBuf {
    let folder = Kit::target().join("tmp").join(name);
    drop(fs::remove_dir_all(&folder));
    Ran::run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&folder)).ok("dpkg-deb");
    folder
}

/// Starts the daemon, and writes a core dump of it when it has asked the metadata service.
fn dump_daemon(world: &World, program: &Path) -> PathBuf {
    let daemon = Daemon::spawn(world.agent_command(program).arg("daemon")).expect("started");
    let asked = world.standin().wait_for(LONG, |requests| requests.iter().any(|one| one.status.is_some()));
    assert!(asked, "{}", daemon.output());
    let pid = daemon.pid().to_string();
    Ran::run(world.command("gcore").args(["-o", CORE, &pid])).ok("gcore");
    PathBuf::from(format!("{CORE}.{pid}"))
}

/// The stack of the core dump's first thread. gdb reads debug information only below `debug`.
fn backtrace(program: &Path, core: &Path, debug: &Path) -> String {
    let mut command = Command::new("gdb");
    command.args(["-batch", "-nx", "-ex"]).arg(format!("set debug-file-directory {}", debug.display()));
    command.arg("-ex").arg(format!("file {}", program.display()));
    command.arg("-ex").arg(format!("core-file {}", core.display()));
    let ran = Ran::run(command.args(["-ex", "backtrace"]).env_remove("DEBUGINFOD_URLS"));
    println!("{}{}", ran.out, ran.err);
    ran.ok("gdb")
}

#[test]
fn core_dump_of_package_has_names_and_lines() {
    let Packages { deb, dbgsym, .. } = Kit::packages();
    let program = unpack(deb, "core-dump").join("usr/bin/scw-agent");
    let debug = unpack(dbgsym, "core-dump-dbgsym").join("usr/lib/debug");
    World::builder().run(|world| {
        let core = dump_daemon(world, &program);

        let named = backtrace(&program, &core, &debug);
        let frame = |function: &str, source: &str| {
            let found = named.lines().any(|line| line.contains(function) && line.contains(source));
            assert!(found, "no frame of {function} in {source}:\n{named}");
        };
        frame("scw_agent::command::daemon::run ", " at src/command/daemon.rs:");
        frame("scw_agent::main ", " at src/bin/scw-agent.rs:");

        // Without the debug package, the stack has addresses, for which names can be found later.
        let bare = backtrace(&program, &core, Path::new("/nonexistent"));
        assert!(!bare.contains("scw_agent"), "{bare}");
        assert!(bare.contains(" in __libc_start_main"), "the stack ends in libc, which called main:\n{bare}");
        assert!(!bare.contains("Backtrace stopped"), "{bare}");
    });
}

//! D3, S3: a script that runs as a user gives this user no right of root, neither through its file and folder nor through its environment.

use std::fs;
use std::os::unix::fs::MetadataExt;

use scw_stage::World;

use crate::machine::*;

const UID: u32 = 4801;
/// The user's home folder.
const HOME: &str = "/var/lib/deploy";
/// A file of root that the user tries to get.
const VICTIM: &str = "/root/victim";
/// The user's script. It fills its folder with 1,500 nested folders, leaves a process that exchanges names in it, and fails. So root
/// works in that folder again.
const ATTACK: &str = r#"#!/usr/bin/python3
# scw-setup: user=deploy retries=3 retry-delay=1s
import ctypes, os, sys
with open("/var/lib/deploy/attempts", "a") as log:
    log.write(f"{os.getuid()} {os.geteuid()}\n")
own = os.path.dirname(sys.argv[0])
if os.fork() == 0:
    os.setsid()
    for descriptor in range(3):
        os.close(descriptor)
    libc = ctypes.CDLL(None)
    pid = os.getpid()
    while not os.path.exists("/var/lib/deploy/stop"):
        for folder in [own] + [os.path.join(os.path.dirname(own), "setup-script")]:
            for name in ["script"]:
                try:
                    os.symlink("/root/victim", f"{folder}/link{pid}")
                except OSError:
                    pass
                # renameat2(AT_FDCWD, link, AT_FDCWD, name, RENAME_EXCHANGE)
                libc.syscall(316, -100, f"{folder}/link{pid}".encode(), -100, f"{folder}/{name}".encode(), 2)
    os._exit(0)
try:
    os.chdir(own)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
except OSError:
    pass
sys.exit(1)
"#;
/// A library that logs the user ids of each process that loads it.
const LIBRARY: &str = r#"
#include <stdio.h>
#include <unistd.h>
unsigned la_version(unsigned version) { return version; }
__attribute__((constructor)) static void loaded(void) {
    FILE *log = fopen("/var/lib/deploy/loaded", "a");
    if (log) { fprintf(log, "%d %d\n", getuid(), geteuid()); fclose(log); }
}
"#;

fn add_user(world: &World) {
    let script = format!(
        "echo 'deploy:x:{UID}:{UID}::{HOME}:/bin/sh' >>/etc/passwd; mkdir {HOME}; chown {UID}:{UID} {HOME}; chmod 755 /var/lib {HOME}; echo root >{VICTIM}; chmod 600 {VICTIM}"
    );
    assert_eq!(run(world.command("sh").args(["-ec", &script])).code, 0);
}

/// The agent with as many descriptors as systemd gives to a service.
fn agent_as_unit(world: &World, words: &[&str]) -> Ended {
    run(world.command("prlimit").args(["--nofile=1024:1024", "--", AGENT]).args(words))
}

#[test]
fn d3_script_user_cannot_steer_root_by_its_folder() {
    World::builder().run(|world| {
        add_user(world);
        world.standin().set_user_data("setup-script", ATTACK);
        assert_eq!(agent_as_unit(world, &["setup", "run"]).code, 1);
        for _ in 0..3 {
            assert_eq!(agent_as_unit(world, &["setup", "run", "setup-script", "--again"]).code, 1);
        }
        fs::write("/etc/scw-agent.toml", "[setup]\non-change = \"now\"\n").expect("written");
        world.standin().set_user_data("setup-script", ATTACK.replace("import ctypes", "import  ctypes"));
        fs::write(SETUP_REQUESTED, "").expect("written");
        assert_eq!(agent_as_unit(world, &["setup", "run"]).code, 1);
        fs::write(format!("{HOME}/stop"), "").expect("written");

        let victim = fs::metadata(VICTIM).expect("there");
        assert_eq!((victim.uid(), victim.mode() & 0o777), (0, 0o600), "root changed a file of its own");
        assert_eq!(fs::read_to_string(VICTIM).expect("read"), "root\n");
        let attempts = fs::read_to_string(format!("{HOME}/attempts")).expect("attempts");
        assert_eq!(
            attempts.lines().collect::<Vec<_>>(),
            ["4801 4801"; 4 + 3 + 4],
            "each attempt ran as the user"
        );
        let remaining = run(world.command("find").args(["/run/scw-agent-setup/scripts", "-mindepth", "1"]));
        assert_eq!(remaining.out, "", "{}", remaining.err);
    });
}

#[test]
fn d3_script_environment_has_no_effect_as_root() {
    World::builder().run(|world| {
        add_user(world);
        fs::write(format!("{HOME}/evil.c"), LIBRARY).expect("written");
        let build = format!("cd {HOME} && cc -shared -fPIC -o evil.so evil.c && for n in libc.so.6 libcap-ng.so.0 libgcc_s.so.1; do cp evil.so lib-$n; done; chown -R {UID} .");
        assert_eq!(run(world.command("sh").args(["-ec", &build])).code, 0);
        let variables = "env=LD_PRELOAD=/var/lib/deploy/evil.so env=LD_AUDIT=/var/lib/deploy/evil.so env=LD_LIBRARY_PATH=/var/lib/deploy env=TOKEN=hunter2";
        let script = format!("#!/bin/sh\n# scw-setup: user=deploy {variables}\necho $TOKEN >>{HOME}/token\n");
        world.standin().set_user_data("setup-script", script);

        let trace = "/run/trace";
        let mut command = world.command("strace");
        command.args(["-f", "-v", "-s", "4096", "-o", trace, "-e", "trace=execve,setresuid", AGENT, "setup", "run"]);
        let ran = run(&mut command);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(fs::read_to_string(format!("{HOME}/token")).expect("the script ran"), "hunter2\n");
        let loaded = fs::read_to_string(format!("{HOME}/loaded")).expect("the variables have an effect in the script");
        assert!(loaded.lines().all(|line| line == "4801 4801"), "a process of root loaded the library: {loaded}");

        // The variables are in no arguments, and in an environment only after the process has given up root's rights.
        let trace = fs::read_to_string(trace).expect("a trace");
        let mut dropped = Vec::new();
        for line in trace.lines() {
            let pid = line.split_whitespace().next().expect("a process id");
            if line.contains(&format!("setresuid({UID}, {UID}, {UID})")) {
                dropped.push(pid);
            }
            assert!(!line.contains("hunter2") || dropped.contains(&pid), "{line}");
        }
        assert!(!dropped.is_empty());
        let launcher = trace.lines().find(|line| line.contains("\"launch\"]")).expect("the launcher");
        assert!(launcher.contains("\"launch\"], []"), "the launcher has an empty environment: {launcher}");
    });
}

#[test]
fn s5_program_that_user_cannot_execute_is_reported() {
    World::builder().run(|world| {
        add_user(world);
        let prepare = format!("cp /bin/sh {HOME}/closed; chmod 700 {HOME}/closed");
        assert_eq!(run(world.command("sh").args(["-ec", &prepare])).code, 0);
        for (program, why) in [("closed", "Permission denied"), (".", "Permission denied")] {
            let script = format!("#!{HOME}/{program}\n# scw-setup: user=deploy\n");
            world.standin().set_user_data("setup-script", script);
            let ran = agent(world, &["setup", "run", "setup-script", "--again"]);
            assert_eq!(ran.code, 1);
            let expected = format!("not run: the script's interpreter (line 1) cannot be started: {why}");
            assert!(ran.err.contains(&expected), "{expected}: {}", ran.err);
        }
    });
}

#[test]
fn d3_script_has_no_terminal_and_no_foreign_descriptor() {
    World::builder().run(|world| {
        add_user(world);
        // The script must have neither the terminal from which the runner was started nor the files that its shell has open.
        let script = "#!/bin/sh\n# scw-setup: user=deploy\nls /proc/self/fd | tr '\\n' ' '; if (: </dev/tty) 2>/dev/null; then echo terminal; else echo none; fi\n";
        world.standin().set_user_data("setup-script", script);
        fs::write("/root/secret", "hunter2").expect("written");
        let line = format!("exec 7</root/secret; {AGENT} setup run setup-script --again");
        let ran = run(world.command("script").args(["-qec", &line, "/dev/null"]));
        assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        // 3 is the folder that ls reads.
        assert!(shown.lines().any(|line| line.starts_with("0 1 2 3 ") && !line.contains('7')), "{shown}");
        assert!(shown.lines().any(|line| line.ends_with("none")), "{shown}");
    });
}

#[test]
fn d3_user_cannot_fill_the_space_of_roots_scripts() {
    World::builder().run(|world| {
        add_user(world);
        let mount = "mkdir -p /run/scw-agent-setup/scripts; mount -t tmpfs -o mode=0711,size=1m none /run/scw-agent-setup/scripts";
        assert_eq!(run(world.command("sh").args(["-ec", mount])).code, 0);
        // The script makes its own file as large as possible and leaves a process that keeps the file open.
        let fill = "#!/bin/sh\n# scw-setup: user=deploy\nchmod u+w \"$0\"; exec 9>>\"$0\"; head -c 9m /dev/zero >&9; sleep 600 >/dev/null 2>&1 &\n:\n";
        world.standin().set_user_data("setup-script.1", fill);
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho ran >>/root/ran\n");
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(fs::read_to_string("/root/ran").expect("root's script ran"), "ran\n", "{}", ran.err);
        let remaining = run(world.command("find").args(["/run/scw-agent-setup", "-name", "script"]));
        assert_eq!(remaining.out, "", "{}", remaining.err);
    });
}

#[test]
fn d3_leftovers_of_a_killed_runner_are_removed() {
    World::builder().run(|world| {
        // The folder for root's scripts when the common folder is full.
        let of_root = "/run/scw-agent-setup/scripts-of-root/0123456789abcdef-0123456789abcdef";
        fs::create_dir_all(of_root).expect("made");
        fs::write(format!("{of_root}/script"), "#!/bin/sh\n").expect("written");
        let waiting = "#!/bin/sh\n: >/root/began\nwhile [ ! -e /root/go-on ]; do sleep 0.1; done\n";
        world.standin().set_user_data("setup-script", waiting);
        let folder = "/run/scw-agent-setup/scripts";
        let count = || fs::read_dir(folder).map_or(0, |entries| entries.count());
        let mut runner = world.command(AGENT).args(["setup", "run"]).spawn().expect("started");
        until(world, "running", || fs::exists("/root/began").ok()?.then_some(()));
        runner.kill().expect("killed");
        runner.wait().expect("ended");
        agent(world, &["setup", "run"]);
        assert!(!fs::exists(of_root).expect("checked"));
        assert_eq!(count(), 1, "the script still runs, so its file stays");
        fs::write("/root/go-on", "").expect("written");
        until(world, "removed", || {
            agent(world, &["setup", "run", "--again"]);
            (count() == 0).then_some(())
        });
    });
}

//! D3: processes of other users while root runs scripts. Such a process can make itself unreadable, or claim to belong to a run. And
//! S5: a program that the kernel cannot execute.

use std::fs;
use std::path::Path;
use std::process::Command;

use scw_stage::{Daemon, World, write_program};

use crate::machine::*;

const UID: u32 = 4802;
/// The home folder of the other user.
const HOME: &str = "/var/lib/neighbour";

/// A process whose memory nobody can read, not even root. It maps a file of its own FUSE file system, which never answers a write. The
/// mapping waits for that write while it holds the lock of the process's memory.
const UNREADABLE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
static void put(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    if (file < 0 || write(file, text, strlen(text)) < 0) perror(path);
    close(file);
}
static void attributes(struct fuse_attr *of, int folder) {
    of->ino = folder ? 1 : 2;
    of->mode = folder ? S_IFDIR | 0755 : S_IFREG | 0666;
    of->nlink = 1;
    of->size = folder ? 0 : 65536;
}
static void serve(int device) {
    static char in[1 << 21], out[1 << 18];
    int opened = 0;
    for (;;) {
        if (read(device, in, sizeof in) < 0) {
            if (errno == EINTR || errno == ENOENT) continue;
            return;
        }
        struct fuse_in_header *asked = (void *)in;
        struct fuse_out_header *answer = (void *)out;
        void *body = answer + 1;
        size_t length = 0;
        memset(out, 0, sizeof out);
        if (asked->opcode == FUSE_INIT) {
            struct fuse_init_out *init = body;
            init->major = 7; init->minor = 31; init->max_write = 131072;
            length = sizeof *init;
        } else if (asked->opcode == FUSE_LOOKUP) {
            struct fuse_entry_out *entry = body;
            entry->nodeid = 2; entry->entry_valid = entry->attr_valid = 1000;
            attributes(&entry->attr, 0);
            length = sizeof *entry;
        } else if (asked->opcode == FUSE_GETATTR) {
            struct fuse_attr_out *found = body;
            found->attr_valid = 1000;
            attributes(&found->attr, asked->nodeid == 1);
            length = sizeof *found;
        } else if (asked->opcode == FUSE_OPEN) {
            struct fuse_open_out *file = body;
            file->open_flags = FOPEN_KEEP_CACHE | (opened++ ? FOPEN_DIRECT_IO : 0);
            length = sizeof *file;
        } else if (asked->opcode == FUSE_READ) {
            length = ((struct fuse_read_in *)(asked + 1))->size;
        } else if (asked->opcode == FUSE_WRITE) {
            puts("held"); fflush(stdout);
            continue;
        } else if (asked->opcode == FUSE_FORGET || asked->opcode == FUSE_BATCH_FORGET || asked->opcode == FUSE_INTERRUPT) {
            continue;
        } else {
            answer->error = -ENOSYS;
        }
        answer->len = sizeof *answer + length;
        answer->unique = asked->unique;
        if (write(device, out, answer->len) < 0) perror("answer");
    }
}
int main(int count, char **words) {
    char text[64], path[256];
    int uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) return perror("unshare"), 1;
    put("/proc/self/setgroups", "deny");
    sprintf(text, "0 %d 1", uid); put("/proc/self/uid_map", text);
    sprintf(text, "0 %d 1", gid); put("/proc/self/gid_map", text);
    int device = open(words[1], O_RDWR);
    if (device < 0) return perror(words[1]), 1;
    sprintf(text, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
    if (mount("own", words[2], "fuse", MS_NOSUID | MS_NODEV, text)) return perror("mount"), 1;
    // Only the server keeps the device open: when it is killed, all waits end.
    if (fork()) { serve(device); return 0; }
    close(device);
    sprintf(path, "%s/file", words[2]);
    int first = open(path, O_RDWR);
    char *page = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0);
    if (page == MAP_FAILED) return perror("mmap"), 1;
    page[0] = 'x';
    int second = open(path, O_RDWR);
    printf("pid %d\n", getpid()); fflush(stdout);
    mmap(0, 65536, PROT_READ, MAP_PRIVATE, second, 0);
    pause();
}
"#;

fn add_user(world: &World) {
    sh(
        world,
        &format!(
            "echo 'neighbour:x:{UID}:{UID}::{HOME}:/bin/sh' >>/etc/passwd; mkdir {HOME}; chown {UID}:{UID} {HOME}; chmod 755 /var/lib {HOME}"
        ),
    );
}

fn as_user(world: &World, words: &[&str]) -> Command {
    let mut command = world.command("setpriv");
    command
        .args([format!("--reuid={UID}"), format!("--regid={UID}")])
        .args(["--clear-groups", "--"])
        .args(words);
    command
}

/// Compiles a program into the user's home folder.
fn compile(world: &World, name: &str, source: &str) -> String {
    let program = format!("{HOME}/{name}");
    fs::write(format!("{program}.c"), source).expect("written");
    sh(world, &format!("cc -w -O1 -pthread -o {program} {program}.c"));
    program
}

/// Whether the process is in an uninterruptible wait.
fn is_waiting(pid: &str) -> Option<()> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()?.contains("State:\tD").then_some(())
}

#[test]
fn d3_unreadable_process_does_not_block_the_runner() {
    if !Path::new("/dev/fuse").exists() {
        return println!("not tried: this kernel has no FUSE");
    }
    World::builder().run(|world| {
        add_user(world);
        // As with udev, everybody may use the device.
        sh(world, &format!("mknod -m 666 {HOME}/fuse c 10 229; install -d -o {UID} {HOME}/mount"));
        let program = compile(world, "unreadable", UNREADABLE);
        let line = format!("exec {program} {HOME}/fuse {HOME}/mount");
        let attack = Daemon::spawn(&mut as_user(world, &["sh", "-c", &line])).expect("started");
        assert!(
            attack.wait_for(LONG, |lines| lines.iter().any(|line| line == "held")),
            "{}",
            attack.output()
        );
        let output = attack.output();
        let pid = output.lines().find_map(|line| line.strip_prefix("pid ")).expect("a process id");
        until(world, "waiting with its memory locked", || is_waiting(pid));
        let read = run(world
            .command("sh")
            .args(["-c", &format!("timeout -s KILL 2 cat /proc/{pid}/environ; echo $?")]));
        assert_eq!(read.out, "137\n", "root cannot read its environment: {}", read.err);

        world.standin().set_user_data("setup-script.1", "#!/bin/sh\nsleep 600 >/dev/null 2>&1 &\n");
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho ran >/root/ran\n");
        let ran = run(world.command("timeout").args(["-s", "KILL", "120", AGENT, "setup", "run"]));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(fs::read_to_string("/root/ran").expect("the script ran"), "ran\n");
        assert!(
            ran.err.contains("setup-script.1: leftover processes: sleep ("),
            "other leftover processes are found: {}",
            ran.err
        );
    });
}

#[test]
fn d3_process_cannot_pass_for_one_of_a_run() {
    World::builder().run(|world| {
        add_user(world);
        let script = "#!/bin/sh\necho $$ >/root/pid\necho $SCW_SETUP_ATTEMPT >>/root/attempts\nwhile [ ! -e /root/go-on ]; do sleep 0.1; done\n";
        world.standin().set_user_data("setup-script", script);
        let mut runner = world.command(AGENT).args(["setup", "run"]).spawn().expect("started");
        until(world, "running", || fs::exists("/root/attempts").ok()?.then_some(()));
        // Every user can read the path of the script. The attacker uses each part of it that could be the id of the run.
        let steal = r#"for word in $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -o '/run/scw-agent-setup/scripts/[^/]*' | grep -oE '[0-9a-f]{8,}' | sort -u); do
                SCW_SETUP_RUN=$word setsid sleep 600 >/dev/null 2>&1 & echo "stole $word"
            done; wait"#;
        let thief = Daemon::spawn(&mut as_user(world, &["sh", "-c", steal])).expect("started");
        assert!(thief.wait_for(LONG, |lines| lines.iter().any(|line| line.starts_with("stole"))));
        runner.kill().expect("killed");
        runner.wait().expect("ended");
        fs::write("/root/go-on", "").expect("written");
        let script = fs::read_to_string("/root/pid").expect("its process id");
        until(world, "the script's end", || (!Path::new(&format!("/proc/{}", script.trim())).exists()).then_some(()));
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(fs::read_to_string("/root/attempts").expect("attempts"), "1\n2\n", "{}", ran.err);
    });
}

#[test]
fn s5_no_shell_reads_what_the_kernel_cannot_execute() {
    World::builder().run(|world| {
        // A program for another processor architecture. A shell would execute it as text.
        let program = b"\x7fELF\x02\x01\x01\n: >/root/shell-read-it\n";
        write_program("/root/program", program);
        world.standin().set_user_data("setup-script", "#!/root/program\n");
        let ran = agent(world, &["setup", "run"]);
        assert!(!Path::new("/root/shell-read-it").exists(), "{}", ran.err);
        assert!(
            ran.err
                .contains("not run: the script's interpreter (line 1) cannot be started: Exec format error"),
            "{}",
            ran.err
        );
    });
}

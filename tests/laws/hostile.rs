//! Hostile clients of the local socket: many connections, partial, oversized, slow or invalid requests. The daemon keeps feeding its
//! watchdog, its memory and file descriptors stay bounded, and a normal client is served all the time.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, Reach, World};

use crate::machine::*;

const SOCKET: &str = "/run/scw-agent/api.sock";
/// The most memory that the daemon may use during an attack, in KiB: half of its unit's MemoryMax=.
const MAX_MEMORY_KIB: u64 = 32 * 1024;
/// A normal request takes milliseconds. This is far more, and less than the 120 s for which a client may keep a connection.
const SERVED_WITHIN: Duration = Duration::from_secs(100);

struct AttackedDaemon<'a> {
    world: &'a World,
    daemon: Daemon,
    notify: Notify,
    descriptors: usize,
}

/// Starts a daemon with a watchdog, a group that may read and a group that may write. Checks after the attack that it has recovered.
fn with_attacked_daemon(attack: impl Fn(&AttackedDaemon<'_>) + Send + Sync) {
    World::builder().ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("key", "value");
        make_host_key(world);
        let groups = fs::read_to_string("/etc/group").expect("read");
        fs::write("/etc/group", format!("{groups}readers:x:7001:\nwriters:x:7002:\n")).expect("written");
        fs::write(
            "/etc/scw-agent.toml",
            "[local-api]\nread-group = \"readers\"\nwrite-group = \"writers\"\n",
        )
        .expect("written");
        let notify = Notify::new(world).expect("a socket");
        let mut command = world.agent_command(AGENT);
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "1000000");
        let daemon = Daemon::spawn(&mut command).expect("started");
        assert!(notify.wait_for("READY=1", LONG), "{}", daemon.output());
        wait_until_settled(world);
        let mut attacked = AttackedDaemon { world, daemon, notify, descriptors: 0 };
        attacked.descriptors = until(world, "idle", || {
            let first = attacked.open_descriptors();
            let is_same = |_| {
                sleep(Duration::from_millis(50));
                attacked.open_descriptors() == first
            };
            (0..10).all(is_same).then_some(first)
        });
        attack(&attacked);
        attacked.assert_recovered();
        let (status, output) = attacked.daemon.terminate();
        assert!(status.success(), "{output}");
    });
}

impl AttackedDaemon<'_> {
    fn open_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.daemon.pid())).expect("listed").count()
    }

    fn peak_memory_kib(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).expect("read");
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    fn watchdog_messages(&self) -> usize {
        self.notify.messages().iter().filter(|message| message.contains("WATCHDOG=1")).count()
    }

    /// A normal client is served during the attack.
    fn assert_serves(&self) {
        let before = Instant::now();
        let got = userdata(self.world, &["key"]);
        assert_eq!((got.code, &*got.out), (0, "value"), "{}", got.err);
        assert!(before.elapsed() < SERVED_WITHIN, "{:?}", before.elapsed());
    }

    fn assert_recovered(&self) {
        self.assert_serves();
        let fed = self.watchdog_messages();
        until(self.world, "feeding its watchdog", || (self.watchdog_messages() > fed).then_some(()));
        until(self.world, "as few file descriptors as before", || {
            (self.open_descriptors() <= self.descriptors).then_some(())
        });
        let memory = self.peak_memory_kib();
        println!("at most {memory} KiB of memory; {} file descriptors before and after", self.descriptors);
        assert!(memory < MAX_MEMORY_KIB, "{memory} KiB");
    }
}

/// `curl` on the local socket, as another user and group.
fn curl_as(world: &World, user: u32, group: u32, words: &[&str]) -> Command {
    let mut command = world.command("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={group}")]);
    command.args(["--clear-groups", "--", "curl", "-s", "-m", "600", "--unix-socket", SOCKET]).args(words);
    command
}

/// Connects, and waits if the queue is full.
fn connect() -> UnixStream {
    let stream = UnixStream::connect(SOCKET).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("set");
    stream.set_write_timeout(Some(LONG)).expect("set");
    stream
}

#[test]
fn silent_and_partial_connections_block_no_client() {
    with_attacked_daemon(|attacked| {
        for round in 0..3000 {
            let mut stream = connect();
            let sent: &[u8] = match round % 4 {
                0 => b"",
                1 => b"GET /user_data/key HT",
                2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                _ => b"PATCH /user_data/key HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf",
            };
            // The daemon may have closed the connection already.
            let _ = stream.write_all(sent);
        }
        attacked.assert_serves();
        assert_eq!(
            attacked.world.standin().user_data("key").as_deref(),
            Some(&b"value"[..]),
            "a partial request has no effect"
        );
        // These connections stay open: more than the connection limit, each silent until the daemon closes it.
        let held: Vec<_> = (0..100).map(|_| connect()).collect();
        attacked.assert_serves();
        drop(held);
    });
}

#[test]
fn oversized_and_invalid_requests_are_refused() {
    with_attacked_daemon(|attacked| {
        let header = format!("GET /status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(10 << 20));
        let many = format!("GET /status HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1 << 20));
        let target = format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(10 << 20));
        let body = format!(
            "PATCH /user_data/key HTTP/1.1\r\ncontent-length: 11534336\r\n\r\n{}",
            "y".repeat(11 << 20)
        );
        let chunk = "10000\r\n".to_owned() + &"y".repeat(1 << 16) + "\r\n";
        let chunks = format!(
            "PATCH /user_data/key HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{}",
            chunk.repeat(160)
        );
        for _ in 0..8 {
            for sent in [&header, &many, &target, &body, &chunks] {
                let mut stream = connect();
                // The answer may come, and the connection close, before the request is complete.
                let _ = stream.write_all(sent.as_bytes());
                let mut answer = Vec::new();
                match stream.read_to_end(&mut answer) {
                    Ok(_) => {}
                    Err(why) => assert!(
                        matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                        "{why}"
                    ),
                }
                let answer = String::from_utf8_lossy(&answer);
                assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
            }
        }
        assert_eq!(attacked.world.standin().user_data("key").as_deref(), Some(&b"value"[..]));
    });
}

#[test]
fn client_that_never_reads_blocks_no_other() {
    with_attacked_daemon(|attacked| {
        attacked.world.standin().set_user_data("large", vec![b'x'; 1 << 20]);
        let held: Vec<_> = (0..16)
            .map(|_| {
                let mut stream = connect();
                stream
                    .write_all(&b"GET /user_data/large HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20))
                    .expect("written");
                stream
            })
            .collect();
        attacked.assert_serves();
        sleep(Duration::from_secs(1));
        attacked.assert_serves();
        drop(held);
    });
}

#[test]
fn d3_many_unprivileged_clients_block_no_other() {
    with_attacked_daemon(|attacked| {
        let world = attacked.world;
        let silent = |user, group| -> Child {
            // It connects eighty times and sends nothing, until its connections are closed.
            let script = "use IO::Socket::UNIX; $| = 1; for (1..80) { push @held, IO::Socket::UNIX->new(Peer => $ARGV[0]) || die $! } print \"all\\n\"; sleep 3600";
            let mut command = world.command("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={group}")]);
            command.args(["--clear-groups", "--", "/usr/bin/perl", "-e", script, SOCKET]);
            let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
            let mut line = [0; 4];
            child.stdout.as_mut().expect("piped").read_exact(&mut line).expect("all connected");
            child
        };
        // One account may have many user ids (subuid(5)): together they exceed every limit that is not theirs alone.
        let mut crowd: Vec<_> = (12345..12357).map(|user| silent(user, user)).collect();
        crowd.push(silent(4001, 7001));
        attacked.assert_serves();
        // Another member of the same group is served, however many connections the first one has.
        let url = "http://x/user_data/key";
        let got = run(&mut curl_as(world, 4002, 7001, &[url]));
        assert_eq!((got.code, &*got.out), (0, "value"), "{}", got.err);
        for _ in 0..20 {
            let got = run(&mut curl_as(
                world,
                4002,
                7001,
                &["-w", " %{http_code}", "-X", "PATCH", "-d", "mine", url],
            ));
            assert!(got.out.ends_with(" 403"), "{}", got.out);
            let got = run(&mut curl_as(world, 4002, 7001, &["-w", " %{http_code}", "-X", "DELETE", url]));
            assert!(got.out.ends_with(" 403"), "{}", got.out);
            let got = run(&mut curl_as(world, 12400, 12400, &["-w", " %{http_code}", url]));
            assert!(got.out.ends_with(" 403") || got.out.ends_with(" 000"), "{}", got.out);
            assert!(!got.out.contains("value"));
        }
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"value"[..]));
        for child in &mut crowd {
            child.kill().expect("killed");
            child.wait().expect("waited");
        }
    });
}

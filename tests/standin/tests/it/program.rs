//! Tests of the program: options, files and signals.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::{Client, Ending};
use crate::control;

/// A temporary folder for one test, removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("scw-standin-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        std::fs::write(&path, text).expect("a file");
        path.into_os_string().into_string().expect("a path of text")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A running program. Dropping it kills the program.
struct Running(Child);

impl Running {
    /// Starts the program, and waits until it prints its addresses.
    fn start(args: &[&str], addresses: usize) -> (Running, Vec<SocketAddr>) {
        let mut child = command(args).stdout(Stdio::piped()).spawn().expect("the program");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let running = Running(child);
        let address = |line: std::io::Result<String>| {
            let line = line.expect("a line");
            let address = line.strip_prefix("listening on ").and_then(|rest| rest.parse().ok());
            address.expect("a line with an address")
        };
        (running, stdout.lines().take(addresses).map(address).collect())
    }

    fn stop(mut self, signal: Signal) -> Option<i32> {
        let id = i32::try_from(self.0.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("a signal sent");
        self.0.wait().expect("an end").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scw-standin"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program")
}

const HERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn program_serves_its_options_until_stopped() {
    let folder = Folder::new("serves");
    let record = folder.file("record");
    let control = folder.file("control");
    let args = [
        ["--conf", &folder.write("conf", r#"{"id":"from a file"}"#)],
        ["--orders", &folder.write("orders", "[[order]]\npath = \"/\"\nnth = \"1\"\nfault = \"drop\"\n")],
        ["--vendor-data", &folder.write("vendor", "vendor")],
        ["--user-data", "a=b=c@d"],
        ["--user-data", &format!("file@{}", folder.write("value", "x\n"))],
        ["--record", record.to_str().unwrap()],
        ["--control", control.to_str().unwrap()],
        ["--keep-alive", "30"],
        ["--high-port-status", "400"],
        ["--patch-status", "200"],
        ["--empty-status", "204"],
        ["--listen", "[::1]:0"],
        HERE,
    ];
    let args = args.as_flattened();
    for (signal, requests) in [(Signal::SIGTERM, 6), (Signal::SIGINT, 12)] {
        let (running, addresses) = Running::start(args, 2);
        let mut dropped = Client::connect(addresses[0]);
        dropped.request("GET", "/", b"");
        assert_eq!(dropped.rest(), (vec![], Ending::Fin));
        let mut client = Client::connect_low(addresses[1]);
        assert_eq!(client.get("/conf?format=json").text(), r#"{"id":"from a file"}"#);
        assert_eq!(client.get("/user_data/a").text(), "b=c@d");
        assert_eq!(client.get("/user_data/file").text(), "x\n");
        assert_eq!(client.get("/vendor_data/cloud-init").text(), "vendor");
        assert_eq!(Client::connect(addresses[1]).get("/user_data").status, 400);
        assert_eq!(control::connect(&control).get("/requests").status, 200);
        let lines = std::fs::read_to_string(&record).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), requests);
        assert_eq!((&lines[0]["fault"], &lines[0]["status"]), (&json!("drop"), &json!(null)));
        assert_eq!((&lines[5]["target"], &lines[5]["status"]), (&json!("/user_data"), &json!(400)));
        assert_eq!(running.stop(signal), Some(0));
        assert!(!control.exists());
    }
}

#[test]
fn error_shows_the_wrong_option_or_file() {
    let folder = Folder::new("wrong");
    let orders = folder.write("orders", "[[order]]\nfault = \"drop\"\nhost = \"x\"\n");
    let contradiction = folder.write("contradiction", "[[order]]\nfault = \"refuse\"\nnth = \"1\"\n");
    let conf = folder.write("conf", "{");
    let table: [(&[&str], i32, &str); 11] = [
        (&["--nonsense"], 2, "--nonsense"),
        (&["word"], 2, "word"),
        (&["--listen", "localhost"], 2, "localhost"),
        (&["--listen"], 2, "--listen"),
        (&["--user-data", "key"], 2, "neither KEY=VALUE nor KEY@FILE"),
        (&["--user-data", "k@/dev/null/x"], 2, "/dev/null/x"),
        (&["--keep-alive", "-1"], 2, "-1"),
        (&["--patch-status", "201"], 2, "neither 204 nor 200"),
        (&["--orders", &orders], 2, "line 3"),
        (&["--orders", &contradiction], 2, "order 1: refused connections cannot be counted"),
        (&["--conf", &conf], 2, &conf),
    ];
    let cannot_start: [(&[&str], i32, &str); 3] = [
        (&["--listen", "192.0.2.1:80"], 1, "cannot listen on 192.0.2.1:80"),
        (&["--listen", "127.0.0.1:0", "--record", "/dev/null/x"], 1, "/dev/null/x"),
        (&["--listen", "127.0.0.1:0", "--control", "/dev/null/x"], 1, "/dev/null/x"),
    ];
    for (args, code, text) in table.into_iter().chain(cannot_start) {
        let output = run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.contains(text)), (Some(code), true), "{args:?}: {error}");
        assert!(error.starts_with("scw-standin: ") && output.stdout.is_empty());
    }
}

#[test]
fn help_lists_every_option_and_version_prints_it() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for option in ["--listen", "--conf", "--user-data", "--orders", "--record", "--control", "--keep-alive"] {
        assert!(help.contains(option), "{option}");
    }
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert_eq!(version, format!("scw-standin {}\n", env!("CARGO_PKG_VERSION")));
}

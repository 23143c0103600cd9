//! qemu's monitor: commands as JSON, one line each, and the events between the answers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::guest::{LONG, MONITOR};

/// A connection to the monitor.
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Monitor {
    /// Connects to the running machine.
    pub(super) fn connect() -> Monitor {
        let stream = UnixStream::connect(MONITOR).expect("the monitor of qemu");
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        let mut monitor = Monitor { stream: BufReader::new(stream), events: Vec::new() };
        let greeting = monitor.next();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        monitor.execute("qmp_capabilities", json!({}));
        monitor
    }

    /// Carries out a command, which must succeed.
    #[track_caller]
    pub(super) fn execute(&mut self, command: &str, arguments: Value) {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.stream.get_mut().write_all(line.as_bytes()).expect("sent");
        loop {
            let answer = self.next();
            if answer["event"].is_string() {
                self.events.push(answer);
            } else {
                assert!(answer["return"].is_object(), "{command}: {answer}");
                return;
            }
        }
    }

    /// Waits until the guest has released a device, which has been gone since then.
    pub(super) fn wait_until_deleted(&mut self, device: &str) {
        let is_it = |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == device;
        while !self.events.iter().any(is_it) {
            let event = self.next();
            self.events.push(event);
        }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line of the monitor");
        serde_json::from_str(&line).expect("JSON")
    }
}

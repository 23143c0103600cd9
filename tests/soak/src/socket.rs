//! Half an hour at the socket: clients that read, clients that write and read back, and hostile clients at the same time. Each normal
//! client gets the correct answer or a refusal, and the daemon's use of memory, descriptors and threads does not grow.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use scw_agent::local_api::SOCKET;
use scw_stage::{Daemon, Notify, Programs, World};

use crate::Stop;
use crate::usage::{self, Usage};

const READERS: u64 = 6;
const WRITERS: u64 = 2;
const HOSTILE: u64 = 4;
const VALUE: &str = "the value that everybody reads";
/// How long a client waits for an answer. The daemon waits less for its own requests.
const PATIENCE: Duration = Duration::from_secs(300);
const SAMPLES: u32 = 120;

#[derive(Default)]
struct Tally {
    right: AtomicU64,
    refused: AtomicU64,
    wrong: AtomicU64,
    hostile: AtomicU64,
    done: AtomicBool,
}

/// Runs the clients, and prints the results.
pub(crate) fn run(programs: &Programs, minutes: f64) -> Result<(), Stop> {
    println!("{minutes} minutes: {READERS} readers, {WRITERS} writers, {HOSTILE} hostile clients");
    World::builder().run(|world| {
        world.standin().set_user_data("shared", VALUE);
        let notify = Notify::new(world).map_err(|why| Stop::Cannot(why.to_string()))?;
        let mut command = world.agent_command(&programs.agent);
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path());
        let daemon = Daemon::spawn(&mut command).map_err(|why| Stop::Cannot(why.to_string()))?;
        if !notify.wait_for("READY=1", PATIENCE) {
            return Err(Stop::Cannot(daemon.output()));
        }
        let tally = Tally::default();
        let samples = thread::scope(|scope| {
            for number in 0..READERS + WRITERS + HOSTILE {
                let tally = &tally;
                scope.spawn(move || {
                    while !tally.done.load(Relaxed) {
                        run_client(number, tally);
                        sleep(Duration::from_millis(10));
                    }
                });
            }
            let samples = watch(world, &daemon, Duration::from_secs_f64(minutes * 60.0));
            tally.done.store(true, Relaxed);
            samples
        })?;
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let (right, refused, wrong) = (count(&tally.right), count(&tally.refused), count(&tally.wrong));
        println!(
            "{right} correct answers, {refused} refusals, {wrong} wrong answers, {} hostile clients",
            count(&tally.hostile)
        );
        if wrong > 0 || right == 0 {
            return Err(Stop::Violated(format!("{wrong} answers were wrong, {right} correct")));
        }
        usage::judge(&samples)
    })
}

fn watch(world: &World, daemon: &Daemon, length: Duration) -> Result<Vec<Usage>, Stop> {
    let (end, mut samples) = (Instant::now() + length, Vec::new());
    while Instant::now() < end {
        sleep(length / SAMPLES);
        samples.push(Usage::of(daemon.pid())?);
        world.standin().clear_requests();
    }
    Ok(samples)
}

/// One request. The number decides the kind of client.
fn run_client(number: u64, tally: &Tally) {
    if number >= READERS + WRITERS {
        tally.hostile.fetch_add(1, Relaxed);
        // The result does not matter.
        drop(run_hostile_client(number));
        return;
    }
    let result = if number < READERS {
        request("GET /user_data/shared HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .map(|answer| (answer, VALUE.to_owned()))
    } else {
        let value = format!("{number} {:?}", Instant::now());
        write_and_read(number, &value).map(|answer| (answer, value))
    };
    let counter = match result {
        Ok((Some(answer), value)) if answer == value => &tally.right,
        Ok((Some(_), _)) => &tally.wrong,
        // The connection limit was reached, or the answer was a refusal.
        Ok((None, _)) | Err(_) => &tally.refused,
    };
    counter.fetch_add(1, Relaxed);
}

fn write_and_read(number: u64, value: &str) -> std::io::Result<Option<String>> {
    let path = format!("/user_data/own-{number}");
    let length = value.len();
    let set = format!(
        "PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{value}"
    );
    if request(&set)?.is_none() {
        return Ok(None);
    }
    request(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

/// Sends a request; returns the body if the status is 200 or 204.
fn request(text: &str) -> std::io::Result<Option<String>> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let good = head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 204");
    Ok(good.then(|| body.to_owned()))
}

fn run_hostile_client(number: u64) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(SOCKET)?;
    match number % 4 {
        // Sends half of a request, and then nothing for a while.
        0 => {
            stream.write_all(b"GET /user_data/sha")?;
            sleep(Duration::from_millis(200));
        }
        1 => {
            stream.write_all(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1_000_000)).as_bytes())?
        }
        2 => stream.write_all(&[0, 255, 13, 10, 13, 10])?,
        // Sends a request, and does not wait for the answer.
        _ => stream.write_all(b"GET /conf HTTP/1.1\r\nHost: x\r\n\r\n")?,
    }
    Ok(())
}

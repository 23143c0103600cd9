//! Shared helpers: the agent's programs in a world, started as systemd would start them, and what they write.

use std::fs;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, World};

/// The agent.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_scw-agent");
/// The path of `scw-userdata`: a link to the agent, as in packages.
pub(crate) fn userdata_program() -> &'static str {
    static PATH: OnceLock<&str> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/scw-userdata");
        let new = format!("{path}.{}", std::process::id());
        std::os::unix::fs::symlink(AGENT, &new).expect("a new link");
        fs::rename(new, path).expect("replaced");
        path
    })
}
/// Far longer than anything takes, also on a busy machine. It only prevents a broken test from hanging.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// The key under which the fingerprints are published.
pub(crate) const FINGERPRINTS: &str = "ssh-host-fingerprints";

/// The folder of the daemon's requests to the host-keys units.
const REQUESTS: &str = "/run/scw-agent-requests/host-keys";
/// The daemon's request to compare the Instance with the identity record.
pub(crate) const INSTANCE_SEEN: &str = "/run/scw-agent-requests/host-keys/instance-seen";
/// The daemon's request to start the setup runner.
pub(crate) const SETUP_REQUESTED: &str = "/run/scw-agent-requests/setup/setup-requested";

/// From now on the metadata service reports this Instance.
pub(crate) fn become_instance(world: &World, id: &str) {
    let mut conf = world.standin().conf();
    conf["id"] = id.into();
    world.standin().set_conf(conf);
}

/// Makes the metadata service report this Instance, and writes the daemon's request to check it. The content of the request file is never used.
pub(crate) fn request_instance(world: &World, id: &str) {
    become_instance(world, id);
    std::fs::write(INSTANCE_SEEN, "").expect("written");
}

/// Exit code and output of a finished program.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: status.code().expect("an exit code"), out: text(stdout), err: text(stderr) }
}

/// Copies a program, with `cp` and not in this process: a child that another test starts at the same time would hold the file open for
/// writing, and the program could not be started ("Text file busy").
pub(crate) fn copy_program(world: &World, from: &str, to: &str) {
    let copied = run(world.command("cp").args([from, to]));
    assert_eq!(copied.code, 0, "{}", copied.err);
}

/// A setup script that adds a line to the file that [`runs`] counts.
pub(crate) const COUNTING: &str = "#!/bin/sh\necho ran >> /var/lib/ran\n";

/// How often a script that adds a line to /var/lib/ran has run.
pub(crate) fn runs() -> usize {
    std::fs::read_to_string("/var/lib/ran").unwrap_or_default().lines().count()
}

/// The file that [`script_writing`] writes to.
pub(crate) const WORDS: &str = "/var/lib/words";

/// A script that adds a word to [`WORDS`].
pub(crate) fn script_writing(word: &str) -> String {
    format!("#!/bin/sh\necho {word} >> {WORDS}\n")
}

/// The words that scripts have written to [`WORDS`], with a space between two.
pub(crate) fn written_words() -> String {
    std::fs::read_to_string(WORDS).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs a shell script in the world; it must succeed.
pub(crate) fn sh(world: &World, script: &str) {
    let ended = run(world.command("sh").args(["-ec", script]));
    assert_eq!(ended.code, 0, "{script}: {}", ended.err);
}

/// Runs `scw-agent` with these arguments, as root.
pub(crate) fn agent(world: &World, words: &[&str]) -> Ended {
    run(world.command(AGENT).args(words))
}

/// Runs `scw-userdata` with these arguments, as root.
pub(crate) fn userdata(world: &World, words: &[&str]) -> Ended {
    run(world.command(userdata_program()).args(words))
}

/// Makes a key without a passphrase, as another tool than the agent does.
pub(crate) fn keygen(world: &World, key_type: &str, comment: &str, path: &str) {
    let mut command = world.command("ssh-keygen");
    let made = run(command.args(["-q", "-t", key_type, "-N", "", "-C", comment, "-f", path]));
    assert_eq!(made.code, 0, "{}", made.err);
}

/// Runs `what` while `ssh-keygen` is replaced by a program that always fails.
pub(crate) fn without_keygen<T>(world: &World, what: impl FnOnce() -> T) -> T {
    let sh = |script: &str| assert_eq!(run(world.command("sh").args(["-c", script])).code, 0, "{script}");
    sh("mount --bind /bin/false /usr/bin/ssh-keygen");
    let done = what();
    sh("umount /usr/bin/ssh-keygen");
    done
}

/// Configures one key type only: an RSA key takes a second to make, and most tests do not need it.
pub(crate) fn one_key_type() {
    std::fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ed25519\"]\n").expect("written");
}

/// Makes a single host key in the ensure pass.
pub(crate) fn make_host_key(world: &World) {
    one_key_type();
    let made = agent(world, &["host-keys", "ensure"]);
    assert_eq!(made.code, 0, "{}", made.err);
}

/// Lets the settle pass confirm and record the Instance, so that the daemon can publish.
pub(crate) fn confirm_instance(world: &World) {
    std::fs::write(INSTANCE_SEEN, "").expect("written");
    let settled = agent(world, &["host-keys", "settle"]);
    assert_eq!(settled.code, 0, "{}", settled.err);
}

/// Starts the daemon as its unit does, and waits until it is ready.
pub(crate) fn start_daemon(world: &World) -> Daemon {
    start_daemon_as(world, world.agent_command(AGENT))
}

/// Starts the daemon with this command, which gets the argument `daemon`.
pub(crate) fn start_daemon_as(world: &World, mut command: Command) -> Daemon {
    let notify = Notify::new(world).expect("a socket");
    let daemon = Daemon::spawn(command.arg("daemon").env("NOTIFY_SOCKET", notify.path())).expect("started");
    assert!(notify.wait_for("READY=1", LONG), "never ready: {}", daemon.output());
    daemon
}

/// Runs the settle pass if the daemon has requested it, as the path unit does. Returns its result.
pub(crate) fn serve_requests(world: &World) -> Option<Ended> {
    let entries = std::fs::read_dir(REQUESTS).into_iter().flatten().flatten();
    let has_request =
        entries.map(|entry| entry.file_name()).any(|name| !name.as_encoded_bytes().starts_with(b"."));
    has_request.then(|| agent(world, &["host-keys", "settle"]))
}

/// Waits until the fingerprints are published, and returns them. The daemon publishes them after root has confirmed the Instance.
pub(crate) fn wait_until_published(world: &World) -> String {
    let stored = until(world, "published", || {
        serve_requests(world);
        world.standin().user_data(FINGERPRINTS)
    });
    String::from_utf8(stored).expect("UTF-8")
}

/// Calls `look` until it returns a value. Fails with "never `what`" after [`LONG`].
pub(crate) fn until<T>(world: &World, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "never {what}; requests: {:#?}", request_lines(world));
        sleep(Duration::from_millis(5));
    }
}

/// Waits until the leftover processes of a killed program have ended: this world has no process but the test's own.
pub(crate) fn until_processes_have_ended(world: &World) {
    let network = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).ok();
    let own = network("thread-self").expect("a network namespace");
    until(world, "without processes", || {
        let names = std::fs::read_dir("/proc").expect("listed").flatten();
        let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
        // Numbers only: `thread-self` is always in this network namespace.
        let is_in = |name: String| {
            name.starts_with(|first: char| first.is_ascii_digit()) && network(&name).as_ref() == Some(&own)
        };
        (!names.any(is_in)).then_some(())
    });
}

/// Waits until a process has the name of this program: a script that ends with `exec` becomes the program some time after its last output.
pub(crate) fn until_process_is(world: &World, pid: &str, program: &str) {
    let name = format!("/proc/{}/comm", pid.trim());
    until(world, program, || (std::fs::read_to_string(&name).ok()?.trim() == program).then_some(()));
}

/// The requests that the stand-in has received, as `METHOD TARGET`.
pub(crate) fn request_lines(world: &World) -> Vec<String> {
    world
        .standin()
        .requests()
        .iter()
        .map(|request| format!("{} {}", request.method, request.target))
        .collect()
}

/// Whether the document says that the right value was published when the daemon last checked it.
pub(crate) fn has_been_published(status: &serde_json::Value) -> bool {
    !status["fingerprints"]["checked"].is_null()
}

/// Waits until the daemon has published the fingerprints and listed the user data. Returns the log of the settle passes until then.
pub(crate) fn wait_until_settled(world: &World) -> String {
    let mut log = String::new();
    until(world, "settled", || {
        log += &serve_requests(world).map(|ended| ended.err).unwrap_or_default();
        let status: serde_json::Value =
            serde_json::from_str(&agent(world, &["status", "--json"]).out).ok()?;
        let known = !status["instance"].is_null() && has_been_published(&status);
        // The daemon lists the user data directly after it has read the Instance's metadata.
        (known && request_lines(world).iter().any(|line| line == "GET /user_data?format=json")).then_some(())
    });
    log
}

/// `scw-agent` with these arguments, its standard error connected to the journal as systemd does for a service.
pub(crate) fn logging_to_journal(world: &World, words: &str) -> Command {
    let script = format!("export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec \"$0\" {words}");
    let mut command = world.command("systemd-cat");
    command.args(["sh", "-c", &script, AGENT]);
    command
}

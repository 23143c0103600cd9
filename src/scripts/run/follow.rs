//! The follower: a process of the agent that reads what leftover processes print after a script's end (invariant S4).

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::run::output::ScriptOutput;
use crate::util::log;

/// How long the follower waits for each line that it logged: leftover processes can log a thousand lines a second. A faster
/// writer waits at its pipe; nothing is lost.
const WAIT_PER_LINE: Duration = Duration::from_millis(1);

/// Starts the follower. Leftover processes may go on writing: the follower reads the pipe, so that they get no SIGPIPE and
/// their lines reach the log (invariant S4). It ends with the last writer.
pub(crate) fn follow(from_script: Receiver, key: &UserDataKey) {
    let started = from_script.into_blocking_fd().and_then(|pipe| {
        let mut command = std::process::Command::new("/proc/self/exe");
        command.args(["setup", "follow", key.as_str()]).stdin(pipe).stdout(Stdio::null());
        if !log::stderr_is_journal() {
            // A program that waits for the end of a person's command must not wait for leftover processes.
            command.stderr(Stdio::null());
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn()
    });
    if let Err(why) = started {
        tracing::warn!(SCW_SCRIPT = %key, "{key}: the output of its leftover processes is not read any more: {why}");
    }
}

/// Runs the follower: logs the lines of standard input until there is no writer any more.
pub(crate) async fn run_follower(key: &UserDataKey) -> io::Result<()> {
    let mut from_script = Receiver::from_owned_fd(nix::unistd::dup(io::stdin())?)?;
    let mut output = ScriptOutput::new(key, None)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from_script.read(&mut buffer).await? {
            0 => break,
            count => output.take(&buffer[..count]),
        }
        let lines = u32::try_from(output.waiting()).unwrap_or(u32::MAX);
        output.pass_on().await;
        sleep(WAIT_PER_LINE * lines).await;
    }
    output.finish().await;
    Ok(())
}

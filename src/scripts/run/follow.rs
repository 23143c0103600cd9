//! Reading what a script's processes print after its end, in a process of our own (invariant S4).

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::run::output::ScriptOutput;
use crate::util::log;

/// How long the follower waits for each line that it passed on: what a script left behind gets a thousand lines a second. It waits at
/// its pipe then, and nothing is lost.
const FOR_EACH_LINE: Duration = Duration::from_millis(1);

/// What the script left running may go on writing: a process of ours goes on reading, so that it gets no SIGPIPE, and its lines reach the
/// log (law S4). It ends with the last writer.
pub(crate) fn follow(from_script: Receiver, key: &UserDataKey) {
    let followed = from_script.into_blocking_fd().and_then(|pipe| {
        let mut command = std::process::Command::new("/proc/self/exe");
        command.args(["setup", "follow", key.as_str()]).stdin(pipe).stdout(Stdio::null());
        if !log::is_the_journal() {
            // Whoever waits for the end of a person's command must not wait for what a script left running.
            command.stderr(Stdio::null());
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn()
    });
    if let Err(why) = followed {
        tracing::warn!(SCW_SCRIPT = %key, "{key}: what it left running writes to nobody from now on: {why}");
    }
}

/// The follower itself: lines from standard input to the log, until there is no writer any more.
pub(crate) async fn follower(key: &UserDataKey) -> io::Result<()> {
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
        sleep(FOR_EACH_LINE * lines).await;
    }
    output.finish().await;
    Ok(())
}

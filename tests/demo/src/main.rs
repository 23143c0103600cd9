//! `cargo demo`: builds the agent, makes a small Instance, and shows the complete job of the agent in it.
//! Exit code 0: all steps succeeded; 1: a step failed; 2: the demo cannot run here.
//! It must not leave anything on the machine, and must not start a client outside of the Instance.

mod fingerprint;
mod guest;
mod programs;
mod screen;
mod story;

use std::process::ExitCode;

use scw_stage::{Package, Privileges, Programs, World, enter_user_namespace_if_needed};
use scw_standin::Options;

use crate::guest::Guest;

use crate::screen::Screen;

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        eprintln!("usage: cargo demo");
        return ExitCode::from(2);
    }
    match show() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("cannot run the demo here: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Runs the demo; returns whether all steps succeeded.
fn show() -> Result<bool, String> {
    programs::check_tools()?;
    let programs = Programs::build()?;
    drop(Package::OpensshServer.find().map_err(|error| error.to_string())?);
    // The build runs before this, as the original user. The process still has only one thread.
    enter_user_namespace_if_needed().map_err(|error| error.to_string())?;

    let user_data = [(b"setup-script".to_vec(), story::SCRIPT.as_bytes().to_vec())].into();
    let world = World::builder().with_sshd().standin(Options { user_data, ..Options::default() });
    let world = world.build().map_err(|error| error.to_string())?;
    let mut screen = Screen::default();
    screen.title("scw-agent at work on a small Instance of its own; nothing of this machine changes");
    if world.privileges() == Privileges::UserNamespace {
        screen.note(
            "not root: all is one user here, so the daemon's own user id, and sshd's port 22 and privilege \
             separation, are left out",
        );
    }
    let mut guest = Guest::new(&world, programs);
    let held = story::run_steps(&mut guest, &mut screen);
    if !held {
        screen.output_of("the daemon", &guest.daemon_output());
    }
    Ok(held)
}

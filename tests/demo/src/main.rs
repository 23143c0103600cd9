//! `cargo demo`: builds the agent, makes a small Instance, and shows the complete job of the agent in it.
//! Exit code 0: all steps succeeded; 1: a step failed; 2: the demo cannot run here.
//! It must not leave anything on the machine, and must not start a client outside of the Instance.

mod client;
mod fingerprint;
mod guest;
mod metadata;
mod owner;
mod programs;
mod screen;
mod story;

use std::collections::BTreeMap;
use std::process::ExitCode;

use scw_stage::{Package, Privileges, Programs, World, enter_user_namespace_if_needed};
use scw_standin::{Options, PublicApi};

use crate::guest::Guest;

use crate::screen::Screen;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let with_shell = match arguments.as_slice() {
        [] => false,
        [word] if word == "shell" => true,
        _ => {
            let is_help =
                arguments.len() == 1 && arguments.iter().any(|word| word == "--help" || word == "-h");
            let usage = "usage: cargo demo          show the agent's work\n       cargo demo shell    the same, then a shell in the Instance";
            if is_help {
                println!("{usage}");
                return ExitCode::SUCCESS;
            }
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match show(with_shell) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("cannot run the demo here: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Runs the demo, and then a shell if that is wanted; returns whether all steps succeeded.
fn show(with_shell: bool) -> Result<bool, String> {
    programs::check_tools()?;
    let (programs, client) = (Programs::build()?, Programs::build_client()?);
    drop(Package::OpensshServer.find().map_err(|error| error.to_string())?);
    // The build runs before this, as the original user. The process still has only one thread.
    enter_user_namespace_if_needed().map_err(|error| error.to_string())?;

    let public_api = PublicApi {
        listen: (owner::ADDRESS, 443).into(),
        authority: Some(owner::AUTHORITY.into()),
        tokens: BTreeMap::new(),
    };
    let options = Options { public_api: Some(public_api), ..Options::default() };
    let world = World::builder().with_sshd().standin(options);
    let world = world.build().map_err(|error| error.to_string())?;
    let mut screen = Screen::default();
    screen.title("scw-agent at work on a small Instance of its own; nothing of this machine changes");
    if world.privileges() == Privileges::UserNamespace {
        screen.note(
            "not root: all is one user here, so the daemon's own user id, and sshd's port 22 and privilege \
             separation, are left out",
        );
    }
    let mut guest = Guest::new(&world, programs, client);
    let held = story::run_steps(&mut guest, &mut screen);
    if !held {
        screen.output_of("the daemon", &guest.daemon_output());
    }
    if with_shell {
        screen.note(
            "a shell in the Instance, until you leave it; try scw-agent status, or ask the API as its owner:",
        );
        println!("{}", owner::shell_command());
        guest.shell()?;
    }
    Ok(held)
}

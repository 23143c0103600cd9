//! `scw-set-hostname`.

use nix::unistd::geteuid;

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::hostname::{NotSet, set_from_metadata};
use crate::command::process::print_error;

pub(super) fn set_hostname(program: &'static Program, _: Parsed) -> Exit {
    if !geteuid().is_root() {
        return program.fail(&"only root may set the hostname", Exit::NotPermitted);
    }
    match set_from_metadata() {
        Ok(_) => Exit::Success,
        Err(NotSet::LeftToCloudInit) => {
            print_error(program, &"cloud-init sets the hostname, so it is not changed");
            Exit::Success
        }
        Err(NotSet::NoName) => {
            program.fail(&"the metadata have no valid hostname; it is not changed", Exit::Failure)
        }
        Err(NotSet::NoAnswer(why) | NotSet::Failed(why)) => program.fail(&why, Exit::Failure),
    }
}

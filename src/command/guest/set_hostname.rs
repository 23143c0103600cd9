//! `scw-set-hostname`.

use std::path::Path;

use nix::unistd::geteuid;

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::guest::asking::ask_then;
use crate::command::process::print_error;
use crate::metadata::api::response::Ask;
use crate::system::{cloud_init, hostname};

pub(super) fn set_hostname(program: &'static Program, _: Parsed) -> Exit {
    if !geteuid().is_root() {
        return program.fail(&"only root may set the hostname", Exit::NotPermitted);
    }
    if cloud_init::is_active(Path::new("/")) {
        print_error(program, &"cloud-init sets the hostname, so it is not changed");
        return Exit::Success;
    }
    ask_then(
        program,
        Exit::Failure,
        async |api| api.instance().await,
        |instance| {
            let Some(name) = instance.hostname.filter(|name| hostname::is_hostname(name)) else {
                return program
                    .fail(&"the metadata have no valid hostname; it is not changed", Exit::Failure);
            };
            match hostname::set(&name) {
                Ok(()) => Exit::Success,
                Err(why) => program.fail(&format!("cannot set the hostname: {why}"), Exit::Failure),
            }
        },
    )
}

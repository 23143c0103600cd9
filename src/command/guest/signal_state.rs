//! `scw-signal-state`: tells the platform the state of the Instance.

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::guest::asking::ask_then;
use crate::command::process::print;
use crate::metadata::api::response::Ask;
use crate::metadata::api::state_detail::StateDetail;

pub(super) fn signal_state(program: &'static Program, parsed: Parsed) -> Exit {
    let state = match StateDetail::new(parsed.operand.as_deref().unwrap_or_default()) {
        Ok(state) => state,
        Err(why) => return program.fail_usage(&why.to_string()),
    };
    let sent = ask_then(
        program,
        Exit::Failure,
        async |api| api.signal_state(&state).await,
        |()| print(&format!("{state} signal sent!\n")),
    );
    if sent != Exit::Success {
        return program.fail(&format!("Can't send {state} signal"), sent);
    }
    sent
}

//! The agent: see `scw-agent --help`. Started under the name `scw-userdata`, it is the user data helper, so
//! that packages contain the program once.

fn main() -> scw_agent::command::Exit {
    scw_agent::command::by_name()
}

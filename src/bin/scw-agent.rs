//! The agent: see `scw-agent --help`. Under the name `scw-userdata`, the user data helper: packages have it once.

fn main() -> scw_agent::command::Exit {
    scw_agent::command::by_name()
}

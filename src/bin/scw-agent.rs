//! The agent: see `scw-agent --help`.

fn main() -> scw_agent::command::Exit {
    scw_agent::command::agent()
}

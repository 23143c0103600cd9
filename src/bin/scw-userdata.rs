//! The user data helper: see `scw-userdata --help`.

fn main() -> scw_agent::command::Exit {
    scw_agent::command::userdata()
}

//! The user data helper: see `scw-userdata --help`. This program is for a checkout; in packages,
//! `scw-userdata` is a second name of `scw-agent`.

fn main() -> scw_agent::command::Exit {
    scw_agent::command::userdata()
}

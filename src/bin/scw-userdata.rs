//! The user data helper: see `scw-userdata --help`. For checkouts; in packages it is a second name of `scw-agent`.

fn main() -> scw_agent::command::Exit {
    scw_agent::command::userdata()
}

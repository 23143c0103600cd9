//! What is typed, by people and by units: words become one call of a role, its result becomes lines and an exit code.
//!
//! No logic of a role is here. The two programs are [`agent()`] and [`userdata()`].

mod agent;
mod daemon;
mod doctor;
mod exit;
mod help;
mod host_keys;
mod process;
mod rows;
mod setup;
mod status;
mod status_view;
mod userdata;

pub use agent::agent;
pub use exit::Exit;
pub use userdata::userdata;

//! The program `scw-known-hosts`.

fn main() -> std::process::ExitCode {
    scw_known_hosts::command::run()
}

//! Tests of all budgets: sizes of the programs, requests of a boot, instructions and wake-ups. Also a test of the sources and licences of
//! other crates against deny.toml.

mod boot;
mod size;
mod supply;
mod wake_ups;

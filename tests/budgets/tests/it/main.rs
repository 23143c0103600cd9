//! Each budget of the table, counted: what the programs weigh, what a boot asks, how much they compute, how often they wake; and where
//! foreign code comes from, by deny.toml.

mod boot;
mod size;
mod supply;
mod wake_ups;

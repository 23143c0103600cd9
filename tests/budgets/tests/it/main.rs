//! Each budget of the table, counted: what the programs weigh, what a boot asks, how much they compute, how often they wake.

mod boot;
mod size;
mod wake_ups;

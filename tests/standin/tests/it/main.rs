//! Tests of the stand-in over the loopback interface. They use only 127.0.0.1 and [::1].

mod api;
mod client;
mod connections;
mod control;
mod faults;
mod program;
mod public_faults;
mod sdk;

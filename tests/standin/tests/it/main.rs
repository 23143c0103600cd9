//! The stand-in over loopback, byte by byte. Nothing here leaves 127.0.0.1 and [::1].

mod api;
mod client;
mod connections;
mod control;
mod faults;
mod program;

//! The client with the real ssh and sshd, and the stand-in for the public API over TLS. Each test runs in a small world of its
//! own, in which the Instance's public address is one of the loopback device. `desk` is the user's side.

mod attacks;
mod desk;
mod faults;
mod files;
mod matrix;
mod people;
mod programs;
mod releases;
mod targets;

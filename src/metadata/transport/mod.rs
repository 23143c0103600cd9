//! Sends a request and receives the response, over one connection.
//!
//! | module | what it does |
//! |---|---|
//! | `client` | keeps one connection, and opens a new one once when it is lost |
//! | `connect` | opens a TCP connection from a privileged port; races IPv4 and IPv6 (invariants T2, T3) |
//! | `source_port` | which source ports to try, and in which order (pure) |
//! | `connection` | one open HTTP/1.1 connection and its end (invariant T4) |
//! | `exchange` | one HTTP exchange with all its limits (invariant T1) |

pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod source_port;

//! The daemon: four tasks on one thread. Each owns its state; they talk by channels.
//!
//! | module | what it does |
//! |---|---|
//! | `run` | starts the tasks, and ends them |
//! | `metadata_task` | owns the one connection to the metadata service, and answers questions in their order |
//! | `rounds` | the periodic work: publish, look at the Instance, request root's units |
//! | `publisher` | keeps the value of `ssh-host-fingerprints` true |
//! | `observer` | learns which Instance this is, and whether it has scripts |
//! | `host_key_requests`, `runner_requests` | the requests to root's units |
//! | `network`, `key_watch` | events: the network came up, a key or sshd's configuration changed |
//! | `systemd`, `heartbeat` | systemd's status line; the watchdog, fed while the tasks show signs of life |
//! | `reload` | SIGHUP |
//! | `shared_status` | the status document that all tasks write to |
//!
//! The daemon needs no root: it reads public keys, writes to its own folder in /run, and holds the capabilities to use a privileged port and to
//! mark a socket.

pub(crate) mod heartbeat;
pub(crate) mod host_key_requests;
pub(crate) mod key_watch;
pub(crate) mod metadata_task;
pub(crate) mod network;
pub(crate) mod observer;
pub(crate) mod publisher;
pub(crate) mod reload;
pub(crate) mod rounds;
pub(crate) mod run;
pub(crate) mod runner_requests;
pub(crate) mod shared_status;
pub(crate) mod systemd;

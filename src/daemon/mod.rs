//! The daemon: five tasks on one thread (metadata, rounds, local API, systemd, reload). Each task owns its state; they communicate
//! through channels.
//!
//! | module | what it does |
//! |---|---|
//! | `run` | starts the tasks and ends them |
//! | `metadata_task` | owns the one connection to the metadata service, and answers requests in their order |
//! | `rounds` | the periodic work, in this order: request the host-keys units, learn the Instance, publish, list scripts, request the runner |
//! | `round_state`, `wait` | when the next round starts; the wait for it, which an event may end early |
//! | `change_pace` | how soon a change of the key files may cause work |
//! | `wake_timer` | a wait for a time, with one wake-up of the processor |
//! | `publisher` | keeps the value of `ssh-host-fingerprints` up to date |
//! | `fingerprint_checks`, `check_state`, `evidence` | what each answer shows about that value, and when it is checked before its time |
//! | `observer` | learns which Instance this is, and whether it has scripts |
//! | `host_key_requests`, `ssh_key_requests`, `runner_requests` | the requests to the root units |
//! | `boot_tasks` | what is done once in each boot, where it is configured: the state is signalled, the hostname is set |
//! | `repetition` | when work that is not done yet is repeated |
//! | `network`, `key_watch` | events: the network came up, a key or sshd's configuration changed |
//! | `systemd`, `heartbeat` | systemd's status line; the watchdog, notified while the tasks send heartbeats |
//! | `reload` | SIGHUP |
//! | `shared_status` | the status document that all tasks write to |
//!
//! The daemon needs no root: it reads public keys, writes to its own folder in /run, and has the capabilities
//! to use a privileged port and to mark a socket.

pub(crate) mod boot_tasks;
pub(crate) mod change_pace;
pub(crate) mod check_state;
pub(crate) mod evidence;
pub(crate) mod fingerprint_checks;
pub(crate) mod heartbeat;
pub(crate) mod host_key_requests;
pub(crate) mod key_watch;
pub(crate) mod metadata_task;
pub(crate) mod network;
pub(crate) mod observer;
pub(crate) mod publisher;
pub(crate) mod reload;
pub(crate) mod repetition;
pub(crate) mod round_state;
pub(crate) mod rounds;
pub(crate) mod run;
pub(crate) mod runner_requests;
pub(crate) mod shared_status;
pub(crate) mod ssh_key_requests;
pub(crate) mod systemd;
pub(crate) mod wait;
pub(crate) mod wake_timer;

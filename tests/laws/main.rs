//! The laws that the agent keeps, tried with the real binaries in small worlds: a network namespace with the stand-in at the
//! metadata service's real addresses, a throw-away view of the file system, real `ssh-keygen` and sshd. One module a group
//! of laws; what they share is in `machine`.

mod clones;
mod cloud_init_key;
mod crash;
mod disk;
mod doctor;
mod documents;
mod exposure;
mod faults;
mod fleet;
mod host_keys;
mod hostile;
mod identity;
mod injected;
mod journal;
mod key_states;
mod machine;
mod network;
mod peers_flaws;
mod platform;
mod ports;
mod power;
mod quoting;
mod requests;
mod script_behaviour;
mod script_changes;
mod script_settings;
mod script_user;
mod scripts;
mod secrets;
mod served;
mod service;
mod setup_commands;
mod shutdown;
mod sysprep;
mod terminal;
mod test_command;
mod transport;
mod units;
mod userdata;

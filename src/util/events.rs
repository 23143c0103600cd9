//! The events that an administrator may want to find in the journal. Each has a stable id (`MESSAGE_ID=`, see journalctl's message
//! catalog). `packaging/docs` has the texts of the catalog and of docs/reference/journal.md.

/// A script was started.
pub(crate) const SCRIPT_STARTED: &str = "fa4e3be5bbf54511870522886e67b11b";
/// A script ended with exit status 0.
pub(crate) const SCRIPT_SUCCEEDED: &str = "f4dcd7b7e98848b98537e8fb91c2c774";
/// A script ended with another exit status, or by a signal.
pub(crate) const SCRIPT_FAILED: &str = "cd5e62b229694a7f869732ff08735d16";
/// A script was killed because it exceeded its timeout.
pub(crate) const SCRIPT_TIMED_OUT: &str = "e4814376c30f4dc181babb663024e2dd";
/// A script was not started.
pub(crate) const SCRIPT_NOT_RUN: &str = "f8cc06de33874d87b31f025155124373";
/// A script was interrupted, because the machine went down or the setup runner was stopped.
pub(crate) const SCRIPT_CUT_OFF: &str = "eabac8fbc1f0485e947f716d1a757907";
/// A script ended and left processes running.
pub(crate) const SCRIPT_LEFT_PROCESSES: &str = "20122af9ce1d4215abb3cdc1dc8cee1a";
/// Host keys were created.
pub(crate) const HOST_KEYS_MADE: &str = "7f5735ae5ad54304b974202b73101832";
/// The fingerprints were published.
pub(crate) const FINGERPRINTS_PUBLISHED: &str = "5b641dbdf0be4869887a9c46733f1ef0";
/// The disk belongs to another Instance than the recorded one.
pub(crate) const INSTANCE_CHANGED: &str = "c52fb9fd45ad46db88d2098ea4657890";

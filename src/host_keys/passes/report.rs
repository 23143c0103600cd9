//! What a pass found and did.

use std::path::PathBuf;

use crate::host_keys::store::apply::KeyChanges;
use crate::identity::verdict::Verdict;

/// What a pass found and did.
#[derive(Debug, Default)]
pub(crate) struct PassReport {
    /// Which Instance the disk belongs to.
    pub verdict: Verdict,
    /// Whether this pass did a renewal: new keys for another Instance.
    pub renewed: bool,
    /// What was done to the keys.
    pub key_changes: KeyChanges,
    /// The folder with the old public keys, after a renewal.
    pub old_keys: Option<PathBuf>,
    /// Why the metadata service gave no answer about which Instance this is. The request stays pending.
    pub fetch_error: Option<String>,
    /// Lines for the console: the served keys, if they are known to be this Instance's and were not printed in this boot.
    pub console_lines: String,
    /// Other problems. They did not stop the pass.
    pub problems: Vec<String>,
}

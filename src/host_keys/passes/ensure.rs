//! The first pass, before sshd starts and without a network.

use crate::host_keys::passes::earlier_keys;
use crate::host_keys::passes::lock::lock;
use crate::host_keys::passes::pass::Pass;
use crate::host_keys::passes::report::PassReport;
use crate::host_keys::passes::settings::PassSettings;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::apply::KeysToReplace;

/// The ensure pass. Afterwards every key exists and is complete. Keys that the hypervisor proves to be another Instance's are new.
///
/// sshd waits for this pass. So if another process keeps the lock, the existing keys are not changed and nothing is recorded. Only a
/// machine without any usable key gets keys even then.
pub(crate) fn ensure(paths: &HostKeyPaths, settings: PassSettings<'_>) -> PassReport {
    let lock = lock(paths);
    let mut pass = Pass::start(paths, settings);
    pass.judge(None);
    let effective = pass.query_sshd();
    let store = pass.key_store(&effective);
    let mut keys = Vec::new();
    if lock.is_err() {
        keys = store.inspect(&mut pass.answers);
    }
    if !keys.iter().any(|key| key.loaded().is_some()) {
        let may_renew = lock.is_ok() && settings.regenerate;
        let renewal = if may_renew { pass.start_renewal(&store) } else { None };
        keys = pass.make_keys(&store, &renewal.unwrap_or(KeysToReplace::Broken));
        // During boot sshd does not run yet, so systemd is not asked for its process.
        pass.reload_sshd(false);
    }
    if let Err(why) = &lock {
        pass.report.problems.push(format!("{why}; the existing keys are not changed"));
        pass.may_record = false;
    }
    // Without an answer of sshd about its keys, it is not known which of them were on the disk before this boot.
    if pass.sshd_answered {
        let saved = earlier_keys::save(paths, &keys, &pass.report.key_changes.new_files);
        pass.report_write_error(saved, &paths.earlier_keys);
    }
    pass.finish();
    pass.write_served_keys(&store, &keys);
    pass.report
}

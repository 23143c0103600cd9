//! The second pass: which Instance the disk belongs to, and which keys sshd serves.

use crate::host_keys::passes::console_lines::new_console_lines;
use crate::host_keys::passes::earlier_keys::has_earlier_keys;
use crate::host_keys::passes::lock::lock;
use crate::host_keys::passes::pass::Pass;
use crate::host_keys::passes::report::PassReport;
use crate::host_keys::passes::settings::PassSettings;
use crate::host_keys::paths::{HostKeyPaths, INSTANCE_SEEN, SSHD_QUERY_REQUESTED};
use crate::metadata::api::instance::InstanceId;

/// The settle pass. `fetch_instance` asks the metadata service which Instance this is. It is called only if the daemon requested it, and
/// only on a Scaleway Instance.
pub(crate) fn settle(
    paths: &HostKeyPaths,
    settings: PassSettings<'_>,
    fetch_instance: impl FnOnce() -> Result<InstanceId, String>,
) -> PassReport {
    let lock = lock(paths);
    let mut pass = Pass::start(paths, settings);
    if let Err(why) = &lock {
        pass.report.problems.push(format!("{why}; all requests stay pending until the next run"));
        return pass.report;
    }
    let requests = paths.requests.take(&[INSTANCE_SEEN, SSHD_QUERY_REQUESTED]);
    pass.report.problems.extend(requests.problems.iter().cloned());
    let must_fetch = requests.has(INSTANCE_SEEN) && settings.is_on_platform;
    let instance = match must_fetch.then(fetch_instance).transpose() {
        Ok(instance) => instance,
        Err(why) => {
            pass.report.fetch_error = Some(why);
            None
        }
    };
    let is_answered = pass.report.fetch_error.is_none();
    pass.judge(instance);
    let effective = pass.query_sshd();
    let store = pass.key_store(&effective);
    let mut keys = store.inspect(&mut pass.answers);
    if settings.regenerate && has_earlier_keys(paths, &keys) {
        if let Some(renewal) = pass.start_renewal(&store) {
            keys = pass.make_keys(&store, &renewal);
        }
    }
    pass.reload_sshd(true);
    let is_recorded = pass.finish();
    let written = pass.write_served_keys(&store, &keys);
    if let Some(served) = written.as_ref().filter(|_| pass.is_instance_known()) {
        pass.report.console_lines = new_console_lines(paths, served);
    }
    let is_sshd_query_served = pass.sshd_answered && written.is_some();
    for (name, is_served) in
        [(INSTANCE_SEEN, is_answered && is_recorded), (SSHD_QUERY_REQUESTED, is_sshd_query_served)]
    {
        if is_served {
            let removed = requests.mark_served(name);
            pass.report_write_error(removed, &paths.requests.pending);
        }
    }
    pass.report
}

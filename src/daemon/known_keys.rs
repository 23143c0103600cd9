//! The host keys as the host-keys units wrote them, and whether a server serves them (invariant H3). Reading takes far more system
//! calls than a check of the published value, so the rounds do it only if something may have changed (invariant T5).

use crate::daemon::shared_status::SharedStatus;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::served::LocalKeys;

/// What was last read.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    keys: Option<LocalKeys>,
    is_current: bool,
}

impl KnownKeys {
    /// Something may have changed: the files must be read.
    pub(crate) fn forget(&mut self) {
        self.is_current = false;
    }

    /// Reads the keys and puts them into the status, unless they are current. They are current only while each change
    /// `will_be_seen`. Returns whether it has read, and the keys: `None` without the file of served keys.
    pub(crate) fn update(
        &mut self,
        shared_status: &SharedStatus,
        paths: &HostKeyPaths,
        will_be_seen: bool,
    ) -> (bool, Option<&LocalKeys>) {
        let reads = !(self.is_current && will_be_seen);
        if reads {
            let server = SshServer::read(&paths.root);
            shared_status.set_ssh_server(server);
            self.keys = LocalKeys::read(&paths.served);
            if let Some(keys) = &mut self.keys {
                if server == SshServer::NotEnabled {
                    keys.mark_not_served();
                }
                shared_status.set_host_keys(keys);
            }
            // A server that is started without being enabled changes no file that is watched.
            self.is_current = will_be_seen && self.keys.is_some() && server != SshServer::NotEnabled;
        }
        (reads, self.keys.as_ref())
    }
}

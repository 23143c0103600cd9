//! The preparations before the first script of a boot starts: the runner waits for the network and locks out apt's daily job.
//!
//! They are made once, and only in a boot in which a script is due. All of them have a timeout.

use std::cell::RefCell;
use std::time::Duration;

use crate::scripts::history::summary::Network;
use crate::scripts::prepare::{apt, network};
use crate::scripts::run::stop::StopSignal;
use crate::util::files::Lock;

/// What the runner waits for before the scripts of one boot, and what it keeps locked while they run.
#[derive(Default)]
pub(crate) struct Preparation {
    /// How long to wait for the network. None: no preparations at all.
    network_wait: Option<Duration>,
    prepared: RefCell<Option<Prepared>>,
}

/// The result of the preparations.
struct Prepared {
    network: Network,
    #[expect(dead_code, reason = "the lock is kept while scripts run, and never read")]
    daily_job: Option<Lock>,
}

impl Preparation {
    /// For the scripts of a boot: waits at most this long for the network.
    pub(crate) fn for_boot(network_wait: Duration) -> Self {
        Self { network_wait: Some(network_wait), prepared: RefCell::default() }
    }

    /// For shutdown scripts: no preparations.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Makes the preparations unless they are made already. `false` when the runner has to stop meanwhile.
    pub(crate) async fn make(&self, stop: &mut StopSignal) -> bool {
        let Some(limit) = self.network_wait.filter(|_| self.prepared.borrow().is_none()) else { return true };
        let prepare = async {
            let network = wait_for_network(limit).await;
            Prepared { network, daily_job: apt::lock_daily_job().await }
        };
        tokio::select! {
            prepared = prepare => {
                *self.prepared.borrow_mut() = Some(prepared);
                true
            }
            _ = stop.wait() => false,
        }
    }

    /// The state of the network when the first script started, if one did.
    pub(crate) fn network(&self) -> Option<Network> {
        self.prepared.borrow().as_ref().map(|prepared| prepared.network.clone())
    }
}

async fn wait_for_network(limit: Duration) -> Network {
    if !limit.is_zero() {
        tracing::info!("waiting for the network, at most {}", humantime::format_duration(limit));
    }
    let network = network::wait(limit).await;
    match &network {
        Network::NotReady { why } => {
            tracing::warn!("the network is not ready: {why}; the scripts start anyway");
        }
        Network::NotAwaited => {}
        network => tracing::info!("the network is ready: {network}"),
    }
    network
}

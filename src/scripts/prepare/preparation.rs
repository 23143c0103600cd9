//! What is done once before the first script of a boot starts: the network is waited for, and apt's daily job is held off.
//!
//! Nothing of it happens in a boot in which no script is due, and all of it is bounded in time.

use std::cell::RefCell;
use std::time::Duration;

use crate::scripts::history::summary::Network;
use crate::scripts::prepare::{apt, network};
use crate::scripts::run::stop::Stop;
use crate::util::files::Lock;

/// What the scripts of one boot wait for, and what is held while they run.
#[derive(Default)]
pub(crate) struct Preparation {
    /// How long the network is waited for; none where nothing is waited for at all.
    network_wait: Option<Duration>,
    done: RefCell<Option<Prepared>>,
}

/// The preparations that were made.
struct Prepared {
    network: Network,
    #[expect(dead_code, reason = "it is held while scripts run, and not looked at")]
    daily_job: Option<Lock>,
}

impl Preparation {
    /// For the scripts of a boot: waits so long for the network.
    pub(crate) fn for_boot(network_wait: Duration) -> Self {
        Self { network_wait: Some(network_wait), done: RefCell::default() }
    }

    /// For scripts at shutdown: nothing is waited for.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Makes the preparations if that was not done yet. `false` when told to stop meanwhile.
    pub(crate) async fn make(&self, stop: &mut Stop) -> bool {
        let Some(limit) = self.network_wait.filter(|_| self.done.borrow().is_none()) else { return true };
        let done = async {
            let network = wait_for_network(limit).await;
            Prepared { network, daily_job: apt::hold_off_daily_job().await }
        };
        tokio::select! {
            done = done => {
                *self.done.borrow_mut() = Some(done);
                true
            }
            _ = stop.asked() => false,
        }
    }

    /// How the network was, if a script started.
    pub(crate) fn network(&self) -> Option<Network> {
        self.done.borrow().as_ref().map(|done| done.network.clone())
    }
}

async fn wait_for_network(limit: Duration) -> Network {
    if !limit.is_zero() {
        tracing::info!("waiting for the network, at most {}", humantime::format_duration(limit));
    }
    let network = network::wait(limit).await;
    match &network {
        Network::NotReady { why } => {
            tracing::warn!("the network is not ready: {why}; the scripts start all the same");
        }
        Network::NotAwaited => {}
        network => tracing::info!("the network is ready: {network}"),
    }
    network
}

//! The task that keeps things as they should be: it does its rounds, waits, and does them again.
//!
//! A round is: publish the fingerprints if they are not ([`publisher`]), learn which Instance this is and whether it has scripts
//! ([`crate::daemon::observer`]), ask for the setup runner. After a good round the next one is a quarter of an hour away; after a failed one the
//! retry policy says when. A changed key says "now" at any time, a new address or route while the service is out of reach (law T6).

use crate::host_keys::paths::HostKeyPaths;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::host_key_requests::HostKeyRequests;
use crate::daemon::key_watch::KeyWatch;
use crate::daemon::metadata_task::QUEUE;
use crate::daemon::network::NetworkNews;
use crate::daemon::observer::Observer;
use crate::daemon::publisher;
use crate::daemon::shared_status::SharedStatus;
use crate::metadata::api::response::Ask;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::metadata::retry::backoff::{Budget, Failure, Next, Retry};
use crate::scripts::model::policy::OnChange;
use crate::scripts::paths::SetupPaths;
use crate::settings::Settings;
use crate::status::states::Platform;
use crate::util::random;

/// How often news of the network may start the tries anew, at once…
const MOST_EAGER: u32 = 20;
/// …and how long it takes until one more of them is granted: containers may change routes all day long.
const EAGER_AGAIN: Duration = Duration::from_secs(600);

/// How soon to look again while it is not known what sshd serves. Doubled each time: root's units may be masked.
const UNTIL_SERVED: Duration = Duration::from_secs(5);

/// What the keeper looks at, and how often.
pub(crate) struct RoundInputs<'a> {
    /// The keys, and where the two roles leave things for each other.
    pub(crate) host_keys: &'a HostKeyPaths,
    pub(crate) setup: &'a SetupPaths,
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) pulse: Heartbeat,
}

/// Runs for ever.
pub(crate) async fn task(mut api: impl Ask, board: SharedStatus, mut duties: RoundInputs<'_>) {
    let mut random = random::generator();
    let mut retry = Retry::new(Budget::Unlimited);
    let mut observer = Observer::default();
    let mut requests = HostKeyRequests::new();
    let mut was_unreachable = false;
    let mut waiting = Waiting::new(duties.host_keys);
    let mut until_served = UNTIL_SERVED;
    let mut failing = false;
    loop {
        let Settings { look_again, limits, setup, .. } = duties.settings.borrow_and_update().clone();
        // A round's questions may each find the queue full.
        duties.pulse.next_within(limits.whole * 2 * QUEUE);
        let is_instance = board.read().platform == Platform::Instance;
        let looked = match board.read().platform {
            Platform::Instance => {
                requests.send(duties.host_keys, observer.root_can_ask());
                round(&mut api, &board, &duties, &mut observer).await
            }
            // Nothing is asked and nothing is published; the keys are shown all the same.
            Platform::NotAnInstance { .. } => Ok(publisher::show_keys(&board, duties.host_keys).is_some()),
        };
        if looked.as_ref().is_err_and(MetadataError::is_locked) {
            observer.leave_to_root(duties.setup);
        }
        if std::mem::replace(&mut failing, looked.is_err()) && !failing {
            observer.ask_anew();
        }
        // Whatever came of publishing: scripts can be known all the same.
        let soon = observer.ask_for_runner(duties.setup, setup.outcome_key.is_some());
        let wait = match &looked {
            Ok(knows_keys) => {
                retry.reset();
                // Root's units are about to write what sshd serves: nobody is asked until they have.
                let keys = if *knows_keys { look_again } else { until_served };
                until_served = if *knows_keys { UNTIL_SERVED } else { look_again.min(until_served * 2) };
                // Give or take a fifth, so that Instances started together drift apart.
                soon.unwrap_or(look_again).min(keys).min(look_again).mul_f64(0.8 + 0.4 * random.f64())
            }
            Err(why) => match retry.after(Failure::of(why), &mut random) {
                Next::After(wait) => wait,
                Next::GiveUp => look_again,
            },
        };
        let unreachable = looked.is_err_and(|why| why.kind() == ErrorKind::Unreachable);
        if was_unreachable && !unreachable {
            requests.repeat_soon();
        }
        was_unreachable = unreachable;
        duties.pulse.next_within(wait);
        let until = Instant::now() + wait;
        // Kept while requests are sent: news that it has begun to read must not be lost.
        let mut waited = pin!(waiting.wait(until, unreachable));
        loop {
            let request_due =
                if is_instance { requests.send(duties.host_keys, observer.root_can_ask()) } else { None };
            tokio::select! {
                woken = &mut waited => {
                    if woken == WakeReason::Network {
                        // What comes up with a new route may need a moment more: short waits first, once again.
                        retry.reset();
                    }
                    break;
                }
                // A reload is a reason to look at everything again.
                Ok(()) = duties.settings.changed() => {
                    observer.ask_anew();
                    break;
                }
                // No reason for another round.
                () = sleep_until(request_due.unwrap_or(until)), if request_due.is_some() => {}
            }
        }
    }
}

/// Whether root's units have written which keys sshd serves.
async fn round(
    api: &mut impl Ask,
    board: &SharedStatus,
    duties: &RoundInputs<'_>,
    observer: &mut Observer,
) -> Result<bool, MetadataError> {
    // Whose keys these are is known only with the Instance.
    let learned = observer.learn_instance(api, board).await;
    if let Err(why) = &learned {
        publisher::show_keys(board, duties.host_keys);
        if why.kind() == ErrorKind::Unreachable {
            board.not_published(why);
        }
        // Where the service answers and cannot be used, that is one problem, not one more for the fingerprints.
        board.observed(&learned);
        return learned.map(|()| false);
    }
    let published = publisher::look(api, board, duties.host_keys).await;
    if let Err(why) = &published {
        board.not_published(why);
        if why.kind() == ErrorKind::Unreachable {
            return published;
        }
    }
    // A service that refuses to store may still tell.
    let policy = duties.settings.borrow().setup.clone();
    let mut observed = observer.observe(api, board, policy.outcome_key.as_ref()).await;
    let watch_scripts = policy.on_change == OnChange::Now;
    if watch_scripts && observed.is_ok() {
        observed = observer.look_for_changes(api, board, duties.setup).await;
    }
    board.observed(&observed);
    observed.and(published)
}

/// What ended a wait.
#[derive(PartialEq, Eq)]
enum WakeReason {
    Time,
    Network,
    Keys,
}

/// The wait between two rounds, which news of the network and of the keys can cut short.
struct Waiting<'a> {
    places: &'a HostKeyPaths,
    /// None where there is no folder yet, or no watch to be had: then the time tells.
    keys: Option<KeyWatch>,
    /// Held only while the service is out of reach: a machine that is well is not to be woken by each route.
    network: Option<NetworkNews>,
    eager: u32,
    granted: Instant,
}

impl<'a> Waiting<'a> {
    /// Subscribes before the first round, so that nothing is missed while that one fails.
    fn new(places: &'a HostKeyPaths) -> Self {
        let keys = KeyWatch::on(places).ok();
        Self { places, keys, network: subscribe(), eager: MOST_EAGER, granted: Instant::now() }
    }

    async fn wait(&mut self, until: Instant, unreachable: bool) -> WakeReason {
        self.grant();
        if !unreachable || self.eager == 0 {
            self.network = None;
        } else if self.network.is_none() {
            self.network = subscribe();
        }
        if self.keys.as_ref().is_none_or(|watch| !watch.is_complete) {
            self.keys = KeyWatch::on(self.places).ok();
        }
        let (woken, told) = tokio::select! {
            () = sleep_until(until) => return WakeReason::Time,
            told = or_never(&mut self.network, async |news| news.next().await) => (WakeReason::Network, told),
            told = or_never(&mut self.keys, async |keys| keys.next().await) => (WakeReason::Keys, told),
        };
        if let Err(why) = told {
            tracing::warn!("the kernel's news are lost, so the time tells: {why}");
            (self.network, self.keys) = (None, None);
            sleep_until(until).await;
            return WakeReason::Time;
        }
        match woken {
            WakeReason::Network => self.eager -= 1,
            // The folder itself may have been replaced: watch the one that is there now.
            _ => self.keys = KeyWatch::on(self.places).ok(),
        }
        woken
    }

    fn grant(&mut self) {
        let grants = self.granted.elapsed().as_secs() / EAGER_AGAIN.as_secs();
        if grants > 0 {
            self.granted = Instant::now();
            self.eager = self.eager.saturating_add(u32::try_from(grants).unwrap_or(u32::MAX)).min(MOST_EAGER);
        }
    }
}

/// What a source tells next; nothing, for ever, where there is no source.
async fn or_never<T>(
    source: &mut Option<T>,
    next: impl AsyncFnOnce(&mut T) -> io::Result<()>,
) -> io::Result<()> {
    match source {
        Some(source) => next(source).await,
        None => std::future::pending().await,
    }
}

fn subscribe() -> Option<NetworkNews> {
    NetworkNews::subscribe()
        .inspect_err(|why| tracing::info!("the network's news cannot be had, so tries are timed: {why}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metadata::api::request::Request;
    use crate::metadata::api::response::Response;
    use crate::metadata::error::TransportError;
    use crate::system::requests::RequestFolder;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A service that nobody reaches.
    struct Nowhere {
        board: SharedStatus,
        asked: u32,
    }

    impl Ask for &mut Nowhere {
        async fn ask(&mut self, _: Request) -> Result<Response, TransportError> {
            self.asked += 1;
            let why = TransportError::NotConnected(vec![]);
            self.board.not_reached(&why.to_string());
            Err(why)
        }
    }

    /// Counts what would be logged.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::atomic::AtomicU32>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    fn on_cpu() -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("read");
        Duration::from_nanos(
            text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds"),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn t5_a_month_out_of_reach_costs_almost_nothing() {
        let lines = Lines::default();
        let _counting = tracing::subscriber::set_default(lines.clone());
        // One key, so that there is something to publish.
        let folder = std::env::temp_dir().join(format!("scw-agent-month-{:x}", random::generator().u64(..)));
        fs::create_dir_all(folder.join("requests")).expect("made");
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB x";
        fs::write(folder.join("ssh_host_ed25519_key"), "private").expect("written");
        fs::write(folder.join("ssh_host_ed25519_key.pub"), key).expect("written");

        let board = SharedStatus::new();
        let mut nowhere = Nowhere { board: board.clone(), asked: 0 };
        let setup = SetupPaths::default();
        let places = HostKeyPaths {
            keys: folder.clone(),
            requests: RequestFolder { requests: folder.join("requests"), pending: folder.join("pending") },
            served: folder.join("served"),
            root: folder.clone(),
            ..HostKeyPaths::default()
        };
        let (_settings, settings) = watch::channel(Settings::default());
        let duties =
            RoundInputs { host_keys: &places, setup: &setup, settings, pulse: Heartbeat::of("keeper") };
        let before = on_cpu();
        let month = tokio::time::timeout(30 * DAY, task(&mut nowhere, board, duties)).await;
        assert!(month.is_err(), "it goes on for ever");
        let (asked, logged) = (nowhere.asked, lines.0.load(std::sync::atomic::Ordering::Relaxed));
        println!(
            "30 days out of reach: {asked} tries, {logged} lines in the log, {:?} of CPU time",
            on_cpu() - before
        );
        // About an hour apart, once the waits have grown.
        assert!((700..1600).contains(&asked), "{asked} tries");
        assert_eq!(logged, 1);
        fs::remove_dir_all(folder).expect("removed");
    }
}

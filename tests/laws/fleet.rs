//! T5, for many: ten thousand Instances that start together, and again after an outage, must not stampede.
//!
//! A simulation in discrete events, of the real retry policy against a service that answers so many agents a second and turns the
//! others away. Beside it runs the same fleet with waits of fixed length, to show what the jitter is worth.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use scw_agent::metadata::retry::{Budget, Cause, Failure, Next, Retry};

const AGENTS: usize = 10_000;
/// Rounds that the service answers in a second; it turns away what is over.
const CAPACITY: usize = 1_000;
const MILLISECOND: u64 = 1;
const SECOND: u64 = 1_000 * MILLISECOND;

/// What a fleet did, in simulated time.
struct Simulated {
    /// Tries in the busiest second, once the service was there.
    peak: usize,
    /// The same without the very first second, in which each agent of a fleet that has just started tries for the first time:
    /// to hold that back would make every Instance slower for the sake of the rare fleet.
    peak_of_retries: usize,
    /// From the service being there to the last agent being served, in seconds.
    recovered: u64,
    tries: usize,
}

/// Starts the fleet within the first second; the service is there from `back` on (milliseconds).
fn simulate(back: u64, jitter: bool) -> Simulated {
    let mut random = fastrand::Rng::with_seed(42);
    let mut retries: Vec<_> = (0..AGENTS).map(|_| Retry::new(Budget::Unlimited)).collect();
    let mut due: BinaryHeap<_> = (0..AGENTS).map(|agent| Reverse((random.u64(..SECOND), agent))).collect();
    let (mut offered, mut served) = (BTreeMap::<u64, usize>::new(), BTreeMap::<u64, usize>::new());
    let (mut last, mut tries) = (0, 0);
    while let Some(Reverse((now, agent))) = due.pop() {
        tries += 1;
        let second = now / SECOND;
        if now >= back {
            *offered.entry(second).or_default() += 1;
            let served = served.entry(second).or_default();
            if *served < CAPACITY {
                *served += 1;
                last = now;
                continue;
            }
        }
        // Before it is back there is no way to it; afterwards it turns away.
        let cause = if now < back { Cause::NoWay } else { Cause::Busy };
        let failure = Failure { cause, asked_for: None };
        // Without jitter, everybody draws the same.
        let mut chance = if jitter { random.fork() } else { fastrand::Rng::with_seed(0) };
        let Next::After(wait) = retries[agent].after(failure, &mut chance) else {
            unreachable!("a daemon never gives up")
        };
        due.push(Reverse((now + u64::try_from(wait.as_millis()).expect("short"), agent)));
    }
    let peak_of_retries = offered.range(1..).map(|(_, tries)| *tries).max().unwrap_or_default();
    Simulated {
        peak_of_retries,
        peak: offered.values().copied().max().unwrap_or_default(),
        recovered: (last - back) / SECOND,
        tries,
    }
}

#[test]
fn t5_ten_thousand_agents_started_together_do_not_stampede() {
    let ten_minutes = Duration::from_secs(600).as_secs() * SECOND;
    println!("{AGENTS} agents, a service that takes {CAPACITY} a second:");
    for (what, back, patience) in
        [("started within a second", 0, 60), ("the same, after an outage of ten minutes", ten_minutes, 600)]
    {
        let [with, without] = [true, false].map(|jitter| simulate(back, jitter));
        for (how, simulated) in [("with jitter", &with), ("without", &without)] {
            let Simulated { peak, peak_of_retries, recovered, tries } = simulated;
            println!(
                "  {what}, {how}: busiest second {peak} tries, after the first second {peak_of_retries}; all served after {recovered} s, \
                 {tries} tries in all"
            );
        }
        assert!(with.recovered < patience, "recovery takes {} s", with.recovered);
        let (peak, flat) = (with.peak_of_retries, without.peak_of_retries);
        assert!(peak * 3 < flat * 2, "jitter must flatten: {peak} against {flat}");
        if back > 0 {
            // They come back spread over minutes: far under what the service can take, nobody turned away twice.
            assert!(with.peak < CAPACITY / 4, "busiest second: {}", with.peak);
        }
    }
}

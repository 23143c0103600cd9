//! T5 for many Instances: ten thousand that start together, also after an outage, must not overload the service.
//!
//! A discrete event simulation of the real retry policy, against a service that answers a fixed number of agents a second and
//! refuses the others. The same fleet without jitter is simulated too, to show the effect of the jitter. H4: the checks of the
//! published value, which go on all the time, are simulated with the real pace.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use scw_agent::metadata::retry::{Budget, Cause, Failure, Pace, Retry, RetryDecision};

const AGENTS: usize = 10_000;
/// Requests that the service answers in a second; it refuses the others.
const CAPACITY: usize = 1_000;
const MILLISECOND: u64 = 1;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Results of one simulation, in simulated time.
struct Simulated {
    /// Tries in the busiest second while the service is available.
    peak: usize,
    /// The same without the first second, in which each agent makes its first try. Delaying that first try would make every
    /// Instance slower because of the rare fleet.
    peak_of_retries: usize,
    /// From the start of the service to the answer for the last agent, in seconds.
    recovered: u64,
    tries: usize,
}

/// Starts the fleet within the first second. The service is available from `back` on (milliseconds).
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
        // Before `back` the service cannot be reached; afterwards it refuses what exceeds its capacity.
        let cause = if now < back { Cause::NotConnected } else { Cause::Busy };
        let failure = Failure { cause, requested_wait: None };
        // Without jitter, all agents use the same random numbers.
        let mut chance = if jitter { random.fork() } else { fastrand::Rng::with_seed(0) };
        let RetryDecision::Wait(wait) = retries[agent].decide(failure, &mut chance) else {
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
        assert!(peak * 3 < flat * 2, "jitter must reduce the peak: {peak} against {flat}");
        if back > 0 {
            // The retries are spread over minutes, far below the capacity, so no agent is refused twice.
            assert!(with.peak < CAPACITY / 4, "busiest second: {}", with.peak);
        }
    }
}

/// The longest time between two checks, as the settings have it.
const LOOK_AGAIN: Duration = Duration::from_secs(55);
/// How long the checks are simulated, in seconds.
const CHECKED_SECONDS: u64 = 3600;

/// The number of checks that arrive in each second, where the service answers `capacity` in a second and refuses the others. All agents
/// made their first check in the same second.
fn simulate_checks(capacity: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut paces: Vec<_> = (0..AGENTS).map(|_| Pace::default()).collect();
    let mut due: BinaryHeap<_> = (0..AGENTS).map(|agent| Reverse((0, agent))).collect();
    let mut offered = vec![0; usize::try_from(CHECKED_SECONDS).expect("few") + 1];
    while let Some(Reverse((now, agent))) = due.pop() {
        let second = usize::try_from(now / SECOND).expect("an hour");
        let Some(arrived) = offered.get_mut(second) else { continue };
        *arrived += 1;
        let wait = if *arrived <= capacity || second == 0 {
            paces[agent].after_success(LOOK_AGAIN, &mut random)
        } else {
            paces[agent].after_refusal(LOOK_AGAIN, None, &mut random)
        };
        due.push(Reverse((now + u64::try_from(wait.as_millis()).expect("short"), agent)));
    }
    offered
}

#[test]
fn h4_t5_checks_of_ten_thousand_agents_are_spread_evenly() {
    let usual = AGENTS as f64 / 47.5;
    println!("{AGENTS} agents check one value each, 40 to 55 s apart, all started in the same second:");
    let offered = simulate_checks(usize::MAX);
    for (what, seconds) in
        [("first minute", 1..60), ("second minute", 60..120), ("the rest of an hour", 120..3600)]
    {
        let (least, most) = seconds.fold((usize::MAX, 0), |(least, most), second: usize| {
            (least.min(offered[second]), most.max(offered[second]))
        });
        println!("  {what}: {least} to {most} in a second; {usual:.0} are usual");
        assert!((most as f64) < usual * 1.5, "{what}: {most} checks in a second");
    }
    let capacity = 100;
    let offered = simulate_checks(capacity);
    let second_half = &offered[1800..3600];
    let mean = second_half.iter().sum::<usize>() as f64 / second_half.len() as f64;
    let most = second_half.iter().max().copied().unwrap_or_default();
    println!(
        "  a service that takes {capacity} in a second: after half an hour {mean:.0} in a second, {most} in the busiest"
    );
    assert!(mean < usual, "the agents slow down: {mean}");
}

//! Compares the published value with the correct one, which the real ssh-keygen prints from the key files. Measures for how long the value
//! was wrong, and whether that was longer than invariant H4 allows. All times are times of the daemon's clock. Since that clock runs fast,
//! a busy computer can be late by more than the allowed time. In that case the number of the daemon's own checks is used instead.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use scw_stage::World;

use crate::Stop;

/// The user data key of the fingerprints.
pub(crate) const FINGERPRINTS: &str = "ssh-host-fingerprints";
/// Without an outage: the daemon checks every 55 seconds at least. One check takes at most ten minutes, because this computer is slow on
/// the daemon's clock.
const USUAL: Duration = Duration::from_secs(55 + 11 * 60);
/// After an outage the next attempt comes within one hour.
const AFTER_OUTAGE: Duration = Duration::from_secs((60 + 11) * 60);
/// How late this computer may be, on its own clock, before the daemon's checks are counted.
const LATE: Duration = Duration::from_millis(200);
/// After how many checks of the daemon the value must be correct. The first may have started before, the second corrects the value.
const LOOKS: usize = 3;
/// How long these checks may take on this computer's clock: far longer than they take.
const HANGS: Duration = Duration::from_secs(300);

/// The daemon's checks of the published value since the allowed time ended.
struct Overdue {
    since: Instant,
    looks: usize,
    /// The number of checks in the stand-in's record, which is cleared from time to time.
    listed: usize,
}

impl Overdue {
    fn begin(world: &World) -> Self {
        Self { since: Instant::now(), looks: 0, listed: listed(world) }
    }

    /// Whether the daemon has made enough checks to correct the value.
    fn is_over(&mut self, world: &World) -> bool {
        let listed = listed(world);
        self.looks += if listed < self.listed { listed } else { listed - self.listed };
        self.listed = listed;
        self.looks >= LOOKS || self.since.elapsed() > HANGS
    }
}

/// The number of checks in the stand-in's record.
pub(crate) fn listed(world: &World) -> usize {
    let target = format!("/user_data/{FINGERPRINTS}");
    let requests = world.standin().requests();
    requests.iter().filter(|request| request.method == "GET" && request.target == target).count()
}

/// Watches the published value.
pub(crate) struct Truth {
    right: BTreeSet<String>,
    wrong_since: Option<Duration>,
    overdue: Option<Overdue>,
    outage: Option<Duration>,
    outage_ended: Option<Duration>,
    /// [`LATE`], converted to the daemon's clock.
    late: Duration,
    /// The longest time for which the value was wrong: without an outage, and after an outage.
    pub(crate) longest: [Duration; 2],
    /// How many times the value was wrong.
    pub(crate) times: u64,
}

impl Truth {
    pub(crate) fn new(world: &World, speed: f64) -> Result<Self, Stop> {
        Ok(Self {
            right: keys(world)?,
            wrong_since: None,
            overdue: None,
            outage: None,
            outage_ended: None,
            late: LATE.mul_f64(speed),
            longest: [Duration::ZERO; 2],
            times: 0,
        })
    }

    /// Reads the keys again after a change.
    pub(crate) fn read_keys(&mut self, world: &World) -> Result<(), Stop> {
        self.right = keys(world)?;
        Ok(())
    }

    /// From now on no value can be stored.
    pub(crate) fn outage_begins(&mut self, now: Duration) {
        self.outage = Some(now);
        self.wrong_since = None;
        self.overdue = None;
    }

    /// From now on values can be stored again.
    pub(crate) fn outage_ends(&mut self, now: Duration) {
        self.outage = None;
        self.outage_ended = Some(now);
    }

    /// Checks the published value.
    pub(crate) fn look(&mut self, world: &World, now: Duration) -> Result<(), Stop> {
        let stored = world.standin().user_data(FINGERPRINTS);
        let stored = stored.and_then(|stored| String::from_utf8(stored).ok()).unwrap_or_default();
        let is_right = stored.split('\n').map(str::to_owned).collect::<BTreeSet<_>>() == self.right;
        let after_outage = self.outage_ended.is_some_and(|ended| now < ended + AFTER_OUTAGE + self.late);
        if is_right {
            self.overdue = None;
            if let Some(since) = self.wrong_since.take() {
                let longest = &mut self.longest[usize::from(after_outage)];
                *longest = now.saturating_sub(since).max(*longest);
                self.times += 1;
            }
        } else if self.outage.is_none() {
            let since = *self.wrong_since.get_or_insert(now);
            let allowed = if after_outage { AFTER_OUTAGE } else { USUAL } + self.late;
            if now.saturating_sub(since) > allowed
                && self.overdue.get_or_insert_with(|| Overdue::begin(world)).is_over(world)
            {
                let what = format!("wrong since {since:?}, now it is {now:?}; allowed are {allowed:?}");
                return Err(Stop::Violated(format!(
                    "{what}; published: {stored:?}, correct: {:?}",
                    self.right
                )));
            }
        }
        Ok(())
    }
}

/// The lines that the real ssh-keygen prints for the public keys. They equal the published lines, since no comment here has a space.
fn keys(world: &World) -> Result<BTreeSet<String>, Stop> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir("/etc/ssh")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            let output = world.command("ssh-keygen").arg("-lf").arg(&path).output()?;
            let line = String::from_utf8_lossy(&output.stdout);
            lines.insert(line.trim_end().to_owned());
        }
    }
    Ok(lines)
}

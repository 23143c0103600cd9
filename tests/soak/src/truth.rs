//! What should be published, read off the key files by the real ssh-keygen; for how long something else was; and whether that was longer than
//! law H4 allows. Times are those of the daemon's clock. A busy machine may be late by more than is allowed on that clock: then it is the
//! daemon's own looks that count.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use scw_stage::World;

use crate::Stop;

/// The key that is to be true.
pub(crate) const FINGERPRINTS: &str = "ssh-host-fingerprints";
/// Without an outage: a look comes every quarter of an hour, give or take a fifth, and asks for at most ten minutes.
const USUAL: Duration = Duration::from_secs((18 + 11) * 60);
/// After an outage the next try is at most an hour away.
const AFTER_OUTAGE: Duration = Duration::from_secs((60 + 11) * 60);
/// How late the machine may be, on its own clock, before the daemon's looks are counted.
const LATE: Duration = Duration::from_millis(200);
/// How many of its looks the daemon may let pass then: the first may be under way already, the second puts it right.
const LOOKS: usize = 3;
/// How long it may take for them, on the machine's clock: far more than it takes.
const HANGS: Duration = Duration::from_secs(300);

/// The daemon's looks at what is published since the time on the clock was up.
struct Overdue {
    since: Instant,
    looks: usize,
    /// So many are in the stand-in's list, which is emptied now and then.
    listed: usize,
}

impl Overdue {
    fn begin(world: &World) -> Self {
        Self { since: Instant::now(), looks: 0, listed: listed(world) }
    }

    /// Whether the daemon had its chance.
    fn is_over(&mut self, world: &World) -> bool {
        let listed = listed(world);
        self.looks += if listed < self.listed { listed } else { listed - self.listed };
        self.listed = listed;
        self.looks >= LOOKS || self.since.elapsed() > HANGS
    }
}

/// How many looks are in the stand-in's list.
pub(crate) fn listed(world: &World) -> usize {
    let target = format!("/user_data/{FINGERPRINTS}");
    let requests = world.standin().requests();
    requests.iter().filter(|asked| asked.method == "GET" && asked.target == target).count()
}

/// The watch over what is published.
pub(crate) struct Truth {
    right: BTreeSet<String>,
    wrong_since: Option<Duration>,
    overdue: Option<Overdue>,
    outage: Option<Duration>,
    outage_ended: Option<Duration>,
    /// Of this machine's own time, in the daemon's.
    late: Duration,
    /// The longest time that something wrong was published, without and after an outage.
    pub(crate) longest: [Duration; 2],
    /// For how many times it was wrong.
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

    /// The keys have changed.
    pub(crate) fn read_keys(&mut self, world: &World) -> Result<(), Stop> {
        self.right = keys(world)?;
        Ok(())
    }

    /// From now on nothing can be stored.
    pub(crate) fn outage_begins(&mut self, now: Duration) {
        self.outage = Some(now);
        self.wrong_since = None;
        self.overdue = None;
    }

    /// From now on it can again.
    pub(crate) fn outage_ends(&mut self, now: Duration) {
        self.outage = None;
        self.outage_ended = Some(now);
    }

    /// Looks at what is published.
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
                let what = format!("wrong since {since:?}, now it is {now:?}, and {allowed:?} are allowed");
                return Err(Stop::Violated(format!(
                    "{what}; published: {stored:?}, right: {:?}",
                    self.right
                )));
            }
        }
        Ok(())
    }
}

/// What the real ssh-keygen says of the public keys, in the same words: no comment here has a space in it.
fn keys(world: &World) -> Result<BTreeSet<String>, Stop> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir("/etc/ssh")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            let said = world.command("ssh-keygen").arg("-lf").arg(&path).output()?;
            let line = String::from_utf8_lossy(&said.stdout);
            lines.insert(line.trim_end().to_owned());
        }
    }
    Ok(lines)
}

//! The daemon's use of memory, descriptors and threads, as the kernel reports it, and a check that it does not grow.

use std::fmt::Display;
use std::fs;

use crate::Stop;

/// How much memory may grow, in KiB. The allocator keeps freed memory, and the daemon touches some pages for the first time late.
const SLACK: u64 = 512;

/// One sample.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// KiB
    resident: u64,
    descriptors: u64,
    threads: u64,
}

impl Usage {
    /// A sample of the process with this id.
    pub(crate) fn of(pid: impl Display) -> Result<Self, Stop> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        let (resident, threads) = (field("VmRSS:"), field("Threads:"));
        let missing = || Stop::Cannot(format!("/proc/{pid}/status is not as expected"));
        Ok(Self {
            resident: resident.ok_or_else(missing)?,
            descriptors,
            threads: threads.ok_or_else(missing)?,
        })
    }
}

/// Prints a row for each quarter of the samples, and compares the last quarter with the second. In the first one the daemon may still
/// allocate what it keeps.
pub(crate) fn judge(samples: &[Usage]) -> Result<(), Stop> {
    let quarters: Vec<&[Usage]> = samples.chunks(samples.len().div_ceil(4).max(1)).collect();
    if quarters.len() < 4 {
        return Err(Stop::Violated(format!("{} samples of the process are too few", samples.len())));
    }
    println!("quarter   resident (KiB, least to most)   descriptors   threads");
    for (number, quarter) in quarters.iter().enumerate() {
        let [resident, descriptors, threads] =
            range(quarter).map(|(least, most)| format!("{least} to {most}"));
        println!("{:<9} {resident:<31} {descriptors:<13} {threads}", number + 1);
    }
    let (early, late) = (range(quarters[1]), range(quarters[3]));
    // A leak raises the minimum. The maximum also depends on how busy the daemon was.
    let grown = late[0].0 > early[0].1 + SLACK || late[1].0 > early[1].1 || late[2].0 > early[2].1;
    if grown {
        Err(Stop::Violated("the daemon's use grew from the second quarter to the last".to_owned()))
    } else {
        Ok(())
    }
}

fn range(samples: &[Usage]) -> [(u64, u64); 3] {
    let of = |value: fn(&Usage) -> u64| {
        let values = || samples.iter().map(value);
        (values().min().unwrap_or_default(), values().max().unwrap_or_default())
    };
    [of(|usage| usage.resident), of(|usage| usage.descriptors), of(|usage| usage.threads)]
}

//! What the agent may cost at most: one table. Only what can be counted stands in it, and so comes out the same on any machine; times are
//! `cargo measure`'s. A budget is a promise of the README's: it is lowered when the figure has become lower, and raised on purpose only.

/// One promise.
#[derive(Debug)]
pub struct Budget {
    /// What is counted.
    pub what: &'static str,
    /// How much of it there may be.
    pub limit: u64,
    /// In what it is counted.
    pub unit: &'static str,
}

/// The program of the daemon and of all commands, as `cargo build --release` makes it on x86_64.
pub const AGENT: Budget = Budget { what: "scw-agent, dynamic", limit: 1_850_000, unit: "bytes" };
/// The helper by itself; in packages it is a link to the other.
pub const USERDATA: Budget = Budget { what: "scw-userdata, dynamic", limit: 800_000, unit: "bytes" };
/// Crates that are linked into the program.
pub const CRATES: Budget = Budget { what: "crates in the program", limit: 55, unit: "crates" };
/// The package for Debian, for x86_64.
pub const DEB: Budget = Budget { what: "the .deb", limit: 810_000, unit: "bytes" };
/// The package for RHEL and its likes, for x86_64.
pub const RPM: Budget = Budget { what: "the .rpm", limit: 820_000, unit: "bytes" };
/// What is on the disk when the package is installed.
pub const INSTALLED: Budget = Budget { what: "installed files", limit: 2_150, unit: "KiB" };
/// `scw-userdata KEY`, asking the API itself.
pub const USERDATA_INSTRUCTIONS: Budget =
    Budget { what: "scw-userdata KEY", limit: 800_000, unit: "instructions" };
/// A boot in which nothing is to be done: both passes of the role for keys, the role for scripts, and the daemon until it has seen everything.
pub const BOOT_INSTRUCTIONS: Budget =
    Budget { what: "a boot with nothing to do", limit: 5_000_000, unit: "instructions" };
/// A boot that publishes and runs a script.
pub const FIRST_BOOT_REQUESTS: Budget = Budget { what: "a first boot", limit: 9, unit: "requests" };
/// A boot in which nothing is to be done.
pub const LATER_BOOT_REQUESTS: Budget = Budget { what: "a later boot", limit: 7, unit: "requests" };
/// Of either: the daemon's, the script runner's and the host-keys role's, which take nobody's word but the service's.
pub const BOOT_CONNECTIONS: Budget = Budget { what: "a boot", limit: 3, unit: "connections" };
/// The daemon in its unit, when nothing happens.
pub const WAKE_UPS: Budget = Budget { what: "two idle minutes", limit: 8, unit: "wake-ups" };

impl Budget {
    /// Prints the figure beside its limit.
    ///
    /// # Panics
    /// When it is over: a test is to fail then.
    pub fn check(&self, counted: u64) {
        let Self { what, limit, unit } = self;
        println!("{what}: {counted} {unit} of {limit}");
        assert!(
            counted <= *limit,
            "{what}: {counted} {unit}, and the budget is {limit}. Find out what costs so much (`cargo tree`, `nm --size-sort`, \
             `callgrind_annotate`, `strace -f`), and make it cheaper; if it is worth its price, raise the budget in \
             tests/budgets/src/lib.rs, and say why in the same commit."
        );
    }
}

//! The budgets: the highest permitted costs of the agent, and the sizes of the client's packages, in one table. It has only costs that can be counted, so that they are equal on all
//! machines; `cargo measure` measures times. A budget is a promise in the README. It is lowered when the figure has become lower, and
//! raised only on purpose.

/// One budget.
#[derive(Debug)]
pub struct Budget {
    /// What is counted.
    pub what: &'static str,
    /// The limit.
    pub limit: u64,
    /// The unit.
    pub unit: &'static str,
}

/// The program of the daemon and of all commands, built with `cargo build --release` on x86_64.
pub const AGENT: Budget = Budget { what: "scw-agent, dynamic", limit: 2_550_000, unit: "bytes" };
/// The number of crates that are linked into the program.
pub const CRATES: Budget = Budget { what: "crates in the program", limit: 58, unit: "crates" };
/// The package for Debian, for x86_64.
pub const DEB: Budget = Budget { what: "the .deb", limit: 1_010_000, unit: "bytes" };
/// The package for RHEL and similar distributions, for x86_64.
pub const RPM: Budget = Budget { what: "the .rpm", limit: 1_023_000, unit: "bytes" };
/// The same for scw-known-hosts.
pub const CLIENT_DEB: Budget =
    Budget { what: "the .deb of scw-known-hosts", limit: 1_025_000, unit: "bytes" };
/// The same for scw-known-hosts.
pub const CLIENT_RPM: Budget =
    Budget { what: "the .rpm of scw-known-hosts", limit: 1_035_000, unit: "bytes" };
/// The size of the installed files.
pub const INSTALLED: Budget = Budget { what: "installed files", limit: 2_720, unit: "KiB" };
/// `scw-userdata KEY`, which sends its request to the API itself.
pub const USERDATA_INSTRUCTIONS: Budget =
    Budget { what: "scw-userdata KEY", limit: 800_000, unit: "instructions" };
/// A boot without work to do: both passes of the host-keys role, the setup role, and the daemon until it has read everything.
pub const BOOT_INSTRUCTIONS: Budget =
    Budget { what: "a boot with nothing to do", limit: 5_050_000, unit: "instructions" };
/// A boot that publishes and runs a script.
pub const FIRST_BOOT_REQUESTS: Budget = Budget { what: "a first boot", limit: 9, unit: "requests" };
/// A boot without work to do.
pub const LATER_BOOT_REQUESTS: Budget = Budget { what: "a later boot", limit: 7, unit: "requests" };
/// Any boot. The daemon, the setup runner and the host-keys role each have their own connection, since each trusts only the service.
pub const BOOT_CONNECTIONS: Budget = Budget { what: "a boot", limit: 3, unit: "connections" };
/// The idle daemon, with the watchdog of its unit: one timer serves the checks, 40 to 55 s apart, and the watchdog. Rarely, tokio moves
/// the timer of a request nearer, which wakes the processor, too.
pub const TIMERS: Budget = Budget { what: "a check", limit: 2, unit: "expired timers" };
/// One check of the published value, over a new connection that the service closes.
pub const EVENTS: Budget = Budget { what: "a check", limit: 6, unit: "socket events" };
/// The same, with the reads of the files that say which keys sshd serves.
pub const SYSTEM_CALLS: Budget = Budget { what: "a check", limit: 100, unit: "system calls" };

impl Budget {
    /// Prints the figure and its limit.
    ///
    /// # Panics
    /// If the figure is above the limit, so that the test fails.
    pub fn check(&self, counted: u64) {
        let Self { what, limit, unit } = self;
        println!("{what}: {counted} {unit} of {limit}");
        assert!(
            counted <= *limit,
            "{what}: {counted} {unit}, but the budget is {limit}. Find the cause (`cargo tree`, `nm --size-sort`, \
             `callgrind_annotate`, `strace -f`) and reduce the cost. If the cost is justified, raise the budget in \
             tests/budgets/src/lib.rs, and give the reason in the same commit."
        );
    }
}

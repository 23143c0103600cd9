//! The time from a new route to stored fingerprints, compared with one curl that stores the same value over an existing network.

use std::process::Stdio;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Family, Notify, PathUnit, Programs, Reach, World};
use scw_standin::{Request, Standin};

use crate::report::{Ratio, Report, Table};
use crate::route_watch::RouteWatch;
use crate::statistics::Spread;

const RUNS: usize = 20;
const KEY: &str = "ssh-host-fingerprints";
/// Only keeps the measurement from hanging.
const LONG: Duration = Duration::from_secs(60);

const ABOUT: &str = "The daemon waits without a network. The clock starts with the kernel's notification of a route, and stops when the stand-in has the \
fingerprints. For comparison, one curl stores the same value while the network is up; its time is that of the whole process.";

/// Measures, and adds the results to the report.
pub(crate) fn measure(programs: &Programs, report: &mut Report) -> Result<(), String> {
    let mut table = Table::new(&["", "median", "least", "most", "runs"]);
    for (family, what) in [
        (Family::Ipv4, "fingerprints stored after a route, IPv4"),
        (Family::Ipv6, "fingerprints stored after a route, IPv6"),
    ] {
        let world = World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent);
        let (ours, curl) = world.run(|world| in_world(world, programs, family))?;
        let (ours, curl) = (Spread::of(ours), Spread::of(curl));
        for (name, spread) in [("scw-agent daemon", &ours), ("curl --local-port PATCH", &curl)] {
            table.row([format!("{name}, {family:?}")].into_iter().chain(spread.cells()));
        }
        let (ours, theirs) = (ours.median_ms(), curl.median_ms());
        report.ratios.push(Ratio { what, other: "one curl PATCH", ours, theirs, unit: "ms", aim: None });
    }
    report.add("From a route to stored fingerprints", ABOUT, table);
    Ok(())
}

fn in_world(
    world: &World,
    programs: &Programs,
    family: Family,
) -> Result<(Vec<Duration>, Vec<Duration>), String> {
    let made = world
        .command(&programs.agent)
        .args(["host-keys", "ensure"])
        .output()
        .map_err(|why| why.to_string())?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    // The Instance is recorded, as after an earlier boot, so the daemon may publish at once.
    world.set_reach(family, Reach::Served);
    PathUnit::once(world, &programs.agent).map_err(|why| why.to_string())?;
    world.set_reach(family, Reach::Absent);
    let routes = RouteWatch::start().map_err(|why| why.to_string())?;
    let (mut ours, mut curl) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(daemon_run(world, programs, family, &routes)?);
        curl.push(curl_run(world, family)?);
        world.set_reach(family, Reach::Absent);
    }
    Ok((ours, curl))
}

/// Starts a daemon without a network, then adds a route. Returns the time from the route to the stored value.
fn daemon_run(
    world: &World,
    programs: &Programs,
    family: Family,
    routes: &RouteWatch,
) -> Result<Duration, String> {
    world.standin().delete_user_data(KEY);
    world.standin().clear_requests();
    let notify = Notify::new(world).map_err(|why| why.to_string())?;
    let mut command = world.agent_command(&programs.agent);
    let daemon = Daemon::spawn(command.arg("daemon").env("NOTIFY_SOCKET", notify.path()))
        .map_err(|why| why.to_string())?;
    if !notify.wait_for("STATUS=metadata service unreachable", LONG) {
        return Err(daemon.output());
    }
    routes.clear();
    let standin = world.standin();
    let at = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| is_stored(standin).then(Instant::now));
        world.set_reach(family, Reach::Served);
        waiting.join().ok().flatten()
    });
    let at = at.ok_or_else(|| format!("not stored: {}", daemon.output()))?;
    let route = routes.last_before(at).ok_or("the kernel reported no route")?;
    daemon.terminate();
    Ok(at - route)
}

/// Waits until the PATCH is answered.
fn is_stored(standin: &Standin) -> bool {
    let is_patch = |request: &Request| request.method == "PATCH" && request.status.is_some();
    standin.wait_for(LONG, |requests| requests.iter().any(is_patch))
}

fn curl_run(world: &World, family: Family) -> Result<Duration, String> {
    let value = world.standin().user_data(KEY).ok_or("nothing was published")?;
    std::fs::write("/run/value", value).map_err(|why| why.to_string())?;
    let host = if family == Family::Ipv4 { "169.254.42.42" } else { "[fd00:42::42]" };
    let mut command = world.command("curl");
    command.args(["--silent", "--fail", "--local-port", "512-1023", "--request", "PATCH"]);
    command.args(["--header", "Content-Type: text/plain", "--data-binary", "@/run/value"]);
    command.arg(format!("http://{host}/user_data/{KEY}")).stdin(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|why| format!("curl: {why}"))?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("curl failed: {status}")) }
}

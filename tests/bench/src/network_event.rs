//! From "route added" to "fingerprints stored", beside one curl that stores the same value when the network is there already.

use std::process::Stdio;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Family, Notify, Programs, Reach, World};
use scw_standin::{Request, Standin};

use crate::route_watch::RouteWatch;
use crate::statistics::Spread;

const RUNS: usize = 20;
const KEY: &str = "ssh-host-fingerprints";
/// Only against hanging.
const LONG: Duration = Duration::from_secs(60);

/// Measures and prints.
pub(crate) fn measure(programs: &Programs) -> Result<(), String> {
    println!("From a route to stored fingerprints, median of {RUNS} runs:");
    for family in [Family::Ipv4, Family::Ipv6] {
        let world = World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent);
        let (ours, curl) = world.run(|world| in_world(world, programs, family))?;
        let (ours, curl) = (Spread::of(ours), Spread::of(curl));
        println!("  {family:?}  the daemon, from the kernel's news of the route  {ours}");
        println!("  {family:?}  one curl --local-port PATCH, its whole process   {curl}");
        println!("  {family:?}  ratio {:.2}", ours.ratio(&curl));
    }
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
    let routes = RouteWatch::start().map_err(|why| why.to_string())?;
    let (mut ours, mut curl) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(daemon_run(world, programs, family, &routes)?);
        curl.push(curl_run(world, family)?);
        world.set_reach(family, Reach::Absent);
    }
    Ok((ours, curl))
}

/// A daemon that finds no network, and then a route.
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
    let at = at.ok_or_else(|| format!("never stored: {}", daemon.output()))?;
    let route = routes.last_before(at).ok_or("the kernel told of no route")?;
    daemon.terminate();
    Ok(at - route)
}

/// Waits for the PATCH to be answered; the stand-in wakes us at each request.
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

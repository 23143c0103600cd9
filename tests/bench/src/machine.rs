//! The date, the machine and the programs of a measurement, without which its figures mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The root folder of the repository.
pub(crate) fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The day, the machine, the programs and the commit, as a list in Markdown.
pub(crate) fn description(cloud_init: &str) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default();
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    // Changes of the documents do not count, since this program writes them.
    let changed = output_of(
        "git",
        &["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs", ":!README.md"],
    );
    let changed = if changed.is_empty() { "" } else { ", changed" };
    let of = |package| output_of("dpkg-query", &["-W", "-f", "${Version}", package]);
    format!(
        "- {date}, commit {commit}{changed}\n\
         - {model}, {cores} cores, {memory:.1} GiB of memory, {kind}\n\
         - {system}, Linux {kernel}; load when it was measured {load}\n\
         - curl {curl}, OpenSSH {ssh}, dash {dash}, cloud-init {cloud_init}, {rust}\n",
        date = output_of("date", &["-u", "+%F %H:%M UTC"]),
        commit = output_of("git", &["rev-parse", "--short=12", "HEAD"]),
        memory = memory as f64 / 1024.0 / 1024.0,
        kind = if cpus.contains(" hypervisor") { "a virtual machine" } else { "no virtual machine" },
        system = system.trim_matches('"'),
        kernel = output_of("uname", &["-r"]),
        curl = of("curl"),
        ssh = of("openssh-client"),
        dash = of("dash"),
        rust = output_of("rustc", &["--version"]),
    )
}

/// The output of a program in one line; empty if it cannot run.
fn output_of(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(checkout()).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().replace('\n', "; ")
}

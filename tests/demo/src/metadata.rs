//! What programs and people on the machine learn about the Instance, also by the commands of Scaleway's images.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::guest::{Guest, Ran};
use crate::story::{Seen, ensure};

/// A guest command of Scaleway's images, which is a name of the agent.
fn guest_command(guest: &Guest, name: &str, arguments: &[&str]) -> Result<Ran, String> {
    let link = format!("/run/{name}");
    if !Path::new(&link).exists() {
        symlink(guest.agent_path(), &link).map_err(|error| error.to_string())?;
    }
    guest.run(link, arguments)?.succeeded()
}

pub(crate) fn metadata(guest: &mut Guest) -> Seen {
    let id = guest.id()?.to_owned();
    let printed = guest_command(guest, "scw-metadata", &["ID"])?.stdout;
    ensure(printed.trim_end() == id, format!("scw-metadata ID: {printed:?}"))?;
    let tags = guest_command(guest, "scw-server-tags", &[])?.stdout;
    ensure(tags == "web\n", format!("scw-server-tags: {tags:?}"))?;
    let instance = guest.agent(&["instance"])?.succeeded()?.stdout;
    ensure(instance.contains(&id), instance.clone())?;
    let volumes = guest.agent(&["volumes"])?.succeeded()?.stdout;
    let listed: Vec<_> = volumes.lines().filter(|line| line.split(' ').nth(1) == Some("volume")).collect();
    ensure(listed.len() == 2, format!("scw-agent volumes: {volumes}"))?;
    let mut seen = vec![
        format!("scw-metadata ID: {}; scw-server-tags: {}", printed.trim_end(), tags.trim_end()),
        "scw-agent instance:".to_owned(),
    ];
    seen.extend(instance.lines().take(5).map(|line| format!("  {line}")));
    seen.push("scw-agent volumes:".to_owned());
    seen.extend(listed.iter().map(|line| format!("  {line}")));
    Ok(seen)
}

//! What the owner of the Instance does, from outside: requests to the public API with curl, over TLS.

use serde_json::Value;

use crate::guest::{PATIENCE, run};
use scw_stage::World;
use scw_standin::OWNER_TOKEN;

/// The certificate of the API's authority, for curl.
pub(crate) const AUTHORITY: &str = "/run/api-authority.pem";
/// The address of the API in the demo's network. Its name is not in any DNS there.
pub(crate) const ADDRESS: [u8; 4] = [169, 254, 42, 42];
const ZONE: &str = "https://api.scaleway.com/instance/v1/zones/nl-ams-1";

/// The options of curl that every request needs.
fn options() -> Vec<String> {
    let address = ADDRESS.map(|part| part.to_string()).join(".");
    let resolve = format!("api.scaleway.com:443:{address}");
    let token = format!("X-Auth-Token: {OWNER_TOKEN}");
    let seconds = PATIENCE.as_secs().to_string();
    ["--silent", "--show-error", "--noproxy", "*", "--max-time", &seconds, "--cacert", AUTHORITY, "--resolve"]
        .into_iter()
        .chain([&*resolve, "--header", &token])
        .map(str::to_owned)
        .collect()
}

/// A command line for a person who wants to ask the API.
pub(crate) fn shell_command() -> String {
    let quoted =
        options().into_iter().map(|word| if word.contains([' ', '*']) { format!("'{word}'") } else { word });
    format!("curl {} {ZONE}/servers", quoted.collect::<Vec<_>>().join(" "))
}

/// Sends a request to the API; returns the body of a successful answer. An empty body of a 404 is `None`.
pub(crate) fn ask(
    world: &World,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Result<Option<String>, String> {
    let mut command = world.command("curl");
    command.args(options()).args(["--request", method, "--write-out", "\n%{http_code}"]);
    if let Some(body) = body {
        command.args(["--header", "Content-Type: text/plain", "--data-binary", body]);
    }
    let ran = run(command.arg(format!("{ZONE}/{path}")))?.succeeded()?;
    let (text, status) = ran.stdout.rsplit_once('\n').ok_or("curl printed no status")?;
    match (status, text) {
        (status, text) if status.starts_with('2') => Ok(Some(text.to_owned())),
        ("404", "") => Ok(None),
        _ => Err(format!("{method} {path}: {status} {text}")),
    }
}

/// The same for an answer that is a JSON document.
pub(crate) fn document(world: &World, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let answer = ask(world, method, path, Some(&body.to_string()))?.unwrap_or_default();
    serde_json::from_str(&answer).map_err(|error| format!("{method} {path}: {error}: {answer}"))
}

/// A user data value of an Instance.
pub(crate) fn user_data(world: &World, server: &str, key: &str) -> Result<Option<String>, String> {
    ask(world, "GET", &format!("servers/{server}/user_data/{key}"), None)
}

/// Sets all user data of an Instance, as `scw` and Terraform do: what is not wanted is deleted.
pub(crate) fn set_all_user_data(
    world: &World,
    server: &str,
    wanted: &[(&str, &str)],
) -> Result<Vec<String>, String> {
    let path = format!("servers/{server}/user_data");
    let list = ask(world, "GET", &path, None)?.unwrap_or_default();
    let list: Value = serde_json::from_str(&list).map_err(|error| format!("{list}: {error}"))?;
    let keys = list["user_data"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut deleted = Vec::new();
    for key in keys.filter(|key| !wanted.iter().any(|(name, _)| name == key)) {
        ask(world, "DELETE", &format!("{path}/{key}"), None)?;
        deleted.push(key.to_owned());
    }
    for (key, value) in wanted {
        ask(world, "PATCH", &format!("{path}/{key}"), Some(value))?;
    }
    Ok(deleted)
}

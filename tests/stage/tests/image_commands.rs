//! The stand-in beside what today's images ask. The commands of Scaleway's images are shell scripts with curl and sed; each row asks and reads as
//! one of them is known to do. Their own text is not here.

use scw_stage::World;
use scw_standin::{Options, fixture};
use serde_json::json;

/// Asks the metadata service as root's scripts do.
const ASK: &str = "curl --silent --noproxy '*' --local-port 1-1023 http://169.254.42.42";

/// What is asked for, the shell script, and what it must print. `ASK` stands for the beginning of the request.
const TABLE: [(&str, &str, &str); 13] = [
    ("a value", "ASK/conf | sed -n 's/^HOSTNAME=//p'", "scw-example"),
    (
        "a value with blanks, without its quotes",
        "ASK/conf | sed -n \"s/^IMAGE_NAME=//p\" | sed \"s/^'//; s/'$//\"",
        "Ubuntu 24.04 Noble Numbat",
    ),
    ("the values of a pattern", "ASK/conf | sed -n 's/^VOLUMES_[0-9]*_VOLUME_TYPE=//p'", "sbs_volume"),
    ("the members of an object", "ASK/conf | sed -n 's/^LOCATION_ZONE_ID=//p'", "nl-ams-1"),
    ("a key that is missing", "ASK/conf | sed -n 's/^NONE=//p'", ""),
    (
        "all as variables of the shell",
        "eval \"$(ASK/conf)\"; echo $COMMERCIAL_TYPE, $TAGS tags",
        "STARDUST1-S, 2 tags",
    ),
    (
        "the JSON document",
        "ASK/conf?format=json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"public_ip\"][\"address\"])'",
        "51.15.68.77",
    ),
    ("the keys of user data", "ASK/user_data/ | sed -n 's/^USER_DATA_[0-9]*=//p'", "colour"),
    ("a user data value", "ASK/user_data/colour", "blue"),
    (
        "a user data value that is set",
        "ASK/user_data/new -X PATCH -H 'Content-Type: text/plain' -d 'a value'; ASK/user_data/new",
        "a value",
    ),
    (
        "the account's keys",
        "ASK/conf | sed -n 's/^SSH_PUBLIC_KEYS_[0-9]*_KEY=//p' | tr -d \"'\"",
        "ssh-ed25519 AAAA me",
    ),
    (
        "the keys in tags",
        "ASK/conf | sed -n 's/^TAGS_[0-9]*=AUTHORIZED_KEY=//p' | tr _ ' '",
        "ssh-ed25519 BBBB you",
    ),
    (
        "the state",
        "ASK/state -X PATCH -H 'Content-Type: application/json' -d '{\"state_detail\":\"booted\"}' -w '%{http_code}'",
        "200",
    ),
];

#[test]
fn image_commands_get_the_form_that_they_read() {
    let mut conf = fixture();
    conf["tags"] = json!(["web", "AUTHORIZED_KEY=ssh-ed25519_BBBB_you"]);
    conf["ssh_public_keys"] = json!([{"id": "x", "key": "ssh-ed25519 AAAA me"}]);
    let user_data = [(b"colour".to_vec(), b"blue".to_vec())].into();
    World::builder().standin(Options { conf, user_data, ..Options::default() }).run(|world| {
        for (what, script, expected) in TABLE {
            let script = script.replace("ASK", ASK);
            let ran = world.command("sh").args(["-c", &script]).output().expect("started");
            let printed = String::from_utf8_lossy(&ran.stdout).trim_end().to_owned();
            assert_eq!(printed, expected, "{what}: {script}: {}", String::from_utf8_lossy(&ran.stderr));
        }
        // A script of another user has no source port below 1024, and its value would be this answer.
        let refused = ASK.replace("--local-port 1-1023", "--write-out ' %{http_code}'");
        let ran = world.command("sh").args(["-c", &format!("{refused}/user_data/colour")]).output();
        assert!(String::from_utf8_lossy(&ran.expect("started").stdout).ends_with(" 403"));
    });
}

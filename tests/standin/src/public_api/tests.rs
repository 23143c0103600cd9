//! Tables of requests to the public API and their answers.

use serde_json::{Value, json};

use super::answer;
use crate::http::{Answer, Incoming};
use crate::metadata_api::{self, Call};
use crate::options::{Dialect, fixture};
use crate::platform::{OWNER_TOKEN, Platform, Rights, uuid};

mod attachment;

const ZONE: &str = "/instance/v1/zones/nl-ams-1";

fn platform() -> Platform {
    Platform { conf: fixture(), ..Platform::default() }
}

fn ask_as(platform: &mut Platform, token: &str, method: &str, target: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    answer(platform, &Incoming::new(method, target, &[("X-Auth-Token", token)], body.as_bytes()))
}

/// A request of the account's owner: the status and the document of the answer.
fn ask(platform: &mut Platform, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let answer = ask_as(platform, OWNER_TOKEN, method, target, body);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn create(platform: &mut Platform, more: &Value) -> (u16, Value) {
    let mut body = json!({"name": "web", "commercial_type": "DEV1-S", "image": "debian_trixie"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    ask(platform, "POST", &format!("{ZONE}/servers"), &body)
}

fn local_image(kind: &str) -> String {
    uuid(&("local-image", "nl-ams-1", &"debian_trixie".to_owned(), &"x86_64".to_owned(), &kind.to_owned()))
}

#[test]
fn every_case_of_new_volumes_has_its_answer() {
    const GB: u64 = 1_000_000_000;
    let (sbs, local) = (local_image("instance_sbs"), local_image("instance_local"));
    let data = |volume: Value| json!({"volumes": {"1": volume}});
    let table = [
        // Without `volumes`.
        (json!({}), Ok("0 sbs_volume 10")),
        (json!({"image": local}), Ok("0 l_ssd 20")),
        (json!({"image": sbs, "commercial_type": "PLAY2-PICO"}), Ok("0 sbs_volume 10")),
        // From the image.
        (json!({"volumes": {"0": {"volume_type": "l_ssd", "size": 20 * GB}}}), Ok("0 l_ssd 20")),
        (json!({"volumes": {"0": {"size": 15 * GB, "boot": true}}}), Ok("0 sbs_volume 15")),
        (json!({"volumes": {"0": {"size": 5 * GB}}}), Err(("volumes.0.size", "constraint"))),
        // From another snapshot.
        (
            data(json!({"base_snapshot": "s", "name": "d", "volume_type": "l_ssd"})),
            Ok("0 sbs_volume 10, 1 l_ssd 10"),
        ),
        (data(json!({"base_snapshot": "s", "volume_type": "l_ssd"})), Err(("volumes.1.name", "required"))),
        (data(json!({"base_snapshot": "s", "name": "d"})), Err(("volumes.1.volume_type", "required"))),
        // Arguments beside the volumes.
        (json!({"commercial_type": "COPARM1-2C-8G"}), Err(("image", "constraint"))),
        (json!({"image": null}), Err(("image", "required"))),
    ];
    table.into_iter().for_each(|(more, expected)| check_volumes(&more, expected));
}

#[test]
fn empty_volume_needs_all_its_fields() {
    const GB: u64 = 1_000_000_000;
    let data = |volume: Value| json!({"volumes": {"1": volume}});
    let table = [
        (
            data(json!({"name": "d", "volume_type": "sbs_volume", "size": 5 * GB})),
            Ok("0 sbs_volume 10, 1 sbs_volume 5"),
        ),
        (data(json!({"name": "d", "volume_type": "sbs_volume"})), Err(("volumes.1.size", "required"))),
        (data(json!({"volume_type": "l_ssd", "size": GB})), Err(("volumes.1.name", "required"))),
        (
            data(json!({"name": "d", "volume_type": "l_ssd", "size": 90 * GB})),
            Err(("volumes.1.size", "constraint")),
        ),
        (
            data(json!({"name": "d", "volume_type": "b_ssd", "size": GB})),
            Err(("volumes.1.volume_type", "constraint")),
        ),
        (
            data(json!({"name": "d", "volume_type": "scratch", "size": GB})),
            Err(("volumes.1.volume_type", "constraint")),
        ),
        (
            json!({"commercial_type": "H100-1-80G", "volumes": {"1": {"name": "s", "volume_type": "scratch", "size": GB}}}),
            Ok("0 sbs_volume 10, 1 scratch 1"),
        ),
        (json!({"volumes": {"one": {}}}), Err(("volumes.one", "format"))),
    ];
    table.into_iter().for_each(|(more, expected)| check_volumes(&more, expected));
}

/// Creates an Instance, which has these volumes then, or is refused because of this argument.
fn check_volumes(more: &Value, expected: Result<&str, (&str, &str)>) {
    let mut platform = platform();
    let (status, document) = create(&mut platform, more);
    let seen = match status {
        201 => Ok(volumes(&platform, &document["server"])),
        _ => {
            let detail = &document["details"][0];
            let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(status, 400, "{more}: {document}");
            assert!(platform.account.block_volumes.is_empty(), "{more}: something was made");
            Err((text("argument_name"), text("reason")))
        }
    };
    let expected =
        expected.map(str::to_owned).map_err(|(name, why): (&str, &str)| (name.to_owned(), why.to_owned()));
    assert_eq!(seen, expected, "{more}");
}

/// The volumes of an Instance, each with its key, type and size in gigabytes.
fn volumes(platform: &Platform, server: &Value) -> String {
    let volumes = server["volumes"].as_object().expect("volumes");
    let one = |(key, volume): (&String, &Value)| {
        let block = platform.account.block_volumes.iter().find(|block| block["id"] == volume["id"]);
        let size = block.unwrap_or(volume)["size"].as_u64().expect("a size") / 1_000_000_000;
        format!("{key} {} {size}", volume["volume_type"].as_str().expect("a type"))
    };
    volumes.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn volume_that_exists_is_attached_once() {
    let mut platform = platform();
    let (_, volume) = ask(
        &mut platform,
        "POST",
        "/block/v1/zones/nl-ams-1/volumes",
        &json!({"name": "d", "from_empty": {"size": 7_000_000_000_u64}}),
    );
    let volumes = json!({"volumes": {"1": {"id": volume["id"], "volume_type": "sbs_volume"}}});
    let (status, made) = create(&mut platform, &volumes);
    assert_eq!((status, made["server"]["volumes"]["1"]["id"].clone()), (201, volume["id"].clone()));
    let count = platform.account.block_volumes.len();
    assert_eq!(create(&mut platform, &volumes).0, 412);
    assert_eq!(platform.account.block_volumes.len(), count, "the failed request made nothing");
}

#[test]
fn local_volume_of_a_deleted_instance_is_attached_by_its_id() {
    let mut platform = platform();
    let data = json!({"volumes": {"1": {"name": "d", "volume_type": "l_ssd", "size": 4_000_000_000_u64}}});
    let (_, made) = create(&mut platform, &data);
    let path = format!("{ZONE}/servers/{}", made["server"]["id"].as_str().expect("an id"));
    let volumes = json!({"volumes": {"1": {"id": made["server"]["volumes"]["1"]["id"]}}});
    assert_eq!(create(&mut platform, &volumes).0, 404, "it is in use");
    assert_eq!(ask(&mut platform, "DELETE", &path, &Value::Null).0, 204);
    let (status, made) = create(&mut platform, &volumes);
    assert_eq!((status, &made["server"]["volumes"]["1"]["size"]), (201, &json!(4_000_000_000_u64)));
    assert_eq!(create(&mut platform, &volumes).0, 404);
}

#[test]
fn change_is_whole_or_refused_and_reaches_conf() {
    let mut platform = platform();
    let id = platform.conf["id"].as_str().expect("an id").to_owned();
    let path = format!("{ZONE}/servers/{id}");
    for (change, status) in [
        (json!({"name": "half", "volumes": {}}), 400),
        (json!({"name": 5}), 400),
        (json!({"tags": ["a", 5]}), 400),
        (json!({"commercial_type": "NO-SUCH"}), 400),
        (json!({"placement_group": uuid(&"none")}), 404),
    ] {
        assert_eq!(ask(&mut platform, "PATCH", &path, &change).0, status, "{change}");
        assert_eq!(platform.conf["name"], "scw-example", "{change}");
    }
    assert_eq!(ask(&mut platform, "PATCH", &path, &json!({"name": "new", "tags": ["t"]})).0, 200);
    assert_eq!((&platform.conf["name"], &platform.conf["tags"]), (&json!("new"), &json!(["t"])));
    assert_eq!(platform.conf["ssh_public_keys"], fixture()["ssh_public_keys"]);
}

#[test]
fn another_conf_shows_another_instance_with_its_own_user_data() {
    let mut platform = platform();
    let first = platform.conf["id"].as_str().expect("an id").to_owned();
    let (_, made) = create(&mut platform, &json!({}));
    let second = made["server"]["id"].as_str().expect("an id").to_owned();
    for (id, key) in [(&first, "of-first"), (&second, "%FF")] {
        ask(&mut platform, "PATCH", &format!("{ZONE}/servers/{id}/user_data/{key}"), &json!("x"));
    }
    let mut conf = fixture();
    conf["id"] = json!(second);
    platform.set_conf(conf);
    assert_eq!(platform.user_data.keys().collect::<Vec<_>>(), [&[0xff_u8][..]]);
    let (_, list) = ask(&mut platform, "GET", &format!("{ZONE}/servers/{first}/user_data"), &Value::Null);
    assert_eq!(list["user_data"], json!(["of-first"]));
    // One that the account does not have yet begins without user data.
    let third = uuid(&"third");
    platform.set_conf(json!({"id": third, "zone": "nl-ams-1"}));
    assert!(platform.user_data.is_empty());
    let (_, list) = ask(&mut platform, "GET", &format!("{ZONE}/servers/{third}/user_data"), &Value::Null);
    assert_eq!(list["user_data"], json!([]));
}

#[test]
fn both_kinds_of_404_are_told_apart() {
    let mut platform = platform();
    let id = platform.conf["id"].as_str().expect("an id").to_owned();
    let get =
        |platform: &mut Platform, target: String| ask_as(platform, OWNER_TOKEN, "GET", &target, &Value::Null);
    let not_set = get(&mut platform, format!("{ZONE}/servers/{id}/user_data/none"));
    assert_eq!((not_set.status, not_set.body.len()), (404, 0));
    assert!(not_set.headers.contains(&("Content-Type".to_owned(), "text/plain".to_owned())));
    for (target, resource) in [
        (format!("/instance/v1/zones/fr-par-1/servers/{id}/user_data/none"), "instance_server"),
        (format!("{ZONE}/servers/{}", uuid(&"none")), "instance_server"),
        (format!("{ZONE}/ips/192.0.2.1"), "instance_ip"),
        ("/marketplace/v2/local-images?image_label=debian_slink".to_owned(), "MarketplaceImage"),
    ] {
        let answer = get(&mut platform, target.clone());
        let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(
            (answer.status, &document["type"], &document["resource"]),
            (404, &json!("not_found"), &json!(resource)),
            "{target}"
        );
    }
}

#[test]
fn token_decides_what_is_permitted() {
    let mut platform = platform();
    let keys = ["2", "3", "4"].map(|digit| uuid(&digit));
    for (key, rights) in keys.iter().zip([Rights::Read, Rights::None, Rights::Expired]) {
        platform.account.tokens.insert(key.clone(), rights);
    }
    let servers = format!("{ZONE}/servers");
    let images = "/marketplace/v2/local-images?image_label=debian_trixie";
    for (token, method, target, status, part) in [
        ("", "GET", &*servers, 401, "invalid_argument"),
        ("not-a-uuid", "GET", &servers, 401, "invalid_argument"),
        (&uuid(&"unknown"), "GET", &servers, 401, "not_found"),
        (&keys[2], "GET", &servers, 401, "expired"),
        (&keys[0], "GET", &servers, 200, "scw-example"),
        (&keys[0], "POST", &servers, 403, r#""action":"write""#),
        (&keys[1], "GET", &servers, 403, r#""resource":"instance_server""#),
        ("", "GET", images, 200, "debian_trixie"),
        ("", "GET", "/instance/v1/zones/nl-ams-1/none", 401, "denied_authentication"),
        (OWNER_TOKEN, "GET", "/instance/v1/zones/nl-ams-1/none", 404, "not_found"),
        (OWNER_TOKEN, "PUT", &servers, 405, ""),
        (OWNER_TOKEN, "GET", "/instance/v1/zones/xx-yyy-9/servers", 400, "zone"),
    ] {
        let answer = ask_as(&mut platform, token, method, target, &Value::Null);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == status && body.contains(part),
            "{token} {method} {target}: {} {body}",
            answer.status
        );
    }
}

#[test]
fn lists_have_pages_and_filters() {
    let mut platform = platform();
    for number in 1..=5 {
        let more = json!({"name": format!("web-{number}"), "tags": ["all", format!("n{number}")], "dynamic_ip_required": number > 2});
        assert_eq!(create(&mut platform, &more).0, 201);
    }
    let names = |platform: &mut Platform, query: &str| {
        let answer = ask_as(platform, OWNER_TOKEN, "GET", &format!("{ZONE}/servers?{query}"), &Value::Null);
        let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let names = document["servers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|server| server["name"].as_str().expect("a name"));
        let header = |name: &str| {
            answer.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value).to_owned()
        };
        (names.collect::<Vec<_>>().join(" "), header("X-Total-Count"), header("Link"))
    };
    let (page, total, link) = names(&mut platform, "page=2&per_page=4");
    assert_eq!((page.as_str(), total.as_str()), ("web-1 scw-example", "6"));
    assert!(link.ends_with("page=2&per_page=4>; rel=\"last\"") && !link.contains("next"), "{link}");
    assert!(names(&mut platform, "per_page=4").2.contains("page=2&per_page=4>; rel=\"next\""));
    for (query, found) in [
        ("name=web-3", "web-3"),
        ("tags=all,n2", "web-2"),
        ("tags=all&tags=n4", "web-4"),
        ("state=running", "scw-example"),
        ("with_ip=51.15.68.77", "scw-example"),
        ("without_ip=true", "web-2 web-1"),
        ("commercial_type=STARDUST1-S", "scw-example"),
        ("project=00000000-0000-4000-8000-000000000000", ""),
        ("order=creation_date_asc&name=web&per_page=2", "web-1 web-2"),
        ("page=9", ""),
    ] {
        assert_eq!(names(&mut platform, query).0, found, "{query}");
    }
    for query in ["page=0", "per_page=101", "per_page=x"] {
        assert_eq!(
            ask(&mut platform, "GET", &format!("{ZONE}/servers?{query}"), &Value::Null).0,
            400,
            "{query}"
        );
    }
}

#[test]
fn local_images_take_exactly_one_of_three_parameters() {
    let mut platform = platform();
    let mut status = |query: &str| {
        ask(
            &mut platform,
            "GET",
            &format!("/marketplace/v2/local-images?zone=nl-ams-1&{query}"),
            &Value::Null,
        )
    };
    assert_eq!(status("").0, 400);
    assert_eq!(status("image_label=debian_trixie&image_id=x").0, 400);
    let (code, document) = status("image_label=ubuntu_jammy&arch=arm64");
    assert_eq!((code, &document["total_count"]), (200, &json!(1)));
    let types = document["local_images"][0]["compatible_commercial_types"].as_array().expect("types");
    assert_eq!(types, &[json!("COPARM1-2C-8G")]);
}

#[test]
fn metadata_api_shows_the_instance_that_was_started_last() {
    let mut platform = platform();
    let first = platform.conf["id"].as_str().expect("an id").to_owned();
    platform.user_data.insert(b"of".to_vec(), b"the first".to_vec());
    let (_, made) = create(&mut platform, &json!({"tags": ["new"]}));
    let id = made["server"]["id"].as_str().expect("an id").to_owned();
    let data = |id: &str| format!("{ZONE}/servers/{id}/user_data/of");
    assert_eq!(ask(&mut platform, "PATCH", &data(&id), &json!("the second")).0, 204);
    assert_eq!(
        ask(&mut platform, "POST", &format!("{ZONE}/servers/{id}/action"), &json!({"action": "poweron"})).0,
        202
    );
    let shown = |platform: &mut Platform, target: &str| {
        let call = Call { method: "GET", target, body: b"", source_port: 1 };
        String::from_utf8_lossy(&metadata_api::answer(platform, Dialect::default(), call).body).into_owned()
    };
    assert_eq!(shown(&mut platform, "/user_data/of"), "\"the second\"");
    let conf: Value = serde_json::from_str(&shown(&mut platform, "/conf?format=json")).expect("JSON");
    assert_eq!(
        (&conf["id"], &conf["state"], &conf["tags"]),
        (&json!(id), &json!("running"), &json!(["new"]))
    );
    assert_eq!(conf["public_ips_v4"][0]["address"], conf["public_ip"]["address"]);
    let of_first = ask_as(&mut platform, OWNER_TOKEN, "GET", &data(&first), &Value::Null);
    assert_eq!(of_first.body, b"the first");
    // A deletion does not bring it back.
    ask(&mut platform, "POST", &format!("{ZONE}/servers/{id}/action"), &json!({"action": "terminate"}));
    assert_eq!(ask(&mut platform, "GET", &format!("{ZONE}/servers/{id}"), &Value::Null).0, 404);
}

#[test]
fn action_fits_the_state() {
    let mut platform = platform();
    let (_, made) = create(&mut platform, &json!({}));
    let target = format!("{ZONE}/servers/{}/action", made["server"]["id"].as_str().expect("an id"));
    for (action, status, actions) in [
        ("poweroff", 412, "poweron backup"),
        ("poweron", 202, "poweroff terminate reboot stop_in_place backup"),
        ("poweron", 412, "poweroff terminate reboot stop_in_place backup"),
        ("stop_in_place", 202, "poweron poweroff terminate backup"),
        ("fly", 400, "poweron poweroff terminate backup"),
        ("poweroff", 202, "poweron backup"),
    ] {
        assert_eq!(ask(&mut platform, "POST", &target, &json!({ "action": action })).0, status, "{action}");
        let (_, document) = ask(&mut platform, "GET", &target, &Value::Null);
        let permitted = document["actions"]
            .as_array()
            .expect("actions")
            .iter()
            .map(|action| action.as_str().expect("text"));
        assert_eq!(permitted.collect::<Vec<_>>().join(" "), actions, "after {action}");
    }
}

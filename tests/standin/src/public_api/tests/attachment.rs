//! Volumes that are attached and detached, as both APIs show them.

use super::*;

/// Attaches or detaches a volume of the Instance that the Metadata API shows: the status, and the volumes of `/conf` afterwards.
fn act(platform: &mut Platform, action: &str, body: &Value) -> (u16, String) {
    let id = platform.conf["id"].as_str().expect("an id").to_owned();
    let (status, _) = ask(platform, "POST", &format!("{ZONE}/servers/{id}/{action}-volume"), body);
    let volumes = platform.conf["volumes"].as_object().expect("volumes").iter();
    let volumes = volumes
        .map(|(number, volume)| format!("{number} {}", volume["volume_type"].as_str().expect("a type")));
    (status, volumes.collect::<Vec<_>>().join(", "))
}

/// A new block volume.
fn block_volume(platform: &mut Platform) -> Value {
    let body = json!({"name": "d", "from_empty": {"size": 7_000_000_000_u64}});
    ask(platform, "POST", "/block/v1/zones/nl-ams-1/volumes", &body).1["id"].clone()
}

#[test]
fn attached_volume_is_in_both_forms_of_conf() {
    let mut platform = platform();
    let first = platform.conf["volumes"]["0"]["id"].clone();
    let volume = block_volume(&mut platform);
    let attach = json!({"volume_id": volume, "volume_type": "sbs_volume"});
    assert_eq!(act(&mut platform, "attach", &attach), (200, "0 sbs_volume, 1 sbs_volume".to_owned()));
    assert_eq!(act(&mut platform, "attach", &attach).0, 412, "it is attached already");
    let call = Call { method: "GET", target: "/conf", body: b"", source_port: 5000 };
    let text = metadata_api::answer(&mut platform, Dialect::default(), call).body;
    let line = format!("VOLUMES_1_ID={}\n", volume.as_str().expect("an id"));
    assert!(String::from_utf8_lossy(&text).contains(&line), "{line}");
    let path = format!("/block/v1/zones/nl-ams-1/volumes/{}", volume.as_str().expect("an id"));
    assert_eq!(ask(&mut platform, "GET", &path, &Value::Null).1["status"], "in_use");
    // The first number that is free.
    assert_eq!(act(&mut platform, "detach", &json!({"volume_id": first})), (200, "1 sbs_volume".to_owned()));
    let other = json!({"volume_id": block_volume(&mut platform), "volume_type": "sbs_volume"});
    assert_eq!(act(&mut platform, "attach", &other).1, "0 sbs_volume, 1 sbs_volume");
    let detach = json!({"volume_id": volume});
    assert_eq!(act(&mut platform, "detach", &detach), (200, "0 sbs_volume".to_owned()));
    assert_eq!(act(&mut platform, "detach", &detach).0, 404);
    assert_eq!(ask(&mut platform, "GET", &path, &Value::Null).1["status"], "available");
}

#[test]
fn wrong_attachment_changes_nothing() {
    let mut platform = platform();
    let volume = block_volume(&mut platform);
    for (action, body, status) in [
        ("attach", json!({}), 400),
        ("attach", json!({"volume_id": volume, "volume_type": "scratch"}), 400),
        ("attach", json!({"volume_id": uuid(&"none"), "volume_type": "sbs_volume"}), 404),
        // Without a type it is a local volume, and the Instance is not stopped.
        ("attach", json!({"volume_id": volume}), 412),
        ("detach", json!({}), 400),
        ("detach", json!({"volume_id": volume}), 404),
    ] {
        assert_eq!(act(&mut platform, action, &body), (status, "0 sbs_volume".to_owned()), "{action} {body}");
    }
}

#[test]
fn local_volume_moves_between_stopped_instances() {
    const GB: u64 = 1_000_000_000;
    let mut platform = platform();
    let (_, made) = create(
        &mut platform,
        &json!({"volumes": {"1": {"name": "d", "volume_type": "l_ssd", "size": 4 * GB}}}),
    );
    let (_, other) = create(&mut platform, &json!({}));
    let body = json!({"volume_id": made["server"]["volumes"]["1"]["id"]});
    let path = |made: &Value, action: &str| {
        format!("{ZONE}/servers/{}/{action}-volume", made["server"]["id"].as_str().expect("an id"))
    };
    assert_eq!(ask(&mut platform, "POST", &path(&other, "attach"), &body).0, 404, "it is in use");
    let (status, changed) = ask(&mut platform, "POST", &path(&made, "detach"), &body);
    assert_eq!((status, volumes(&platform, &changed["server"])), (200, "0 sbs_volume 10".to_owned()));
    let (status, changed) = ask(&mut platform, "POST", &path(&other, "attach"), &body);
    assert_eq!(
        (status, volumes(&platform, &changed["server"])),
        (200, "0 sbs_volume 10, 1 l_ssd 4".to_owned())
    );
}

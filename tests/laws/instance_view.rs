//! `scw-agent instance` and `scw-agent volumes`: what they show to root and to others, with odd documents, and without the metadata service.

use scw_stage::{Reach, World};
use serde_json::{Value, json};

use crate::machine::*;

const VOLUME: &str = "76d8ae14-0000-4000-8000-000000000000";
const SECRET: &str = "hunter2";

/// Sets fields of the document about the Instance.
fn set_conf(world: &World, fields: Value) {
    let mut conf = world.standin().conf();
    for (name, value) in fields.as_object().expect("fields") {
        conf[name] = value.clone();
    }
    world.standin().set_conf(conf);
}

/// The document and the exit code of a command with `--json`.
fn document(world: &World, command: &str) -> (Value, i32) {
    let ended = agent(world, &[command, "--json"]);
    (serde_json::from_str(&ended.out).expect("JSON"), ended.code)
}

/// Runs a command as a user without any right.
fn as_nobody(world: &World, words: &[&str]) -> Ended {
    copy_program(world, AGENT, "/run/scw-agent-copy");
    let mut command = world.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "/run/scw-agent-copy"]);
    run(command.args(words))
}

/// Replaces the disks and network interfaces of the test's machine. The first partition of `sda` has the number of the root file system.
fn make_devices(world: &World) {
    sh(
        world,
        &format!(
            r#"mount -t tmpfs stage /sys/block
            mount -t tmpfs stage /sys/class/net
            mkdir -p /sys/class/net/ens5/device /run/udev/data
            echo 02:00:00:1b:f4:62 >/sys/class/net/ens5/address
            root=$(while read -r _ _ number _ point _; do [ "$point" != / ] || echo "$number"; done </proc/self/mountinfo | tail -n 1)
            disk() {{
                mkdir -p "/sys/block/$1/device"
                echo "$2" >"/sys/block/$1/dev"
                echo "$3" >"/sys/block/$1/size"
            }}
            disk sda 8:0 19531250
            printf '\000\200\000\053volume-{VOLUME}' >/sys/block/sda/device/vpd_pg80
            echo 'sbs             ' >/sys/block/sda/device/model
            mkdir /sys/block/sda/sda1 /sys/block/sda/sda15
            echo 1 >/sys/block/sda/sda1/partition
            echo "$root" >/sys/block/sda/sda1/dev
            echo 19296256 >/sys/block/sda/sda1/size
            printf 'E:ID_FS_TYPE=ext4\nE:ID_FS_UUID=0f1d7e65-6f4b-4b9f-9f5e-2d1b1c1f0a11\nE:ID_FS_LABEL_ENC=cloudimg-rootfs\n' >"/run/udev/data/b$root"
            echo 15 >/sys/block/sda/sda15/partition
            echo 8:15 >/sys/block/sda/sda15/dev
            echo 217088 >/sys/block/sda/sda15/size
            printf 'E:ID_FS_TYPE=vfat\nE:ID_FS_UUID=9A1C-6D2E\nE:ID_FS_LABEL_ENC=UEFI\n' >/run/udev/data/b8:15
            disk vda 254:0 39062500
            disk vdb 254:16 39062500
            disk vdc 254:32 58593750
            disk sr0 11:0 752
            echo 'QEMU CD-ROM' >/sys/block/sr0/device/model
            printf 'E:ID_FS_TYPE=iso9660\nE:ID_FS_LABEL_ENC=cidata\n' >/run/udev/data/b11:0
            disk loop0 7:0 8"#
        ),
    );
}

/// The volumes of a machine with these devices.
fn volumes() -> Value {
    json!({
        "0": {"id": VOLUME, "volume_type": "sbs_volume", "boot": false, "zone": "nl-ams-1"},
        "1": {"id": "11111111-0000-4000-8000-000000000000", "volume_type": "l_ssd", "name": "fast", "size": 20_000_000_000_u64, "state": "available"},
        "2": {"id": "22222222-0000-4000-8000-000000000000", "volume_type": "l_ssd", "size": 30_000_000_000_u64},
        "3": {"id": "33333333-0000-4000-8000-000000000000", "volume_type": "sbs_volume"},
    })
}

#[test]
fn instance_shows_what_the_service_knows() {
    World::builder().run(|world| {
        make_devices(world);
        let nic = json!({"id": "n1", "private_network_id": "p1", "mac_address": "02:00:00:1B:F4:62", "state": "available"});
        let group = json!({"id": "g1", "name": "apart", "policy_type": "max_availability", "policy_mode": "enforced", "policy_respected": false});
        set_conf(world, json!({"private_nics": [nic], "placement_group": group, "tags": ["web", SECRET]}));
        for with_daemon in [false, true] {
            let daemon = with_daemon.then(|| start_daemon(world));
            world.standin().clear_requests();
            let shown = agent(world, &["instance"]);
            assert_eq!(shown.code, 0, "{}", shown.err);
            for line in [
                "id:              daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86\n",
                "type:            STARDUST1-S\n",
                "image:           Ubuntu 24.04 Noble Numbat, 01fe25a9-0000-4000-8000-000000000000, arch x86_64\n",
                "placement group: apart, g1, policy max_availability, enforced, not respected\n",
                "public address:  51.15.68.77/32, IPv4, gateway 62.210.0.1\n",
                "private NIC:     n1, MAC 02:00:00:1B:F4:62, Private Network p1, interface ens5\n",
                "tags:            hunter2\n",
            ] {
                assert!(shown.out.contains(line), "{line:?} is not in {}", shown.out);
            }
            let (instance, code) = document(world, "instance");
            assert_eq!((code, &instance["version"], &instance["tags"][1]), (0, &json!(1), &json!(SECRET)));
            assert_eq!(instance["private_nics"][0]["interfaces"], json!(["ens5"]));
            assert_eq!(instance["placement_group"]["policy_respected"], json!(false));
            // The daemon has requests of its own.
            assert!(with_daemon || request_lines(world) == ["GET /conf?format=json"; 2], "{:#?}", request_lines(world));
            daemon.map(scw_stage::Daemon::terminate);
        }
    });
}

#[test]
fn s3_only_root_sees_tags_and_others_need_no_socket() {
    World::builder().run(|world| {
        set_conf(world, json!({"tags": [format!("AUTHORIZED_KEY={SECRET}")]}));
        assert!(agent(world, &["instance"]).out.contains(SECRET));
        // No daemon; one whose socket has root's mode; one that refuses the user itself.
        for step in ["no daemon", "closed socket", "refusing daemon"] {
            let daemon = (step != "no daemon").then(|| start_daemon(world));
            if step == "refusing daemon" {
                sh(world, "chmod 0666 /run/scw-agent/api.sock");
            }
            world.standin().clear_requests();
            let shown = as_nobody(world, &["instance"]);
            assert_eq!(shown.code, 0, "{step}: {}", shown.err);
            assert!(
                shown.out.ends_with("tags:            not shown, only root may see them\n"),
                "{}",
                shown.out
            );
            let in_json = as_nobody(world, &["instance", "--json"]);
            let instance: Value = serde_json::from_str(&in_json.out).expect("JSON");
            assert_eq!((in_json.code, &instance["tags"]), (0, &Value::Null), "{step}");
            assert_eq!(as_nobody(world, &["volumes"]).code, 0, "{step}");
            assert!(![shown.out, shown.err, in_json.out, in_json.err].concat().contains(SECRET), "{step}");
            let asked = world.standin().requests();
            let by_nobody: Vec<_> = asked.iter().filter(|request| request.peer.port() >= 1024).collect();
            assert_eq!(by_nobody.len(), 3, "{step}: from a port that every user may use: {asked:#?}");
            assert!(by_nobody.iter().all(|request| request.target == "/conf?format=json"), "{asked:#?}");
            daemon.map(scw_stage::Daemon::terminate);
        }
    });
}

#[test]
fn volumes_are_shown_with_their_disks() {
    World::builder().run(|world| {
        make_devices(world);
        set_conf(world, json!({"volumes": volumes()}));
        let shown = agent(world, &["volumes"]);
        let expected = "\
✓ volume 0      sbs_volume, 76d8ae14-0000-4000-8000-000000000000, 10 GB, root
                /dev/sda
                /dev/sda1, 9.8 GB, ext4, label \"cloudimg-rootfs\", UUID 0f1d7e65-6f4b-4b9f-9f5e-2d1b1c1f0a11, mounted on /…
                /dev/sda15, 111.1 MB, vfat, label \"UEFI\", UUID 9A1C-6D2E
… volume 1      l_ssd, 11111111-0000-4000-8000-000000000000, \"fast\", 20 GB
                ambiguous, one of /dev/vda, /dev/vdb
✓ volume 2      l_ssd, 22222222-0000-4000-8000-000000000000, 30 GB
                /dev/vdc, the only disk that it can be
… volume 3      sbs_volume, 33333333-0000-4000-8000-000000000000
                no disk of this machine is this volume
… disk          /dev/sr0, 385 kB, QEMU CD-ROM: not a volume of this Instance
                whole disk: iso9660, label \"cidata\"
";
        assert_eq!(shown.code, 0, "{}", shown.err);
        for (line, expected) in shown.out.lines().zip(expected.lines()) {
            // What else is mounted from the root file system depends on the machine.
            let is_equal = expected.strip_suffix('…').map_or(line == expected, |start| line.starts_with(start));
            assert!(is_equal, "{line:?} and not {expected:?} in {}", shown.out);
        }
        assert_eq!(shown.out.lines().count(), expected.lines().count(), "{}", shown.out);

        let (report, code) = document(world, "volumes");
        assert_eq!((code, &report["metadata_error"]), (0, &Value::Null), "{report:#}");
        let found: Vec<_> = report["volumes"].as_array().expect("a list").iter().collect();
        let of_each = |name: &str| found.iter().map(|volume| volume[name].clone()).collect::<Vec<_>>();
        assert_eq!(of_each("found_by"), ["id", "ambiguous", "elimination", "nothing"]);
        assert_eq!(of_each("root"), [true, false, false, false]);
        assert_eq!(found[1]["candidates"], json!(["/dev/vda", "/dev/vdb"]));
        assert_eq!((&found[0]["size"], &found[0]["disk"]["partitions"][1]["fs_type"]), (&json!(10_000_000_000_u64), &json!("vfat")));
        assert_eq!(report["other_disks"][0]["device"], "/dev/sr0");
    });
}

#[test]
fn odd_document_never_fails_the_commands() {
    World::builder().run(|world| {
        make_devices(world);
        let names = [
            "name",
            "image",
            "placement_group",
            "public_ips",
            "private_nics",
            "security_group",
            "tags",
            "volumes",
        ];
        let first = world.standin().conf();
        for form in [
            json!(null),
            json!(7),
            json!("\u{1b}[2J\n"),
            json!([null, 1, {"id": []}]),
            json!({"0": {"id": 1, "size": -1}, "x": []}),
        ] {
            let fields: serde_json::Map<_, _> =
                names.iter().map(|name| ((*name).to_owned(), form.clone())).collect();
            set_conf(world, Value::Object(fields));
            for words in [&["instance"][..], &["instance", "--json"], &["volumes"], &["volumes", "--json"]] {
                let ended = agent(world, words);
                assert_eq!((ended.code, &*ended.err), (0, ""), "{words:?} {form}: {}", ended.out);
            }
            world.standin().set_conf(first.clone());
        }
        // Every field is absent.
        world.standin().set_conf(json!({}));
        assert_eq!(agent(world, &["instance"]).code, 0);
        assert!(agent(world, &["volumes"]).out.starts_with("… volumes       this Instance has none\n"));
        // Not a document: an answer that cannot be used.
        world.standin().set_conf(json!([SECRET]));
        for command in ["instance", "volumes"] {
            let ended = agent(world, &[command]);
            assert_eq!(ended.code, 6, "{command}: {}", ended.out);
            assert!(ended.err.contains("malformed") && !ended.err.contains(SECRET), "{}", ended.err);
        }
    });
}

#[test]
fn disks_are_shown_without_the_metadata_service() {
    World::builder().ipv4(Reach::Refused).ipv6(Reach::Absent).run(|world| {
        make_devices(world);
        let ended = agent(world, &["instance"]);
        assert_eq!((ended.code, &*ended.out), (5, ""), "{}", ended.err);
        let ended = agent(world, &["volumes"]);
        assert_eq!(ended.code, 5, "{}", ended.err);
        assert!(ended.err.contains("cannot be reached"), "{}", ended.err);
        assert!(
            ended.out.starts_with("… disk          /dev/sda, 10 GB, sbs: its volume is not known"),
            "{}",
            ended.out
        );
        let (report, code) = document(world, "volumes");
        assert_eq!((code, &report["volumes"]), (5, &Value::Null), "{report:#}");
        assert!(report["metadata_error"].as_str().is_some_and(|why| why.contains("cannot be reached")));
        assert_eq!(report["other_disks"][0]["volume_ids"], json!([VOLUME]));
        assert_eq!(report["other_disks"].as_array().map(Vec::len), Some(5), "{report:#}");
    });
}

#[test]
fn p1_description_is_requested_on_an_instance_only() {
    World::builder().run(|world| {
        world.set_dmi(Some("QEMU"), None);
        for command in ["instance", "volumes"] {
            let (root, other) = (agent(world, &[command]), as_nobody(world, &[command]));
            for ended in [root, other] {
                assert_eq!(ended.code, 5, "{command}: {}", ended.out);
                assert!(ended.err.contains("not a Scaleway Instance"), "{command}: {}", ended.err);
            }
        }
        assert_eq!(world.standin().connections().len(), 0);
    });
}

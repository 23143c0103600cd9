//! The volumes of the emulated machine: real disks, found by the shipped udev rule and by `scw-agent volumes`, and one that is attached and
//! detached while the machine runs.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use scw_images::Ran;
use scw_stage::World;
use scw_standin::{OWNER_TOKEN, PublicApi};
use serde_json::{Value, json};

use super::guest::{API, API_SOCKET, Devices, Guest, ROOT_SIZE, make_file, until};
use super::monitor::Monitor;
use crate::common::write_output;

const ROOT: &str = "11111111-0000-4000-8000-000000000000";
const DATA: &str = "22222222-0000-4000-8000-000000000000";
/// Two local volumes of the same size.
const EQUAL: [&str; 2] = ["33333333-0000-4000-8000-000000000000", "44444444-0000-4000-8000-000000000000"];
const EQUAL_SIZE: u64 = 20_000_000_000;
const DATA_SIZE: u64 = 5_000_000_000;
const MOUNT_POINT: &str = "/srv/data";
/// The first sector and the number of sectors of each partition of the volume `DATA`.
const PARTITIONS: [(u32, u32); 2] = [(2048, 7_812_500), (7_815_168, 1_950_457)];
const SECTOR: u64 = 512;

const AUTHORITY: &str = "/run/api-authority.pem";

/// The public API, beside the Metadata API.
pub(super) fn public_api() -> PublicApi {
    let listen = API.parse().expect("an address");
    PublicApi { listen, authority: Some(AUTHORITY.into()), tokens: Default::default() }
}

/// Makes the files of the disks, and the volumes in the metadata.
pub(super) fn prepare(world: &World, folder: &Path) -> Devices {
    let local = |id: &str, name: &str, size: u64| json!({"id": id, "name": name, "volume_type": "l_ssd", "size": size, "boot": false, "zone": "nl-ams-1"});
    let mut conf = world.standin().conf();
    conf["volumes"] = json!({
        "0": local(ROOT, "root", ROOT_SIZE),
        "1": {"id": DATA, "volume_type": "sbs_volume", "boot": false, "zone": "nl-ams-1"},
        "2": local(EQUAL[0], "fast", EQUAL_SIZE),
        "3": local(EQUAL[1], "faster", EQUAL_SIZE),
    });
    world.standin().set_conf(conf);

    let mut arguments = vec!["-device".to_owned(), "virtio-scsi-pci,id=scsi".to_owned()];
    for id in EQUAL {
        let name = format!("{id}.img");
        make_file(&folder.join(&name), EQUAL_SIZE);
        arguments.extend(["-drive".to_owned(), format!("file={name},format=raw,if=virtio,cache=unsafe")]);
    }
    make_partitions(&folder.join("data.img"));
    arguments
        .extend(["-drive".to_owned(), "file=data.img,format=raw,if=none,id=data,cache=unsafe".to_owned()]);
    let properties = disk_properties(DATA, "data", 1);
    let properties = properties.as_object().expect("properties").iter();
    let properties = properties.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    });
    arguments.extend(["-device".to_owned(), properties.collect::<Vec<_>>().join(",")]);
    let fstab = format!("/dev/disk/scw/volume-{DATA}-part1 {MOUNT_POINT} ext4 nofail 0 0\n");
    Devices { arguments, fstab }
}

/// What the platform's hypervisor says about the disk of a block volume.
fn disk_properties(volume: &str, drive: &str, number: u32) -> Value {
    let name = format!("volume-{volume}");
    json!({
        "driver": "scsi-hd", "id": format!("disk-{drive}"), "bus": "scsi.0", "scsi-id": number, "drive": drive, "vendor": "SCW",
        "product": "sbs", "ver": "v42", "serial": name, "device_id": name,
    })
}

/// A disk with a partition table, and a file system on the first partition.
fn make_partitions(image: &Path) {
    make_file(image, DATA_SIZE);
    // The table of an MBR: for each partition the type, the first sector and the number of sectors, then two bytes as its mark.
    let mut table = Vec::new();
    for (first, sectors) in PARTITIONS {
        let kind = [0, 0, 0, 0, 0x83, 0, 0, 0];
        table.extend([&kind[..], &first.to_le_bytes(), &sectors.to_le_bytes()].concat());
    }
    table.resize(4 * 16, 0);
    table.extend([0x55, 0xaa]);
    let mut file = File::options().write(true).open(image).expect("opened");
    file.seek(SeekFrom::Start(446)).and_then(|_| file.write_all(&table)).expect("written");
    let (first, sectors) = PARTITIONS[0];
    let offset = format!("offset={}", u64::from(first) * SECTOR);
    let size = format!("{}k", u64::from(sectors) * SECTOR / 1024);
    let (label, uuid) = ("data", "5b3c1d2e-0a4f-4c6b-8d7e-9f0a1b2c3d4e");
    make_file_system(image, label, uuid, &["-E", &offset], &[&size]);
}

fn make_file_system(image: &Path, label: &str, uuid: &str, options: &[&str], size: &[&str]) {
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-L", label, "-U", uuid]).args(options).arg(image).args(size);
    Ran::run(&mut make).ok("mke2fs");
}

/// All checks, and the document that shows what the commands print.
pub(super) fn check(guest: &Guest) {
    check_first_volumes(guest);
    check_names(guest);
    let mut shown = format!("```console\n# scw-agent volumes\n{}\n```\n", guest.ssh("scw-agent volumes"));
    shown += &check_attached_volume(guest);
    println!("{shown}");
    write_output(
        "docs/reference/instance-and-volumes.md",
        "h1_h3_s1_emulated_debian_13_does_complete_job",
        &shown,
    );
}

/// The document of `scw-agent volumes --json`.
fn report(guest: &Guest) -> Value {
    serde_json::from_str(&guest.ssh("scw-agent volumes --json")).expect("JSON")
}

/// Waits until the document has this property.
#[track_caller]
fn until_report(guest: &Guest, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(&guest.qemu, what, || Some(report(guest)).filter(|report| is_so(report)))
}

fn check_first_volumes(guest: &Guest) {
    let mounted = |report: &Value| {
        report["volumes"][1]["disk"]["partitions"][0]["mount_points"] == json!([MOUNT_POINT])
    };
    let report = until_report(guest, "the volume of /etc/fstab is mounted", mounted);
    let facts = |volume: &Value| {
        let disk = &volume["disk"];
        json!([
            volume["id"],
            volume["found_by"],
            volume["root"],
            volume["size"],
            disk["device"],
            disk["label"],
            volume["candidates"]
        ])
    };
    let seen: Vec<_> = report["volumes"].as_array().expect("volumes").iter().map(facts).collect();
    let equal = |id: &str| json!([id, "ambiguous", false, EQUAL_SIZE, null, null, ["/dev/vdb", "/dev/vdc"]]);
    let expected = [
        json!([ROOT, "elimination", true, ROOT_SIZE, "/dev/vda", "root", []]),
        json!([DATA, "id", false, DATA_SIZE, "/dev/sda", null, []]),
        equal(EQUAL[0]),
        equal(EQUAL[1]),
    ];
    assert_eq!(seen, expected, "{report:#}");
    assert_eq!(report["other_disks"], json!([]), "{report:#}");
    let partition = |partition: &Value| {
        ["device", "number", "size", "fs_type", "label"].map(|name| partition[name].clone())
    };
    let partitions = report["volumes"][1]["disk"]["partitions"].as_array().expect("partitions");
    let size = |at: usize| u64::from(PARTITIONS[at].1) * SECTOR;
    let expected =
        [json!(["/dev/sda1", 1, size(0), "ext4", "data"]), json!(["/dev/sda2", 2, size(1), null, null])];
    assert_eq!(partitions.iter().map(|each| json!(partition(each))).collect::<Vec<_>>(), expected);
}

/// The names of the shipped rule, and those of the distribution on which it is built.
fn check_names(guest: &Guest) {
    let names =
        guest.ssh("cd /dev/disk/scw && for name in *; do echo \"$name $(readlink -f \"$name\")\"; done");
    let volume = format!("volume-{DATA}");
    assert_eq!(names, format!("{volume} /dev/sda\n{volume}-part1 /dev/sda1\n{volume}-part2 /dev/sda2"));
    let properties =
        "--property=ID_SERIAL --property=ID_SERIAL_SHORT --property=ID_VENDOR --property=ID_MODEL";
    let known = guest.ssh(&format!(
        "udevadm info --query=property {properties} /dev/sda | sort; readlink -f /dev/disk/by-id/scsi-0SCW_sbs_{volume}-part1"
    ));
    assert_eq!(
        known,
        format!(
            "ID_MODEL=sbs\nID_SERIAL=0SCW_sbs_{volume}\nID_SERIAL_SHORT={volume}\nID_VENDOR=SCW\n/dev/sda1"
        )
    );
    // Without udev, the disk itself names the volume. Its serial number is cut.
    let serial = guest.ssh("tail -c +5 /sys/block/sda/device/vpd_pg80");
    assert!(volume.starts_with(&serial) && serial.len() < volume.len(), "{serial}");
    let without = guest.ssh(
        "unshare --mount sh -ec 'mount -t tmpfs none /run/udev; mount -t tmpfs none /dev/disk; scw-agent volumes --json'",
    );
    let without: Value = serde_json::from_str(&without).expect("JSON");
    assert_eq!(without["volumes"][1]["found_by"], "id", "{without:#}");
    assert_eq!(without["volumes"][1]["disk"]["partitions"][0]["fs_type"], Value::Null, "{without:#}");
}

/// A volume that is attached at the platform, then in the machine, then detached in the same order. Returns what people see.
fn check_attached_volume(guest: &Guest) -> String {
    let size = 2_000_000_000_u64;
    let image = guest.folder.join("added.img");
    make_file(&image, size);
    make_file_system(&image, "added", "7e6d5c4b-3a29-4817-9605-f4e3d2c1b0a9", &[], &[]);
    let zone = |product: &str| format!("{product}/v1/zones/nl-ams-1");
    let body = json!({"name": "added", "from_empty": {"size": size}});
    let volume = ask(guest, &format!("{}/volumes", zone("block")), &body)["id"].clone();
    let volume = volume.as_str().expect("an id");
    let server = instance_id(guest);
    let act = |action: &str| {
        let body = json!({"volume_id": volume, "volume_type": "sbs_volume"});
        ask(guest, &format!("{}/servers/{server}/{action}-volume", zone("instance")), &body);
    };
    let added = |report: &Value| report["volumes"][4].clone();
    let mut shown = String::new();

    act("attach");
    let report = until_report(guest, "attached at the platform", |report| added(report)["id"] == volume);
    assert_eq!((&added(&report)["found_by"], &added(&report)["disk"]), (&json!("nothing"), &Value::Null));
    shown += &rows(guest, "Attached at the platform, not yet in the machine", "volume 4");

    let mut monitor = Monitor::connect();
    let file = json!({"driver": "file", "filename": image});
    monitor.execute("blockdev-add", json!({"driver": "raw", "node-name": "added", "file": file}));
    monitor.execute("device_add", disk_properties(volume, "added", 2));
    let is_there = |report: &Value| added(report)["disk"]["label"] == "added";
    let report = until_report(guest, "attached in the machine", is_there);
    let disk = &added(&report)["disk"];
    assert_eq!(
        (&added(&report)["found_by"], &disk["device"], &disk["size"]),
        (&json!("id"), &json!("/dev/sdb"), &json!(size))
    );
    let link = format!("/dev/disk/scw/volume-{volume}");
    let target = format!("readlink -f {link} || true");
    let is_named = || (guest.ssh(&target) == "/dev/sdb").then_some(());
    until(&guest.qemu, "the name of the volume", is_named);
    shown += &rows(guest, "Attached in both", "volume 4");

    act("detach");
    let report = until_report(guest, "detached at the platform", |report| added(report).is_null());
    assert_eq!(report["other_disks"][0]["volume_ids"], json!([volume]), "{report:#}");
    shown += &rows(guest, "Detached at the platform, not yet in the machine", "disk");

    monitor.execute("device_del", json!({"id": "disk-added"}));
    monitor.wait_until_deleted("disk-added");
    monitor.execute("blockdev-del", json!({"node-name": "added"}));
    until_report(guest, "detached in the machine", |report| report["other_disks"] == json!([]));
    let is_gone = format!("[ -L {link} ] || echo gone");
    until(&guest.qemu, "the name is gone", || (guest.ssh(&is_gone) == "gone").then_some(()));
    shown
}

/// The rows of one volume or disk, below a heading.
fn rows(guest: &Guest, state: &str, name: &str) -> String {
    let all = guest.ssh("scw-agent volumes");
    let mut lines = all.lines().skip_while(|line| !line.get(4..).is_some_and(|line| line.starts_with(name)));
    let first = lines.next().unwrap_or_default();
    let below = lines.take_while(|line| line.starts_with(' '));
    let rows = [first].into_iter().chain(below).collect::<Vec<_>>().join("\n");
    format!("\n{state}:\n\n```text\n{rows}\n```\n")
}

fn instance_id(guest: &Guest) -> String {
    guest.world.standin().conf()["id"].as_str().expect("an id").to_owned()
}

/// Sends a request of the volume's owner to the public API, which only the guest's side of the wire reaches; returns the document of the answer.
fn ask(guest: &Guest, path: &str, body: &Value) -> Value {
    let mut command = guest.world.command("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "3600"]);
    command.args(["--cacert", AUTHORITY, "--unix-socket", API_SOCKET]);
    command.args(["--header", &format!("X-Auth-Token: {OWNER_TOKEN}"), "--data", &body.to_string()]);
    let answer = Ran::run(command.arg(format!("https://{API}/{path}"))).ok(path);
    serde_json::from_str(&answer).expect("JSON")
}

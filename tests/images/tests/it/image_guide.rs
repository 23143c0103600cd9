//! The guide for image builders: its commands run on an image, and print what is shown.

// The laws read documents in the same way.
#[path = "../../../laws/shown_commands/markdown.rs"]
mod markdown;
#[path = "../../../laws/shown_commands/output.rs"]
mod output;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use scw_images::{Disk, Kit, Machine, Ran, Suite};
use scw_stage::World;

use crate::common::{FINGERPRINTS, OTHER_INSTANCE, become_instance, published};

const GUIDE: &str = "docs/guide/images.md";
const FOLDER: &str = "/run/builder";

#[test]
fn image_guide_commands_print_what_is_shown() {
    let kit = Kit::new(Suite::Trixie);
    let text = fs::read_to_string(Kit::checkout().join(GUIDE)).expect("read");
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        let folder = Path::new(FOLDER);
        fs::create_dir(folder).expect("made");
        symlink(disk.root(), folder.join("IMAGE")).expect("a link");
        fs::copy(kit.deb(), folder.join(kit.deb().file_name().expect("a file"))).expect("copied");
        let blocks = markdown::blocks(&text);
        let is_own = |block: &&markdown::Block| {
            block.mark("run by the test") == Some("`image_guide_commands_print_what_is_shown`")
        };
        let commands: Vec<_> = blocks.iter().filter(is_own).flat_map(markdown::Block::commands).collect();
        assert!(commands.len() > 12, "{}", commands.len());
        for command in &commands {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("exec 2>&1; {}", command.text)]).current_dir(folder).env_clear();
            shell.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
            let ran = Ran::run(&mut shell);
            assert_eq!(output::difference(command, ran.code, &ran.out), None, "{GUIDE}:{}", command.line);
        }
    });
}

/// The commands of the recipe for Packer, in the list `inline`.
fn packer_commands(text: &str) -> Vec<&str> {
    let blocks = markdown::blocks(text);
    let block = blocks.into_iter().find(|block| block.language == "hcl").expect("the recipe");
    let lines = block.text.into_iter().map(str::trim).skip_while(|line| !line.starts_with("inline")).skip(1);
    lines
        .take_while(|line| *line != "]")
        .map(|line| line.strip_prefix('"').and_then(|line| line.strip_suffix("\",")).expect("a command"))
        .collect()
}

#[test]
fn image_guide_packer_recipe_makes_different_instances() {
    let kit = Kit::new(Suite::Trixie);
    let text = fs::read_to_string(Kit::checkout().join(GUIDE)).expect("read");
    let commands = packer_commands(&text);
    assert!(commands.len() > 5, "{commands:?}");
    World::builder().run(|world| {
        let image = Disk::new(world, &kit);
        // As the installation of openssh-server and dbus in a root folder leaves it.
        image.chroot("ssh-keygen -A").ok("ssh-keygen");
        fs::write(image.path("/var/lib/dbus/machine-id"), "0123456789abcdef0123456789abcdef\n")
            .expect("written");
        fs::copy(kit.deb(), image.path("/root/scw-agent.deb")).expect("copied");
        let builder = Machine::boot(world, &image);
        assert_eq!(builder.ok("cat /etc/machine-id"), "0123456789abcdef0123456789abcdef");
        let (first, rest) = commands.split_first().expect("commands");
        builder.ok(first);
        let built = published(world, &builder);
        builder.until("the Instance is recorded", "test -e /var/lib/scw-agent/instance.json");
        for command in rest {
            builder.ok(command);
        }
        assert!(!builder.sh("scw-agent status").is_ok(), "the daemon is stopped");
        builder.power_off();
        let left = image.chroot(
            "find /etc/ssh -name 'ssh_host_*'; find /var/lib -path '*/scw-agent/*'
            find /var/lib -path '*/dbus/machine-id' -type f; find /etc/machine-id -size +0",
        );
        assert_eq!(left.ok("find"), "", "what belongs to one machine only");

        let [(a, a_keys), (b, b_keys)] = ["22222222-2222-4333-8444-555555555555", OTHER_INSTANCE].map(|id| {
            become_instance(world, id);
            world.standin().delete_user_data(FINGERPRINTS);
            let machine = Machine::boot(world, &image.copy());
            let seen = (machine.ok("cat /etc/machine-id"), published(world, &machine));
            machine.power_off();
            seen
        });
        assert_eq!(a.len(), 32, "{a}");
        assert_ne!(a, b, "the machine ids");
        let is_new = |key: &String| !built.contains(key);
        assert!(a_keys.iter().chain(&b_keys).all(is_new), "{built:?} {a_keys:?} {b_keys:?}");
        assert!(a_keys.iter().all(|key| !b_keys.contains(key)), "{a_keys:?} {b_keys:?}");
    });
}

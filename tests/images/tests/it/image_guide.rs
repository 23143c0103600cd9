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

use scw_images::{Disk, Kit, Ran, Suite};
use scw_stage::World;

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

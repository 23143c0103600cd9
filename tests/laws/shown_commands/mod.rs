//! The commands that the documents show run and print what is shown, and the documents' links lead somewhere.
//!
//! A `console` block has a command after each prompt, `$ ` for any user and `# ` for root, and below it what it prints. Each
//! command must succeed. If a block shows any output, it shows that of all its commands. All blocks of a document run one after the
//! other in one world, which has just booted: see [`boot`]. `<!-- not run: REASON -->` on the line before a block excludes it, and
//! so does `<!-- run by the test `NAME` -->`, for the test of the images. A block of another language with `<!-- saved as FILE -->`
//! is written to that file first.

mod markdown;
mod output;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, PathUnit, Sshd, World};

use crate::machine::{AGENT, Ended, LONG, agent, run, sh, start_daemon, wait_until_published};
use markdown::{Block, ShownCommand};

/// The machine's name for clients, its user data, and the folder in which the commands run.
const HOST: &str = "web-1";
const USER_DATA: [(&str, &str); 2] = [("my-key", "my value"), ("setup-script", "#!/bin/sh\necho hello\n")];
const FOLDER: &str = "/run/owner";
/// The test of the images that runs commands, and the only document whose commands it runs.
const IMAGE_TEST: &str = "`image_guide_commands_print_what_is_shown`";
const IMAGE_GUIDE: &str = "docs/guide/images.md";
/// The user for `$ `, whose home is that folder.
const USER: u32 = 4242;

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files in a folder of the checkout and the folders in it.
fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_skipped =
        |path: &Path| path.ends_with("target") || path.ends_with(".git") || path.ends_with("corpus");
    let mut found: Vec<_> =
        files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    found.extend(folders.iter().filter(|path| !is_skipped(path)).flat_map(|path| markdown_files(path)));
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(checkout()).expect("in the checkout").display().to_string()
}

#[test]
fn links_in_documents_lead_to_files_and_headings() {
    let mut problems = Vec::new();
    for path in markdown_files(checkout()) {
        let text = fs::read_to_string(&path).expect("read");
        for (line, target) in markdown::links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            let headings = || markdown::anchors(&fs::read_to_string(&file).expect("read"));
            if !file.exists() || !(anchor.is_empty() || headings().iter().any(|heading| heading == anchor)) {
                problems.push(format!("{}:{line}: {target}", name(&path)));
            }
        }
    }
    assert!(problems.is_empty(), "links that lead nowhere:\n{}", problems.join("\n"));
}

#[test]
fn commands_in_documents_print_what_is_shown() {
    let is_shown = |path: &PathBuf| {
        let name = name(path);
        name.starts_with("docs/") || ["README.md", "CONTRIBUTING.md", "SECURITY.md"].contains(&&*name)
    };
    let mut problems = Vec::new();
    let mut count = 0;
    for path in markdown_files(checkout()).into_iter().filter(is_shown) {
        let text = fs::read_to_string(&path).expect("read");
        let blocks = markdown::blocks(&text);
        let is_run = |block: &&Block| {
            let is_image_test =
                block.mark("run by the test") == Some(IMAGE_TEST) && name(&path) == IMAGE_GUIDE;
            let is_excluded =
                block.is_written_by_a_test() || block.mark("not run").is_some() || is_image_test;
            block.language == "console" && !is_excluded
        };
        if blocks.iter().any(|block| is_run(&block)) {
            let found = World::builder().with_sshd().run(|world| {
                let _machine = boot(world);
                save_files(&blocks);
                blocks.iter().filter(is_run).flat_map(|block| run_block(world, block)).collect::<Vec<_>>()
            });
            problems.extend(found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", name(&path))));
            count += blocks.iter().filter(is_run).count();
        }
    }
    assert!(problems.is_empty(), "not as shown:\n{}", problems.join("\n"));
    println!("{count} blocks ran");
}

/// A machine after its first boot: it has host keys, sshd, the daemon and published fingerprints, and its setup script ran. The
/// user for `$ ` may log in as root. Commands cannot write to the folders of the real machine, which the world shows.
fn boot(world: &World) -> (Sshd, Daemon, PathUnit) {
    for (key, value) in USER_DATA {
        world.standin().set_user_data(key, value);
    }
    let made = agent(world, &["host-keys", "ensure"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let sshd = Sshd::start(world).expect("sshd");
    let daemon = start_daemon(world);
    wait_until_published(world);
    let ended = agent(world, &["setup", "run"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    sh(
        world,
        &format!(
            "mkdir -p {FOLDER}/.ssh /run/bin
            cp {AGENT} /run/bin/scw-agent; ln -s scw-agent /run/bin/scw-userdata
            echo 'owner:x:{USER}:{USER}::{FOLDER}:/bin/sh' >>/etc/passwd
            echo '127.0.0.1 {HOST}' >>/etc/hosts
            cp /run/stage/identity {FOLDER}/.ssh/id_ed25519
            chmod 700 {FOLDER}/.ssh; chown -R {USER}:{USER} {FOLDER}
            echo 'PATH=/run/bin:$PATH' >/root/.bashrc
            mount -o remount,bind,ro /; mount -t tmpfs stage /tmp"
        ),
    );
    (sshd, daemon, PathUnit::start(world, AGENT.as_ref()).expect("the path unit"))
}

/// Writes the blocks that are files.
fn save_files(blocks: &[Block]) {
    for block in blocks {
        if let Some(file) = block.mark("saved as") {
            fs::write(Path::new(FOLDER).join(file), block.text.join("\n") + "\n").expect("written");
        }
    }
}

/// Runs the commands of a block. Returns what is not as shown, with the numbers of the lines.
fn run_block(world: &World, block: &Block) -> Vec<(usize, String)> {
    let commands = block.commands();
    if commands.is_empty() {
        return vec![(block.line, "a console block begins with a prompt, `$ ` or `# `".to_owned())];
    }
    commands.iter().filter_map(|command| Some((command.line, run_command(world, command)?))).collect()
}

/// Runs a command. Returns what is not as shown. The daemon reads the published value for a command at most once in five seconds; the documents
/// show what a command prints that comes later.
fn run_command(world: &World, shown: &ShownCommand) -> Option<String> {
    let deadline = Instant::now() + LONG;
    loop {
        let ended = run_once(world, shown);
        if !ended.out.contains("another question caused a check") || Instant::now() > deadline {
            return output::difference(shown, Some(ended.code), &ended.out);
        }
        sleep(Duration::from_secs(1));
    }
}

fn run_once(world: &World, shown: &ShownCommand) -> Ended {
    let mut command = world.command("timeout");
    command.args(["--kill-after=10", "600"]);
    if shown.prompt == "$ " {
        command.args([
            "setpriv",
            "--clear-groups",
            &format!("--reuid={USER}"),
            &format!("--regid={USER}"),
            "--",
        ]);
    }
    command.args(["bash", "-c", &format!("exec 2>&1; {}", shown.text)]);
    run(as_on_a_terminal(&mut command, shown.prompt))
}

/// The environment of a person's shell.
fn as_on_a_terminal<'a>(command: &'a mut Command, prompt: &str) -> &'a mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let home = if prompt == "$ " { FOLDER } else { "/root" };
    let command = command.current_dir(FOLDER).stdin(std::process::Stdio::null()).env_clear();
    command.env("PATH", format!("/run/bin:{path}")).env("HOME", home).env("LC_ALL", "C.UTF-8")
}

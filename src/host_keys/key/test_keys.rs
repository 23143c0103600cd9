//! Keys for the tests, made by the machine's own ssh-keygen, and ways in which the text of a key gets damaged.

use std::fs;
use std::process::Command;

use crate::util::random;

/// Makes a key with these options. Returns the contents of the private file and of its `.pub`.
pub(crate) fn generate(options: &[&str]) -> (Vec<u8>, String) {
    let folder = std::env::temp_dir().join(format!("scw-agent-key-{:x}", random::generator().u64(..)));
    fs::create_dir(&folder).expect("made");
    let path = folder.join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-C", "a comment", "-f"]).arg(&path).args(options);
    assert!(command.status().expect("ssh-keygen runs").success(), "{options:?}");
    let public = fs::read_to_string(path.with_extension("pub")).expect("read");
    let key = (fs::read(&path).expect("read"), public);
    fs::remove_dir_all(folder).expect("removed");
    key
}

/// Damaged forms of OpenSSH's own format, which sshd does not load.
pub(crate) const BAD_FORMS: [&str; 11] = [
    "no final newline",
    "CRLF",
    "CR",
    "blank line in front",
    "text in front",
    "byte order mark",
    "indented",
    "trailing blanks",
    "one line",
    "escaped newlines",
    "quoted",
];

/// The text of a key in one of these forms.
pub(crate) fn damaged(form: &str, key: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(key).expect("text");
    let each_line = |line: &dyn Fn(&str) -> String| text.lines().map(line).collect::<String>();
    let damaged = match form {
        "no final newline" => text.trim_end().to_owned(),
        "CRLF" => text.replace('\n', "\r\n"),
        "CR" => text.replace('\n', "\r"),
        "blank line in front" => format!("\n{text}"),
        "text in front" => format!("# our key\n{text}"),
        "byte order mark" => format!("\u{feff}{text}"),
        "indented" => each_line(&|line| format!("  {line}\n")),
        "trailing blanks" => each_line(&|line| format!("{line} \n")),
        "one line" => format!("{}\n", text.trim_end().replace('\n', " ")),
        "escaped newlines" => text.replace('\n', "\\n"),
        _ => format!("\"{}\"\n", text.trim_end()),
    };
    damaged.into_bytes()
}

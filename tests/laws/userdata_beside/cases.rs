//! The cases: what is stored, a line of a shell script, and why the results differ, if they do.

/// A case.
pub(super) struct Case {
    /// The values before.
    pub(super) stored: &'static [(&'static str, &'static [u8])],
    /// The line. Both commands have the name `scw-userdata` in it.
    pub(super) line: &'static str,
    /// Why the results differ; empty if they are equal.
    pub(super) why: &'static str,
}

const fn case(
    stored: &'static [(&'static str, &'static [u8])],
    line: &'static str,
    why: &'static str,
) -> Case {
    Case { stored, line, why }
}

const BLUE: &[(&str, &[u8])] = &[("k", b"blue")];
const LINES: &[(&str, &[u8])] = &[("k", b"one\ntwo\nthree")];
const ENDED: &[(&str, &[u8])] = &[("k", b"one\ntwo\n")];
const BACKSLASH: &[(&str, &[u8])] = &[("k", b"a\\nb\\tc\\\\d")];
const BINARY: &[(&str, &[u8])] = &[("k", b"\x7fELF\x00\x01\xff")];
const TWO: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
const NONE: &[(&str, &[u8])] = &[];

const BYTES: &str = "a value is printed byte for byte, without a newline of our own";
const NOT_SET: &str = "a key that is not set is exit status 3 and no output, not an error page";
const LITERAL: &str = "a value is what was typed; the original passes it to curl, which reads a file for `@`";
const ENCODED: &str = "a key is a name and not a part of a URL, so it is encoded";
const EMPTY: &str = "an empty value in a script is a mistake, and not a question";
const TOO_MANY: &str = "a value with spaces needs quotes; the original drops what follows";
const OPTION: &str = "options and `--` exist; a key that begins with `-` follows `--`";

pub(super) const CASES: &[Case] = &[
    // Reading in a command substitution, which removes newlines at the end.
    case(BLUE, "echo $(scw-userdata k)", ""),
    case(BLUE, "v=$(scw-userdata k); echo \"$v\"", ""),
    case(LINES, "echo \"$(scw-userdata k)\"", ""),
    case(ENDED, "echo \"$(scw-userdata k)\"", ""),
    case(LINES, "echo $(scw-userdata k)", ""),
    case(&[("k", b" padded ")], "printf '[%s]' \"$(scw-userdata k)\"", ""),
    case(&[("k", b"\n\nafter")], "printf '[%s]' \"$(scw-userdata k)\"", ""),
    case(&[("k", b"tab\there")], "printf '[%s]' \"$(scw-userdata k)\"", ""),
    case(&[("k", b"it's \"quoted\" $HOME `id`")], "printf '[%s]' \"$(scw-userdata k)\"", ""),
    case(&[("k", "é日本".as_bytes())], "printf '[%s]' \"$(scw-userdata k)\"", ""),
    case(&[("k", b"postgres://u:p@h/db?x=1&y=2#z")], "printf '[%s]' \"$(scw-userdata k)\"", ""),
    case(&[("k", b"{\"a\": [1, 2]}")], "scw-userdata k | tr -d ' \\n'", ""),
    case(
        &[("k", b"-n")],
        "printf '[%s]' \"$(scw-userdata k)\"",
        "the original prints with `echo`, which takes `-n` as an option",
    ),
    case(
        BACKSLASH,
        "printf '[%s]' \"$(scw-userdata k)\"",
        "the original prints with `echo`, which interprets backslashes in dash",
    ),
    case(
        &[("k", b"a\\c b")],
        "printf '[%s]' \"$(scw-userdata k)\"",
        "the original prints with `echo`, which interprets backslashes in dash",
    ),
    case(&[("k", b"crlf\r\nend\r\n")], "printf '[%s]' \"$(scw-userdata k)\" | wc -c", ""),
    // Reading into pipes and files.
    case(BLUE, "scw-userdata k | cat", BYTES),
    case(BLUE, "scw-userdata k >/root/f; wc -c </root/f", BYTES),
    case(ENDED, "scw-userdata k | wc -l", ""),
    case(LINES, "scw-userdata k | wc -l", BYTES),
    case(ENDED, "scw-userdata k | while read -r l; do echo \"<$l>\"; done", ""),
    case(
        LINES,
        "scw-userdata k | while read -r l; do echo \"<$l>\"; done",
        "without a newline at its end, `read` passes over the last line; use `while read -r l || [ \"$l\" ]`",
    ),
    case(LINES, "scw-userdata k | while read -r l || [ \"$l\" ]; do echo \"<$l>\"; done", ""),
    case(LINES, "scw-userdata k | grep -c t", ""),
    case(LINES, "scw-userdata k | head -n 1", ""),
    case(LINES, "scw-userdata k | sort", ""),
    case(
        &[("k", b"ends with newlines\n\n\n")],
        "scw-userdata k | wc -c",
        "a value keeps the newlines at its end",
    ),
    case(BINARY, "scw-userdata k | od -An -tx1", "the shell of the original cannot hold a NUL byte"),
    case(&[("k", b"#!/bin/sh\necho hi\n")], "scw-userdata k | sh", ""),
    case(&[("k", b"")], "scw-userdata k | wc -c", BYTES),
    case(&[("k", b"")], "[ -z \"$(scw-userdata k)\" ] && echo empty", ""),
    case(&[("k", b"A=1\nB=2\n")], "eval \"$(scw-userdata k)\"; echo $A $B", ""),
    // Keys that are not set, and failures.
    case(NONE, "scw-userdata none", NOT_SET),
    case(NONE, "scw-userdata none; echo $?", NOT_SET),
    case(NONE, "v=$(scw-userdata none) || v=default; echo $v", NOT_SET),
    case(BLUE, "scw-userdata K; echo $?", NOT_SET),
    case(BLUE, "if scw-userdata k >/dev/null; then echo yes; fi", ""),
    case(NONE, "if scw-userdata none >/dev/null 2>&1; then echo yes; else echo no; fi", NOT_SET),
    // The list.
    case(TWO, "scw-userdata", ""),
    case(NONE, "scw-userdata", ""),
    case(TWO, "scw-userdata | grep -c =", ""),
    case(TWO, "scw-userdata | while read -r l; do echo \"<$l>\"; done", ""),
    case(TWO, "eval \"$(scw-userdata)\"; echo $USER_DATA $USER_DATA_1", ""),
    case(
        TWO,
        "for k in $(scw-userdata | sed -n 's/^USER_DATA_[0-9]*=//p'); do echo \"$k=$(scw-userdata $k)\"; done",
        "",
    ),
    case(TWO, "scw-userdata ''; echo $?", "an empty word is no key; the original lists all keys"),
    // Writing.
    case(NONE, "scw-userdata k blue; echo $?", ""),
    case(BLUE, "scw-userdata k red", ""),
    case(NONE, "scw-userdata k 'two words'", ""),
    case(NONE, "scw-userdata k 'a\nb\n'", ""),
    case(NONE, "scw-userdata k 'back\\nslash'", ""),
    case(NONE, "scw-userdata k 'a=b&c=d'", ""),
    case(NONE, "scw-userdata k '100%'", ""),
    case(NONE, "scw-userdata k '{\"a\": 1}'", ""),
    case(NONE, "scw-userdata k \"it's\"", ""),
    case(NONE, "scw-userdata k é", ""),
    case(NONE, "scw-userdata k 0", ""),
    case(NONE, "scw-userdata k ' '", ""),
    case(NONE, "scw-userdata k -x", ""),
    case(NONE, "scw-userdata k --help", ""),
    case(NONE, "scw-userdata k --delete", ""),
    case(NONE, "scw-userdata k -", ""),
    case(NONE, "scw-userdata k --", ""),
    case(NONE, "scw-userdata k \"$(cat /root/file)\"", ""),
    case(NONE, "scw-userdata k @/root/file", LITERAL),
    case(NONE, "scw-userdata k @home", LITERAL),
    case(NONE, "scw-userdata k @", LITERAL),
    case(BLUE, "scw-userdata k ''; echo $?", EMPTY),
    case(BLUE, "scw-userdata k \"$UNSET\" >/dev/null 2>&1; echo $?", EMPTY),
    case(NONE, "scw-userdata k one two; echo $?", TOO_MANY),
    case(NONE, "scw-userdata k v >/root/f; wc -c </root/f", ""),
    case(BLUE, "scw-userdata k new; scw-userdata k | tr -d '\\n'", ""),
    // Keys.
    case(&[("with.dot", b"1")], "echo $(scw-userdata with.dot)", ""),
    case(&[("with-dash_under", b"1")], "echo $(scw-userdata with-dash_under)", ""),
    case(&[("UPPER", b"1")], "echo $(scw-userdata UPPER)", ""),
    case(&[("k", b"1"), ("k2", b"2")], "echo $(scw-userdata k2)", ""),
    case(&[("a b", b"1")], "echo $(scw-userdata 'a b')", ENCODED),
    case(
        &[("a b", b"1")],
        "echo $(scw-userdata a%20b); scw-userdata a%20b >/dev/null 2>&1; echo $?",
        "a key that the caller has encoded is a key with a `%` in it",
    ),
    case(&[("a/b", b"1")], "echo $(scw-userdata a/b)", ENCODED),
    case(&[("a?b", b"1")], "echo $(scw-userdata 'a?b')", ENCODED),
    case(&[("a#b", b"1"), ("a", b"wrong")], "echo $(scw-userdata 'a#b')", ENCODED),
    case(&[("é", b"1")], "echo $(scw-userdata é)", ""),
    case(&[("a[1-2]", b"1")], "echo $(scw-userdata 'a[1-2]')", ENCODED),
    case(&[("a{b,c}", b"1")], "echo $(scw-userdata 'a{b,c}')", ENCODED),
    case(BLUE, "scw-userdata ../conf >/dev/null 2>&1; echo $?", ENCODED),
    case(BLUE, "scw-userdata .. >/dev/null 2>&1; echo $?", "`..` is no key; the original reads another path"),
    case(&[("-x", b"1")], "scw-userdata -x >/dev/null 2>&1; echo $?", OPTION),
    case(&[("-x", b"1")], "echo $(scw-userdata -- -x)", OPTION),
    case(BLUE, "scw-userdata -d k; echo $?", OPTION),
    case(NONE, "scw-userdata --help | head -n 1", OPTION),
    case(NONE, "scw-userdata \"$(printf %0256d 1)\" >/dev/null 2>&1; echo $?", "a key has at most 255 bytes"),
];

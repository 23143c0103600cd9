//! `scw-userdata`: a replacement for Scaleway's command of that name, with exit codes and a few more options.
//!
//! Options stand before KEY. The word after KEY is its value, whatever it begins with, so that a program can
//! set a value without checking its content. No error quotes an argument (invariant S3).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use base64ct::{Base64, Encoding};
use hyper::body::Bytes;
use lexopt::{Arg, Parser};

use crate::command::exit::Exit;
use crate::command::help::USERDATA;
use crate::command::misuse;
use crate::command::process::{block_on, hide_panic_texts, print, print_bytes, print_json};
use crate::local_api;
use crate::local_api::metadata_access::MetadataAccess;
use crate::metadata::api::request::{Format, Request};
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::{KeyError, UserDataKey};
use crate::metadata::error::MetadataError;
use crate::metadata::retry::backoff::Budget;
use crate::metadata::retry::retrying::Retrying;
use crate::settings::sources::Sources;
use crate::settings::{self, Settings};

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
enum UserdataCommand {
    Help,
    Version,
    List,
    Get(UserDataKey),
    Set(UserDataKey, ValueSource),
    Delete(UserDataKey),
}

/// The source of a value.
#[derive(Debug, PartialEq, Eq)]
enum ValueSource {
    Argument(Vec<u8>),
    File(OsString),
    StandardInput,
}

/// The maximum size of a value. No client can set a larger one; Terraform's limit is an eighth of it.
const MAX_VALUE_BYTES: u64 = 1024 * 1024;

/// Runs `scw-userdata` with the process's arguments.
pub fn userdata() -> Exit {
    hide_panic_texts(&USERDATA);
    let (command, json) = match parse(Parser::from_env()) {
        Ok(parsed) => parsed,
        Err(why) => return USERDATA.fail_usage(&why),
    };
    let request = match command {
        UserdataCommand::Help => return print(&USERDATA.help(&[])),
        UserdataCommand::Version => return print(&USERDATA.version()),
        UserdataCommand::Set(key, source) => match read(source) {
            Ok(value) => UserdataCommand::Set(key, ValueSource::Argument(value)),
            Err(why) => return USERDATA.fail(&why, Exit::Usage),
        },
        other => other,
    };
    let Settings { limits, vendor, .. } = settings::load(&Sources::default()).settings;
    block_on(async {
        let access = MetadataAccess::open(Path::new(local_api::SOCKET), &limits, &vendor).await;
        let mut api = match access {
            Ok(access) => Retrying::new(access, Budget::COMMAND),
            Err(why) => return USERDATA.fail(&why, why.kind().into()),
        };
        let exit = match execute(&mut api, request, json).await {
            Ok(exit) => exit,
            Err(why) => USERDATA.fail(&why, why.kind().into()),
        };
        api.into_inner().finish().await;
        exit
    })
}

async fn execute(api: &mut impl Ask, command: UserdataCommand, json: bool) -> Result<Exit, MetadataError> {
    // The key is not printed: if a variable for the key is empty, the value is in its place.
    let not_set = || USERDATA.fail(&"this key is not set", Exit::NotFound);
    match command {
        UserdataCommand::List => list(api, json).await,
        UserdataCommand::Get(key) => Ok(match api.get(&key).await? {
            Some(value) => print_value(&key, &value, json),
            None => not_set(),
        }),
        UserdataCommand::Set(key, ValueSource::Argument(value)) => {
            api.set(&key, Bytes::from(value)).await.map(|()| Exit::Success)
        }
        UserdataCommand::Delete(key) => Ok(if api.delete(&key).await? { Exit::Success } else { not_set() }),
        UserdataCommand::Help | UserdataCommand::Version | UserdataCommand::Set(..) => Ok(Exit::Success),
    }
}

async fn list(api: &mut impl Ask, json: bool) -> Result<Exit, MetadataError> {
    if json {
        let keys: Vec<_> = api.list().await?.into_iter().map(|key| key.as_str().to_owned()).collect();
        return Ok(print_json(&serde_json::json!({ "user_data": keys }).to_string()));
    }
    let mut text = api.text(Request::ListUserData(Format::Text)).await?.to_vec();
    // A line without an end is none for the shell's `read`.
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    Ok(print_bytes(&USERDATA, &text))
}

fn print_value(key: &UserDataKey, value: &Bytes, json: bool) -> Exit {
    if !json {
        return print_bytes(&USERDATA, value);
    }
    let (encoding, text) = match std::str::from_utf8(value) {
        Ok(text) => ("utf-8", text.to_owned()),
        Err(_) => ("base64", Base64::encode_string(value)),
    };
    print_json(&serde_json::json!({ "key": key.as_str(), "value": text, "encoding": encoding }).to_string())
}

fn read(source: ValueSource) -> Result<Vec<u8>, String> {
    let value = match source {
        ValueSource::Argument(value) => value,
        // The path is not printed: by mistake, the value itself may be given in its place.
        ValueSource::File(path) => read_bounded(File::open(path))
            .map_err(|why| format!("the file of --file cannot be read: {why}"))?,
        ValueSource::StandardInput => read_bounded(io::stdin().as_fd().try_clone_to_owned().map(File::from))
            .map_err(|why| format!("standard input cannot be read: {why}"))?,
    };
    match value.len() as u64 {
        0 => Err("the value is empty, which many programs cannot distinguish from a key that is not set; `scw-userdata --delete KEY` deletes a key"
            .to_owned()),
        1..=MAX_VALUE_BYTES => Ok(value),
        _ => Err(format!("a value may have at most {MAX_VALUE_BYTES} bytes")),
    }
}

/// Reads a file or a pipe, at most one byte more than a value may have.
fn read_bounded(file: io::Result<File>) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    file?.take(MAX_VALUE_BYTES + 1).read_to_end(&mut value)?;
    Ok(value)
}

/// The source for a path. `/dev/stdin` cannot be opened if it is a socket or belongs to another user.
fn file_source(path: OsString) -> ValueSource {
    if path == "-" || path == "/dev/stdin" { ValueSource::StandardInput } else { ValueSource::File(path) }
}

fn parse(mut parser: Parser) -> Result<(UserdataCommand, bool), String> {
    let (mut json, mut delete, mut source, mut key) = (false, false, None, None);
    let parse_error = |why| misuse::parse_error(&USERDATA, &why);
    while let Some(argument) = parser.next().map_err(parse_error)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => {
                return misuse::check_no_suffix(&USERDATA, &mut parser)
                    .map(|()| (UserdataCommand::Help, false));
            }
            Arg::Short('V') | Arg::Long("version") => {
                return misuse::check_no_suffix(&USERDATA, &mut parser)
                    .map(|()| (UserdataCommand::Version, false));
            }
            Arg::Short('j') | Arg::Long("json") => json = true,
            Arg::Short('d') | Arg::Long("delete") => delete = true,
            Arg::Short('f') | Arg::Long("file") => {
                source = Some(file_source(parser.value().map_err(parse_error)?))
            }
            Arg::Value(word) => {
                // An argument that is no valid key may be a value in the wrong place, so it is not quoted.
                let name = word.into_string().map_err(|_| KeyError::NotUtf8.to_string())?;
                key = Some(UserDataKey::new(&name).map_err(|why| why.to_string())?);
                break;
            }
            other => return Err(misuse::unknown_option(&USERDATA, &other)),
        }
    }
    // No argument after the key is an option, except in these forms with three arguments: `KEY --file FILE`,
    // `KEY -- VALUE`.
    let mut arguments: Vec<_> = parser.raw_args().map_err(parse_error)?.collect();
    let (last, before) = (arguments.pop(), arguments.pop());
    let after_key = match (before, last) {
        _ if !arguments.is_empty() => None,
        (None, last) => Some(last.map(|value| ValueSource::Argument(value.into_vec()))),
        (Some(option), Some(path)) if option == "--file" || option == "-f" => Some(Some(file_source(path))),
        (Some(option), Some(value)) if option == "--" => Some(Some(ValueSource::Argument(value.into_vec()))),
        _ => None,
    };
    let after_key = after_key.ok_or("too many arguments; a value with spaces needs quotes")?;
    let command = match (key, delete, source, after_key) {
        (None, false, None, _) => UserdataCommand::List,
        (None, ..) => return Err("name the key".to_owned()),
        (Some(key), false, None, None) => UserdataCommand::Get(key),
        (Some(key), true, None, None) => UserdataCommand::Delete(key),
        (Some(key), false, Some(source), None) | (Some(key), false, None, Some(source)) => {
            UserdataCommand::Set(key, source)
        }
        _ => return Err("a value, --file and --delete exclude each other".to_owned()),
    };
    Ok((command, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<(UserdataCommand, bool), String> {
        parse(Parser::from_args(arguments))
    }

    fn key() -> UserDataKey {
        UserDataKey::new("k").expect("a good key")
    }

    fn argument(text: &str) -> ValueSource {
        ValueSource::Argument(text.as_bytes().to_vec())
    }

    #[test]
    fn old_and_new_forms_are_parsed() {
        for (arguments, command) in [
            (&[][..], UserdataCommand::List),
            (&["k"], UserdataCommand::Get(key())),
            (&["--", "k"], UserdataCommand::Get(key())),
            (&["k", "a value"], UserdataCommand::Set(key(), argument("a value"))),
            (&["k", "--", "--value"], UserdataCommand::Set(key(), argument("--value"))),
            (&["--", "k", "--value"], UserdataCommand::Set(key(), argument("--value"))),
            (&["k", "-f", "-"], UserdataCommand::Set(key(), ValueSource::StandardInput)),
            (&["k", "--file", "/dev/stdin"], UserdataCommand::Set(key(), ValueSource::StandardInput)),
            (&["k", "--file", "v.txt"], UserdataCommand::Set(key(), ValueSource::File("v.txt".into()))),
            (&["--file=v.txt", "k"], UserdataCommand::Set(key(), ValueSource::File("v.txt".into()))),
            (&["-fv.txt", "k"], UserdataCommand::Set(key(), ValueSource::File("v.txt".into()))),
            (&["-d", "k"], UserdataCommand::Delete(key())),
            (&["--delete", "--", "k"], UserdataCommand::Delete(key())),
            (&["-h"], UserdataCommand::Help),
        ] {
            assert_eq!(parsed(arguments), Ok((command, false)), "{arguments:?}");
        }
        assert_eq!(parsed(&["--json"]), Ok((UserdataCommand::List, true)));
        assert_eq!(parsed(&["-j", "k"]), Ok((UserdataCommand::Get(key()), true)));
    }

    #[test]
    fn s3_word_after_the_key_is_the_value() {
        let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n";
        for value in [
            "-d",
            "--delete",
            "-f",
            "--file",
            "-f/etc/hostname",
            "--file=/etc/hostname",
            "-h",
            "--help",
            "-V",
            "-j",
            "--json",
            "-5",
            "-",
            "--",
            "---",
            "",
            pem,
        ] {
            let set = UserdataCommand::Set(key(), argument(value));
            assert_eq!(parsed(&["k", value]), Ok((set, false)), "{value:?}");
            let set = UserdataCommand::Set(key(), argument(value));
            assert_eq!(parsed(&["--json", "k", value]), Ok((set, true)), "{value:?}");
        }
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for (arguments, expected) in [
            (&[""][..], "empty"),
            (&["", "v"], "empty"),
            (&[".."], ".."),
            (&["a\nb"], "control"),
            (&["k", "v", "w"], "quotes"),
            (&["k", "v", "--json"], "quotes"),
            (&["k", "-f", "x", "y"], "quotes"),
            (&["k", "--file=x", "y"], "quotes"),
            (&["k", "-d", "-j"], "quotes"),
            (&["-d"], "name the key"),
            (&["-f", "x"], "name the key"),
            (&["-d", "k", "v"], "exclude"),
            (&["-d", "k", "-f", "x"], "exclude"),
            (&["-f", "x", "k", "v"], "exclude"),
            (&["-d", "-f", "x", "k"], "exclude"),
            (&["--frob"], "unknown option"),
            (&["--delte", "k"], "did you mean --delete?"),
            (&["-5", "k"], "write `--` before a key"),
            (&["-f"], "--file needs a value"),
        ] {
            let why = parsed(arguments).expect_err("a refusal");
            assert!(why.contains(expected), "{arguments:?}: {why}");
        }
        let why = read(argument("")).expect_err("a refusal");
        assert!(why.contains("--delete"), "{why}");
    }

    #[test]
    fn s3_no_error_quotes_an_argument() {
        let pem = "-----BEGIN PRIVATE KEY-----\nhunter2";
        for arguments in [
            &["hunter2\nhunter2"][..],
            &["-hunter2", "k"],
            &["-Vhunter2"],
            &["-5hunter2"],
            &["--hunter2"],
            &["--json=hunter2"],
            &["-j=hunter2", "k"],
            &["--delete=hunter2", "k"],
            &[pem],
            &[pem, "k"],
            &["k", "hunter2", "hunter2"],
            &["hunter2\u{7}"],
            &["k", "hunter2", "-f", "hunter2"],
            &["-d", "k", "hunter2"],
            &["-dhunter2"],
        ] {
            let why = parsed(arguments).expect_err("a refusal");
            assert!(!why.contains("unter2"), "{arguments:?}: {why}");
        }
        for file in ["hunter2", "hunter2/\0", "/dev/null/hunter2"] {
            let why = read(ValueSource::File(file.into())).expect_err("no such file");
            assert!(!why.contains("unter2"), "{why}");
        }
    }
}

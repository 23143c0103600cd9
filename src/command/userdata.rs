//! `scw-userdata`: a drop-in for Scaleway's command of that name, with exit codes and a few options more.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use base64ct::{Base64, Encoding};
use hyper::body::Bytes;
use lexopt::{Arg, Parser};

use super::exit::Exit;
use super::help::USERDATA;
use super::misuse;
use super::process::{block_on, hide_panic_texts, print, print_bytes, print_json};
use crate::files;
use crate::local_api::{self, Access};
use crate::metadata::retry::Budget;
use crate::metadata::{Ask, Format, KeyError, MetadataError, Persistent, Request, UserDataKey};
use crate::settings::{self, Settings, Sources};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Version,
    List,
    Get(UserDataKey),
    Set(UserDataKey, Source),
    Delete(UserDataKey),
}

/// Where a value comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Argument(Vec<u8>),
    File(OsString),
    StandardInput,
}

/// Values beyond this cannot be set by any client; Terraform's limit is an eighth of it.
const LARGEST_VALUE: u64 = 1024 * 1024;

/// Runs `scw-userdata` with the process's arguments.
pub fn userdata() -> Exit {
    hide_panic_texts(&USERDATA);
    let (command, json) = match parse(Parser::from_env()) {
        Ok(parsed) => parsed,
        Err(why) => return USERDATA.misused(&why),
    };
    let request = match command {
        Command::Help => return print(&USERDATA.help()),
        Command::Version => return print(&USERDATA.version()),
        Command::Set(key, source) => match read(source) {
            Ok(value) => Command::Set(key, Source::Argument(value)),
            Err(why) => return USERDATA.failed(&why, Exit::Usage),
        },
        other => other,
    };
    let Settings { limits, vendor, .. } = settings::load(&Sources::default()).settings;
    block_on(async {
        let access = Access::open(Path::new(local_api::SOCKET), &limits, &vendor).await;
        let mut api = match access {
            Ok(access) => Persistent::new(access, Budget::COMMAND),
            Err(why) => return USERDATA.failed(&why, why.kind().into()),
        };
        let exit = match carry_out(&mut api, request, json).await {
            Ok(exit) => exit,
            Err(why) => USERDATA.failed(&why, why.kind().into()),
        };
        api.into_inner().finish().await;
        exit
    })
}

async fn carry_out(api: &mut impl Ask, command: Command, json: bool) -> Result<Exit, MetadataError> {
    let not_set = |key: &UserDataKey| USERDATA.failed(&format!("the key {key} is not set"), Exit::NotFound);
    match command {
        Command::List => list(api, json).await,
        Command::Get(key) => Ok(match api.get(&key).await? {
            Some(value) => put_out(&key, &value, json),
            None => not_set(&key),
        }),
        Command::Set(key, Source::Argument(value)) => {
            api.set(&key, Bytes::from(value)).await.map(|()| Exit::Success)
        }
        Command::Delete(key) => Ok(if api.delete(&key).await? { Exit::Success } else { not_set(&key) }),
        Command::Help | Command::Version | Command::Set(..) => Ok(Exit::Success),
    }
}

async fn list(api: &mut impl Ask, json: bool) -> Result<Exit, MetadataError> {
    if json {
        let keys: Vec<_> = api.list().await?.into_iter().map(|key| key.as_str().to_owned()).collect();
        return Ok(print_json(&serde_json::json!({ "user_data": keys }).to_string()));
    }
    let text = api.text(Request::ListUserData(Format::Text)).await?;
    Ok(print_bytes(&USERDATA, &text))
}

fn put_out(key: &UserDataKey, value: &Bytes, json: bool) -> Exit {
    if !json {
        return print_bytes(&USERDATA, value);
    }
    let (encoding, text) = match std::str::from_utf8(value) {
        Ok(text) => ("utf-8", text.to_owned()),
        Err(_) => ("base64", Base64::encode_string(value)),
    };
    print_json(&serde_json::json!({ "key": key.as_str(), "value": text, "encoding": encoding }).to_string())
}

fn read(source: Source) -> Result<Vec<u8>, String> {
    let too_large = || format!("a value may have at most {LARGEST_VALUE} bytes");
    let value = match source {
        Source::Argument(value) => value,
        Source::File(path) => {
            // Not named: with a slip, the value itself stands in the place of the file's name.
            let read = files::read_bounded(Path::new(&path), LARGEST_VALUE);
            let read = read.map_err(|why| format!("the file of --file cannot be read: {why}"))?;
            read.ok_or("the file of --file does not exist")?
        }
        Source::StandardInput => {
            let mut value = Vec::new();
            let read = io::stdin().lock().take(LARGEST_VALUE + 1).read_to_end(&mut value);
            read.map_err(|why| format!("standard input cannot be read: {why}"))?;
            value
        }
    };
    if value.len() as u64 > LARGEST_VALUE { Err(too_large()) } else { Ok(value) }
}

fn parse(mut parser: Parser) -> Result<(Command, bool), String> {
    let (mut words, mut json, mut delete, mut file) = (Vec::new(), false, false, None);
    let unparsed = |why| misuse::unparsed(&USERDATA, &why);
    while let Some(argument) = parser.next().map_err(unparsed)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => {
                return misuse::is_whole(&USERDATA, &mut parser).map(|()| (Command::Help, false));
            }
            Arg::Short('V') | Arg::Long("version") => {
                return misuse::is_whole(&USERDATA, &mut parser).map(|()| (Command::Version, false));
            }
            Arg::Short('j') | Arg::Long("json") => json = true,
            Arg::Short('d') | Arg::Long("delete") => delete = true,
            Arg::Short('f') | Arg::Long("file") => file = Some(parser.value().map_err(unparsed)?),
            Arg::Value(word) => words.push(word),
            other => return Err(misuse::unknown_option(&USERDATA, &other)),
        }
    }
    let mut words = words.into_iter();
    let key = words.next().map(|word| {
        // What cannot be a key may be a value in the wrong place, and is not quoted.
        let name = word.into_string().map_err(|_| KeyError::NotUtf8.to_string())?;
        UserDataKey::new(&name).map_err(|why| why.to_string())
    });
    let (key, value) = (key.transpose()?, words.next());
    if words.next().is_some() {
        return Err(
            "there are more words than a key and a value; a value with spaces needs quotes".to_owned()
        );
    }
    let command = match (key, value, file, delete) {
        (None, None, None, false) => Command::List,
        (None, ..) => return Err("name the key".to_owned()),
        (Some(key), None, None, false) => Command::Get(key),
        (Some(key), None, None, true) => Command::Delete(key),
        (Some(key), Some(value), None, false) => Command::Set(key, Source::Argument(value.into_vec())),
        (Some(key), None, Some(file), false) if file == "-" => Command::Set(key, Source::StandardInput),
        (Some(key), None, Some(file), false) => Command::Set(key, Source::File(file)),
        _ => return Err("a value, a file and deleting exclude each other".to_owned()),
    };
    Ok((command, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(Command, bool), String> {
        parse(Parser::from_args(words))
    }

    #[test]
    fn the_three_old_forms_and_the_new_ones_are_understood() {
        let key = || UserDataKey::new("k").expect("a good key");
        let argument = |text: &str| Source::Argument(text.as_bytes().to_vec());
        for (words, command) in [
            (&[][..], Command::List),
            (&["k"], Command::Get(key())),
            (&["k", "a value"], Command::Set(key(), argument("a value"))),
            (&["k", ""], Command::Set(key(), argument(""))),
            (&["k", "--", "--value"], Command::Set(key(), argument("--value"))),
            (&["k", "-f", "-"], Command::Set(key(), Source::StandardInput)),
            (&["--file=v.txt", "k"], Command::Set(key(), Source::File("v.txt".into()))),
            (&["-d", "k"], Command::Delete(key())),
        ] {
            assert_eq!(parsed(words), Ok((command, false)), "{words:?}");
        }
        assert_eq!(parsed(&["--json"]), Ok((Command::List, true)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
        for (words, named) in [
            (&[""][..], "empty"),
            (&[".."], ".."),
            (&["a\nb"], "control"),
            (&["k", "v", "w"], "quotes"),
            (&["-d"], "name the key"),
            (&["-d", "k", "v"], "exclude"),
            (&["k", "v", "-f", "x"], "exclude"),
            (&["--frob"], "unknown option"),
            (&["--delte", "k"], "did you mean --delete?"),
            (&["k", "-5"], "write `--` in front"),
            (&["k", "-f"], "--file needs a value"),
        ] {
            let why = parsed(words).expect_err("a refusal");
            assert!(why.contains(named), "{words:?}: {why}");
        }
    }

    #[test]
    fn s3_no_error_quotes_an_argument() {
        let pem = "-----BEGIN PRIVATE KEY-----\nhunter2";
        for words in [
            &["hunter2\nhunter2"][..],
            &["k", "-hunter2"],
            &["k", "-Vhunter2"],
            &["k", "-5hunter2"],
            &["k", "--hunter2"],
            &["k", "--json=hunter2"],
            &["k", "-j=hunter2"],
            &["k", "--delete=hunter2"],
            &["k", pem],
            &[pem],
            &["k", "hunter2", "hunter2"],
            &["hunter2\u{7}"],
            &["k", "hunter2", "-f", "hunter2"],
            &["-d", "k", "hunter2"],
            &["-dhunter2"],
        ] {
            let why = parsed(words).expect_err("a refusal");
            assert!(!why.contains("unter2"), "{words:?}: {why}");
        }
        for file in ["hunter2", "hunter2/\0", "/dev/null/hunter2"] {
            let why = read(Source::File(file.into())).expect_err("no such file");
            assert!(!why.contains("unter2"), "{why}");
        }
    }
}

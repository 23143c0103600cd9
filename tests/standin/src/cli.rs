//! The command line and its conversion to options. This module reads the files that the options name, and opens no socket.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use scw_standin::{EmptyValue, HighPort, Options, Order, PatchStatus, PublicApi, Rights};

const HELP: &str = "\
Stands in for the Metadata API and the public API of Scaleway Instances, records all requests, and makes faults on order.

Usage: scw-standin [OPTION]...

  --listen ADDRESS:PORT     listen here (repeatable) [169.254.42.42:80 and [fd00:42::42]:80]
  --conf FILE               JSON document to serve as /conf [a small Instance in nl-ams-1]
  --user-data KEY=VALUE     set a user data key (repeatable)
  --user-data KEY@FILE      the same, with the value from a file
  --vendor-data FILE        the answer to /vendor_data/cloud-init [404]
  --public ADDRESS:PORT     serve the public API here, with TLS [not served]
  --public-ca FILE          write the certificate of its authority to this file
  --token SECRET=RIGHTS     a secret key that permits all, read or none, or that has expired (repeatable)
  --orders FILE             faults to make, see the README
  --record FILE             append one line of JSON per request
  --control PATH            make a control socket here, see the README
  --keep-alive SECONDS      close a connection that is idle for this time [5]
  --high-port-status CODE   403 or 400: the answer to a source port of 1024 or more [403]
  --patch-status CODE       204 or 200: the answer to a PATCH of user data [204]
  --empty-status CODE       200 or 204: the answer for a value that is set, but empty [200]
  --help, --version         print this, or the version

It prints `listening on ADDRESS:PORT` for each address once it serves, and stops on SIGTERM or SIGINT.
";

/// The task that the command line requests.
#[derive(Debug)]
pub(crate) enum Task {
    Serve(Box<Options>),
    Print(String),
}

/// Reads the command line and the files that it names.
pub(crate) fn parse(mut parser: Parser) -> Result<Task, UsageError> {
    let mut options = Options::default();
    let mut listen = Vec::new();
    let (mut public, mut authority, mut tokens) = (None, None, BTreeMap::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") => return Ok(Task::Print(HELP.to_owned())),
            Arg::Long("version") => {
                return Ok(Task::Print(concat!("scw-standin ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            Arg::Long("listen") => listen.push(parser.value()?.parse::<SocketAddr>()?),
            Arg::Long("conf") => {
                let (path, text) = value_from_file(&mut parser)?;
                options.conf =
                    serde_json::from_slice(&text).map_err(|error| UsageError::content(path, error))?;
            }
            Arg::Long("user-data") => {
                let (key, value) = user_data(&parser.value()?)?;
                options.user_data.insert(key, value);
            }
            Arg::Long("vendor-data") => options.vendor_data = Some(value_from_file(&mut parser)?.1),
            Arg::Long("public") => public = Some(parser.value()?.parse::<SocketAddr>()?),
            Arg::Long("public-ca") => authority = Some(parser.value()?.into()),
            Arg::Long("token") => tokens.extend([parser.value()?.parse_with(token)?]),
            Arg::Long("orders") => options.orders = orders(&mut parser)?,
            Arg::Long("record") => options.record = Some(parser.value()?.into()),
            Arg::Long("control") => options.control = Some(parser.value()?.into()),
            Arg::Long("keep-alive") => {
                options.keep_alive = parser.value()?.parse_with(|text| {
                    text.parse()
                        .map_err(|_| "not a number")
                        .and_then(|n| Duration::try_from_secs_f64(n).map_err(|_| "not a valid duration"))
                })?;
            }
            Arg::Long("high-port-status") => {
                let table = [("403", HighPort::Forbidden), ("400", HighPort::InvalidArgument)];
                options.dialect.high_port = one_of(&mut parser, table)?;
            }
            Arg::Long("patch-status") => {
                let table = [("204", PatchStatus::NoContent), ("200", PatchStatus::Ok)];
                options.dialect.patch = one_of(&mut parser, table)?;
            }
            Arg::Long("empty-status") => {
                let table = [("200", EmptyValue::Ok), ("204", EmptyValue::NoContent)];
                options.dialect.empty = one_of(&mut parser, table)?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if !listen.is_empty() {
        options.listen = listen;
    }
    options.public_api = public.map(|listen| PublicApi { listen, authority, tokens });
    Ok(Task::Serve(Box::new(options)))
}

/// Parses `SECRET=RIGHTS`.
fn token(argument: &str) -> Result<(String, Rights), String> {
    let table =
        [("all", Rights::All), ("read", Rights::Read), ("none", Rights::None), ("expired", Rights::Expired)];
    let (secret, rights) = argument.split_once('=').ok_or("not SECRET=RIGHTS")?;
    let found = table.iter().find(|(name, _)| *name == rights);
    found.map(|(_, rights)| (secret.to_owned(), *rights)).ok_or_else(|| format!("no such rights: {rights}"))
}

fn one_of<T: Copy>(parser: &mut Parser, table: [(&str, T); 2]) -> Result<T, UsageError> {
    let choose = |text: &str| {
        let found = table.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| format!("neither {} nor {}", table[0].0, table[1].0))
    };
    Ok(parser.value()?.parse_with(choose)?)
}

fn orders(parser: &mut Parser) -> Result<Vec<Order>, UsageError> {
    let (path, text) = value_from_file(parser)?;
    let text = String::from_utf8(text).map_err(|error| UsageError::content(path.clone(), error))?;
    Order::parse_all(&text).map_err(|error| UsageError::content(path, error))
}

/// Parses `KEY=VALUE` or `KEY@FILE`. The first `=` or `@` decides.
fn user_data(argument: &OsStr) -> Result<(Vec<u8>, Vec<u8>), UsageError> {
    let bytes = argument.as_bytes();
    let sign = bytes.iter().position(|b| matches!(b, b'=' | b'@')).filter(|at| *at > 0);
    let Some(at) = sign else {
        return Err(UsageError::UserData(argument.to_owned()));
    };
    let (key, rest) = (bytes[..at].to_vec(), &bytes[at + 1..]);
    let value = if bytes[at] == b'=' { rest.to_vec() } else { read(Path::new(OsStr::from_bytes(rest)))? };
    Ok((key, value))
}

fn value_from_file(parser: &mut Parser) -> Result<(PathBuf, Vec<u8>), UsageError> {
    let path = PathBuf::from(parser.value()?);
    let text = read(&path)?;
    Ok((path, text))
}

fn read(path: &Path) -> Result<Vec<u8>, UsageError> {
    std::fs::read(path).map_err(|error| UsageError::File(path.to_owned(), error))
}

/// The reason why the command line was refused.
#[derive(Debug)]
pub(crate) enum UsageError {
    Option(lexopt::Error),
    UserData(OsString),
    File(PathBuf, io::Error),
    Content(PathBuf, String),
}

impl UsageError {
    fn content(path: PathBuf, error: impl fmt::Display) -> UsageError {
        UsageError::Content(path, error.to_string())
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> UsageError {
        UsageError::Option(error)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::Option(error) => write!(f, "{error} (see --help)"),
            UsageError::UserData(argument) => {
                write!(f, "--user-data {argument:?} is neither KEY=VALUE nor KEY@FILE")
            }
            UsageError::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            UsageError::Content(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for UsageError {}

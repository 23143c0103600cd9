//! What a user data value must be so that it can run: the key, which decides the script kind, the first line, and the
//! script header. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::header::{Header, HeaderError};
use crate::scripts::model::wrong_form::WrongForm;
use crate::util::suggest::nearest;

/// Interpreters that a message may contain. Any other text in a script's first line may be a secret (invariant S3).
const INTERPRETERS: [&str; 12] =
    ["sh", "bash", "dash", "zsh", "ksh", "fish", "env", "python3", "python", "perl", "ruby", "node"];
/// The folders of these interpreters.
const FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// When a script runs. Its user data key decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScriptKind {
    /// `setup-script`, `setup-script.NAME`: once for this Instance, and again when its content changes.
    Setup,
    /// `startup-script`, `startup-script.NAME`: at every boot.
    Startup,
    /// `shutdown-script`, `shutdown-script.NAME`: when the machine goes down.
    Shutdown,
}

impl ScriptKind {
    /// The script kind of a key. `None`: the key is not the key of a script.
    pub fn of(key: &UserDataKey) -> Option<Self> {
        let names = [
            ("setup-script", Self::Setup),
            ("startup-script", Self::Startup),
            ("shutdown-script", Self::Shutdown),
        ];
        names.into_iter().find_map(|(name, kind)| {
            let rest = key.as_str().strip_prefix(name)?;
            (rest.is_empty() || rest.len() > 1 && rest.starts_with('.')).then_some(kind)
        })
    }
}

/// The SHA-256 of a script's bytes, in lower-case hexadecimal. It shows whether the content changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The program that runs a script, from the script's first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// An absolute path.
    pub program: String,
    /// The rest of the line. It is one argument, as in the kernel.
    pub argument: Option<String>,
}

impl Interpreter {
    /// The interpreter for a message: the path of a well-known program and, for `env`, the program that it searches.
    /// `None`: the interpreter is not well known.
    pub fn well_known(&self) -> Option<String> {
        let known = |name: &str| INTERPRETERS.into_iter().find(|known| *known == name);
        let (folder, name) = self.program.rsplit_once('/')?;
        let folder = FOLDERS.into_iter().find(|known| *known == folder)?;
        let name = known(name)?;
        let env_program = self.argument.as_deref().filter(|_| name == "env").and_then(known);
        Some(env_program.map_or(format!("{folder}/{name}"), |program| format!("{folder}/{name} {program}")))
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.well_known() {
            Some(name) => write!(f, "the script's interpreter {name}"),
            None => f.write_str("the script's interpreter (line 1)"),
        }
    }
}

/// A script that can be run.
#[derive(Debug)]
pub struct Script<'a> {
    /// The program in its first line.
    pub interpreter: Interpreter,
    /// The settings in its first comment lines.
    pub header: Header,
    /// Its bytes, unchanged.
    pub body: &'a [u8],
}

/// Why a value cannot run. Each reason has its own clear message (invariant S5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// It has no bytes.
    #[error("the script is empty")]
    Empty,
    /// It does not begin with `#!`; what it is instead.
    #[error("{0}")]
    NoInterpreter(WrongForm),
    /// Nothing follows the `#!`.
    #[error("the script's first line has no interpreter after `#!`")]
    MissingInterpreter,
    /// The interpreter's path is not absolute; the most similar well-known program, if there is any.
    #[error(fmt = relative_path)]
    Relative(Option<&'static str>),
    /// The first line ends with CR LF. The kernel takes the CR as part of the interpreter's name, so it finds no interpreter.
    #[error("the script has Windows line ends (CRLF): save it with plain line feeds and set it again")]
    WindowsLineEnds,
    /// The first line contains a NUL byte: the value is a program or an archive, or it is damaged.
    #[error("the script's first line contains a NUL byte: it is a program, an archive, or damaged")]
    Nul,
    /// The first line is not UTF-8.
    #[error("the script's first line is not valid UTF-8")]
    NotUtf8,
    /// The script header has a wrong line or setting.
    #[error(transparent)]
    Header(HeaderError),
}

fn relative_path(similar: &Option<&'static str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("the script's interpreter (line 1) is not an absolute path")?;
    similar.map_or(Ok(()), |name| write!(f, "; did you mean `/usr/bin/env {name}`?"))
}

impl<'a> Script<'a> {
    /// Checks a value, and reads its first line and its script header.
    pub fn parse(body: &'a [u8]) -> Result<Self, ScriptError> {
        if body.is_empty() {
            return Err(ScriptError::Empty);
        }
        let rest = body.strip_prefix(b"#!").ok_or_else(|| ScriptError::NoInterpreter(WrongForm::of(body)))?;
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // Only the first line is checked: a script may contain binary data after it, such as an archive.
        if line.contains(&0) {
            return Err(ScriptError::Nul);
        }
        if line.ends_with(b"\r") {
            return Err(ScriptError::WindowsLineEnds);
        }
        let line = std::str::from_utf8(line).map_err(|_| ScriptError::NotUtf8)?.trim();
        let (program, argument) = line.split_once([' ', '\t']).map_or((line, ""), |(p, a)| (p, a.trim()));
        if program.is_empty() {
            return Err(ScriptError::MissingInterpreter);
        }
        if !program.starts_with('/') {
            return Err(ScriptError::Relative(nearest(program, INTERPRETERS)));
        }
        let argument = (!argument.is_empty()).then(|| argument.to_owned());
        let interpreter = Interpreter { program: program.to_owned(), argument };
        let header = Header::parse(&leading_comments(body)).map_err(ScriptError::Header)?;
        Ok(Self { interpreter, header, body })
    }
}

/// The lines at the beginning that start with `#`.
fn leading_comments(body: &[u8]) -> String {
    let lines = body.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.starts_with(b"#"));
    String::from_utf8_lossy(&body[..lines.map(<[u8]>::len).sum()]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_decides_the_script_kind() {
        for (key, kind) in [
            ("setup-script", Some(ScriptKind::Setup)),
            ("setup-script.10-web", Some(ScriptKind::Setup)),
            ("startup-script", Some(ScriptKind::Startup)),
            ("startup-script.x", Some(ScriptKind::Startup)),
            ("setup-script.", None),
            ("setup-scripts", None),
            ("my-setup-script", None),
            ("cloud-init", None),
            ("ssh-host-fingerprints", None),
        ] {
            assert_eq!(ScriptKind::of(&UserDataKey::new(key).expect("a good key")), kind, "{key}");
        }
    }

    #[test]
    fn interpreter_is_read_from_the_first_line() {
        for (body, program, argument) in [
            ("#!/bin/sh\necho", "/bin/sh", None),
            ("#! /bin/sh -e -u \necho", "/bin/sh", Some("-e -u")),
            ("#!/usr/bin/env python3", "/usr/bin/env", Some("python3")),
        ] {
            let interpreter = Script::parse(body.as_bytes()).expect(body).interpreter;
            assert_eq!((&*interpreter.program, interpreter.argument.as_deref()), (program, argument));
        }
    }

    #[test]
    fn s3_only_well_known_interpreters_are_shown() {
        for (first_line, shown) in [
            ("#!/bin/sh -c hunter2", "the script's interpreter /bin/sh"),
            ("#!/usr/bin/env python3", "the script's interpreter /usr/bin/env python3"),
            ("#!/usr/bin/env hunter2", "the script's interpreter /usr/bin/env"),
            ("#!/usr/bin/env -S TOKEN=hunter2 sh", "the script's interpreter /usr/bin/env"),
            ("#!/hunter2/sh", "the script's interpreter (line 1)"),
            ("#!/bin/hunter2", "the script's interpreter (line 1)"),
        ] {
            let script = Script::parse(first_line.as_bytes()).expect(first_line);
            assert_eq!(script.interpreter.to_string(), shown);
        }
    }

    #[test]
    fn s5_each_fault_of_a_script_has_its_own_error() {
        for (body, why) in [
            (&b""[..], ScriptError::Empty),
            (b"echo hello\n", ScriptError::NoInterpreter(WrongForm::Unknown)),
            (b"#cloud-config\n", ScriptError::NoInterpreter(WrongForm::Unknown)),
            (b"\xef\xbb\xbf#!/bin/sh\n", ScriptError::NoInterpreter(WrongForm::ByteOrderMark)),
            (b"\n#!/bin/sh\n", ScriptError::NoInterpreter(WrongForm::WhiteSpaceInFront)),
            (b"IyEvYmluL3NoCmVjaG8K", ScriptError::NoInterpreter(WrongForm::Base64)),
            (b"#!\necho\n", ScriptError::MissingInterpreter),
            (b"#!python3\n", ScriptError::Relative(Some("python3"))),
            (b"#!hunter2\n", ScriptError::Relative(None)),
            (b"#!/bin/sh\r\necho\r\n", ScriptError::WindowsLineEnds),
            (b"#!/bin/sh\0\necho\n", ScriptError::Nul),
            (b"#!/bin/\xff\n", ScriptError::NotUtf8),
        ] {
            assert_eq!(Script::parse(body).expect_err("a fault"), why);
        }
    }
}

//! Why a world, or something in it, could not be made. Texts only; nothing here decides anything.

use std::fmt;
use std::io;

use scw_standin::StartError;

/// Why a world, or something in it, could not be made.
pub enum StageError {
    /// The process may not make namespaces.
    NotPrivileged,
    /// The thread is in a world, or was in one: each world wants a thread of its own.
    SecondWorld,
    /// The system refused a step.
    System {
        /// The step, as it reads after "cannot".
        step: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that was run for the world failed.
    Tool {
        /// The program.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// The stand-in could not start.
    Standin(StartError),
    /// A package is not here, and cannot be had.
    NoPackage {
        /// The package.
        package: &'static str,
        /// What stood in the way.
        reason: String,
    },
    /// A server in the world did not come up in time.
    NotUp {
        /// The server.
        server: &'static str,
        /// What it said.
        said: String,
    },
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageError::NotPrivileged => {
                f.write_str("a world of its own needs root: run this as root, or under `unshare -Ur`")
            }
            StageError::SecondWorld => f.write_str("this thread has had a world: each wants its own thread"),
            StageError::System { step, source } => write!(f, "cannot {step}: {source}"),
            StageError::Tool { program, said } => write!(f, "{program} failed: {}", said.trim()),
            StageError::Standin(error) => write!(f, "the stand-in did not start: {error}"),
            StageError::NoPackage { package, reason } => {
                write!(f, "{package} is missing: apt-get install {package} ({reason})")
            }
            StageError::NotUp { server, said } => write!(f, "{server} did not come up: {}", said.trim()),
        }
    }
}

/// As `Display`, because a test shows an error by `expect`.
impl fmt::Debug for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StageError {}

/// Names the step that failed.
pub(crate) trait Step<T> {
    /// Turns the error into one that reads "cannot `step`: …".
    fn step(self, step: impl Into<String>) -> Result<T, StageError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, StageError> {
        self.map_err(|error| StageError::System { step: step.into(), source: error.into() })
    }
}

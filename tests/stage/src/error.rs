//! The errors of this crate, and their texts.

use std::fmt;
use std::io;

use scw_standin::StartError;

/// The reason why a world, or something in it, could not be made.
pub enum StageError {
    /// The process has no permission to make namespaces.
    NotPrivileged,
    /// The thread is or was in a world. Each world needs its own thread.
    SecondWorld,
    /// A system call failed.
    System {
        /// The failed step, worded so that it fits after "cannot".
        step: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// A program that the stage ran for the world failed.
    Tool {
        /// The program.
        program: &'static str,
        /// Its output.
        said: String,
    },
    /// The stand-in could not start.
    Standin(StartError),
    /// A package is not installed, and could not be fetched.
    NoPackage {
        /// The package.
        package: &'static str,
        /// Why it could not be fetched.
        reason: String,
    },
    /// A server in the world did not start in time.
    NotUp {
        /// The server.
        server: &'static str,
        /// Its output.
        said: String,
    },
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageError::NotPrivileged => {
                f.write_str("making a world needs root: run this as root, or under `unshare -Ur`")
            }
            StageError::SecondWorld => {
                f.write_str("this thread already has or had a world: use a new thread for each world")
            }
            StageError::System { step, source } => write!(f, "cannot {step}: {source}"),
            StageError::Tool { program, said } => write!(f, "{program} failed: {}", said.trim()),
            StageError::Standin(error) => write!(f, "the stand-in did not start: {error}"),
            StageError::NoPackage { package, reason } => {
                write!(f, "{package} is missing: apt-get install {package} ({reason})")
            }
            StageError::NotUp { server, said } => write!(f, "{server} did not start: {}", said.trim()),
        }
    }
}

/// The same text as `Display`, because tests print errors by `expect`.
impl fmt::Debug for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StageError {}

/// Adds the description of the failed step to an error.
pub(crate) trait Step<T> {
    /// Converts the error into one whose text is "cannot `step`: …".
    fn step(self, step: impl Into<String>) -> Result<T, StageError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, StageError> {
        self.map_err(|error| StageError::System { step: step.into(), source: error.into() })
    }
}

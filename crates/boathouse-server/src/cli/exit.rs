//! How a command ends.

use std::fmt::Display;
use std::process::ExitCode;

use super::paint;

/// The exit codes. They are part of the interface: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// It could not be done.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The run is paused and waits for a person.
    Paused,
    /// A limit stopped the run.
    LimitReached,
    /// SIGINT cancelled it.
    Interrupted,
    /// SIGTERM cancelled it.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Paused => 3,
            Exit::LimitReached => 4,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command could not do what it was asked to: one line, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Something could not be done.
    pub(crate) fn new(message: impl Display) -> Failure {
        Failure { exit: Exit::Failed, message: message.to_string(), hint: None }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Display) -> Failure {
        Failure { exit: Exit::Usage, ..Failure::new(message) }
    }

    /// The problems have been told already; only the exit code is left to say.
    pub(crate) fn told() -> Failure {
        Failure::new("")
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// Tells it on stderr.
    pub(crate) fn report(self) -> Exit {
        if !self.message.is_empty() {
            paint::error(&self.message);
            if let Some(hint) = &self.hint {
                paint::hint(hint);
            }
        }
        self.exit
    }
}

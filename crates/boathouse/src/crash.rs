//! Named places in the life of a run at which the process can be made to die, for tests of crashes.
//!
//! Only with the feature `crash-points`, and only after [`arm`]; otherwise passing a place does nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Events were decided on, and nothing of them is in the journal.
    BeforeCommit,
    /// Events are in the journal; nobody was told, and what they announce was not done.
    AfterAppend,
    /// A tool's effect has happened, and the run knows nothing of it.
    AfterEffect,
    /// The run knows what became of a call, and nothing of it is in the journal.
    BeforeOutcome,
}

impl CrashPoint {
    /// All of them.
    pub const ALL: [CrashPoint; 4] = [
        CrashPoint::BeforeCommit,
        CrashPoint::AfterAppend,
        CrashPoint::AfterEffect,
        CrashPoint::BeforeOutcome,
    ];

    /// Its name, as [`arm`] reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            CrashPoint::BeforeCommit => "before_commit",
            CrashPoint::AfterAppend => "after_append",
            CrashPoint::AfterEffect => "after_effect",
            CrashPoint::BeforeOutcome => "before_outcome",
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<CrashPoint, String> {
        CrashPoint::ALL.into_iter().find(|point| point.as_str() == text).ok_or_else(|| {
            format!(
                "no crash point `{text}`; there are {}",
                CrashPoint::ALL.map(CrashPoint::as_str).join(", ")
            )
        })
    }
}

/// Where the process dies, and how often that place is still passed before.
struct Armed {
    point: CrashPoint,
    left: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Makes this process kill itself when it passes a place for the n-th time: `after_append:7`. Once a process.
pub fn arm(text: &str) -> Result<(), String> {
    let (point, times) = text.split_once(':').unwrap_or((text, "1"));
    let point = point.parse()?;
    let times = times.parse().ok().filter(|times| *times > 0);
    let times = times.ok_or_else(|| format!("`{text}`: write how often, from 1: `after_append:7`"))?;
    ARMED
        .set(Armed { point, left: AtomicU64::new(times) })
        .map_err(|_| "a crash point is armed already".to_owned())
}

/// Dies here if this is the place and the time. Nothing is cleaned up: it is a SIGKILL.
pub(crate) fn pass(point: CrashPoint) {
    if let Some(armed) = ARMED.get()
        && armed.point == point
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        // Nothing runs on after it; if it is refused, an abort is as good.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

//! What has happened, in numbers.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by what was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

/// What has to happen for a test to prove anything, beside the crash points.
const WANTED: [&str; 9] = [
    "killed",
    "stopped past the lease",
    "after_append",
    "after_effect",
    "before_commit",
    "before_outcome",
    "take-overs",
    "unknown outcomes",
    "idempotent calls repeated",
];

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (what, times) in &other.0 {
            self.count(what, *times);
        }
    }

    /// What has never happened.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        WANTED.into_iter().filter(|what| self.0.get(what).copied().unwrap_or(0) == 0).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (what, times)) in self.0.iter().enumerate() {
            write!(f, "{}{times} {what}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

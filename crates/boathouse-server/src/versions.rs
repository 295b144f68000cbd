//! What becomes of crews' files while they are served: the versions that were loaded, and what is wrong with the
//! files now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use boathouse::core::crew::problem::Problem;
use boathouse::core::ids::Timestamp;
use serde::Serialize;

/// Versions of one crew that are told, the newest ones.
pub const MOST_VERSIONS: usize = 20;

/// The versions of all crews. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Versions(Arc<Mutex<BTreeMap<String, Files>>>);

/// What became of one crew's files.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Files {
    /// Newest first: the one that new runs take, then those before it. At most [`MOST_VERSIONS`].
    pub versions: VecDeque<Version>,
    /// What is wrong with the files as they are now. If one of them is an error, the files are not what is served.
    pub problems: Vec<Problem>,
}

/// One version of a crew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The crew's hash.
    pub hash: Arc<str>,
    /// When it was loaded.
    pub loaded_at: Timestamp,
}

impl Versions {
    /// A version is served from now on; `warnings` are what is wrong with its files.
    pub fn loaded(&self, crew: &str, hash: &Arc<str>, warnings: Vec<Problem>) {
        let mut all = self.lock();
        let files = all.entry(crew.to_owned()).or_default();
        files.problems = warnings;
        if files.versions.front().is_none_or(|newest| newest.hash != *hash) {
            files.versions.push_front(Version { hash: hash.clone(), loaded_at: now() });
            files.versions.truncate(MOST_VERSIONS);
        }
    }

    /// The files have changed so that they cannot be served; what was served before is served on.
    pub fn refused(&self, crew: &str, problems: Vec<Problem>) {
        self.lock().entry(crew.to_owned()).or_default().problems = problems;
    }

    /// What became of a crew's files; nothing for a crew that is not served from files.
    pub fn of(&self, crew: &str) -> Files {
        self.lock().get(crew).cloned().unwrap_or_default()
    }

    /// Whoever panicked with the lock in hand has left whole entries.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Files>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_versions_are_told() {
        let versions = Versions::default();
        for number in 0..100 {
            versions.loaded("desk", &Arc::from(number.to_string()), Vec::new());
        }
        versions.loaded("desk", &Arc::from("99"), Vec::new());
        let hashes: Vec<String> =
            versions.of("desk").versions.iter().map(|one| one.hash.to_string()).collect();
        assert_eq!(hashes, (80..100).rev().map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(versions.of("other").versions.is_empty());
    }
}

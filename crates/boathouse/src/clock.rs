//! A run's clock: real time at its start, and from there on time that never jumps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boathouse_core::ids::Timestamp;
use tokio::time::Instant;

/// Gives timestamps that never go back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    began: Timestamp,
}

impl Clock {
    /// A clock that is right now, or a little ahead if `not_before` is.
    pub(crate) fn new(not_before: Timestamp) -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        Clock { started: Instant::now(), began: now.max(not_before) }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.began.plus_millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time by the clock on the wall, also after the machine has slept; it is never turned back.
    pub(crate) fn on_the_wall(&self) -> Timestamp {
        self.now().max(Clock::new(Timestamp(0)).began)
    }

    /// When that will be.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.started + Duration::from_millis(at.millis_since(self.began))
    }
}

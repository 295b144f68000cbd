//! How long this process holds its runs: from one heartbeat to the next, by a clock that never jumps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::JournalError;

/// A time through which this process has been heard without a gap. Drivers that began in it stop when it is over;
/// what comes after a gap is another period, in which runs are taken over from their logs like anybody's.
#[derive(Debug)]
pub(crate) struct Period {
    began: Instant,
    /// Milliseconds after `began`; the largest number if nobody can take runs from this process.
    ends_ms: AtomicU64,
    over: CancellationToken,
}

impl Period {
    /// One that was heard at `heard`, and lasts so long if nothing more is heard; for ever with `None`.
    pub(crate) fn new(heard: Instant, lasts: Option<Duration>) -> Period {
        let ends_ms = AtomicU64::new(lasts.map_or(u64::MAX, millis));
        Period { began: heard, ends_ms, over: CancellationToken::new() }
    }

    /// Whether it lasts. Looks at the clock, so that also a process that was stopped for a while sees it at once.
    pub(crate) fn lasts(&self) -> bool {
        let passed = millis(self.began.elapsed());
        let lasts = !self.over.is_cancelled() && passed < self.ends_ms.load(Ordering::Acquire);
        if !lasts {
            self.over.cancel();
        }
        lasts
    }

    /// Makes it last until so long after `heard`. Returns whether it still lasted.
    pub(crate) fn extend(&self, heard: Instant, lasts: Duration) -> bool {
        let lasted = self.lasts();
        if lasted {
            let ends = millis(heard.saturating_duration_since(self.began) + lasts);
            self.ends_ms.fetch_max(ends, Ordering::AcqRel);
        }
        lasted
    }

    /// When it ends, unless it is extended; `None` if it does not.
    pub(crate) fn ends(&self) -> Option<Instant> {
        let ends_ms = self.ends_ms.load(Ordering::Acquire);
        (ends_ms != u64::MAX).then(|| self.began + Duration::from_millis(ends_ms))
    }

    /// Completes when it is over.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// What a driver ends with when its period is over.
pub(crate) fn missed() -> JournalError {
    JournalError::Unavailable(
        "this process could not say in time that it lives, so its runs may be with another".to_owned(),
    )
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_period_that_was_over_once_stays_over() {
        let lasts = Duration::from_secs(10);
        let period = Period::new(Instant::now(), Some(lasts));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(period.extend(Instant::now(), lasts));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(period.lasts());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!period.extend(Instant::now(), lasts), "it is over although nobody has looked");
        period.over().await;
        assert!(!period.lasts());
        assert!(Period::new(Instant::now(), None).lasts());
    }
}

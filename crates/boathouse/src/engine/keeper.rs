//! What an engine does beside its runs: it says that it lives, takes over runs that nobody drives, and forgets what is
//! old.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::ids::{RunId, Timestamp};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::Clock;
use crate::journal::{JournalError, Retention};

use super::builder::Recovery;
use super::period::Period;
use super::shared::{Recover, Shared};

/// How often runs without a driver are looked for, where no lease says more.
const SCAN: Duration = Duration::from_secs(5);

/// How often expiries are looked for although none is known: another process may have left one.
const EXPIRIES: Duration = Duration::from_secs(30);

/// Runs that are woken at once.
const WOKEN: usize = 500;

/// How often old runs are looked for.
const PRUNE: Duration = Duration::from_secs(30);

/// The pause between two batches of runs that are forgotten: others write meanwhile.
const BETWEEN_BATCHES: Duration = Duration::from_millis(20);

/// The part of the lease after which drivers stop if no heartbeat was heard: what is left is for stopping.
pub(super) fn lasts(lease: Duration) -> Duration {
    lease * 2 / 3
}

impl Shared {
    /// Starts what keeps the engine going beside its runs; it ends when it is told to, or drivers are interrupted.
    pub(super) fn keep(self: &Arc<Self>, retention: Option<Retention>, recovery: Recovery) {
        if recovery == Recovery::ByItself {
            self.spawn_keeper(self.clone().give_turns());
            let shared = self.clone();
            self.spawn_keeper(async move { shared.wake().await });
        }
        if let Some(webhooks) = self.webhooks.clone() {
            let shared = self.clone();
            self.spawn_keeper(async move { webhooks.deliver(&*shared.journal, &shared.notices).await });
        }
        if !self.journal.is_durable() {
            return;
        }
        let lease = self.journal.lease();
        let shared = self.clone();
        if let Some(lease) = lease {
            self.spawn_keeper(async move { shared.beat(lease).await });
        }
        if recovery == Recovery::ByItself {
            let shared = self.clone();
            self.spawn_keeper(async move { shared.scan(lease.map_or(SCAN, |lease| lease / 3)).await });
        }
        let shared = self.clone();
        if let Some(retention) = retention {
            self.spawn_keeper(async move { shared.prune(retention).await });
        }
    }

    pub(super) fn spawn_keeper(&self, work: impl Future<Output = ()> + Send + 'static) {
        let (told, interrupt) = (self.keepers_end.clone(), self.interrupt.clone());
        self.keepers.spawn(async move {
            tokio::select! {
                () = work => {}
                () = told.cancelled() => {}
                () = interrupt.cancelled() => {}
            }
        });
    }

    /// Says again and again that this process lives. A gap ends the period, and with it all drivers.
    async fn beat(&self, lease: Duration) {
        loop {
            let heard = Instant::now();
            let period = self.period.load_full();
            let end = period.ends().filter(|_| period.lasts());
            let beaten = tokio::select! {
                beaten = self.journal.beat() => beaten.is_ok(),
                () = until(end) => false,
            };
            if beaten && !period.extend(heard, lasts(lease)) {
                tracing::warn!("this process was not heard for too long; its runs go on from their logs");
                self.period.store(Arc::new(Period::new(heard, Some(lasts(lease)))));
            } else if !beaten && end.is_some() && !period.lasts() {
                tracing::warn!("this process cannot say that it lives; its runs stop until it can");
            }
            sleep(if beaten { lease / 5 } else { lease / 20 }).await;
        }
    }

    /// Takes over runs that are not at rest and that nobody drives: whoever drove them has gone, or could not. Begins queued
    /// runs whose turn has come and that nobody has begun.
    async fn scan(self: &Arc<Self>, every: Duration) {
        loop {
            sleep(every).await;
            if !self.period.load().lasts() {
                continue;
            }
            // Those that were driven here may have come to rest while the journal was looking.
            let driven: HashSet<RunId> = self.live().into_iter().collect();
            match self.journal.unfinished().await {
                Ok(runs) => {
                    let left = runs.into_iter().filter(|run| !driven.contains(run));
                    left.for_each(|run| self.recover(run, Recover::Again));
                }
                Err(error) => tracing::debug!(%error, "cannot look for runs that nobody drives"),
            }
            self.look_at_queue().await;
            if let Err(error) = self.let_go_of_watched().await {
                tracing::debug!(%error, "cannot look for queued runs that others have begun");
            }
        }
    }

    /// Wakes runs that rest when one of their approvals expires.
    async fn wake(self: &Arc<Self>) {
        let clock = Clock::new(Timestamp(0));
        loop {
            let now = clock.on_the_wall();
            let pause = match self.journal.expiries(WOKEN).await {
                Ok(expiries) => {
                    let full = expiries.len() == WOKEN;
                    let (due, later): (Vec<_>, Vec<_>) = expiries.into_iter().partition(|(at, _)| *at <= now);
                    let next = later.first().map(|(at, _)| Duration::from_millis(at.millis_since(now)));
                    due.into_iter().for_each(|(_, run)| self.recover_at(run, Recover::Again, now));
                    next.unwrap_or(if full { BETWEEN_BATCHES } else { EXPIRIES }).min(EXPIRIES)
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot look for approvals that expire");
                    SCAN
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.expiring.notified() => {}
            }
        }
    }

    /// Forgets ended runs that are too old or too many, and crew sources that neither runs nor this engine use.
    async fn prune(&self, retention: Retention) {
        loop {
            sleep(PRUNE).await;
            if let Err(error) = self.prune_once(&retention).await {
                tracing::warn!(%error, "old runs cannot be forgotten now");
            }
        }
    }

    async fn prune_once(&self, retention: &Retention) -> Result<(), JournalError> {
        while self.journal.prune(retention).await? > 0 {
            sleep(BETWEEN_BATCHES).await;
        }
        // No crew is added while those in use are looked at.
        let _gate = self.crews_gate.lock().await;
        self.journal.drop_crews(&self.crews_in_use()).await
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

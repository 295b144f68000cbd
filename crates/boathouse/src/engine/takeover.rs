//! Going on with a run from its log: after a pause, a restart or a crash.

use std::collections::VecDeque;
use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::crew::Crew;
use boathouse_core::ids::{RunId, Seq, Timestamp};
use boathouse_core::message::Message;
use boathouse_core::run::admit::admit;
use boathouse_core::run::event::{Event, Pinned};
use boathouse_core::run::{Phase, ReplayError, call};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::crew_dir;
use crate::driver::{Ask, Driver};
use crate::feed::Feed;
use crate::journal::{JournalError, RunRow};

use super::CommandError;
use super::shared::Shared;
use super::threads::history;

/// Events that are read from the journal at once.
const PAGE: usize = 500;

/// Commands that came while a run was being taken over.
pub(super) struct Waiting {
    pub(super) asks: VecDeque<Ask>,
    pub(super) commands: mpsc::UnboundedReceiver<Ask>,
    /// It is not earlier than this: whoever wakes the run knows.
    pub(super) not_before: Timestamp,
}

impl Shared {
    /// Spawns what takes a run over and drives it. The run is on the table already. A queued run begins, if `begun` is to be
    /// told.
    pub(super) fn take_over(
        self: &Arc<Self>,
        run: RunId,
        feed: Arc<Feed>,
        mut waiting: Waiting,
        begun: Option<oneshot::Sender<Result<(), JournalError>>>,
    ) {
        let shared = self.clone();
        self.drivers.spawn(async move {
            // What was claimed in a period is driven in it.
            let period = shared.period.load_full();
            let begun = match shared.claim(&run, &mut waiting).await {
                Ok(Some((claimed, lease))) if *claimed.phase() == Phase::Queued && begun.is_some() => {
                    let turn = shared.turn(claimed).await;
                    turn.map(|(claimed, turn, pinned)| Some((claimed, lease, Some((turn, pinned)))))
                }
                Ok(claimed) => Ok(claimed.map(|(claimed, lease)| (claimed, lease, None))),
                Err(error) => Err(error),
            }
            .map(|claimed| (claimed, begun));
            match begun {
                Ok((None, _)) => feed.close(),
                Ok((Some((claimed, lease, turn)), begun)) => {
                    feed.skip_to(claimed.seq());
                    let clock = Clock::new(claimed.last_at().max(waiting.not_before));
                    let taken_over = call::taken_over(&claimed);
                    let Waiting { asks, commands, .. } = waiting;
                    let mut driver = Driver::resume(
                        shared.clone(),
                        claimed,
                        Some(lease),
                        period,
                        clock,
                        feed.clone(),
                        commands,
                    );
                    let stopped = match (turn, begun) {
                        (Some((turn, pinned)), Some(begun)) => driver.begin_queued(turn, pinned, begun).await,
                        _ => driver.go_on(taken_over, asks).await,
                    };
                    shared.finish(&run, &feed, driver, &stopped);
                }
                Err(error) => {
                    match error {
                        // Forgotten or driven by another process meanwhile; tried again by the next scan.
                        JournalError::UnknownRun(_) | JournalError::Held(_) | JournalError::ThreadBusy(_) => {
                        }
                        JournalError::Unavailable(_) | JournalError::Closed => {
                            tracing::warn!(%run, %error, "the run cannot go on yet");
                        }
                        JournalError::Conflict(_)
                        | JournalError::Repeated(_)
                        | JournalError::Exists(_)
                        | JournalError::ThreadQueueFull(_)
                        | JournalError::QueueFull
                        | JournalError::Corrupt(_)
                        | JournalError::NeedsUpgrade(_) => {
                            tracing::error!(%run, %error, "the run cannot go on");
                            shared.give_up(&run);
                        }
                    }
                    shared.drop_out(&run);
                    feed.close();
                    waiting.refuse(&error);
                }
            }
        });
    }

    /// Claims a run and replays it. `None` if it has ended: then the commands have been answered.
    async fn claim(
        &self,
        id: &RunId,
        waiting: &mut Waiting,
    ) -> Result<Option<(Run, crate::journal::Lease)>, JournalError> {
        let row = self.journal.run(id).await?.ok_or_else(|| JournalError::UnknownRun(id.clone()))?;
        if row.state.is_ended() {
            let run = self.replay(&row, row.seq).await?;
            loop {
                waiting.answer(&run);
                if self.leave(id, &mut waiting.commands, &mut waiting.asks) {
                    return Ok(None);
                }
            }
        }
        let (lease, row) = self.journal.claim(id).await?;
        Ok(Some((self.replay(&row, row.seq).await?, lease)))
    }

    /// Reads a run from the journal, up to the event `last` if it comes so far.
    pub(super) async fn replay(&self, row: &RunRow, last: Seq) -> Result<Run, JournalError> {
        let crew = self.version(&row.crew_hash, &row.crew).await?;
        let corrupt = |error: ReplayError| JournalError::Corrupt(error.to_string());
        let mut run: Option<Run> = None;
        loop {
            let after = run.as_ref().map_or(Seq(0), Run::seq);
            let page = self.journal.read(&row.run, after, PAGE).await?;
            for stored in page.iter().take_while(|stored| stored.recorded.seq <= last) {
                match &mut run {
                    None => {
                        let first = &stored.recorded;
                        let pinned = match &first.event {
                            Event::RunStarted(started) => started.pinned.as_ref(),
                            _ => None,
                        };
                        let thread = self.pinned(&row.run, pinned).await?;
                        let begun = Run::begin_on(thread, row.run.clone(), crew.clone(), first);
                        run = Some(begun.map_err(corrupt)?);
                    }
                    Some(begun) => {
                        if let Event::Begun { pinned: Some(pinned) } = &stored.recorded.event {
                            let thread = self.pinned(&row.run, Some(pinned)).await?;
                            *begun = begun.clone().on_thread(thread);
                        }
                        begun.apply(&stored.recorded).map_err(corrupt)?;
                    }
                }
            }
            if page.len() < PAGE || page.last().is_some_and(|stored| stored.recorded.seq >= last) {
                return run.ok_or_else(|| JournalError::UnknownRun(row.run.clone()));
            }
        }
    }

    /// The messages that a run pins of its thread.
    async fn pinned(
        &self,
        run: &RunId,
        pinned: Option<&Pinned>,
    ) -> Result<rpds::VectorSync<Arc<Message>>, JournalError> {
        match pinned {
            Some(pinned) if pinned.messages > 0 && pinned.said.is_empty() => {
                history(self.journal.pinned(run, pinned.messages).await)
            }
            Some(_) | None => Ok(rpds::VectorSync::new_sync()),
        }
    }

    /// The crew that a run began with: one that is served, in use, or compiled again from the journal.
    pub(super) async fn version(&self, hash: &Arc<str>, name: &str) -> Result<Arc<Crew>, JournalError> {
        let served = self.settings.crew(name).filter(|crew| crew.hash == *hash);
        if let Some(crew) = served.or_else(|| self.version_in_use(hash)) {
            return Ok(crew);
        }
        let corrupt = |why: String| JournalError::Corrupt(format!("crew {name}, version {hash}: {why}"));
        let kept = self.journal.crew(hash).await?.ok_or_else(|| corrupt("not in the journal".to_owned()))?;
        if let Some(dir) = kept.dir {
            self.remember_crew_dir(name, dir.into());
        }
        let source = serde_json::from_str(&kept.source).map_err(|error| corrupt(error.to_string()))?;
        let crew =
            crew_dir::compile(source, name, &self.catalog()).map_err(|error| corrupt(error.to_string()))?;
        let crew = Arc::new(crew);
        self.keep_version(&crew);
        Ok(crew)
    }
}

impl Waiting {
    /// No command yet.
    pub(super) fn new(commands: mpsc::UnboundedReceiver<Ask>) -> Waiting {
        Waiting { asks: VecDeque::new(), commands, not_before: Timestamp(0) }
    }

    /// Answers the commands to a run that has ended.
    fn answer(&mut self, run: &Run) {
        for Ask { command, done, .. } in self.asks.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(admit(run, &command).map(|_| ()).map_err(CommandError::Refused));
        }
    }

    fn refuse(&mut self, error: &JournalError) {
        self.commands.close();
        while let Ok(ask) = self.commands.try_recv() {
            self.asks.push_back(ask);
        }
        for ask in self.asks.drain(..) {
            // Whoever asked may have gone.
            let _ = ask.done.send(Err(match error {
                JournalError::UnknownRun(run) => CommandError::UnknownRun(run.clone()),
                other => CommandError::Journal(other.clone()),
            }));
        }
    }
}

//! One run: decide, record, apply, perform, until it rests.
//!
//! The driver knows nothing about crews. It asks the core what comes next, writes that down, and only then acts; it
//! owns every call of its run, so that nothing of a run is alive once its end is recorded.

use std::collections::{HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::crew::ToolIx;
use boathouse_core::ids::{CallId, Timestamp, WaitId};
use boathouse_core::run::admit::{Command, admit};
use boathouse_core::run::approval;
use boathouse_core::run::call::{self, Work};
use boathouse_core::run::decide::{Decision, Wanted, decide};
use boathouse_core::run::event::{
    CallError, CancelReason, Event, OnDisconnect, Pinned, Recorded, RunState, Timer,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::CommandError;
use crate::engine::period::{Period, missed};
use crate::engine::requests::OpenRequest;
use crate::engine::shared::Shared;
use crate::feed::Feed;
use crate::journal::{JournalError, Lease, Stored, Turn};
use crate::provider::ProviderError;
use crate::tool::{CallLimits, Tool, ToolCx, ToolEnd, tool_for};

mod calls;
mod commit;
mod fits;
mod quiet;

use calls::{Calls, End, Returned};
use quiet::Quiet;

/// A command, and who waits for what became of it.
pub(crate) struct Ask {
    /// The command. Boxed, because the channel of a run that nobody commands has room for 32 already.
    pub(crate) command: Box<Command>,
    /// Told once the command is recorded, or was refused.
    pub(crate) done: oneshot::Sender<Result<(), CommandError>>,
    /// The request that it carries out, if that has a key.
    pub(crate) request: Option<OpenRequest>,
}

/// Drives one run.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    run: Run,
    /// `None` until the run is in the journal.
    lease: Option<Lease>,
    /// What the next write does on the run's thread, beside what an end does.
    turn: Option<Turn>,
    /// In which the run is held.
    period: Arc<Period>,
    feed: Arc<Feed>,
    clock: Clock,
    commands: mpsc::UnboundedReceiver<Ask>,
    /// Commands and returns that came while an append was waiting.
    backlog: VecDeque<Ask>,
    returned: VecDeque<Returned>,
    calls: Calls,
    /// The crew's tools, built when first called.
    tools: HashMap<ToolIx, Option<Arc<dyn Tool>>>,
    /// Recorded and applied, but not committed.
    batch: Vec<Arc<Stored>>,
    /// To be performed once the batch is committed.
    starts: Vec<(Wanted, Work)>,
    /// To be told once the batch is committed.
    acks: Vec<oneshot::Sender<Result<(), CommandError>>>,
    /// Carried out by the batch, and kept with it.
    requests: Vec<OpenRequest>,
    /// The open waits that the journal lists.
    listed: Vec<WaitId>,
    /// The calls that the last decision wants in flight; `None` if it was to rest.
    wanted: Option<Vec<CallId>>,
    /// When to ask again although nothing happened.
    wake_at: Option<Timestamp>,
    /// The time limit that passes at `wake_at`, if it is one.
    timer: Option<Timer>,
    disconnected: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Why a driver stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The run rests: it has ended, or waits for a person.
    AtRest,
    /// The process shuts down; the log goes on at the next start.
    Interrupted,
    /// Somebody else has the run, or the journal is gone.
    Lost(JournalError),
}

/// What a driver waits for.
enum Happening {
    Returned(Returned),
    Asked(Ask),
    Time,
    Disconnected,
    Interrupted,
    /// The process was not heard in time.
    Missed,
}

impl Driver {
    /// A driver for a run that is not in the journal yet, with its log so far.
    pub(crate) fn begin(
        shared: Arc<Shared>,
        run: Run,
        log: Vec<Recorded>,
        clock: Clock,
        feed: Arc<Feed>,
        commands: mpsc::UnboundedReceiver<Ask>,
        request: Option<OpenRequest>,
    ) -> Driver {
        let period = shared.period.load_full();
        let mut driver = Driver::resume(shared, run, None, period, clock, feed, commands);
        driver.requests.extend(request);
        // Nothing of it is in the journal yet, not even what a fork waits for from its first event on.
        driver.listed.clear();
        driver.batch.extend(log.into_iter().map(|recorded| Arc::new(Stored::new(recorded))));
        driver
    }

    /// The same, which takes its turn on the thread that it shares with its first write.
    pub(crate) fn taking(self, turn: Option<Turn>) -> Driver {
        Driver { turn, ..self }
    }

    /// A driver for a run that was read from the journal and claimed.
    pub(crate) fn resume(
        shared: Arc<Shared>,
        run: Run,
        lease: Option<Lease>,
        period: Arc<Period>,
        clock: Clock,
        feed: Arc<Feed>,
        commands: mpsc::UnboundedReceiver<Ask>,
    ) -> Driver {
        let disconnected = match run.started().on_disconnect {
            OnDisconnect::Cancel => {
                let (shared, feed) = (shared.clone(), feed.clone());
                Some(Box::pin(async move { shared.left(&feed).await }) as Pin<Box<_>>)
            }
            OnDisconnect::Continue => None,
        };
        let listed = run.waits().iter().map(|open| open.wait).collect();
        Driver {
            shared,
            run,
            listed,
            lease,
            turn: None,
            period,
            feed,
            clock,
            commands,
            backlog: VecDeque::new(),
            returned: VecDeque::new(),
            calls: Calls::default(),
            tools: HashMap::new(),
            batch: Vec::new(),
            starts: Vec::new(),
            acks: Vec::new(),
            requests: Vec::new(),
            wanted: None,
            wake_at: None,
            timer: None,
            disconnected,
        }
    }

    /// Drives the run until it rests, the process shuts down, or the run is lost to somebody else.
    ///
    /// `created` is told once the first batch is committed, or could not be.
    pub(crate) async fn drive(
        &mut self,
        created: Option<oneshot::Sender<Result<(), JournalError>>>,
    ) -> Stopped {
        let stopped = match self.go(created).await {
            Ok(stopped) => stopped,
            Err(error) => Stopped::Lost(error),
        };
        self.calls.stop_all().await;
        stopped
    }

    /// Drives a run that was taken over, with commands that came in the meantime.
    pub(crate) async fn go_on(&mut self, taken_over: Option<Event>, asks: VecDeque<Ask>) -> Stopped {
        self.backlog = asks;
        if let Some(event) = taken_over
            && let Err(error) = self.record(event)
        {
            return Stopped::Lost(error);
        }
        // What a cancel would stop is not begun.
        let is_cancel = |ask: &mut Ask| matches!(*ask.command, Command::Cancel { .. });
        while let Some(ask) = self.backlog.pop_front_if(is_cancel) {
            if let Err(error) = self.command(ask) {
                return Stopped::Lost(error);
            }
        }
        self.drive(None).await
    }

    /// Drives a queued run whose turn has come, if nobody takes it first; `begun` is told.
    pub(crate) async fn begin_queued(
        &mut self,
        turn: Option<Turn>,
        pinned: Option<Pinned>,
        begun: oneshot::Sender<Result<(), JournalError>>,
    ) -> Stopped {
        self.turn = turn;
        match self.record(Event::Begun { pinned }) {
            Ok(()) => self.drive(Some(begun)).await,
            Err(error) => Stopped::Lost(error),
        }
    }

    /// The run.
    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    /// The commands that were not carried out.
    pub(crate) fn take_asks(&mut self) -> VecDeque<Ask> {
        self.commands.close();
        while let Ok(ask) = self.commands.try_recv() {
            self.backlog.push_back(ask);
        }
        std::mem::take(&mut self.backlog)
    }

    async fn go(
        &mut self,
        created: Option<oneshot::Sender<Result<(), JournalError>>>,
    ) -> Result<Stopped, JournalError> {
        self.feed.set_rest(false);
        self.settle()?;
        let first = self.commit().await;
        if let Some(created) = created {
            // Nobody may be left to be told: then the run goes on alone.
            let _ = created.send(first.clone());
        }
        first?;
        loop {
            if self.calls.is_empty() && self.returned.is_empty() && self.wanted.is_none() {
                // Whoever watches a queued run waits for its begin.
                self.feed.set_rest(self.run.state() != RunState::Queued);
                if self.shared.leave(self.run.id(), &mut self.commands, &mut self.backlog) {
                    if self.wake_at.is_some() {
                        self.shared.expiring.notify_one();
                    }
                    return Ok(Stopped::AtRest);
                }
                self.feed.set_rest(false);
            }
            match self.wait().await {
                Happening::Interrupted => return Ok(Stopped::Interrupted),
                Happening::Missed => return Err(missed()),
                Happening::Returned(returned) => self.take_down(returned)?,
                Happening::Asked(ask) => self.command(ask)?,
                Happening::Time => {
                    if let Some(timer) = self.timer.filter(|_| self.wake_at <= Some(self.clock.now())) {
                        self.record(Event::TimedOut { timer })?;
                    }
                }
                Happening::Disconnected => {
                    self.disconnected = None;
                    let command = Box::new(Command::Cancel { reason: CancelReason::Disconnected });
                    self.command(Ask { command, done: oneshot::channel().0, request: None })?;
                }
            }
            self.settle()?;
            self.commit().await?;
        }
    }

    async fn wait(&mut self) -> Happening {
        if let Some(ask) = self.backlog.pop_front() {
            return Happening::Asked(ask);
        }
        if let Some(returned) = self.returned.pop_front() {
            return Happening::Returned(returned);
        }
        let wake_at = self.wake_at.map(|at| self.clock.instant(at));
        let others = pin!(async {
            tokio::select! {
                Some(ask) = self.commands.recv() => Happening::Asked(ask),
                () = until(wake_at) => Happening::Time,
                () = fired(self.disconnected.as_mut()) => Happening::Disconnected,
                () = self.shared.interrupt.cancelled() => Happening::Interrupted,
                () = self.period.over() => Happening::Missed,
            }
        });
        let mut others = Quiet::new(others);
        tokio::select! {
            returned = self.calls.next() => Happening::Returned(returned),
            happening = &mut others => happening,
        }
    }

    /// Turns a command into its event. A cancel stops the calls at once, before anything is written.
    fn command(&mut self, Ask { command, done, request }: Ask) -> Result<(), JournalError> {
        // What has expired by now cannot be decided any more.
        while let Some(event) = approval::expired(&self.run, self.clock.now()) {
            self.record(event)?;
        }
        let admitted = admit(&self.run, &command);
        match admitted.and_then(|events| fits::check(&self.run, &events).map(|()| events)) {
            Ok(events) => {
                if events.iter().any(|event| matches!(event, Event::CancelRequested { .. })) {
                    self.calls.stop(|_| true);
                }
                self.acks.push(done);
                self.requests.extend(request);
                events.into_iter().try_for_each(|event| self.record(event))
            }
            Err(refused) => {
                // Whoever asked may have gone.
                let _ = done.send(Err(refused.into()));
                Ok(())
            }
        }
    }

    /// Turns the end of a call into its event.
    fn take_down(&mut self, returned: Returned) -> Result<(), JournalError> {
        #[cfg(feature = "crash-points")]
        crate::crash::pass(crate::crash::CrashPoint::BeforeOutcome);
        let Returned { call, took_ms, end } = returned;
        let Some(place) = self.run.find_call(call) else { return Ok(()) };
        let branch = place.branch().id;
        let event = match end {
            End::Model(Ok(reply)) => match call::replied(&self.run, call, reply, took_ms) {
                Some(event) => event,
                None => return Ok(()),
            },
            End::Model(Err(error)) => {
                match call::attempt_failed(&self.run, call, call_error(error), took_ms, self.clock.now()) {
                    Some(event) => event,
                    None => return Ok(()),
                }
            }
            End::Tool(ToolEnd::Returned { status, output }) => {
                let result = boathouse_core::message::ToolResult { call, status, output };
                Event::ToolReturned { branch, result, took_ms }
            }
            End::Tool(ToolEnd::Stopped(end) | ToolEnd::Unknown { end, .. }) | End::Stopped(end) => {
                Event::CallStopped { call, end }
            }
        };
        self.record(event)
    }

    /// Records whatever the core decides, until it wants to wait; announces the calls that it wants.
    fn settle(&mut self) -> Result<(), JournalError> {
        loop {
            match decide(&self.run) {
                Decision::Record(event) => self.record(fits::before_asking(&self.run, event))?,
                Decision::Rest { wake_at } => {
                    if let Some(event) = approval::expired(&self.run, self.clock.now()) {
                        self.record(event)?;
                        continue;
                    }
                    (self.wanted, self.wake_at, self.timer) = (None, wake_at, None);
                    return Ok(());
                }
                Decision::Await { calls, until } => {
                    if !self.announce(&calls)? {
                        self.wanted = Some(calls.iter().map(|wanted| wanted.call).collect());
                        self.plan_waking(&calls, until);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Announces wanted calls whose time has come. Returns whether there were any.
    fn announce(&mut self, calls: &[Wanted]) -> Result<bool, JournalError> {
        let now = self.clock.now();
        let mut any = false;
        for wanted in calls.iter().filter(|wanted| !wanted.started && wanted.not_before <= Some(now)) {
            if let Some((event, work)) = call::start(&self.run, wanted) {
                self.record(event)?;
                self.starts.push((*wanted, work));
                any = true;
            }
        }
        Ok(any)
    }

    fn plan_waking(&mut self, calls: &[Wanted], until: Option<(Timer, Timestamp)>) {
        let retry =
            calls.iter().filter(|wanted| !wanted.started).filter_map(|wanted| wanted.not_before).min();
        (self.wake_at, self.timer) = match (until, retry) {
            (Some((timer, limit)), Some(retry)) if limit <= retry => (Some(limit), Some(timer)),
            (_, Some(retry)) => (Some(retry), None),
            (Some((timer, limit)), None) => (Some(limit), Some(timer)),
            (None, None) => (None, None),
        };
    }

    fn record(&mut self, event: Event) -> Result<(), JournalError> {
        let at = self.clock.now().max(self.run.last_at());
        let recorded = Recorded { seq: self.run.seq().next(), at, event };
        self.run.apply(&recorded).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        self.batch.push(Arc::new(Stored::new(recorded)));
        Ok(())
    }

    /// Starts the calls that were announced, and stops those that are not wanted any more.
    fn perform(&mut self) {
        for (wanted, work) in std::mem::take(&mut self.starts) {
            match work {
                Work::Model(request) => {
                    let provider = self.shared.providers.resolve(&request.model);
                    self.calls.ask(provider, request, self.feed.clone());
                }
                Work::Tool(work) => {
                    let crew = self.run.crew();
                    let def = crew.tool(work.tool);
                    let limits = CallLimits::of(&def.spec, &crew.settings, self.shared.cancel_grace);
                    let cx = ToolCx {
                        run: self.run.id().clone(),
                        call: wanted.call,
                        attempt: wanted.attempt,
                        agent: work.agent,
                        idempotency_key: format!("{}-{}", self.run.id(), wanted.call),
                        crew_dir: self.shared.crew_dir(&crew.name),
                        history: work.history,
                        cancelled: CancellationToken::new(),
                        grace: self.shared.cancel_grace,
                    };
                    let built = || tool_for(&self.shared.tools, def);
                    let tool = self.tools.entry(work.tool).or_insert_with(built).clone();
                    self.calls.run(tool, work.arguments, cx, limits);
                }
            }
        }
        let wanted = self.wanted.as_deref().unwrap_or_default();
        self.calls.stop(|call| !wanted.contains(&call));
    }

    /// Whether the run is in the journal.
    pub(crate) fn is_kept(&self) -> bool {
        self.lease.is_some()
    }

    /// Answers everything that is still asked with an error.
    pub(crate) fn refuse_rest(&mut self, error: impl Fn() -> CommandError) {
        let asks = self.take_asks();
        for done in self.acks.drain(..).chain(asks.into_iter().map(|ask| ask.done)) {
            // Whoever asked may have gone.
            let _ = done.send(Err(error()));
        }
    }
}

fn call_error(error: ProviderError) -> CallError {
    CallError {
        kind: error.kind,
        message: error.message,
        retry_after_ms: error.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn fired(future: Option<&mut Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

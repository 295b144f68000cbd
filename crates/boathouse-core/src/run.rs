//! A run: the value that its log folds to.
//!
//! [`Run::apply`] is the only thing that changes a run, and it decides nothing: it takes down what an event says.
//! What comes next is asked of [`decide::decide`], which looks at the run and nothing else. So a run that starts,
//! one that goes on after a pause and one that is recovered after a crash are the same thing.
//!
//! The core owns: whose turn it is, what a reply means, which calls are wanted, limits, what a failure leads to,
//! what every prompt says. The driver owns: performing calls, stopping those no longer wanted, the clock, the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crew::{AgentIx, Crew, Model};
use crate::ids::{AgentId, BranchId, CallId, RunId, Seq, Timestamp, WaitId};
use crate::message::{Message, Usage};

pub mod admit;
pub mod aggregate;
mod apply;
pub mod approval;
pub mod branch;
pub mod call;
pub mod decide;
pub mod event;
pub mod fork;
mod group;
pub mod prompt;
pub mod request;
pub mod signal;
pub mod text_calls;
pub mod verify;

use branch::{Branch, Step};
use event::{
    CancelReason, Event, Outcome, Pinned, ReceiptLine, Recorded, RunStarted, RunState, Summary, WaitFor,
};

/// A run that was taken over so often, without any event but the takeovers' own, has failed: something in it ends
/// every process that drives it.
pub const MAX_TAKEOVERS: u32 = 5;

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Run {
    id: RunId,
    crew: Arc<Crew>,
    started: Arc<RunStarted>,
    created_at: Timestamp,
    seq: Seq,
    last_at: Timestamp,
    phase: Phase,
    pause: OperatorPause,
    branches: Vec<Branch>,
    /// Calls that have started and not ended, with their branch.
    open: BTreeMap<CallId, BranchId>,
    waits: Vec<Wait>,
    /// The messages of its thread, as far as whoever made the run knew them.
    thread: rpds::VectorSync<Arc<Message>>,
    /// What it began with of them.
    pinned: Option<Pinned>,
    /// Waits that a person or the time has closed.
    closed: BTreeMap<WaitId, approval::Closed>,
    next_call: u64,
    next_wait: u32,
    handoffs: u32,
    active_ms: u64,
    /// Takeovers since anything else was recorded than them and the calls that they led to.
    takeovers: u32,
    usage: Usage,
    receipt: Vec<ReceiptLine>,
}

/// Where a run is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It waits for its turn to begin.
    Queued,
    /// It works or waits.
    Running,
    /// It will end as soon as nothing is in flight any more.
    Ending(Ending),
    /// It has ended.
    Ended(Outcome),
}

/// Why a run is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to stop.
    Cancelled(CancelReason),
    /// Its time is over.
    TimedOut,
}

/// An operator's pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorPause {
    /// None.
    None,
    /// Asked for; calls in flight still end.
    Requested,
    /// In force.
    Paused,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// Its id.
    pub wait: WaitId,
    /// Where.
    pub branch: BranchId,
    /// Whose.
    pub agent: AgentId,
    /// For what.
    pub what: WaitFor,
    /// Since when.
    pub opened_at: Timestamp,
}

impl Wait {
    /// When nobody can answer any more.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.what.expires_at()
    }
}

/// A log that does not fold to a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The first event is not `run_started`, or a later one is.
    #[error(
        "event {0} is out of place: a log begins with one `run_started`, and nothing follows `run_ended`"
    )]
    OutOfPlace(Seq),
    /// A number is missing or repeated.
    #[error("event {found} follows event {after}")]
    Gap {
        /// The last number.
        after: Seq,
        /// The next one found.
        found: Seq,
    },
    /// The log was written by a newer version.
    #[error("needs_upgrade: the log has format {found}, this version reads up to {known}")]
    NeedsUpgrade {
        /// What the log says.
        found: u32,
        /// What we know.
        known: u32,
    },
    /// The crew is not the one that the run began with.
    #[error("the run began with crew {expected}, not {found}")]
    OtherCrew {
        /// The hash in the log.
        expected: String,
        /// The hash of the crew that was given.
        found: String,
    },
    /// An event speaks of something that the run does not have.
    #[error("event {seq} does not fit the run: {why}")]
    Misfit {
        /// The event.
        seq: Seq,
        /// What is wrong.
        why: String,
    },
}

impl Run {
    /// Folds a log. The crew must be the one that the run began with.
    pub fn replay<'a>(
        id: RunId,
        crew: Arc<Crew>,
        log: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Run, ReplayError> {
        let mut log = log.into_iter();
        let first = log.next().ok_or(ReplayError::OutOfPlace(Seq(0)))?;
        let mut run = Run::begin(id, crew, first)?;
        for recorded in log {
            run.apply(recorded)?;
        }
        Ok(run)
    }

    /// The run after its first event, if it pins nothing of its thread.
    pub fn begin(id: RunId, crew: Arc<Crew>, first: &Recorded) -> Result<Run, ReplayError> {
        Run::begin_on(rpds::VectorSync::new_sync(), id, crew, first)
    }

    /// The run after its first event, on a thread that has these messages: those that the event pins, or more.
    pub fn begin_on(
        thread: rpds::VectorSync<Arc<Message>>,
        id: RunId,
        crew: Arc<Crew>,
        first: &Recorded,
    ) -> Result<Run, ReplayError> {
        let Event::RunStarted(started) = &first.event else { return Err(ReplayError::OutOfPlace(first.seq)) };
        if started.format > event::FORMAT {
            return Err(ReplayError::NeedsUpgrade { found: started.format, known: event::FORMAT });
        }
        if first.seq != Seq(1) {
            return Err(ReplayError::Gap { after: Seq(0), found: first.seq });
        }
        if *started.crew_hash != *crew.hash {
            return Err(ReplayError::OtherCrew {
                expected: started.crew_hash.clone(),
                found: crew.hash.to_string(),
            });
        }
        let entry = match &started.start_at {
            None => crew.entry,
            Some(agent) => crew.find_agent(agent.as_str()).ok_or_else(|| ReplayError::Misfit {
                seq: first.seq,
                why: format!("no agent `{agent}` to start at"),
            })?,
        };
        let main = Branch::new(BranchId::MAIN, None, entry, rpds::VectorSync::new_sync(), CallId(1));
        let mut run = Run {
            id,
            crew,
            started: Arc::new((**started).clone()),
            created_at: first.at,
            seq: first.seq,
            last_at: first.at,
            phase: if started.queued.is_some() { Phase::Queued } else { Phase::Running },
            pause: OperatorPause::None,
            branches: vec![main],
            open: BTreeMap::new(),
            waits: Vec::new(),
            thread,
            pinned: None,
            closed: BTreeMap::new(),
            next_call: 2,
            next_wait: 1,
            handoffs: 0,
            active_ms: 0,
            takeovers: 0,
            usage: Usage::default(),
            receipt: Vec::new(),
        };
        if run.phase == Phase::Running {
            run.pin(started.pinned.as_ref())?;
            run.queue_fork();
        }
        Ok(run)
    }

    /// The same run, on a thread that has these messages: a queued run needs to know them before it begins.
    #[must_use]
    pub fn on_thread(mut self, thread: rpds::VectorSync<Arc<Message>>) -> Run {
        self.thread = thread;
        self
    }

    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The crew that it began with.
    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// Its first event.
    pub fn started(&self) -> &Arc<RunStarted> {
        &self.started
    }

    /// Its variables: those that it brought, over the crew's defaults.
    pub fn vars(&self) -> BTreeMap<&str, &str> {
        let defaults =
            self.crew.vars.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        defaults
            .chain(self.started.vars.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .collect()
    }

    /// When it began.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Its last event.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// When its last event was recorded.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// Whether its thread is shared with other runs; a thread that has the run's own id is not, as far as the run knows.
    pub fn shares_thread(&self) -> bool {
        self.started.thread.as_str() != self.id.as_str()
    }

    /// What it began with of its thread.
    pub fn pinned(&self) -> Option<&Pinned> {
        self.pinned.as_ref()
    }

    /// What it adds to its thread, once it has ended: the input, whole replies, calls with their one result. Nothing if it
    /// never began.
    pub fn additions(&self) -> impl Iterator<Item = &Arc<Message>> {
        let there = self.pinned.as_ref().filter(|_| self.shares_thread()).map_or(0, |pinned| pinned.messages);
        self.history().iter().skip(there)
    }

    /// What stands for its oldest messages in prompts of the main branch.
    pub fn summary(&self) -> Option<Summary> {
        let main = self.main();
        let text = main.summary.as_ref()?;
        Some(Summary { messages: main.trimmed, text: text.to_string() })
    }

    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The state that people see. Ask it when [`decide::decide`] has nothing more to record.
    pub fn state(&self) -> RunState {
        match &self.phase {
            Phase::Ended(Outcome::Completed { .. }) => RunState::Completed,
            Phase::Ended(Outcome::Cancelled { .. }) => RunState::Cancelled,
            Phase::Ended(Outcome::Failed { .. }) => RunState::Failed,
            Phase::Ended(Outcome::LimitReached { .. }) => RunState::LimitReached,
            Phase::Queued => RunState::Queued,
            Phase::Ending(_) => RunState::Running,
            Phase::Running if self.is_busy() || !self.open.is_empty() => RunState::Running,
            Phase::Running => RunState::Paused,
        }
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Ended(outcome) => Some(outcome),
            Phase::Queued | Phase::Running | Phase::Ending(_) => None,
        }
    }

    /// Tokens so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What waits for a person, oldest first. A fork that waits for its turn waits for nobody else yet.
    pub fn waits(&self) -> &[Wait] {
        if self.phase == Phase::Queued { &[] } else { &self.waits }
    }

    /// Routes taken so far.
    pub fn handoffs(&self) -> u32 {
        self.handoffs
    }

    /// Calls that have started and not ended, with their branch.
    pub fn open_calls(&self) -> impl Iterator<Item = (CallId, BranchId)> + '_ {
        self.open.iter().map(|(call, branch)| (*call, *branch))
    }

    /// One of its branches.
    pub fn branch(&self, id: BranchId) -> Option<&Branch> {
        self.branches.get(id.0 as usize)
    }

    /// All its branches, the main one first.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// The main branch.
    pub fn main(&self) -> &Branch {
        &self.branches[0]
    }

    /// The history of the main branch; empty as long as the run is queued.
    pub fn history(&self) -> &rpds::VectorSync<Arc<Message>> {
        &self.main().history
    }

    /// Milliseconds of active time up to the last event: time in which it did not wait for a person only.
    pub fn active_ms(&self) -> u64 {
        self.active_ms
    }

    /// Routes that it may take.
    pub fn max_handoffs(&self) -> u32 {
        let crew = self.crew.settings.max_handoffs;
        self.started.limits.max_handoffs.map_or(crew, |limit| limit.min(crew))
    }

    /// Rounds that it may take per turn.
    pub fn max_rounds(&self) -> u32 {
        let crew = self.crew.settings.max_rounds;
        self.started.limits.max_rounds.map_or(crew, |limit| limit.min(crew))
    }

    /// Active time that it may take, in milliseconds.
    pub fn timeout_ms(&self) -> u64 {
        let crew = self.crew.settings.timeout_ms;
        self.started.limits.timeout_seconds.map_or(crew, |limit| (u64::from(limit) * 1000).min(crew))
    }

    /// The models of an agent, in the order in which they are asked.
    pub fn models(&self, agent: AgentIx) -> &[Model] {
        let agent = self.crew.agent(agent);
        let instead = self.started.forked_from.as_ref().and_then(|fork| fork.models.get(&agent.id));
        instead.map_or(&agent.models, std::slice::from_ref)
    }

    /// The model of an agent at a place in their order; the last one past its end, where a fork has fewer than the run
    /// that it comes from.
    fn model(&self, agent: AgentIx, place: usize) -> Option<&Model> {
        let models = self.models(agent);
        models.get(place).or(models.last())
    }

    /// The branch and the state of a call that is wanted or in flight.
    pub fn find_call(&self, call: CallId) -> Option<branch::CallPlace<'_>> {
        self.branches.iter().find_map(|branch| branch.find_call(call))
    }

    fn agent_id(&self, agent: AgentIx) -> AgentId {
        self.crew.agent(agent).id.clone()
    }

    /// Whether some line of work does something other than wait for a person.
    fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Queued | Phase::Ended(_))
            && self.pause != OperatorPause::Paused
            && self.branches.iter().any(Branch::is_busy)
    }

    fn mint_call(&mut self) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        call
    }

    /// The branches of the group that `parent` waits for.
    fn children(&self, parent: &Branch) -> impl Iterator<Item = &Branch> + '_ {
        let range = match &parent.step {
            Step::Group(group) => group.children.clone(),
            Step::Calling(_)
            | Step::Summarizing(_)
            | Step::Replied { .. }
            | Step::Round(_)
            | Step::Transfer(_)
            | Step::Joined { .. }
            | Step::Waiting(_)
            | Step::Failed { .. }
            | Step::Limited(_)
            | Step::Ended(_) => 0..0,
        };
        self.branches[range].iter()
    }
}

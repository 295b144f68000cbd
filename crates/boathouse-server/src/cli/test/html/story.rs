//! What happened in a run, as people tell it: from its log to turns, hand-offs, questions and answers.

use std::collections::HashMap;
use std::ops::Range;

use boathouse::core::ids::{AgentId, BranchId, CallId, WaitId};
use boathouse::core::message::Usage;
use boathouse::core::run::event::{
    Answer, BranchEnd, CallEnd, CallError, Event, NextAttempt, Recorded, RunStarted, Timer, Via, WaitFor,
};
use boathouse::crew_test::facts::Call;

/// What happened in a run.
pub(super) struct Story<'a> {
    /// The main branch.
    pub(super) parts: Vec<Part<'a>>,
    /// The branches of its groups.
    pub(super) lanes: Vec<Lane<'a>>,
}

/// A piece of a story.
pub(super) enum Part<'a> {
    /// How it begins.
    Asked(&'a RunStarted),
    /// An agent speaks.
    Said(Said<'a>),
    /// A try of a call failed.
    AttemptFailed { agent: &'a AgentId, error: &'a CallError, next: NextAttempt },
    /// The run goes from one agent to the next.
    HandedOff { to: &'a AgentId, via: &'a Via },
    /// Agents work side by side.
    SideBySide { group: &'a str, lanes: Range<usize> },
    /// The results of a group are one message.
    Joined { output: &'a str },
    /// An agent asks a person.
    Waits { agent: &'a AgentId, what: &'a WaitFor },
    /// The person answers.
    Answered(&'a Answer),
    /// Nobody answered in time.
    Expired,
    /// Older messages no longer go into prompts: so many since the beginning, and what stands for them if anything does.
    Trimmed { dropped: usize, summary: Option<&'a str>, failed: Option<&'a str> },
}

/// A reply, and the calls that it asked for.
pub(super) struct Said<'a> {
    pub(super) agent: &'a AgentId,
    pub(super) text: &'a str,
    pub(super) usage: Option<Usage>,
    pub(super) took_ms: u64,
    pub(super) calls: Vec<Called<'a>>,
}

/// A tool call.
pub(super) struct Called<'a> {
    pub(super) call: &'a Call,
    /// `None` if it was not made.
    pub(super) ended: Option<Ended>,
}

/// How a tool call ended.
#[derive(Clone, Copy)]
pub(super) enum Ended {
    /// With a result; its last try took so long.
    Returned { took_ms: u64 },
    /// Without one.
    Stopped(CallEnd),
}

/// A branch of a group.
pub(super) struct Lane<'a> {
    pub(super) agent: &'a AgentId,
    pub(super) parts: Vec<Part<'a>>,
    pub(super) end: Option<&'a BranchEnd>,
}

/// Tells a log. `calls` are the run's, with their results.
pub(super) fn tell<'a>(log: &'a [Recorded], calls: &'a [Call]) -> Story<'a> {
    let mut teller = Teller {
        calls: calls.iter().map(|call| (call.call, call)).collect(),
        ends: HashMap::new(),
        started: HashMap::new(),
        lane_of: HashMap::new(),
        waits: HashMap::new(),
        summaries: HashMap::new(),
        trimmed: false,
        story: Story { parts: Vec::new(), lanes: Vec::new() },
    };
    // The calls of a reply are told with it, and how they ended with them.
    for recorded in log {
        if let Event::ToolReturned { result, took_ms, .. } = &recorded.event {
            teller.ends.insert(result.call, Ended::Returned { took_ms: *took_ms });
        } else if let Event::CallStopped { call, end } = &recorded.event {
            teller.ends.insert(*call, Ended::Stopped(*end));
        }
    }
    for recorded in log {
        teller.take(&recorded.event);
    }
    teller.story
}

struct Teller<'a> {
    calls: HashMap<CallId, &'a Call>,
    ends: HashMap<CallId, Ended>,
    /// Where calls were made, and whose they were.
    started: HashMap<CallId, (BranchId, &'a AgentId)>,
    lane_of: HashMap<BranchId, usize>,
    /// Where people are waited for.
    waits: HashMap<WaitId, BranchId>,
    summaries: HashMap<CallId, &'a str>,
    /// Whether it was told that messages go without a summary: they do from then on.
    trimmed: bool,
    story: Story<'a>,
}

impl<'a> Teller<'a> {
    fn take(&mut self, event: &'a Event) {
        match event {
            Event::RunStarted(started) => self.story.parts.push(Part::Asked(started)),
            Event::CallStarted { call, branch, agent, .. } => {
                self.started.insert(*call, (*branch, agent));
            }
            Event::ModelReplied { branch, agent, reply, took_ms, .. } => {
                let (text, usage, took_ms) = (reply.text.as_str(), reply.usage, *took_ms);
                self.add(*branch, Part::Said(Said { agent, text, usage, took_ms, calls: Vec::new() }));
            }
            Event::RoundStarted { branch, calls, .. } => {
                let called: Vec<Called<'a>> = calls
                    .iter()
                    .filter_map(|planned| {
                        let call = *self.calls.get(&planned.call.call)?;
                        Some(Called { call, ended: self.ends.get(&call.call).copied() })
                    })
                    .collect();
                if let Some(Part::Said(said)) = self.parts(*branch).last_mut() {
                    said.calls.extend(called);
                }
            }
            Event::AttemptFailed { call, error, next, .. } => {
                if let Some((branch, agent)) = self.started.get(call).copied() {
                    self.add(branch, Part::AttemptFailed { agent, error, next: *next });
                }
            }
            Event::HandedOff { branch, to, via, .. } => self.add(*branch, Part::HandedOff { to, via }),
            Event::Forked { branch, group, branches, .. } => {
                let first = self.story.lanes.len();
                for (branch, agent) in branches {
                    self.lane_of.insert(*branch, self.story.lanes.len());
                    self.story.lanes.push(Lane { agent, parts: Vec::new(), end: None });
                }
                self.add(*branch, Part::SideBySide { group, lanes: first..self.story.lanes.len() });
            }
            Event::BranchEnded { branch, end } => {
                if let Some(lane) = self.lane_of.get(branch) {
                    self.story.lanes[*lane].end = Some(end);
                }
            }
            Event::Joined { branch, output, .. } => self.add(*branch, Part::Joined { output }),
            Event::WaitOpened { wait, branch, agent, what } => {
                self.waits.insert(*wait, *branch);
                self.add(*branch, Part::Waits { agent, what });
            }
            Event::Answered { wait, answer, .. } => self.add_to_wait(*wait, Part::Answered(answer)),
            Event::TimedOut { timer: Timer::Wait(wait) } => self.add_to_wait(*wait, Part::Expired),
            Event::Summarized { call, reply, .. } => {
                self.summaries.insert(*call, &reply.text);
            }
            Event::HistoryTrimmed { branch, dropped, summary, failed } => {
                let summary = summary.and_then(|call| self.summaries.get(&call).copied());
                if summary.is_some() || failed.is_some() || !self.trimmed {
                    self.trimmed |= summary.is_none();
                    let (dropped, failed) = (*dropped, failed.as_deref());
                    self.add(*branch, Part::Trimmed { dropped, summary, failed });
                }
            }
            // Told with the call, with the branch, or with what the outgrown history becomes.
            Event::ToolReturned { .. }
            | Event::CallStopped { .. }
            | Event::GroupClosing { .. }
            | Event::HistoryOutgrown { .. }
            // The end of the run and of the branches says it.
            | Event::TimedOut { timer: Timer::Run | Timer::Group(_) }
            | Event::CancelRequested { .. }
            | Event::RunEnded { .. }
            // No test queues a run, stops the process, or has an operator.
            | Event::Begun { .. }
            | Event::TakenOver { .. }
            | Event::PauseRequested {}
            | Event::Paused {}
            | Event::Resumed {} => {}
        }
    }

    /// Tells something where that wait was told.
    fn add_to_wait(&mut self, wait: WaitId, part: Part<'a>) {
        match self.waits.get(&wait).copied() {
            Some(branch) => self.add(branch, part),
            None => self.story.parts.push(part),
        }
    }

    /// Where a branch is told.
    fn parts(&mut self, branch: BranchId) -> &mut Vec<Part<'a>> {
        match self.lane_of.get(&branch) {
            Some(lane) => &mut self.story.lanes[*lane].parts,
            None => &mut self.story.parts,
        }
    }

    fn add(&mut self, branch: BranchId, part: Part<'a>) {
        self.parts(branch).push(part);
    }
}

//! From recorded events to the ten event types of the Go system, in its JSON shape, its order and its words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use boathouse::core::crew::Crew;
use boathouse::core::ids::{AgentId, BranchId, CallId, RunId, Seq, Timestamp, WaitId};
use boathouse::core::message::{ResultStatus, ToolResult};
use boathouse::core::run::event::{
    BranchEnd, CallKind, Event, Outcome, PlannedCall, Purpose, Recorded, Timer, WaitFor,
};
use bytes::BytesMut;
use serde_json::Value;

/// Writes one run's events as a Go client expects them. It must be given the whole log, from the first event on.
#[derive(Debug)]
pub struct Translator {
    run: RunId,
    thread: String,
    crew: Option<Arc<Crew>>,
    /// The reader has everything up to here.
    seen: Seq,
    /// Whose turn it is, by branch.
    agents: BTreeMap<BranchId, AgentId>,
    rounds: BTreeMap<BranchId, Round>,
    /// The last parallel group failed as a whole, and nothing has happened since.
    group_failed: bool,
    /// Calls that wait for a person. Other calls may still be at work: clients leave at a pause, so that is told when
    /// the run rests.
    proposed: BTreeMap<WaitId, Proposed>,
    last: (Seq, Timestamp),
}

/// A call that waits for a person.
#[derive(Debug)]
struct Proposed {
    branch: BranchId,
    agent: AgentId,
    content: String,
}

/// The tool calls of one reply, of which some have not been told yet.
#[derive(Debug)]
struct Round {
    slots: Vec<Slot>,
    told: usize,
}

#[derive(Debug)]
struct Slot {
    call: CallId,
    tool: String,
    result: Option<(ResultStatus, String)>,
}

/// One event for a Go client.
#[derive(Debug)]
struct GoEvent<'a> {
    kind: &'static str,
    agent: Cow<'a, str>,
    content: Cow<'a, str>,
    /// A further entry of `metadata`.
    more: Option<(&'static str, Value)>,
}

impl<'a> GoEvent<'a> {
    fn new(
        kind: &'static str,
        agent: impl Into<Cow<'a, str>>,
        content: impl Into<Cow<'a, str>>,
    ) -> GoEvent<'a> {
        GoEvent { kind, agent: agent.into(), content: content.into(), more: None }
    }

    fn system(kind: &'static str, content: impl Into<Cow<'a, str>>) -> GoEvent<'a> {
        GoEvent::new(kind, "system", content)
    }
}

impl Translator {
    /// A translator for a reader that has everything up to `seen`. Without the crew, agents go by their ids.
    pub fn new(run: RunId, crew: Option<Arc<Crew>>, seen: Seq) -> Translator {
        Translator {
            run,
            thread: String::new(),
            crew,
            seen,
            agents: BTreeMap::new(),
            rounds: BTreeMap::new(),
            group_failed: false,
            proposed: BTreeMap::new(),
            last: (Seq(0), Timestamp(0)),
        }
    }

    /// Writes what is said when the run rests: for which calls it waits.
    pub fn rest(&mut self, out: &mut BytesMut) {
        let (seq, at) = self.last;
        if seq <= self.seen {
            return;
        }
        for (wait, proposed) in &self.proposed {
            let mut event = GoEvent::new("pause", self.name_of(&proposed.agent), proposed.content.as_str());
            event.more = Some(("wait", wait.0.into()));
            let _ = writeln!(out, "id: {}/{seq}", self.run);
            self.frame(&event, at, out);
        }
    }

    /// Writes what the next recorded event is for the client: nothing, one event or several.
    ///
    /// Each carries as id the place to go on from: the last one its own, those before it the place before.
    pub fn write(&mut self, recorded: &Recorded, out: &mut BytesMut) {
        self.last = (recorded.seq, recorded.at);
        let events = self.translate(&recorded.event);
        if recorded.seq <= self.seen {
            return;
        }
        let last = events.len().saturating_sub(1);
        for (place, event) in events.iter().enumerate() {
            let id = if place == last { recorded.seq.0 } else { recorded.seq.0.saturating_sub(1) };
            let _ = writeln!(out, "id: {}/{id}", self.run);
            self.frame(event, recorded.at, out);
        }
    }

    /// Writes a sign of life, as of now.
    pub fn ping(&self, out: &mut BytesMut) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        self.frame(&GoEvent::system("ping", ""), now, out);
    }

    fn frame(&self, event: &GoEvent<'_>, at: Timestamp, out: &mut BytesMut) {
        out.reserve(event.content.len() + event.content.len() / 8 + 256);
        // Writing to a growing buffer cannot fail.
        let _ = write!(out, "data: {{\"type\":\"{}\",\"agent\":", event.kind);
        go_string(&event.agent, out);
        out.extend_from_slice(b",\"content\":");
        go_string(&event.content, out);
        let _ = write!(out, ",\"timestamp\":\"{at}\",\"metadata\":{{\"run\":");
        go_string(self.run.as_str(), out);
        out.extend_from_slice(b",\"thread\":");
        go_string(&self.thread, out);
        if let Some((name, value)) = &event.more {
            let _ = write!(out, ",\"{name}\":{value}");
        }
        out.extend_from_slice(b"}}\n\n");
    }

    fn translate<'a>(&mut self, event: &'a Event) -> Vec<GoEvent<'a>> {
        let mut out = Vec::new();
        match event {
            Event::RunStarted(started) => {
                self.thread = started.thread.to_string();
                out.push(GoEvent::system("start", "🚀 Starting crew execution..."));
            }
            Event::CallStarted { kind: CallKind::Model { purpose: Purpose::Summary, .. }, .. } => {}
            Event::CallStarted { attempt, branch, agent, kind: CallKind::Model { .. }, .. } => {
                self.close_round(*branch, &mut out);
                self.agents.insert(*branch, agent.clone());
                // The Go system tells of an agent's call once, however often it is tried.
                if *attempt == 1 {
                    let name = self.name_of(agent);
                    let content = if *branch == BranchId::MAIN {
                        format!("🔄 Starting {name}...")
                    } else {
                        format!("🔄 [Parallel] {name} starting...")
                    };
                    out.push(GoEvent::new("agent_start", name, content));
                }
            }
            Event::ModelReplied { agent, reply, .. } => {
                out.push(GoEvent::new("agent_response", self.name_of(agent), reply.text.as_str()));
            }
            Event::RoundStarted { branch, calls, limit: None, .. } => {
                self.begin_round(*branch, calls, &mut out)
            }
            Event::ToolReturned { branch, result, .. } => self.settle(*branch, result, &mut out),
            Event::Forked { branches, .. } => self.agents.extend(branches.iter().cloned()),
            Event::BranchEnded { branch, end } => {
                self.close_round(*branch, &mut out);
                self.proposed.retain(|_, proposed| proposed.branch != *branch);
                let why = match end {
                    BranchEnd::Failed { error } => Cow::from(error),
                    BranchEnd::LimitReached { limit } => Cow::from(format!("limit reached: {limit}")),
                    BranchEnd::TimedOut {} => Cow::from("timed out"),
                    BranchEnd::Completed {} | BranchEnd::Cancelled {} => return out,
                };
                out.push(GoEvent::new("error", self.name_at(*branch), format!("❌ Agent failed: {why}")));
            }
            Event::Joined { completed, failed, .. } => {
                self.group_failed = *completed == 0;
                if *completed > 0 && !failed.is_empty() {
                    let count = failed.len();
                    let content = format!("⚠️ {count} agents failed, continuing with {completed} results");
                    out.push(GoEvent::system("warning", content));
                }
            }
            Event::WaitOpened { wait, branch, agent, what: WaitFor::Approval { tool, .. } } => {
                let content = format!("[PAUSE:{agent}] Waiting for approval of {tool}");
                let proposed = Proposed { branch: *branch, agent: agent.clone(), content };
                self.proposed.insert(*wait, proposed);
            }
            Event::WaitOpened { wait, branch, agent, what: WaitFor::UnknownOutcome { .. } } => {
                let content = format!("[PAUSE:{agent}] Waiting for user input");
                let proposed = Proposed { branch: *branch, agent: agent.clone(), content };
                self.proposed.insert(*wait, proposed);
            }
            Event::Answered { wait, .. } | Event::TimedOut { timer: Timer::Wait(wait) } => {
                self.proposed.remove(wait);
            }
            Event::WaitOpened { wait, agent, what: WaitFor::Answer { .. }, .. } => {
                let content = format!("[PAUSE:{agent}] Waiting for user input");
                let mut event = GoEvent::new("pause", self.name_of(agent), content);
                event.more = Some(("wait", wait.0.into()));
                out.push(event);
            }
            Event::Paused {} => out.push(GoEvent::system("pause", "[PAUSE:] Paused by an operator")),
            Event::RunEnded { outcome, .. } => {
                self.proposed.clear();
                self.end(outcome, &mut out);
            }
            Event::Begun { .. }
            | Event::TakenOver { .. }
            | Event::CallStarted { kind: CallKind::Tool { .. }, .. }
            | Event::AttemptFailed { .. }
            | Event::RoundStarted { limit: Some(_), .. }
            | Event::CallStopped { .. }
            | Event::HandedOff { .. }
            | Event::GroupClosing { .. }
            | Event::HistoryOutgrown { .. }
            | Event::Summarized { .. }
            | Event::HistoryTrimmed { .. }
            | Event::PauseRequested {}
            | Event::Resumed {}
            | Event::CancelRequested { .. }
            | Event::TimedOut { timer: Timer::Run | Timer::Group(_) } => {}
        }
        out
    }

    /// All `tool_start` of the reply at once; results follow in the order of the calls.
    fn begin_round<'a>(&mut self, branch: BranchId, calls: &'a [PlannedCall], out: &mut Vec<GoEvent<'a>>) {
        let slots: Vec<Slot> = calls
            .iter()
            .filter(|planned| !self.is_transfer(planned))
            .map(|planned| Slot {
                call: planned.call.call,
                tool: planned.call.tool.clone(),
                result: planned.settled.as_ref().map(|result| (result.status, result.output.clone())),
            })
            .collect();
        let name = self.name_at(branch);
        for slot in &slots {
            let content = format!("🔧 [Tool] {} → Executing...", slot.tool);
            out.push(GoEvent::new("tool_start", name.clone(), content));
        }
        self.rounds.insert(branch, Round { slots, told: 0 });
        self.tell_results(branch, out);
    }

    /// A hand-off that the model asked for as a call: the Go system has no such tool.
    fn is_transfer(&self, planned: &PlannedCall) -> bool {
        let name = &planned.call.tool;
        planned.settled.is_some()
            && name.starts_with("transfer_to_")
            && !self.crew.iter().any(|crew| crew.tools.iter().any(|tool| tool.spec.name == *name))
    }

    fn settle<'a>(&mut self, branch: BranchId, result: &ToolResult, out: &mut Vec<GoEvent<'a>>) {
        let round = self.rounds.get_mut(&branch);
        let slot = round.and_then(|round| round.slots.iter_mut().find(|slot| slot.call == result.call));
        if let Some(slot) = slot {
            slot.result = Some((result.status, result.output.clone()));
            self.tell_results(branch, out);
        }
    }

    /// Tells the results that no earlier call's missing one holds back.
    fn tell_results<'a>(&mut self, branch: BranchId, out: &mut Vec<GoEvent<'a>>) {
        let name = self.name_at(branch);
        let Some(round) = self.rounds.get_mut(&branch) else { return };
        for slot in &mut round.slots[round.told..] {
            let Some((status, output)) = slot.result.take() else { return };
            round.told += 1;
            let mark = match status {
                ResultStatus::Success => '✅',
                ResultStatus::Error => '❌',
            };
            let content = format!("{mark} [Tool] {} → {output}", slot.tool);
            out.push(GoEvent::new("tool_result", name.clone(), content));
        }
        self.rounds.remove(&branch);
    }

    /// The branch went on or ended: calls that were stopped on the way have no event of their own.
    fn close_round<'a>(&mut self, branch: BranchId, out: &mut Vec<GoEvent<'a>>) {
        if let Some(round) = self.rounds.get_mut(&branch) {
            for slot in &mut round.slots[round.told..] {
                slot.result.get_or_insert((ResultStatus::Error, "not finished".to_owned()));
            }
            self.tell_results(branch, out);
        }
    }

    fn end<'a>(&mut self, outcome: &'a Outcome, out: &mut Vec<GoEvent<'a>>) {
        let open: Vec<BranchId> = self.rounds.keys().copied().collect();
        for branch in open {
            self.close_round(branch, out);
        }
        let done = || GoEvent::system("done", "✅ Execution completed");
        match outcome {
            Outcome::Completed { .. } => out.push(done()),
            Outcome::LimitReached { limit, .. } => {
                let mut warning = GoEvent::system("warning", format!("⚠️ Limit reached: {limit}"));
                warning.more = Some(("limit", limit.as_str().into()));
                out.push(warning);
                out.push(done());
            }
            Outcome::Cancelled { .. } => {
                out.push(GoEvent::system("error", "Execution error: the run was cancelled"));
            }
            Outcome::Failed { error, .. } => {
                let what = if self.group_failed { "Parallel execution failed" } else { "Execution error" };
                out.push(GoEvent::system("error", format!("{what}: {error}")));
            }
        }
    }

    fn name_at<'a>(&self, branch: BranchId) -> Cow<'a, str> {
        self.agents.get(&branch).map_or(Cow::from("system"), |agent| self.name_of(agent))
    }

    fn name_of<'a>(&self, agent: &AgentId) -> Cow<'a, str> {
        let crew = self.crew.as_deref();
        let named = crew.and_then(|crew| Some(crew.agent(crew.find_agent(agent.as_str())?).name.clone()));
        Cow::from(named.unwrap_or_else(|| agent.as_str().to_owned()))
    }
}

/// Writes a JSON string as Go's encoder does: `<`, `>`, `&` and the two line separators escaped.
fn go_string(text: &str, out: &mut BytesMut) {
    out.extend_from_slice(b"\"");
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0x00..=0x1f => b"",
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => b"\\u2028",
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => b"\\u2029",
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        if short.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(short);
        }
        start = at + if *byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[start..]);
    out.extend_from_slice(b"\"");
}

#[cfg(test)]
mod tests;

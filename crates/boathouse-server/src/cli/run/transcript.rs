//! A run as people read it: who speaks, the text as it streams, tools with their time, how it ends.
//!
//! One reply is shown at a time. Where several are in flight (the branches of a parallel group), the first one
//! streams and the others appear after it, whole or as far as they are.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use boathouse::core::crew::Crew;
use boathouse::core::ids::{AgentId, BranchId, CallId, Timestamp};
use boathouse::core::message::{ResultStatus, ToolResult, Usage};
use boathouse::core::run::approval::ANONYMOUS;
use boathouse::core::run::event::{
    Answer, BranchEnd, CallEnd, CallError, CallKind, Event, NextAttempt, Outcome, Purpose, Recorded, Timer,
    Via, WaitFor,
};
use serde_json::Value;

use crate::cli::paint::{BAD, BOLD, DIM, GOOD, WARN, clean};

/// Colours of agents, by their place in the crew.
const VOICES: [AnsiColor; 5] =
    [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Yellow, AnsiColor::Blue, AnsiColor::Green];

/// Characters of a tool's arguments and of its output that are shown.
const ARGUMENTS_SHOWN: usize = 80;
const OUTPUT_SHOWN: usize = 96;

/// Writes a run for people. Fed with everything that a watch gives, in order.
pub(crate) struct Transcript<W> {
    out: W,
    crew: Arc<Crew>,
    /// Whether a line that is overwritten later may be drawn.
    status_line: bool,
    status_drawn: bool,
    line_open: bool,
    /// Replies in flight.
    live: BTreeMap<CallId, Live>,
    /// The one that streams.
    front: Option<CallId>,
    /// Replies that came while another one streamed.
    finished: VecDeque<(AgentId, String)>,
    calls: BTreeMap<CallId, Called>,
    /// Tool calls in flight.
    running: Vec<CallId>,
    /// Whose the branches of parallel groups are.
    branches: BTreeMap<BranchId, AgentId>,
    /// Whose reply the page is at.
    speaker: Option<AgentId>,
    /// Whether it was said that older messages are left out.
    trimmed: bool,
    started_at: Option<Timestamp>,
    replies: u32,
    tool_calls: u32,
}

/// A tool call.
struct Called {
    /// Whose it is, where that is known.
    agent: Option<AgentId>,
    tool: String,
    arguments: Value,
}

/// A reply in flight.
struct Live {
    agent: AgentId,
    attempt: u32,
    text: String,
    /// Bytes of the text that were shown.
    shown: usize,
}

impl<W: Write> Transcript<W> {
    /// Writes to `out`; `status_line` says whether it is a terminal on which a line can be overwritten.
    pub(crate) fn new(out: W, crew: Arc<Crew>, status_line: bool) -> Transcript<W> {
        Transcript {
            out,
            crew,
            status_line,
            status_drawn: false,
            line_open: false,
            live: BTreeMap::new(),
            front: None,
            finished: VecDeque::new(),
            calls: BTreeMap::new(),
            running: Vec::new(),
            branches: BTreeMap::new(),
            speaker: None,
            trimmed: false,
            started_at: None,
            replies: 0,
            tool_calls: 0,
        }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, recorded: &Recorded) -> io::Result<()> {
        match &recorded.event {
            Event::RunStarted(_) => self.started_at = Some(recorded.at),
            Event::Begun { .. } => self.remark("the run begins: its turn has come")?,
            Event::CallStarted { kind: CallKind::Model { purpose: Purpose::Summary, .. }, .. } => {
                self.remark("older messages are summed up")?;
            }
            Event::TakenOver { .. } => self.remark("another process took the run over")?,
            Event::CallStarted { call, attempt, agent, kind: CallKind::Model { .. }, .. } => {
                let live = Live { agent: agent.clone(), attempt: *attempt, text: String::new(), shown: 0 };
                self.live.insert(*call, live);
                self.advance()?;
            }
            Event::CallStarted { call, agent, kind: CallKind::Tool { tool, arguments, .. }, .. } => {
                let (tool, arguments) = (tool.clone(), arguments.clone());
                self.calls.insert(*call, Called { agent: Some(agent.clone()), tool, arguments });
                if !self.running.contains(call) {
                    self.running.push(*call);
                }
            }
            Event::AttemptFailed { call, error, next, .. } => {
                self.attempt_failed(*call, error, *next, recorded.at)?
            }
            Event::ModelReplied { call, agent, reply, .. } => {
                self.replies += 1;
                self.replied(*call, agent, &reply.text)?;
            }
            Event::RoundStarted { branch, calls, .. } => {
                for planned in calls {
                    let agent = self.branches.get(branch).cloned();
                    let (tool, arguments) = (planned.call.tool.clone(), planned.call.arguments.clone());
                    self.calls.insert(planned.call.call, Called { agent, tool, arguments });
                    if let Some(result) = &planned.settled {
                        self.tool_line(result, None)?;
                    }
                }
            }
            Event::ToolReturned { result, took_ms, .. } => {
                self.tool_calls += 1;
                self.running.retain(|call| *call != result.call);
                self.tool_line(result, Some(*took_ms))?;
            }
            Event::CallStopped { call, end } => {
                self.running.retain(|running| running != call);
                if let Some(live) = self.live.remove(call) {
                    if self.front == Some(*call) {
                        self.front = None;
                        self.close_line()?;
                    }
                    let name = self.name(&live.agent);
                    self.remark(&format!("the reply of {name} was cut: {}", call_end(*end)))?;
                    self.advance()?;
                } else {
                    let call = self.call_text(*call);
                    self.line(&format!("  {WARN}■{WARN:#} {call} {DIM}{}{DIM:#}", call_end(*end)))?;
                }
            }
            Event::HandedOff { to, via, .. } => {
                let why = match via {
                    Via::Signal(_) | Via::Transfer => "",
                    Via::Default => " by default",
                    Via::HandoffTarget => " as the first hand-off target",
                    Via::NextAgent => " with what the group found",
                };
                let to = self.full_name(to);
                self.line(&format!("{DIM}→ {to}{why}{DIM:#}"))?;
            }
            Event::Forked { group, branches, .. } => {
                self.branches.extend(branches.iter().cloned());
                let names: Vec<String> = branches.iter().map(|(_, agent)| self.name(agent)).collect();
                self.line(&format!("{DIM}⇉ {}: {} side by side{DIM:#}", clean(group), names.join(", ")))?;
            }
            Event::BranchEnded { branch, end } => {
                let why = match end {
                    BranchEnd::Completed {} => None,
                    BranchEnd::Failed { error } => Some(format!("failed: {error}")),
                    BranchEnd::LimitReached { limit } => Some(format!("reached the limit {limit}")),
                    BranchEnd::TimedOut {} => Some("ran out of time".to_owned()),
                    BranchEnd::Cancelled {} => Some("was no longer needed".to_owned()),
                };
                if let Some(why) = why {
                    let agent = self.branches.get(branch);
                    let who = agent.map_or_else(|| format!("branch {branch}"), |agent| self.name(agent));
                    self.remark(&format!("{who} {why}"))?;
                }
            }
            Event::GroupClosing { .. } => {}
            Event::Joined { group, completed, failed, .. } => {
                let of = *completed as usize + failed.len();
                let names: Vec<String> = failed.iter().map(|(agent, _)| self.name(agent)).collect();
                let missing = match names.is_empty() {
                    true => String::new(),
                    false => format!("; missing: {}", names.join(", ")),
                };
                let group = clean(group);
                self.line(&format!("{DIM}⇇ {group}: {completed} of {of} completed{missing}{DIM:#}"))?;
            }
            Event::WaitOpened { what: WaitFor::Answer { .. }, .. } => {}
            Event::Answered { answer, by, .. } => self.decided(answer, by.as_deref())?,
            Event::WaitOpened { what: WaitFor::Approval { call, .. }, .. } => {
                let call = self.call_text(*call);
                self.line(&format!("  {WARN}?{WARN:#} {call} {DIM}waits for approval{DIM:#}"))?;
            }
            Event::WaitOpened { what: WaitFor::UnknownOutcome { call, end, .. }, .. } => {
                let call = self.call_text(*call);
                self.line(&format!("  {WARN}?{WARN:#} {call} {DIM}{}{DIM:#}", call_end(*end)))?;
            }
            Event::HistoryOutgrown { .. } | Event::Summarized { .. } => {}
            Event::HistoryTrimmed { summary: Some(_), .. } => {
                self.remark("a summary stands for older messages in prompts")?;
            }
            Event::HistoryTrimmed { .. } if self.trimmed => {}
            Event::HistoryTrimmed { .. } => {
                self.trimmed = true;
                self.remark("from here on older messages no longer go into prompts")?;
            }
            Event::PauseRequested {} => self.remark("an operator asked for a pause")?,
            Event::Paused {} => self.remark("paused by an operator")?,
            Event::Resumed {} => self.remark("resumed by an operator")?,
            Event::CancelRequested { .. } => self.remark("cancelling")?,
            Event::TimedOut { timer: Timer::Run } => self.remark("the run is out of time")?,
            Event::TimedOut { timer: Timer::Group(_) } => self.remark("the group is out of time")?,
            Event::TimedOut { timer: Timer::Wait(_) } => self.remark("an approval expired")?,
            Event::RunEnded { outcome, usage } => self.ended(outcome, *usage, recorded.at)?,
        }
        self.draw_status()
    }

    /// Shows a piece of a reply in flight: `offset` is its place in the text, in bytes.
    pub(crate) fn delta(&mut self, call: CallId, attempt: u32, offset: usize, piece: &str) -> io::Result<()> {
        let Some(live) = self.live.get_mut(&call) else { return Ok(()) };
        // A piece from before a snapshot has been shown with it.
        if live.attempt != attempt || live.text.len() != offset {
            return Ok(());
        }
        live.text.push_str(piece);
        self.advance()
    }

    /// Shows the whole text so far of a reply in flight, in the place of what was shown of it.
    pub(crate) fn snapshot(&mut self, call: CallId, attempt: u32, text: &str) -> io::Result<()> {
        let Some(live) = self.live.get_mut(&call) else { return Ok(()) };
        live.attempt = attempt;
        let goes_on = text.as_bytes().starts_with(&live.text.as_bytes()[..live.shown]);
        live.text = text.to_owned();
        if !goes_on {
            live.shown = 0;
            self.close_line()?;
        }
        self.advance()
    }

    /// Ends the open line, so that something else may write.
    pub(crate) fn close_line(&mut self) -> io::Result<()> {
        self.clear_status()?;
        if self.line_open {
            writeln!(self.out)?;
            self.line_open = false;
        }
        self.out.flush()
    }

    /// Writes what a person answered.
    pub(crate) fn answer(&mut self, text: &str) -> io::Result<()> {
        self.line(&format!("{BOLD}›{BOLD:#} {}", clean(text)))?;
        self.out.flush()
    }

    /// What a person decided about a call. Answers to questions were typed here, or come as messages.
    fn decided(&mut self, answer: &Answer, by: Option<&str>) -> io::Result<()> {
        let what = match answer {
            Answer::Approve {} => "approved".to_owned(),
            Answer::Edit { arguments, .. } => format!("approved with other arguments: {arguments}"),
            Answer::Reject { reason: Some(reason) } => format!("rejected: {reason}"),
            Answer::Reject { reason: None } => "rejected".to_owned(),
            Answer::Respond { .. } => "answered in the tool's place".to_owned(),
            Answer::Text { .. } | Answer::Rerun {} | Answer::Done { .. } | Answer::Fail {} => return Ok(()),
        };
        let by = by.filter(|by| *by != ANONYMOUS).map_or_else(String::new, |by| format!(" by {by}"));
        self.line(&format!("  {DIM}{}{DIM:#}", clean(&format!("{what}{by}"))))
    }

    fn replied(&mut self, call: CallId, agent: &AgentId, text: &str) -> io::Result<()> {
        let live = self.live.remove(&call);
        if self.front == Some(call) {
            self.front = None;
            let shown = live.map_or(0, |live| live.shown);
            // What streamed is the beginning of the reply; should it ever not be, the reply is what counts.
            match text.get(shown..) {
                Some(rest) => self.text(rest)?,
                None => {
                    self.close_line()?;
                    self.text(text)?;
                }
            }
            self.close_line()?;
            return self.advance();
        }
        self.finished.push_back((agent.clone(), text.to_owned()));
        self.advance()
    }

    /// Shows what may be shown now: more of the reply in front, or what waited for its end.
    fn advance(&mut self) -> io::Result<()> {
        if self.front.is_none() {
            while let Some((agent, text)) = self.finished.pop_front() {
                self.header(&agent)?;
                self.text(&text)?;
                self.close_line()?;
            }
            if let Some((call, live)) = self.live.iter().next() {
                let (call, agent) = (*call, live.agent.clone());
                self.front = Some(call);
                self.header(&agent)?;
            }
        }
        let Some(live) = self.front.and_then(|call| self.live.get_mut(&call)) else { return Ok(()) };
        let piece = live.text[live.shown..].to_owned();
        live.shown = live.text.len();
        self.text(&piece)?;
        self.out.flush()
    }

    fn attempt_failed(
        &mut self,
        call: CallId,
        error: &CallError,
        next: NextAttempt,
        now: Timestamp,
    ) -> io::Result<()> {
        self.running.retain(|running| *running != call);
        let who = match self.live.remove(&call) {
            Some(live) => {
                if self.front == Some(call) {
                    self.front = None;
                    self.close_line()?;
                }
                format!("the model of {}", self.name(&live.agent))
            }
            None => self.call_text(call),
        };
        let then = match next {
            NextAttempt::Again { at } => format!("trying again in {}", duration(at.millis_since(now))),
            NextAttempt::Backup {} => "trying the backup model".to_owned(),
            NextAttempt::GiveUp {} => "giving up".to_owned(),
        };
        self.line(&format!("  {WARN}!{WARN:#} {who}: {} {DIM}({then}){DIM:#}", clean(&error.message)))?;
        self.advance()
    }

    fn tool_line(&mut self, result: &ToolResult, took_ms: Option<u64>) -> io::Result<()> {
        let (style, mark) = match result.status {
            ResultStatus::Success => (GOOD, "✓"),
            ResultStatus::Error => (BAD, "✗"),
        };
        let call = self.call_text(result.call);
        let took = took_ms.map(|took| format!("  {DIM}{}{DIM:#}", duration(took))).unwrap_or_default();
        self.line(&format!("  {style}{mark}{style:#} {call}{took}"))?;
        let output = clean(&result.output);
        let mut lines = output.lines().filter(|line| !line.trim().is_empty());
        if let Some(first) = lines.next() {
            let more = match lines.count() {
                0 => String::new(),
                1 => " (+1 line)".to_owned(),
                more => format!(" (+{more} lines)"),
            };
            self.line(&format!("    {DIM}{}{more}{DIM:#}", shorten(first.trim(), OUTPUT_SHOWN)))?;
        }
        Ok(())
    }

    fn ended(&mut self, outcome: &Outcome, usage: Usage, at: Timestamp) -> io::Result<()> {
        self.close_line()?;
        writeln!(self.out)?;
        match outcome {
            Outcome::Completed { .. } => {
                self.line(&format!("{GOOD}✓ completed{GOOD:#}{}", self.sums(usage, at)))?
            }
            Outcome::Cancelled { receipt, .. } => {
                self.line(&format!("{WARN}■ cancelled{WARN:#}{}", self.sums(usage, at)))?;
                if receipt.is_empty() {
                    self.line("  nothing was in flight")?;
                }
                for line in receipt {
                    let what = match &line.tool {
                        Some(tool) => clean(tool).into_owned(),
                        None => "model call".to_owned(),
                    };
                    let who = self.name(&line.agent);
                    self.line(&format!("  {what} of {who}: {}", call_end(line.end)))?;
                }
            }
            // What went wrong is told on stderr.
            Outcome::Failed { code, .. } => {
                let sums = self.sums(usage, at);
                self.line(&format!("{BAD}✗ failed: {}{BAD:#}{sums}", clean(code)))?;
            }
            Outcome::LimitReached { limit, .. } => {
                let sums = self.sums(usage, at);
                self.line(&format!("{WARN}■ limit reached: {}{WARN:#}{sums}", clean(limit)))?;
            }
        }
        self.out.flush()
    }

    fn sums(&self, usage: Usage, at: Timestamp) -> String {
        let took = duration(self.started_at.map_or(0, |start| at.millis_since(start)));
        let mut sums = format!(
            " {DIM}in {took} · {} · {}",
            count(u64::from(self.replies), "reply", "replies"),
            count(u64::from(self.tool_calls), "tool call", "tool calls")
        );
        if usage != Usage::default() {
            sums.push_str(&format!(" · {} tokens in, {} out", usage.input_tokens, usage.output_tokens));
        }
        sums.push_str(&format!("{DIM:#}"));
        sums
    }

    fn header(&mut self, agent: &AgentId) -> io::Result<()> {
        let style = self.voice(agent);
        let name = self.full_name(agent);
        self.speaker = Some(agent.clone());
        self.close_line()?;
        writeln!(self.out)?;
        self.line(&format!("{style}● {name}{style:#}"))
    }

    fn remark(&mut self, text: &str) -> io::Result<()> {
        self.line(&format!("{DIM}· {}{DIM:#}", clean(text)))
    }

    /// One whole line.
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.close_line()?;
        writeln!(self.out, "{text}")
    }

    /// A piece of running text.
    fn text(&mut self, piece: &str) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.clear_status()?;
        let piece = clean(piece);
        self.line_open = !piece.ends_with('\n');
        self.out.write_all(piece.as_bytes())
    }

    fn draw_status(&mut self) -> io::Result<()> {
        self.clear_status()?;
        if self.status_line && !self.line_open {
            let status = if !self.running.is_empty() {
                let names: Vec<&str> = self
                    .running
                    .iter()
                    .filter_map(|call| self.calls.get(call))
                    .map(|called| &*called.tool)
                    .collect();
                Some(shorten(&clean(&names.join(", ")), ARGUMENTS_SHOWN / 2))
            } else {
                self.front.map(|_| String::new())
            };
            if let Some(status) = status {
                write!(self.out, "  {DIM}… {status}{DIM:#}")?;
                self.status_drawn = true;
            }
        }
        self.out.flush()
    }

    fn clear_status(&mut self) -> io::Result<()> {
        if self.status_drawn {
            self.status_drawn = false;
            self.out.write_all(b"\r\x1b[K")?;
        }
        Ok(())
    }

    fn voice(&self, agent: &AgentId) -> Style {
        let place = self.crew.find_agent(agent.as_str()).map_or(0, |ix| ix.0);
        VOICES[place % VOICES.len()].on_default().bold()
    }

    fn name(&self, agent: &AgentId) -> String {
        agent_name(&self.crew, agent)
    }

    /// The name, and the id where it says more.
    fn full_name(&self, agent: &AgentId) -> String {
        let name = self.name(agent);
        if name == agent.as_str() { name } else { format!("{name} ({agent})") }
    }

    /// The call, and whose it is if that is not who spoke last.
    fn call_text(&self, call: CallId) -> String {
        let Some(Called { agent, tool, arguments }) = self.calls.get(&call) else {
            return format!("call {call}");
        };
        let whose = match agent {
            Some(agent) if self.speaker.as_ref() != Some(agent) => format!("{}: ", self.name(agent)),
            Some(_) | None => String::new(),
        };
        let arguments = arguments_text(arguments);
        format!("{whose}{}{}", clean(tool), shorten(&clean(&arguments), ARGUMENTS_SHOWN))
    }
}

/// The name that people see of an agent.
pub(crate) fn agent_name(crew: &Crew, agent: &AgentId) -> String {
    let name = crew.find_agent(agent.as_str()).map(|ix| crew.agent(ix).name.as_str()).unwrap_or_default();
    if name.is_empty() { agent.to_string() } else { clean(name).into_owned() }
}

/// What became of a call, in words.
pub(crate) fn call_end(end: CallEnd) -> &'static str {
    match end {
        CallEnd::Finished => "finished",
        CallEnd::Dropped => "dropped",
        CallEnd::Disconnected => "disconnected; what the peer does is the peer's",
        CallEnd::Terminated => "terminated",
        CallEnd::Killed => "killed",
        CallEnd::Abandoned => "abandoned: it ignores cancellation, its result will be discarded",
        CallEnd::Unknown => "nobody knows whether it happened",
        CallEnd::Lost => "lost in a crash",
    }
}

/// `(host: "a", count: 1)`; nothing for no arguments.
fn arguments_text(arguments: &Value) -> String {
    match arguments {
        Value::Object(map) if map.is_empty() => String::new(),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("({})", pairs.join(", "))
        }
        Value::Null => String::new(),
        other => format!("({other})"),
    }
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `312 ms`, `1.2 s`, `3 min 20 s`.
pub(crate) fn duration(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests;

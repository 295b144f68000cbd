//! A run as people read it: who speaks, the text as it streams, tools with their time, how it ends.
//!
//! One reply is shown at a time. Where several are in flight (the branches of a parallel group), the first one
//! streams and the others appear after it, whole or as far as they are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use boathouse::core::crew::Crew;
use boathouse::core::ids::{AgentId, BranchId, CallId, Timestamp};
use boathouse::core::message::{ResultStatus, ToolResult, Usage};
use boathouse::core::run::approval::ANONYMOUS;
use boathouse::core::run::event::{
    Answer, BranchEnd, CallError, CallKind, Event, NextAttempt, Outcome, Purpose, Recorded, Timer, Via,
    WaitFor,
};
use serde_json::Value;

use crate::cli::paint::{BAD, BOLD, DIM, GOOD, WARN, clean};
use replies::Replies;
use sheet::Sheet;
pub(crate) use words::{agent_name, call_end, count, duration};
use words::{arguments_text, shorten};

mod replies;
mod sheet;
mod words;

/// Colours of agents, by their place in the crew.
const VOICES: [AnsiColor; 5] =
    [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Yellow, AnsiColor::Blue, AnsiColor::Green];

/// Characters of a tool's arguments and of its output that are shown.
const ARGUMENTS_SHOWN: usize = 80;
const OUTPUT_SHOWN: usize = 96;

/// Writes a run for people. Fed with everything that a watch gives, in order.
pub(crate) struct Transcript<W> {
    sheet: Sheet<W>,
    crew: Arc<Crew>,
    replies: Replies,
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
    reply_count: u32,
    tool_calls: u32,
}

/// A tool call.
struct Called {
    /// Whose it is, where that is known.
    agent: Option<AgentId>,
    tool: String,
    arguments: Value,
}

impl<W: Write> Transcript<W> {
    /// Writes to `out`; `status_line` says whether it is a terminal on which a line can be overwritten.
    pub(crate) fn new(out: W, crew: Arc<Crew>, status_line: bool) -> Transcript<W> {
        Transcript {
            sheet: Sheet::new(out, status_line),
            crew,
            replies: Replies::default(),
            calls: BTreeMap::new(),
            running: Vec::new(),
            branches: BTreeMap::new(),
            speaker: None,
            trimmed: false,
            started_at: None,
            reply_count: 0,
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
                self.reply_wanted(*call, *attempt, agent)?;
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
                self.reply_count += 1;
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
                if let Some(agent) = self.reply_lost(*call)? {
                    let name = self.name(&agent);
                    self.remark(&format!("the reply of {name} was cut: {}", call_end(*end)))?;
                    self.advance()?;
                } else {
                    let call = self.call_text(*call);
                    self.sheet.line(&format!("  {WARN}■{WARN:#} {call} {DIM}{}{DIM:#}", call_end(*end)))?;
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
                self.sheet.line(&format!("{DIM}→ {to}{why}{DIM:#}"))?;
            }
            Event::Forked { group, branches, .. } => {
                self.branches.extend(branches.iter().cloned());
                let names: Vec<String> = branches.iter().map(|(_, agent)| self.name(agent)).collect();
                self.sheet.line(&format!(
                    "{DIM}⇉ {}: {} side by side{DIM:#}",
                    clean(group),
                    names.join(", ")
                ))?;
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
                self.sheet.line(&format!("{DIM}⇇ {group}: {completed} of {of} completed{missing}{DIM:#}"))?;
            }
            Event::WaitOpened { what: WaitFor::Answer { .. }, .. } => {}
            Event::Answered { answer, by, .. } => self.decided(answer, by.as_deref())?,
            Event::WaitOpened { what: WaitFor::Approval { call, .. }, .. } => {
                let call = self.call_text(*call);
                self.sheet.line(&format!("  {WARN}?{WARN:#} {call} {DIM}waits for approval{DIM:#}"))?;
            }
            Event::WaitOpened { what: WaitFor::UnknownOutcome { call, end, .. }, .. } => {
                let call = self.call_text(*call);
                self.sheet.line(&format!("  {WARN}?{WARN:#} {call} {DIM}{}{DIM:#}", call_end(*end)))?;
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

    /// Ends the open line, so that something else may write.
    pub(crate) fn close_line(&mut self) -> io::Result<()> {
        self.sheet.close_line()
    }

    /// Writes what a person answered.
    pub(crate) fn answer(&mut self, text: &str) -> io::Result<()> {
        self.sheet.line(&format!("{BOLD}›{BOLD:#} {}", clean(text)))?;
        self.sheet.flush()
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
        self.sheet.line(&format!("  {DIM}{}{DIM:#}", clean(&format!("{what}{by}"))))
    }

    fn attempt_failed(
        &mut self,
        call: CallId,
        error: &CallError,
        next: NextAttempt,
        now: Timestamp,
    ) -> io::Result<()> {
        self.running.retain(|running| *running != call);
        let who = match self.reply_lost(call)? {
            Some(agent) => format!("the model of {}", self.name(&agent)),
            None => self.call_text(call),
        };
        let then = match next {
            NextAttempt::Again { at } => format!("trying again in {}", duration(at.millis_since(now))),
            NextAttempt::Backup {} => "trying the backup model".to_owned(),
            NextAttempt::GiveUp {} => "giving up".to_owned(),
        };
        self.sheet
            .line(&format!("  {WARN}!{WARN:#} {who}: {} {DIM}({then}){DIM:#}", clean(&error.message)))?;
        self.advance()
    }

    fn tool_line(&mut self, result: &ToolResult, took_ms: Option<u64>) -> io::Result<()> {
        let (style, mark) = match result.status {
            ResultStatus::Success => (GOOD, "✓"),
            ResultStatus::Error => (BAD, "✗"),
        };
        let call = self.call_text(result.call);
        let took = took_ms.map(|took| format!("  {DIM}{}{DIM:#}", duration(took))).unwrap_or_default();
        self.sheet.line(&format!("  {style}{mark}{style:#} {call}{took}"))?;
        let output = clean(&result.output);
        let mut lines = output.lines().filter(|line| !line.trim().is_empty());
        if let Some(first) = lines.next() {
            let more = match lines.count() {
                0 => String::new(),
                1 => " (+1 line)".to_owned(),
                more => format!(" (+{more} lines)"),
            };
            self.sheet.line(&format!("    {DIM}{}{more}{DIM:#}", shorten(first.trim(), OUTPUT_SHOWN)))?;
        }
        Ok(())
    }

    fn ended(&mut self, outcome: &Outcome, usage: Usage, at: Timestamp) -> io::Result<()> {
        self.sheet.gap()?;
        match outcome {
            Outcome::Completed { .. } => {
                self.sheet.line(&format!("{GOOD}✓ completed{GOOD:#}{}", self.sums(usage, at)))?
            }
            Outcome::Cancelled { receipt, .. } => {
                self.sheet.line(&format!("{WARN}■ cancelled{WARN:#}{}", self.sums(usage, at)))?;
                if receipt.is_empty() {
                    self.sheet.line("  nothing was in flight")?;
                }
                for line in receipt {
                    let what = match &line.tool {
                        Some(tool) => clean(tool).into_owned(),
                        None => "model call".to_owned(),
                    };
                    let who = self.name(&line.agent);
                    self.sheet.line(&format!("  {what} of {who}: {}", call_end(line.end)))?;
                }
            }
            // What went wrong is told on stderr.
            Outcome::Failed { code, .. } => {
                let sums = self.sums(usage, at);
                self.sheet.line(&format!("{BAD}✗ failed: {}{BAD:#}{sums}", clean(code)))?;
            }
            Outcome::LimitReached { limit, .. } => {
                let sums = self.sums(usage, at);
                self.sheet.line(&format!("{WARN}■ limit reached: {}{WARN:#}{sums}", clean(limit)))?;
            }
        }
        self.sheet.flush()
    }

    fn sums(&self, usage: Usage, at: Timestamp) -> String {
        let took = duration(self.started_at.map_or(0, |start| at.millis_since(start)));
        let mut sums = format!(
            " {DIM}in {took} · {} · {}",
            count(u64::from(self.reply_count), "reply", "replies"),
            count(u64::from(self.tool_calls), "tool call", "tool calls")
        );
        if usage != Usage::default() {
            sums.push_str(&format!(" · {} tokens in, {} out", usage.input_tokens, usage.output_tokens));
        }
        sums.push_str(&format!("{DIM:#}"));
        sums
    }

    fn remark(&mut self, text: &str) -> io::Result<()> {
        self.sheet.line(&format!("{DIM}· {}{DIM:#}", clean(text)))
    }

    fn draw_status(&mut self) -> io::Result<()> {
        let status = if self.running.is_empty() {
            self.replies.stream().then(String::new)
        } else {
            let called = self.running.iter().filter_map(|call| self.calls.get(call));
            let names: Vec<&str> = called.map(|called| &*called.tool).collect();
            Some(shorten(&clean(&names.join(", ")), ARGUMENTS_SHOWN / 2))
        };
        self.sheet.status(status.as_deref())
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

#[cfg(test)]
mod tests;

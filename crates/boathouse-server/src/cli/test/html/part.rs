//! The pieces of a story as HTML.

use boathouse::core::crew::Crew;
use boathouse::core::ids::AgentId;
use boathouse::core::message::{Author, Message, ResultStatus};
use boathouse::core::run::event::{
    Answer, BranchEnd, CallEnd, NextAttempt, RunStarted, RunState, Via, WaitFor,
};
use boathouse::crew_test::Facts;
use serde_json::Value;

use super::markup::{Html, counted};
use super::story::{Called, Ended, Lane, Part, Said, Story};
use super::voice;
use crate::cli::run::{call_end, duration};

/// What happened, from the question to the end.
pub(super) fn story(html: &mut Html, crew: &Crew, story: &Story<'_>, facts: &Facts) {
    let mut teller = Teller { html, crew, lanes: &story.lanes };
    teller.parts(&story.parts);
    ended(html, facts);
}

struct Teller<'h, 's> {
    html: &'h mut Html,
    crew: &'s Crew,
    lanes: &'s [Lane<'s>],
}

impl Teller<'_, '_> {
    fn parts(&mut self, parts: &[Part<'_>]) {
        for part in parts {
            self.part(part);
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        match part {
            Part::Asked(started) => self.asked(started),
            Part::Said(said) => self.said(said),
            Part::AttemptFailed { agent, error, next } => {
                let then = match next {
                    NextAttempt::Again { .. } => "tried again",
                    NextAttempt::Backup {} => "the backup model was tried",
                    NextAttempt::GiveUp {} => "given up",
                };
                self.html.raw("<p class=\"note bad\">A call of ");
                self.name(agent);
                self.html.raw(" failed: ").span("", &error.message).raw(" (").text(then).raw(")</p>\n");
            }
            Part::HandedOff { to, via } => {
                self.html.raw("<p class=\"note\"><span aria-hidden=\"true\">↓</span> handed over to ");
                self.name(to);
                self.via(via);
                self.html.raw("</p>\n");
            }
            Part::SideBySide { group, lanes } => {
                self.html
                    .raw("<p class=\"note\">side by side, as ")
                    .span("", group)
                    .raw("</p>\n<div class=\"lanes\">\n");
                for lane in &self.lanes[lanes.clone()] {
                    self.lane(lane);
                }
                self.html.raw("</div>\n");
            }
            Part::Joined { output } => {
                self.html
                    .raw("<details class=\"joined\"><summary>the group's results, as one message</summary>")
                    .raw("<pre dir=\"auto\">")
                    .text(output)
                    .raw("</pre></details>\n");
            }
            Part::Waits { agent, what } => {
                self.html.raw("<p class=\"note waits\">paused: ");
                match what {
                    WaitFor::Answer { .. } => {
                        self.name(agent);
                        self.html.raw(" waits for an answer");
                    }
                    WaitFor::Approval { tool, arguments, .. } => {
                        self.name(agent);
                        self.html.raw(" asks to call ").span("", tool).raw(" with ");
                        self.html.span("", &arguments.to_string());
                    }
                    WaitFor::UnknownOutcome { tool, .. } => {
                        self.html.raw("nobody knows whether ").span("", tool).raw(" happened");
                    }
                }
                self.html.raw("</p>\n");
            }
            Part::Answered(answer) => {
                let text = match answer {
                    Answer::Text { text } => text.clone(),
                    Answer::Rerun {} => "Make the call again.".to_owned(),
                    Answer::Done { output } => output.clone(),
                    Answer::Fail {} => "Count the call as failed.".to_owned(),
                    Answer::Approve {} => "Make the call.".to_owned(),
                    Answer::Edit { arguments, .. } => format!("Make the call with {arguments}."),
                    Answer::Reject { reason: Some(reason) } => format!("Do not make the call: {reason}"),
                    Answer::Reject { reason: None } => "Do not make the call.".to_owned(),
                    Answer::Respond { output } => format!("Do not make the call; its result is: {output}"),
                };
                self.person("answered", &text);
            }
            Part::Expired => {
                self.html.raw("<p class=\"note bad\">nobody decided in time</p>\n");
            }
            Part::Trimmed { dropped, summary, failed } => self.trimmed(*dropped, *summary, *failed),
        }
    }

    fn trimmed(&mut self, dropped: usize, summary: Option<&str>, failed: Option<&str>) {
        let older = counted(dropped as u64, "older message");
        if let Some(summary) = summary {
            self.html
                .raw("<details class=\"joined\"><summary>a summary stands for ")
                .text(&older)
                .raw(" in prompts</summary><pre dir=\"auto\">")
                .text(summary)
                .raw("</pre></details>\n");
            return;
        }
        let class = if failed.is_some() { "note bad" } else { "note" };
        self.html.open("p", &[("class", class)]).text(&older).raw(" left out of prompts");
        if let Some(why) = failed {
            self.html.raw(", without a summary: ").span("", why);
        }
        self.html.raw("</p>\n");
    }

    fn asked(&mut self, started: &RunStarted) {
        if !started.history.is_empty() {
            let count = counted(started.history.len() as u64, "message");
            self.html.raw("<details class=\"joined\"><summary>").text(&count).raw(" before</summary>");
            for message in &started.history {
                self.before(message);
            }
            self.html.raw("</details>\n");
        }
        self.person("asked", &started.input);
    }

    fn before(&mut self, message: &Message) {
        let who = match &message.from {
            Author::User => "user",
            Author::System => "system",
            Author::Agent(agent) => agent.as_ref().map_or("assistant", AgentId::as_str),
            Author::Group(group) => group,
        };
        self.html
            .raw("<p class=\"before\">")
            .span("muted", who)
            .raw(" ")
            .span("text", &message.content())
            .raw("</p>");
    }

    fn person(&mut self, did: &str, text: &str) {
        self.html
            .raw("<div class=\"person\"><span class=\"unseen\">the person ")
            .text(did)
            .raw(": </span><div class=\"text\" dir=\"auto\">")
            .text(text)
            .raw("</div></div>\n");
    }

    fn said(&mut self, said: &Said<'_>) {
        self.html.open("div", &[("class", "turn"), ("data-voice", voice(self.crew, said.agent))]);
        self.html.raw("<p class=\"speaker\">");
        self.name(said.agent);
        let mut figures = vec![duration(said.took_ms)];
        if let Some(usage) = said.usage {
            figures.insert(0, counted(usage.input_tokens.saturating_add(usage.output_tokens), "token"));
        }
        self.html.span("figures", &figures.join(" · ")).raw("</p>");
        if !said.text.is_empty() {
            self.html.raw("<div class=\"text\" dir=\"auto\">").text(said.text).raw("</div>");
        }
        if !said.calls.is_empty() {
            self.html.raw("<ul class=\"calls\">");
            for called in &said.calls {
                self.html.raw("<li>");
                call(self.html, called);
                self.html.raw("</li>");
            }
            self.html.raw("</ul>");
        }
        self.html.raw("</div>\n");
    }

    fn lane(&mut self, lane: &Lane<'_>) {
        let end = match lane.end {
            Some(BranchEnd::Completed {}) => "completed".to_owned(),
            Some(BranchEnd::Failed { error }) => format!("failed: {error}"),
            Some(BranchEnd::LimitReached { limit }) => format!("reached the limit {limit}"),
            Some(BranchEnd::TimedOut {}) => "ran out of time".to_owned(),
            Some(BranchEnd::Cancelled {}) => "was no longer needed".to_owned(),
            None => "had not ended".to_owned(),
        };
        self.html.raw("<div class=\"lane\">");
        self.parts(&lane.parts);
        self.html.raw("<p class=\"note\">");
        self.name(lane.agent);
        self.html.raw(" ").span("", &end).raw("</p></div>\n");
    }

    /// An agent by its name, in its colour; with the id if that is another.
    fn name(&mut self, agent: &AgentId) {
        let name = self.crew.agents.iter().find(|found| found.id == *agent).map_or("", |found| &found.name);
        self.html.open("span", &[("class", "agent"), ("data-voice", voice(self.crew, agent))]);
        match name {
            "" => self.html.span("", agent.as_str()),
            name if name == agent.as_str() => self.html.span("", name),
            name => self.html.span("", name).raw(" ").span("id", agent.as_str()),
        };
        self.html.raw("</span>");
    }

    fn via(&mut self, via: &Via) {
        match via {
            Via::Signal(signal) => self.html.raw(" by ").span("signal", signal),
            Via::Transfer => self.html.raw(" by a transfer"),
            Via::Default => self.html.raw(" by default"),
            Via::HandoffTarget => self.html.raw(" as the first hand-off target"),
            Via::NextAgent => self.html.raw(" with what the group found"),
        };
    }
}

/// A tool call, closed until somebody wants to read it.
fn call(html: &mut Html, called: &Called<'_>) {
    let call = called.call;
    let (state, mark, said) = match (call.status, called.ended) {
        (Some(ResultStatus::Success), _) => ("ok", "✓", "succeeded: "),
        (Some(ResultStatus::Error), _) => ("error", "✗", "failed: "),
        (None, _) => ("open", "■", "without a result: "),
    };
    let ended = match called.ended {
        Some(Ended::Returned { took_ms }) => duration(took_ms),
        Some(Ended::Stopped(end @ (CallEnd::Unknown | CallEnd::Lost))) => call_end(end).to_owned(),
        Some(Ended::Stopped(end)) => format!("stopped: {}", call_end(end)),
        None if call.status.is_some() => "not made".to_owned(),
        None => "had not ended".to_owned(),
    };
    html.open("details", &[("class", "call"), ("data-state", state)])
        .raw("<summary><span class=\"mark\" aria-hidden=\"true\">")
        .text(mark)
        .raw("</span><span class=\"unseen\">")
        .text(said)
        .raw("</span>")
        .span("tool", &call.tool)
        .raw(" ")
        .span("arguments", &in_a_line(&call.arguments))
        .span("took", &ended)
        .raw("</summary><dl><dt>arguments</dt><dd><pre dir=\"auto\">")
        // Any value can be written.
        .text(&serde_json::to_string_pretty(&call.arguments).unwrap_or_default())
        .raw("</pre></dd><dt>result</dt><dd><pre dir=\"auto\">");
    match call.result.as_str() {
        "" => html.raw("<span class=\"nothing\">nothing</span>"),
        result => html.text(result),
    };
    html.raw("</pre></dd></dl></details>");
}

/// `host: "a", count: 1`, not too long.
fn in_a_line(arguments: &Value) -> String {
    const LONGEST: usize = 160;
    let text = match arguments {
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            pairs.join(", ")
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// How the run ended.
fn ended(html: &mut Html, facts: &Facts) {
    let (state, text) = match facts.state {
        RunState::Completed => ("good", "completed".to_owned()),
        RunState::Paused => ("waits", "paused: no answer is left".to_owned()),
        RunState::LimitReached => {
            ("bad", format!("reached the limit {}", facts.limit.as_deref().unwrap_or_default()))
        }
        RunState::Failed => ("bad", format!("failed: {}", facts.error.as_deref().unwrap_or_default())),
        RunState::Cancelled => ("bad", "cancelled".to_owned()),
        RunState::Running | RunState::Queued => ("bad", "still running when its time was up".to_owned()),
    };
    html.open("p", &[("class", "end"), ("data-state", state)]).span("", &text).raw("</p>\n");
}

//! One run for people, from its log.

use std::io::{self, Write};
use std::sync::Arc;

use boathouse::core::Run;
use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::{AgentIx, Crew, HandoffStyle, Settings};
use boathouse::core::run::event::{Answer, Event, Outcome, WaitFor};
use boathouse::engine::{RunView, WaitView};
use boathouse::log_file::{Head, LogFile};
use boathouse_server::http::run_json;
use serde_json::Value;

use super::{cannot_write, table};
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::{self, BAD, BOLD, DIM, HINT, WARN, clean};
use crate::cli::run::transcript::{Transcript, agent_name};
use crate::cli::setup::Parts;

/// Prints a run: as a transcript, or as JSON.
pub(super) fn show(log: &LogFile, json: bool) -> Result<Exit, Failure> {
    let crew = Arc::new(crew_of(&log.head, &Parts::new(None)?.catalog()));
    let recorded = log.recorded();
    let run = Run::replay(log.head.run.clone(), crew.clone(), &recorded);
    if json {
        let run = run.map_err(|error| Failure::new(error).hint("`--events` shows the log as it is"))?;
        super::print(&serde_json::to_value(run_json(&RunView::of(&run))).map_err(Failure::new)?)?;
        return Ok(Exit::Done);
    }
    transcript(log, &crew).map_err(cannot_write)?;
    if let Ok(run) = run {
        rest(&RunView::of(&run), &crew).map_err(cannot_write)?;
    }
    Ok(Exit::Done)
}

/// The crew that the run began with; one without agents if this program cannot make it.
fn crew_of(head: &Head, catalog: &Catalog) -> Crew {
    head.compile(catalog).unwrap_or_else(|_| Crew {
        name: head.crew.clone(),
        description: String::new(),
        hash: head.crew_hash.as_str().into(),
        source: head.source.clone(),
        tools: Vec::new(),
        agents: Vec::new(),
        entry: AgentIx(0),
        groups: Vec::new(),
        handoff: HandoffStyle::Auto,
        settings: Settings::default(),
        vars: Default::default(),
    })
}

fn transcript(log: &LogFile, crew: &Arc<Crew>) -> io::Result<()> {
    let mut out = anstream::stdout();
    let mut transcript = Transcript::new(anstream::stdout(), crew.clone(), false);
    for stored in &log.events {
        match &stored.recorded.event {
            Event::RunStarted(started) => {
                let began = table::time(&stored.recorded.at.to_string());
                writeln!(
                    out,
                    "{BOLD}{}{BOLD:#}  {DIM}run {} · began {began}{DIM:#}",
                    clean(&started.crew),
                    log.head.run
                )?;
                if let Some(from) = &started.forked_from {
                    writeln!(out, "{DIM}forked from run {} at event {}{DIM:#}", from.run, from.seq)?;
                }
                transcript.answer(&started.input)?;
            }
            Event::Answered { answer, .. } => match answer {
                Answer::Text { text } => transcript.answer(text)?,
                Answer::Rerun {} => transcript.answer("rerun")?,
                Answer::Done { output } => transcript.answer(output)?,
                Answer::Fail {} => transcript.answer("fail")?,
                // The transcript tells of decisions.
                Answer::Approve {} | Answer::Edit { .. } | Answer::Reject { .. } | Answer::Respond { .. } => {
                }
            },
            _ => {}
        }
        transcript.event(&stored.recorded)?;
    }
    transcript.close_line()
}

/// What the transcript does not say: why a run failed, and what it waits for.
fn rest(view: &RunView, crew: &Crew) -> io::Result<()> {
    let mut out = anstream::stdout();
    if let Some(Outcome::Failed { error, .. }) = &view.outcome {
        writeln!(out, "  {BAD}{}{BAD:#}", clean(error))?;
    }
    for open in &view.waits {
        wait(&mut out, view, open, crew)?;
    }
    out.flush()
}

fn wait(out: &mut impl Write, view: &RunView, open: &WaitView, crew: &Crew) -> io::Result<()> {
    let who = agent_name(crew, &open.agent);
    let (what, how) = match &open.what {
        WaitFor::Approval { tool, arguments, .. } => (
            format!("{who} asks to call {tool} with {arguments}"),
            "--approve|--edit JSON|--reject REASON|--respond RESULT",
        ),
        WaitFor::Answer { .. } => (format!("{who} waits for an answer"), "\"...\""),
        WaitFor::UnknownOutcome { tool, arguments, .. } => (
            format!("nobody knows whether {tool} {arguments} of {who} happened"),
            "--rerun|--done OUTPUT|--fail",
        ),
    };
    writeln!(out, "\n{WARN}? {}{WARN:#}", clean(&what))?;
    let to = if view.waits.len() > 1 { format!(" --to {}", open.wait) } else { String::new() };
    writeln!(out, "  {HINT}boathouse runs answer {}{to} {how}{HINT:#}", view.id)
}

/// What a run came to that was waited for, as the API gives it: its output on stdout, what it waits for on stderr.
pub(super) fn print_rest(run: &Value) -> io::Result<()> {
    match run["state"].as_str().unwrap_or_default() {
        "failed" => {
            paint::error(format!("the run failed: {}", run["error"]["message"].as_str().unwrap_or_default()))
        }
        "paused" => {
            let questions = run["waits"].as_array().into_iter().flatten();
            for wait in questions.filter_map(|wait| wait["question"].as_str()) {
                paint::note(wait);
            }
            let id = run["id"].as_str().unwrap_or_default();
            paint::warn("the run is paused");
            paint::hint(format!("`boathouse runs show {id}` says what it waits for"));
        }
        "limit_reached" => {
            paint::warn(format!("limit reached: {}", run["limit"].as_str().unwrap_or_default()));
        }
        _ => {}
    }
    match run["output"].as_str() {
        Some(output) => super::println(&clean(output)),
        None => Ok(()),
    }
}

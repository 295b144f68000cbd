//! What goes to stdout while a run goes on, in one of three formats.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anstream::AutoStream;
use boathouse::core::crew::Crew;
use boathouse::core::ids::CallId;
use boathouse::core::run::event::{Answer, Outcome};
use boathouse::engine::{RunView, WaitView};
use boathouse::feed::Item;
use boathouse_server::http::run_json;
use serde::{Deserialize, Serialize};

use super::ask;
use super::transcript::{Transcript, agent_name};
use crate::cli::paint::{self, clean};

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Everything, for people.
    Transcript,
    /// Events, one JSON object a line; then the outcome.
    Json,
    /// Only the output.
    Output,
}

/// Writes to stdout.
pub(crate) struct Show {
    crew: Arc<Crew>,
    to: To,
}

enum To {
    Transcript(Box<Transcript<AutoStream<io::Stdout>>>),
    Json(io::Stdout),
    Output(AutoStream<io::Stdout>),
}

/// The last line of [`Format::Json`].
#[derive(Serialize)]
struct OutcomeLine<R> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    run: R,
}

#[derive(Deserialize)]
struct Delta {
    call: CallId,
    attempt: u32,
    offset: usize,
    text: String,
}

impl Show {
    /// Nothing is written yet.
    pub(crate) fn new(format: Format, crew: &Arc<Crew>) -> Show {
        let to = match format {
            Format::Transcript => {
                let terminal = io::stdout().is_terminal();
                To::Transcript(Box::new(Transcript::new(anstream::stdout(), crew.clone(), terminal)))
            }
            Format::Json => To::Json(io::stdout()),
            Format::Output => To::Output(anstream::stdout()),
        };
        Show { crew: crew.clone(), to }
    }

    /// Whether pieces of replies are shown.
    pub(crate) fn wants_deltas(&self) -> bool {
        matches!(self.to, To::Transcript(_))
    }

    /// Shows something that the watch gave.
    pub(crate) fn item(&mut self, item: &Item) -> io::Result<()> {
        match (&mut self.to, item) {
            (To::Transcript(transcript), Item::Event(stored)) => transcript.event(&stored.recorded),
            (To::Transcript(transcript), Item::Delta(json)) => match serde_json::from_slice::<Delta>(json) {
                Ok(delta) => transcript.delta(delta.call, delta.attempt, delta.offset, &delta.text),
                Err(_) => Ok(()),
            },
            (To::Transcript(transcript), Item::Snapshot { call, attempt, text }) => {
                transcript.snapshot(*call, *attempt, text)
            }
            (To::Json(out), Item::Event(stored)) => {
                let mut out = out.lock();
                out.write_all(&stored.json)?;
                out.write_all(b"\n")?;
                out.flush()
            }
            (To::Transcript(_) | To::Json(_) | To::Output(_), _) => Ok(()),
        }
    }

    /// Ends an open line, so that stderr may speak.
    pub(crate) fn close_line(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Transcript(transcript) => transcript.close_line(),
            To::Json(_) | To::Output(_) => Ok(()),
        }
    }

    /// Makes sure that a person at the terminal has seen what they are asked.
    pub(crate) fn question(&mut self, wait: &WaitView) -> io::Result<()> {
        self.close_line()?;
        match &self.to {
            To::Output(_) if !wait.question.is_empty() => {
                paint::note(format!("{}: {}", agent_name(&self.crew, &wait.agent), wait.question));
            }
            // The transcript has shown it; JSON has it in the events.
            To::Transcript(_) | To::Json(_) | To::Output(_) => {}
        }
        Ok(())
    }

    /// Shows an answer that nobody saw being typed.
    pub(crate) fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        if ask::at_terminal() {
            return Ok(());
        }
        match &mut self.to {
            To::Transcript(transcript) => transcript.answer(match answer {
                Answer::Text { text } => text,
                Answer::Rerun {} => "rerun",
                Answer::Done { .. } => "done",
                Answer::Fail {} => "fail",
                Answer::Approve {} => "approved",
                Answer::Edit { .. } => "approved with other arguments",
                Answer::Reject { .. } => "rejected",
                Answer::Respond { .. } => "answered in its place",
            }),
            To::Json(_) | To::Output(_) => Ok(()),
        }
    }

    /// Shows how the run ended or where it stands.
    pub(crate) fn outcome(&mut self, view: &RunView) -> io::Result<()> {
        match &mut self.to {
            To::Transcript(transcript) => transcript.close_line(),
            To::Json(out) => {
                let line = OutcomeLine { kind: "outcome", run: run_json(view) };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
                out.flush()
            }
            To::Output(out) => match &view.outcome {
                Some(Outcome::Completed { output } | Outcome::LimitReached { output, .. }) => {
                    writeln!(out, "{}", clean(output))?;
                    out.flush()
                }
                Some(Outcome::Cancelled { .. } | Outcome::Failed { .. }) | None => Ok(()),
            },
        }
    }
}

//! `boathouse run`: one run, live in the terminal.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use boathouse::core::crew::Crew;
use boathouse::core::ids::{AgentId, RunId, ThreadId};
use boathouse::core::message::Usage;
use boathouse::core::run::approval::ApprovalDecision;
use boathouse::core::run::event::{Answer, CancelReason, Outcome, RunState, WaitFor};
use boathouse::engine::{CommandError, Engine, RunView, StartRun, WaitView};
use boathouse::feed::Watch;
use clap::Args;

use super::exit::{Exit, Failure};
use super::setup::{self, JournalChoice, Keeping, Parts};
use super::signals::StopSignals;
use super::{crews, paint, who};

mod ask;
mod show;
pub(crate) mod transcript;

use show::{Format, Show};
use transcript::agent_name;
pub(crate) use transcript::{call_end, duration};

const AFTER_HELP: &str = "\
Examples:
  boathouse run examples/it-support \"Check this machine\" --model scripted
  boathouse run examples/it-support --model scripted          asks what to do
  echo \"My computer is slow\" | boathouse run examples/it-support --model scripted
  boathouse run my-crew \"Summarize\" --var topic=boats --json > events.jsonl
  boathouse run my-crew \"And now?\" --thread friday             goes on with what was said

When an agent waits for an answer, the run asks for it here. At the end of stdin it stays paused.
A call that needs an approval is shown and asked about at a terminal only; elsewhere the run stays
paused (exit code 3).

Ctrl-C cancels the run, waits for what is in flight and shows what became of it. A second one
quits at once.

Exit codes:
  0 completed, 1 failed, 2 usage, 3 paused, 4 limit reached,
  130 cancelled by Ctrl-C, 143 by SIGTERM";

/// How long what is left may take to stop when the command ends.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RunArgs {
    /// The crew's folder, with a crew.yaml in it
    dir: PathBuf,
    /// What the crew is asked; read from stdin if left out, asked for at a terminal
    input: Option<String>,
    /// Answer for every model: `scripted`, or `PROVIDER/MODEL`
    #[arg(long, env = "BOATHOUSE_MODEL", value_name = "MODEL")]
    model: Option<String>,
    /// Where the run is kept: `memory`, or an SQLite file [default: memory, with --thread boathouse.db]
    #[arg(long, env = "BOATHOUSE_JOURNAL", value_name = "memory|FILE")]
    journal: Option<JournalChoice>,
    /// Go on with a conversation, or begin one of this name
    #[arg(long, value_name = "ID", value_parser = thread)]
    thread: Option<ThreadId>,
    /// The agent to start at, instead of the crew's entry
    #[arg(long, value_name = "AGENT")]
    start_at: Option<String>,
    /// A value for a placeholder in prompts; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var)]
    vars: Vec<(String, String)>,
    /// Print events, one JSON object a line; the last line is the outcome
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print only the output
    #[arg(long, short)]
    quiet: bool,
}

fn var(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, such as `topic=boats`".to_owned()),
    }
}

fn thread(text: &str) -> Result<ThreadId, String> {
    boathouse_server::http::input::check_id("ID", text)
        .map(|()| ThreadId::from(text))
        .map_err(|problem| problem.detail.into_owned())
}

/// Where the run is kept. A conversation that ends with its process would be none.
fn journal(args: &RunArgs) -> Result<JournalChoice, Failure> {
    match (&args.journal, &args.thread) {
        (Some(JournalChoice::Memory), Some(thread)) => Err(Failure::usage(format!(
            "the conversation `{thread}` cannot be gone on with: a journal in memory ends with the run"
        ))
        .hint("name a file with --journal, or leave it out")),
        (Some(choice), _) => Ok(choice.clone()),
        (None, Some(_)) => Ok(JournalChoice::File("boathouse.db".into())),
        (None, None) => Ok(JournalChoice::Memory),
    }
}

/// Runs a crew once.
pub(crate) async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let journal = journal(&args)?;
    let mut signals = StopSignals::take_over()?;
    let parts = Parts::new(args.model.as_deref())?;
    let crew = crews::load(&args.dir, &parts.catalog())?;
    let input = match args.input {
        Some(text) if text != "-" => text,
        Some(_) | None => tokio::select! {
            read = ask::input() => read?,
            exit = signals.next() => return Ok(exit),
        },
    };
    if input.trim().is_empty() {
        return Err(Failure::usage("the input is empty").hint("write it after the crew's folder, in quotes"));
    }
    let engine = parts.start(&journal, Keeping::default(), Vec::new()).await?;
    let crew = engine.add_crew(crew).await.map_err(Failure::new)?;
    let start = StartRun {
        crew: crew.name.clone(),
        input,
        start_at: args.start_at.map(AgentId::from),
        thread: args.thread,
        vars: args.vars.into_iter().collect(),
        ..StartRun::default()
    };
    let format = match (args.json, args.quiet) {
        (true, _) => Format::Json,
        (false, true) => Format::Output,
        (false, false) => Format::Transcript,
    };
    let live = Live {
        engine: &engine,
        crew: &crew,
        show: Show::new(format, &crew),
        signals: &mut signals,
        offline_possible: args.model.is_none() && crew.source.contains_key(boathouse::provider::script::FILE),
    };
    let done = live.start(start, &journal).await;
    // Of a run that was left paused, the journal keeps all there is; one in memory ends with the process.
    tokio::select! {
        () = engine.shutdown(GRACE) => done,
        exit = signals.next() => Ok(exit),
    }
}

/// A run and the person who watches it.
struct Live<'a> {
    engine: &'a Engine,
    crew: &'a Crew,
    show: Show,
    signals: &'a mut StopSignals,
    /// The crew could answer from its own script, and does not.
    offline_possible: bool,
}

/// What became of a question.
enum Asked {
    Answered,
    /// Nobody answers any more.
    EndOfInput,
    Signal(Exit),
}

impl Live<'_> {
    async fn start(mut self, start: StartRun, journal: &JournalChoice) -> Result<Exit, Failure> {
        let started = self.engine.start_watched(start, self.show.wants_deltas()).await;
        let (run, watch) = started.map_err(setup::cannot_start)?;
        let cancelled = match self.follow(&run, watch).await {
            Ok(cancelled) => cancelled,
            Err(failure) => {
                // Nobody sees what it does any more.
                let _ = self.engine.cancel(&run, CancelReason::Disconnected, true).await;
                return Err(failure);
            }
        };
        let view = self.view(&run).await?;
        self.show.outcome(&view).map_err(cannot_write)?;
        Ok(match &view.outcome {
            Some(Outcome::Completed { .. }) => Exit::Done,
            Some(Outcome::Failed { error, .. }) => self.failed(error, &view).report(),
            Some(Outcome::LimitReached { .. }) => Exit::LimitReached,
            Some(Outcome::Cancelled { .. }) => cancelled.unwrap_or(Exit::Interrupted),
            None => {
                self.tell_paused(&view, journal);
                Exit::Paused
            }
        })
    }

    /// Shows the run until it has ended, or waits for somebody who is not there. What cancelled it, if a signal did.
    async fn follow(&mut self, run: &RunId, mut watch: Watch) -> Result<Option<Exit>, Failure> {
        let mut cancelled = None;
        loop {
            let signal = self.until_rest(&mut watch).await?;
            let signal = match signal {
                Some(exit) => Some(exit),
                None => {
                    let view = self.view(run).await?;
                    match view.state {
                        state if state.is_ended() => return Ok(cancelled),
                        RunState::Paused if cancelled.is_none() => match self.ask(&view).await? {
                            Asked::Answered => None,
                            Asked::EndOfInput => return Ok(None),
                            Asked::Signal(exit) => Some(exit),
                        },
                        _ => None,
                    }
                }
            };
            match (signal, cancelled) {
                (None, _) => {
                    let deltas = self.show.wants_deltas();
                    let again = self.engine.watch(run, watch.seq(), deltas).await.map_err(Failure::new)?;
                    let Some(again) = again else { return Ok(cancelled) };
                    watch = again;
                }
                (Some(exit), None) => {
                    cancelled = Some(exit);
                    self.show.close_line().map_err(cannot_write)?;
                    paint::note("cancelling; once more to quit at once");
                    self.engine.cancel(run, CancelReason::Requested, false).await.map_err(Failure::new)?;
                }
                (Some(exit), Some(_)) => std::process::exit(i32::from(exit.code())),
            }
        }
    }

    /// Shows what comes until nothing comes by itself any more, or a signal interrupts.
    async fn until_rest(&mut self, watch: &mut Watch) -> Result<Option<Exit>, Failure> {
        loop {
            tokio::select! {
                items = watch.next() => {
                    let Some(items) = items.map_err(Failure::new)? else { return Ok(None) };
                    items.iter().try_for_each(|item| self.show.item(item)).map_err(cannot_write)?;
                }
                exit = self.signals.next() => return Ok(Some(exit)),
            }
            if watch.at_rest() {
                return Ok(None);
            }
        }
    }

    /// Asks for everything that a paused run waits for.
    async fn ask(&mut self, view: &RunView) -> Result<Asked, Failure> {
        if view.waits.is_empty() {
            return Ok(Asked::EndOfInput);
        }
        for wait in &view.waits {
            self.show.question(wait).map_err(cannot_write)?;
            let asked = tokio::select! {
                answer = answer_to(self.crew, wait) => answer?,
                exit = self.signals.next() => {
                    paint::note("");
                    return Ok(Asked::Signal(exit));
                }
            };
            let Some(answer) = asked else { return Ok(Asked::EndOfInput) };
            self.show.answer(&answer).map_err(cannot_write)?;
            let said = match wait.what {
                WaitFor::Approval { .. } | WaitFor::UnknownOutcome { .. } => {
                    let (digest, by) = (wait.what.digest(), who::is_it());
                    let decision = ApprovalDecision { wait: wait.wait, answer, digest, by };
                    self.engine.decide(&view.id, vec![decision]).await
                }
                WaitFor::Answer { .. } => self.engine.answer(&view.id, Some(wait.wait), answer).await,
            };
            match said {
                Ok(()) => {}
                // Somebody else was faster, or it does not fit: then it is asked again.
                Err(CommandError::Refused(why)) => paint::warn(why),
                Err(error) => return Err(Failure::new(error)),
            }
        }
        Ok(Asked::Answered)
    }

    async fn view(&self, run: &RunId) -> Result<RunView, Failure> {
        let view = self.engine.run(run).await.map_err(Failure::new)?;
        view.ok_or_else(|| Failure::new(format!("run {run} was deleted while it was watched")))
    }

    fn failed(&self, error: &str, view: &RunView) -> Failure {
        let failure = Failure::new(format!("the run failed: {error}"));
        let no_model_answered = view.usage == Usage::default();
        if no_model_answered && self.offline_possible {
            return failure.hint("`--model scripted` runs this crew without a key and a network");
        }
        failure
    }

    fn tell_paused(&self, view: &RunView, journal: &JournalChoice) {
        let who: Vec<String> = view.waits.iter().map(|wait| agent_name(self.crew, &wait.agent)).collect();
        let (what, how) = match view.waits.first().map(|wait| &wait.what) {
            Some(WaitFor::Approval { .. }) => ("a decision", "--approve"),
            Some(WaitFor::UnknownOutcome { .. }) => ("a decision", "--done OUTPUT"),
            Some(WaitFor::Answer { .. }) | None => ("an answer", "\"...\""),
        };
        let why = match who.is_empty() {
            true => "the run is paused".to_owned(),
            false => format!("the run is paused: {} waits for {what}", who.join(", ")),
        };
        paint::warn(why);
        for wait in &view.waits {
            match &wait.what {
                WaitFor::Answer { .. } => {}
                WaitFor::Approval { tool, arguments, .. } => {
                    paint::note(format!("approval {} is open: {tool} with {arguments}", wait.wait));
                }
                WaitFor::UnknownOutcome { tool, arguments, .. } => paint::note(format!(
                    "nobody knows whether call {} happened: {tool} with {arguments}; `--rerun`, `--done OUTPUT` or `--fail`",
                    wait.wait
                )),
            }
        }
        match journal {
            JournalChoice::Memory => {
                paint::hint(
                    "it ends here, because its journal is in memory; `--journal FILE` keeps it for later",
                );
            }
            JournalChoice::File(file) => paint::hint(format!(
                "`boathouse runs answer {} --journal {} {how}` answers it, or a server on that file",
                view.id,
                file.display()
            )),
        }
    }
}

/// What a person says to a wait; `None` at the end of stdin.
async fn answer_to(crew: &Crew, wait: &WaitView) -> Result<Option<Answer>, Failure> {
    let who = agent_name(crew, &wait.agent);
    match &wait.what {
        WaitFor::Answer { .. } => {
            let text = said(&format!("Your answer to {who}")).await?;
            Ok(text.map(|text| Answer::Text { text }))
        }
        WaitFor::Approval { tool, arguments, .. } => ask::approval(tool, arguments).await,
        WaitFor::UnknownOutcome { .. } => loop {
            let Some(choice) =
                said("Make the call again, count it as done, or as failed? (rerun/done/fail)").await?
            else {
                return Ok(None);
            };
            match choice.trim().to_lowercase().as_str() {
                "r" | "rerun" => return Ok(Some(Answer::Rerun {})),
                "f" | "fail" => return Ok(Some(Answer::Fail {})),
                "d" | "done" => {
                    let output = ask::line("What did it give?").await?;
                    return Ok(output.map(|output| Answer::Done { output }));
                }
                _ => paint::note("write `rerun`, `done` or `fail`"),
            }
        },
    }
}

/// The next line that is not blank.
async fn said(question: &str) -> Result<Option<String>, Failure> {
    loop {
        match ask::line(question).await? {
            Some(text) if text.trim().is_empty() => {}
            said => return Ok(said),
        }
    }
}

fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        // Whoever read it has read enough.
        io::ErrorKind::BrokenPipe => Failure::told(),
        _ => Failure::new(format!("cannot write to stdout: {error}")),
    }
}

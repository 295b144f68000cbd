//! `boathouse runs`: runs that a server has, or a file that nobody serves.

use std::io::{self, Write};

use boathouse::core::crew::Model;
use boathouse::core::ids::{AgentId, Seq, WaitId};
use boathouse::core::run::event::{Answer, RunState};
use boathouse::core::run::fork::Edits;
use boathouse::engine::ForkPoint;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::paint;

mod export;
mod file;
pub(crate) mod place;
mod server;
mod show;
mod table;

use place::{Place, PlaceArgs, Wanted};

const AFTER_HELP: &str = "\
Examples:
  boathouse runs list --state paused
  boathouse runs show RUN
  boathouse runs answer RUN \"the blue one\"
  boathouse runs cancel RUN --wait
  boathouse runs fork RUN --at 7 --reply \"Let us look at the disk [ROUTE_EXECUTOR]\"
  boathouse runs export RUN > run.jsonl
  boathouse runs list --journal boathouse.db

They ask the server at --server. With --journal FILE they use the file itself, which works while
no server has it open; a run that goes on is then driven here, until it ends or waits.

Exit codes:
  0 done, 1 failed or not reached, 2 usage; where a run was waited for, as for `boathouse run`:
  0 completed, 1 failed, 3 paused, 4 limit reached, 130 cancelled";

#[derive(Args)]
#[command(after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List runs, the newest first
    List(ListArgs),
    /// Show one run: who said what, tools, tokens, what it waits for
    Show(ShowArgs),
    /// Stop a run
    Cancel(CancelArgs),
    /// Answer what a run waits for
    Answer(AnswerArgs),
    /// Start a new run from a step of another
    Fork(Box<ForkArgs>),
    /// Try a run again that failed, reached a limit or was cancelled, as a new run
    Retry(RetryArgs),
    /// Write a run's whole log, for other programs or `boathouse replay`
    Export(ExportArgs),
    /// Forget runs that have ended
    Delete(DeleteArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs list --state paused
  boathouse runs list --crew it-support --limit 100 --json
  boathouse runs list --journal boathouse.db")]
struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only runs of this crew
    #[arg(long)]
    crew: Option<String>,
    /// Only runs in this state: queued, running, paused, completed, cancelled, failed, limit_reached
    #[arg(long, value_parser = state)]
    state: Option<RunState>,
    /// Only runs of this conversation
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// One JSON object a line, as the API gives them
    #[arg(long)]
    json: bool,
}

fn state(text: &str) -> Result<RunState, String> {
    let known = "queued, running, paused, completed, cancelled, failed, limit_reached";
    serde_json::from_value(Value::from(text)).map_err(|_| format!("write one of {known}"))
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs show RUN
  boathouse runs show RUN --events | jq .type")]
struct ShowArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The run's id
    run: String,
    /// Its events, one JSON object a line
    #[arg(long, conflicts_with = "json")]
    events: bool,
    /// The run as one JSON object, as the API gives it
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs cancel RUN
  boathouse runs cancel RUN --wait")]
struct CancelArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The run's id
    run: String,
    /// Wait until everything has stopped, and show what became of each call
    #[arg(long)]
    wait: bool,
    /// The run as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs answer RUN \"the blue one\"
  boathouse runs answer RUN --approve
  boathouse runs answer RUN --to 2 --reject \"not before Monday\"
  boathouse runs answer RUN --done \"paid by hand\"")]
struct AnswerArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The run's id
    run: String,
    /// What to say to the agent that asked
    #[arg(required_unless_present = "call", conflicts_with = "call")]
    text: Option<String>,
    /// Which wait, if several are open
    #[arg(long, value_name = "WAIT")]
    to: Option<u32>,
    /// For a call that needs an approval: make it
    #[arg(long, group = "call")]
    approve: bool,
    /// For such a call: make it with these arguments
    #[arg(long, value_name = "JSON", group = "call", value_parser = object)]
    edit: Option<Value>,
    /// For such a call: do not make it, and tell the agent why
    #[arg(long, value_name = "REASON", group = "call")]
    reject: Option<String>,
    /// For such a call: do not make it, this is its result
    #[arg(long, value_name = "RESULT", group = "call")]
    respond: Option<String>,
    /// For a call of which nobody knows whether it happened: make it again
    #[arg(long, group = "call")]
    rerun: bool,
    /// For such a call: it was done, and gave this
    #[arg(long, value_name = "OUTPUT", group = "call")]
    done: Option<String>,
    /// For such a call: it counts as failed
    #[arg(long, group = "call")]
    fail: bool,
    #[command(flatten)]
    after: After,
}

impl AnswerArgs {
    fn answer(&self) -> Answer {
        if let Some(text) = &self.text {
            return Answer::Text { text: text.clone() };
        }
        if let Some(arguments) = &self.edit {
            return Answer::edit(arguments.clone());
        }
        if let Some(output) = &self.respond {
            return Answer::Respond { output: output.clone() };
        }
        if let Some(output) = &self.done {
            return Answer::Done { output: output.clone() };
        }
        match &self.reject {
            Some(reason) if reason.trim().is_empty() => Answer::Reject { reason: None },
            Some(reason) => Answer::Reject { reason: Some(reason.clone()) },
            None if self.approve => Answer::Approve {},
            None if self.rerun => Answer::Rerun {},
            None => Answer::Fail {},
        }
    }
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("write one JSON object, such as `{\"amount\": 5}`".to_owned()),
        Err(error) => Err(format!("this is not JSON: {error}")),
    }
}

/// What is shown of a run that goes on.
#[derive(Args)]
struct After {
    /// Wait until the run ends or waits for a person, and print its output
    #[arg(long)]
    wait: bool,
    /// The run as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs fork RUN --at 7 --reply \"Let us look at the disk [ROUTE_EXECUTOR]\"
  boathouse runs fork RUN --answer \"the red one\"
  boathouse runs fork RUN --use openai/gpt-4o-mini --wait")]
struct ForkArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The id of the run that the new one comes from
    run: String,
    /// The event after which it goes its own way; no call may be in flight there. Left out: the last wait
    /// with --answer, the last reply with --reply, the beginning with --input, else the last step from which
    /// things can go otherwise
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    at: Option<u64>,
    /// What the run is asked instead
    #[arg(long, value_name = "TEXT")]
    input: Option<String>,
    /// What the model says instead in the reply at that event
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// What a person says instead to the wait that is open there
    #[arg(long, value_name = "TEXT")]
    answer: Option<String>,
    #[command(flatten)]
    models: Models,
    #[command(flatten)]
    after: After,
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs retry RUN
  boathouse runs retry RUN --use ollama/qwen3:1.7b --wait")]
struct RetryArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The run's id
    run: String,
    #[command(flatten)]
    models: Models,
    #[command(flatten)]
    after: After,
}

#[derive(Args)]
struct Models {
    /// Ask another model from there on: `PROVIDER/MODEL` for all agents, `AGENT=PROVIDER/MODEL` for one;
    /// may be repeated
    #[arg(long = "use", value_name = "[AGENT=]PROVIDER/MODEL", value_parser = model)]
    models: Vec<(Option<String>, Model)>,
}

fn model(text: &str) -> Result<(Option<String>, Model), String> {
    let (agent, name) = match text.split_once('=') {
        Some((agent, name)) => (Some(agent.to_owned()), name),
        None => (None, text),
    };
    match name.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok((agent, Model { provider: provider.to_owned(), model: model.to_owned(), base_url: None }))
        }
        _ => Err("write a provider and a model, such as `openai/gpt-4o-mini`".to_owned()),
    }
}

impl Models {
    fn put_into(self, edits: &mut Edits) {
        for (agent, model) in self.models {
            match agent {
                Some(agent) => drop(edits.models.insert(AgentId::from(agent), model)),
                None => edits.model = Some(model),
            }
        }
    }
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs export RUN > run.jsonl
  boathouse runs export RUN --format markdown --output run.md")]
struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The run's id
    run: String,
    /// What to write
    #[arg(long, value_enum, default_value_t = export::Format::Jsonl)]
    format: export::Format,
    /// Where to write it; left out, or `-`: stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  boathouse runs delete RUN
  boathouse runs delete RUN RUN RUN")]
struct DeleteArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The runs' ids
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
}

/// Does what a `runs` command says.
pub(crate) async fn runs(args: RunsArgs) -> Result<Exit, Failure> {
    match args.command {
        Command::List(args) => list(args).await,
        Command::Show(args) => {
            let log = args.place.open().await?.log(&args.run).await?;
            if args.events { print_events(&log) } else { show::show(&log, args.json) }
        }
        Command::Cancel(args) => cancel(args).await,
        Command::Answer(args) => {
            let answer = args.answer();
            let place = args.place.open().await?;
            let run = place.answer(&args.run, args.to.map(WaitId), answer).await;
            went_on(place, run, args.after).await
        }
        Command::Fork(args) => {
            let answer = args.answer.map(|text| (None, Answer::Text { text }));
            let mut edits = Edits { input: args.input, reply: args.reply, answer, ..Edits::default() };
            args.models.put_into(&mut edits);
            let from = args.at.map_or(ForkPoint::Last, |at| ForkPoint::At(Seq(at)));
            let place = args.place.open().await?;
            let run = place.fork(&args.run, from, edits).await;
            went_on(place, run, args.after).await
        }
        Command::Retry(args) => {
            let mut edits = Edits::default();
            args.models.put_into(&mut edits);
            let place = args.place.open().await?;
            let run = place.fork(&args.run, ForkPoint::Retry, edits).await;
            went_on(place, run, args.after).await
        }
        Command::Export(args) => {
            let log = args.place.open().await?.log(&args.run).await?;
            export::export(&log, args.format, args.output.as_deref())
        }
        Command::Delete(args) => {
            let place = args.place.open().await?;
            let mut done = Exit::Done;
            for run in &args.runs {
                match place.delete(run).await {
                    Ok(()) => paint::note(format!("run {run} is forgotten")),
                    Err(failure) => done = failure.report(),
                }
            }
            place.close().await;
            Ok(done)
        }
    }
}

async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let wanted =
        Wanted { crew: args.crew, state: args.state, thread: args.thread, limit: args.limit as usize };
    let place = args.place.open().await?;
    let runs = place.list(&wanted).await;
    place.close().await;
    let (runs, more) = runs?;
    if args.json {
        for run in &runs {
            print(run)?;
        }
    } else {
        table::print(&runs).map_err(cannot_write)?;
    }
    if more {
        paint::note(format!("there are more; `--limit {}` shows them", args.limit.saturating_mul(10)));
    }
    Ok(Exit::Done)
}

async fn cancel(args: CancelArgs) -> Result<Exit, Failure> {
    let place = args.place.open().await?;
    let run = place.cancel(&args.run, args.wait).await;
    place.close().await;
    let run = run?;
    if args.json {
        print(&run)?;
        return Ok(Exit::Done);
    }
    match (run["state"].as_str(), run["receipt"].as_array()) {
        (Some("cancelled"), Some(receipt)) => table::print_receipt(receipt).map_err(cannot_write)?,
        (Some("running" | "queued"), _) => {
            paint::note("cancelling; `--wait` shows what becomes of calls in flight");
        }
        (state, _) => paint::note(format!("the run had ended: {}", state.unwrap_or_default())),
    }
    Ok(Exit::Done)
}

/// After a run was told to go on, or a new one was begun.
async fn went_on(place: Place, run: Result<Value, Failure>, after: After) -> Result<Exit, Failure> {
    let waited = match run {
        Ok(run) if after.wait || place.is_file() => {
            let id = id_of(&run);
            if !after.json {
                paint::note(format!("run {id}"));
            }
            place.rested(&id).await.map(|run| (run, true))
        }
        Ok(run) => Ok((run, false)),
        Err(failure) => Err(failure),
    };
    place.close().await;
    let (run, rested) = waited?;
    if after.json {
        print(&run)?;
    } else if rested {
        show::print_rest(&run).map_err(cannot_write)?;
    } else {
        println(&id_of(&run)).map_err(cannot_write)?;
    }
    Ok(if rested { exit_of(&run) } else { Exit::Done })
}

fn id_of(run: &Value) -> String {
    run["id"].as_str().unwrap_or_default().to_owned()
}

/// The exit code for a run that was waited for.
fn exit_of(run: &Value) -> Exit {
    match run["state"].as_str() {
        Some("completed") => Exit::Done,
        Some("paused") => Exit::Paused,
        Some("limit_reached") => Exit::LimitReached,
        Some("cancelled") => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

fn print_events(log: &boathouse::log_file::LogFile) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    let written = log.events.iter().try_for_each(|event| {
        out.write_all(&event.json)?;
        out.write_all(b"\n")
    });
    written.and_then(|()| out.flush()).map_err(cannot_write)?;
    Ok(Exit::Done)
}

fn print(value: &Value) -> Result<(), Failure> {
    println(&value.to_string()).map_err(cannot_write)
}

fn println(line: &str) -> io::Result<()> {
    let mut out = anstream::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}

pub(crate) fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        // Whoever read it has read enough.
        io::ErrorKind::BrokenPipe => Failure::told(),
        _ => Failure::new(format!("cannot write to stdout: {error}")),
    }
}

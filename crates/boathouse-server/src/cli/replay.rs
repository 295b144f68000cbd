//! `boathouse replay`: a recorded run again, offline, with today's code or another crew.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use boathouse::core::crew::Crew;
use boathouse::core::run::event::{CallKind, Event, Recorded};
use boathouse::core::run::request::{ModelRequest, PromptMessage, ToolOffer};
use boathouse::core::run::verify::{Difference, Now, first_difference, request_at};
use boathouse::log_file::LogFile;
use clap::Args;

use super::crews;
use super::exit::{Exit, Failure};
use super::paint::{BAD, BOLD, DIM, GOOD, clean};
use super::run::transcript::count;
use super::runs::cannot_write;
use super::runs::place::PlaceArgs;
use super::setup::Parts;

const AFTER_HELP: &str = "\
Examples:
  boathouse replay RUN                           a run of the server
  boathouse replay RUN --journal boathouse.db    one in a file
  boathouse replay run.jsonl                     one that `boathouse runs export` has written
  boathouse replay run.jsonl --crew my-crew      would the crew as it is now do the same?

No model is asked and no tool is called: replies, results and answers are taken from the record.
Every decision is worked out again, and every prompt is rebuilt and compared by its fingerprint.

Exit codes: 0 nothing differs, 1 something does or the run cannot be read, 2 usage";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The run's id, or an exported file
    run: String,
    /// The folder of a crew that takes the place of the one that the run began with
    #[arg(long, value_name = "DIR")]
    crew: Option<PathBuf>,
}

/// Replays one run and tells the first difference.
pub(crate) async fn replay(args: ReplayArgs) -> Result<Exit, Failure> {
    let log = match Path::new(&args.run).is_file() {
        true => read(Path::new(&args.run))?,
        false => args.place.open().await?.log(&args.run).await?,
    };
    let catalog = Parts::new(None)?.catalog();
    let recorded_crew = log.head.compile(&catalog).map(Arc::new);
    let crew = match &args.crew {
        Some(dir) => Arc::new(crews::load(dir, &catalog)?.crew),
        None => recorded_crew.clone().map_err(|error| {
            Failure::new(error).hint("a crew whose tools this program does not have cannot be replayed here")
        })?,
    };
    let events = log.recorded();
    let found = first_difference(&log.head.run, &crew, &events).map_err(Failure::new)?;
    match found {
        None => same(&events).map_err(cannot_write),
        Some(found) => {
            let then = recorded_crew.ok();
            different(&log, &events, &crew, then.as_ref(), &found).map_err(cannot_write)
        }
    }
}

fn read(file: &Path) -> Result<LogFile, Failure> {
    let failed = |why: String| Failure::new(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    LogFile::parse(&text).map_err(|error| {
        failed(error.to_string()).hint("`boathouse runs export RUN > FILE` writes such a file")
    })
}

fn same(events: &[Recorded]) -> io::Result<Exit> {
    let calls = |model: bool| {
        let made = events.iter().filter(|recorded| {
            matches!(&recorded.event, Event::CallStarted { kind, .. } if matches!(kind, CallKind::Model { .. }) == model)
        });
        made.count() as u64
    };
    let mut out = anstream::stdout();
    writeln!(
        out,
        "{GOOD}✓ nothing differs{GOOD:#} {DIM}in {}, {}, {}{DIM:#}",
        count(events.len() as u64, "event", "events"),
        count(calls(true), "prompt", "prompts"),
        count(calls(false), "tool call", "tool calls")
    )?;
    out.flush()?;
    Ok(Exit::Done)
}

/// Shows both sides of a difference.
fn different(
    log: &LogFile,
    events: &[Recorded],
    crew: &Arc<Crew>,
    then: Option<&Arc<Crew>>,
    found: &Difference,
) -> io::Result<Exit> {
    let mut out = anstream::stdout();
    let seq = found.seq;
    writeln!(out, "{BAD}✗ event {seq} differs{BAD:#} {DIM}in run {}{DIM:#}\n", log.head.run)?;
    let prompts = |crew: &Arc<Crew>| {
        let request = request_at(&log.head.run, crew, events, seq).ok().flatten();
        request.map(|request| prompt_text(&request))
    };
    let (before, after) = (then.and_then(prompts), prompts(crew));
    if let (Some(Event::CallStarted { agent, .. }), Now::Event(now), Some(after)) =
        (&found.recorded, &found.now, &after)
        && matches!(&**now, Event::CallStarted { kind: CallKind::Model { .. }, .. })
    {
        writeln!(out, "{BOLD}the request to the model of {agent}{BOLD:#}")?;
        match before.filter(|before| before != after) {
            Some(before) => write_diff(&mut out, &before, after)?,
            None => {
                // The crew cannot be made any more, or what differs is the model, or how prompts are built.
                side(&mut out, "recorded", found.recorded.as_ref())?;
                side(&mut out, "now", Some(now))?;
                writeln!(out, "\n{}", clean(after))?;
            }
        }
        out.flush()?;
        return Ok(Exit::Failed);
    }
    side(&mut out, "recorded", found.recorded.as_ref())?;
    match &found.now {
        Now::Event(event) => side(&mut out, "now", Some(event))?,
        Now::Waiting => writeln!(
            out,
            "{BOLD}now{BOLD:#}\n  nothing: the run would wait for a call, a person or the time"
        )?,
        Now::Refused(why) => writeln!(out, "{BOLD}now{BOLD:#}\n  nothing: {}", clean(why))?,
        Now::Misfit(why) => writeln!(out, "{BOLD}now{BOLD:#}\n  it does not fit: {}", clean(why))?,
    }
    out.flush()?;
    Ok(Exit::Failed)
}

fn side(out: &mut impl Write, name: &str, event: Option<&Event>) -> io::Result<()> {
    writeln!(out, "{BOLD}{name}{BOLD:#}")?;
    match event {
        None => writeln!(out, "  nothing: the log ends there"),
        Some(event) => {
            let text = serde_json::to_string_pretty(event)?;
            text.lines().try_for_each(|line| writeln!(out, "  {}", clean(line)))
        }
    }
}

/// A request as text, for people and for comparing by lines.
fn prompt_text(request: &ModelRequest) -> String {
    let model = &request.model;
    let mut text = format!("[model] {}/{}\n", model.provider, model.model);
    let mut part = |head: String, body: &str| {
        text.push_str(&format!("[{head}]\n{}\n", body.trim_end()));
    };
    part("system".to_owned(), &request.system);
    for message in &request.messages {
        match message {
            PromptMessage::System { text } => part("system".to_owned(), text),
            PromptMessage::User { text } => part("user".to_owned(), text),
            PromptMessage::Assistant { text, calls } => {
                part("assistant".to_owned(), text);
                for call in calls {
                    part(format!("call {} of {}", call.id, call.tool), &call.arguments.to_string());
                }
            }
            PromptMessage::Tool { id, tool, output, .. } => part(format!("result of {tool}, {id}"), output),
        }
    }
    for tool in &request.tools {
        match tool {
            ToolOffer::Tool(spec) => {
                part(format!("tool {}", spec.name), &format!("{}\n{}", spec.description, spec.parameters));
            }
            ToolOffer::Transfer { name, description } => part(format!("tool {name}"), description),
        }
    }
    text
}

/// Lines around a change that are shown.
const AROUND: usize = 2;

/// Writes two texts as one, by lines: what both have in front and at the end is left out but for a little.
fn write_diff(out: &mut impl Write, before: &str, after: &str) -> io::Result<()> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let most = before.len().min(after.len()) - same;
    let end = before.iter().rev().zip(after.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(AROUND);
    if from > 0 {
        writeln!(out, "{DIM}  ({from} lines are the same){DIM:#}")?;
    }
    let common = |line: &&str| format!("  {}", clean(line));
    before[from..same].iter().try_for_each(|line| writeln!(out, "{}", common(line)))?;
    before[same..before.len() - end]
        .iter()
        .try_for_each(|line| writeln!(out, "{BAD}- {}{BAD:#}", clean(line)))?;
    after[same..after.len() - end]
        .iter()
        .try_for_each(|line| writeln!(out, "{GOOD}+ {}{GOOD:#}", clean(line)))?;
    let rest = &after[after.len() - end..];
    rest.iter().take(AROUND).try_for_each(|line| writeln!(out, "{}", common(line)))?;
    if rest.len() > AROUND {
        writeln!(out, "{DIM}  ({} lines are the same){DIM:#}", rest.len() - AROUND)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::write_diff;

    fn diff(before: &str, after: &str) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write_diff(&mut out, before, after).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn a_change_is_shown_with_a_little_around_it() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh";
        assert_eq!(
            diff(before, "a\nb\nc\nD\nDD\ne\nf\ng\nh"),
            "  (1 lines are the same)\n  b\n  c\n- d\n+ D\n+ DD\n  e\n  f\n  (2 lines are the same)\n"
        );
        assert_eq!(diff("a\nb", "a"), "  a\n- b\n");
        assert_eq!(diff("a", "a\na"), "  a\n+ a\n");
    }
}

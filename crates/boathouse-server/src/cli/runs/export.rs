//! A run's log for other programs and for people.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use boathouse::core::message::{ResultStatus, ToolResult};
use boathouse::core::run::event::{Answer, Event, Outcome, WaitFor};
use boathouse::log_file::LogFile;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::cannot_write;
use super::table::time;
use crate::cli::exit::{Exit, Failure};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The crew's files, then one event a line; `boathouse replay` reads it
    Jsonl,
    /// The same as one JSON object
    Json,
    /// The conversation, to read
    Markdown,
}

/// Writes a log.
pub(super) fn export(log: &LogFile, format: Format, output: Option<&Path>) -> Result<Exit, Failure> {
    let bytes = match format {
        Format::Jsonl => log.to_text(),
        Format::Json => json(log)?,
        Format::Markdown => markdown(log).into_bytes(),
    };
    match output.filter(|file| file.as_os_str() != "-") {
        Some(file) => fs::write(file, bytes)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?,
        None => {
            let mut out = io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush()).map_err(cannot_write)?;
        }
    }
    Ok(Exit::Done)
}

fn json(log: &LogFile) -> Result<Vec<u8>, Failure> {
    let events: Result<Vec<Value>, _> =
        log.events.iter().map(|event| serde_json::from_slice(&event.json)).collect();
    let head = &log.head;
    let whole = json!({
        "run": head.run,
        "crew": head.crew,
        "crew_hash": head.crew_hash,
        "source": head.source,
        "events": events.map_err(Failure::new)?,
    });
    let mut text = serde_json::to_vec_pretty(&whole).map_err(Failure::new)?;
    text.push(b'\n');
    Ok(text)
}

/// The conversation: who said what, tools with their results, how it ended.
pub(super) fn markdown(log: &LogFile) -> String {
    let mut page = format!("# Run {} of {}\n", log.head.run, log.head.crew);
    // Writing to a String cannot fail.
    for stored in &log.events {
        let _ = match &stored.recorded.event {
            Event::RunStarted(started) => {
                let _ = writeln!(page, "\nBegan {} UTC.", time(&stored.recorded.at.to_string()));
                if let Some(from) = &started.forked_from {
                    let _ = writeln!(page, "Forked from run {} at event {}.", from.run, from.seq);
                }
                for message in &started.history {
                    let _ = write!(page, "\n## Before\n\n{}\n", message.content());
                }
                write!(page, "\n## User\n\n{}\n", started.input)
            }
            Event::ModelReplied { agent, reply, .. } => write!(page, "\n## {agent}\n\n{}\n", reply.text),
            Event::RoundStarted { calls, .. } => {
                for planned in calls {
                    let call = &planned.call;
                    let _ = write!(page, "\n- call {}: `{}` {}\n", call.call, call.tool, call.arguments);
                    if let Some(result) = &planned.settled {
                        tool_result(&mut page, result);
                    }
                }
                Ok(())
            }
            Event::ToolReturned { result, .. } => {
                tool_result(&mut page, result);
                Ok(())
            }
            Event::Joined { group, output, .. } => write!(page, "\n## Group {group}\n\n{output}\n"),
            Event::WaitOpened { what: WaitFor::UnknownOutcome { call, tool, .. }, .. } => {
                write!(page, "\nNobody knows whether call {call} of `{tool}` happened.\n")
            }
            Event::WaitOpened { what: WaitFor::Approval { call, tool, .. }, .. } => {
                write!(page, "\nCall {call} of `{tool}` waits for approval.\n")
            }
            Event::Answered { answer, .. } => match answer {
                Answer::Text { text } => write!(page, "\n## User\n\n{text}\n"),
                Answer::Rerun {} => write!(page, "\nA person had the call made again.\n"),
                Answer::Done { output } => {
                    write!(page, "\nA person said that it was done:\n\n{}\n", fenced(output))
                }
                Answer::Fail {} => write!(page, "\nA person had the call count as failed.\n"),
                Answer::Approve {} => write!(page, "\nA person approved the call.\n"),
                Answer::Edit { arguments, .. } => {
                    write!(
                        page,
                        "\nA person approved the call with other arguments:\n\n{}\n",
                        fenced(&arguments.to_string())
                    )
                }
                Answer::Reject { reason: Some(reason) } => {
                    write!(page, "\nA person rejected the call:\n\n{}\n", fenced(reason))
                }
                Answer::Reject { reason: None } => write!(page, "\nA person rejected the call.\n"),
                Answer::Respond { .. } => write!(page, "\nA person answered in the tool's place.\n"),
            },
            Event::RunEnded { outcome, .. } => {
                let end = match outcome {
                    Outcome::Completed { .. } => "Completed.".to_owned(),
                    Outcome::Cancelled { .. } => "Cancelled.".to_owned(),
                    Outcome::Failed { code, error } => format!("Failed ({code}): {error}"),
                    Outcome::LimitReached { limit, .. } => format!("Limit reached: {limit}."),
                };
                write!(page, "\n---\n\n{end}\n")
            }
            _ => Ok(()),
        };
    }
    page
}

fn tool_result(page: &mut String, result: &ToolResult) {
    let status = match result.status {
        ResultStatus::Success => "gave",
        ResultStatus::Error => "failed",
    };
    let _ = write!(page, "\n- call {} {status}:\n\n{}\n", result.call, fenced(&result.output));
}

/// A code block whose fence is longer than any in the text.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}

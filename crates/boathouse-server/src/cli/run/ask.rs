//! What is read from a person: the input and the answers.

use std::io::{self, IsTerminal, Read, Write};

use boathouse::core::run::event::Answer;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::cli::exit::Failure;
use crate::cli::paint::{self, BOLD, DIM};

/// Input that is read from stdin may be so long: 1 MiB.
const MOST_INPUT: u64 = 1024 * 1024;

/// Whether a person sits at stdin.
pub(crate) fn at_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The input of a run that names none: asked for at a terminal, else everything that stdin gives.
pub(crate) async fn input() -> Result<String, Failure> {
    if at_terminal() {
        return Ok(line("What should the crew do?").await?.unwrap_or_default());
    }
    let read = spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().lock().take(MOST_INPUT + 1).read_to_string(&mut text).map(|_| text)
    });
    match read.await {
        Ok(Ok(text)) if text.len() as u64 > MOST_INPUT => {
            Err(Failure::usage("the input on stdin is longer than 1 MiB"))
        }
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(cannot_read(&error)),
        Err(error) => Err(Failure::new(format!("cannot read stdin: {error}"))),
    }
}

/// What a person at the terminal decides about a call, which is shown as it would be made; `None` where nobody sits
/// there, or at the end of stdin.
pub(crate) async fn approval(tool: &str, arguments: &Value) -> Result<Option<Answer>, Failure> {
    if !at_terminal() {
        return Ok(None);
    }
    let shown = serde_json::to_string_pretty(arguments).unwrap_or_default();
    paint::titled(tool, format!("would be called with\n{shown}"));
    loop {
        let asked = "Make this call? (y)es, (e)dit the arguments, (n)o, (r)espond in its place";
        let Some(choice) = line(asked).await? else { return Ok(None) };
        match choice.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(Some(Answer::Approve {})),
            "n" | "no" => {
                let reason = line("Why not? The agent is told").await?;
                return Ok(reason.map(|reason| Answer::Reject { reason: not_blank(reason) }));
            }
            "r" | "respond" => {
                let output = line("What is its result?").await?;
                return Ok(output.map(|output| Answer::Respond { output }));
            }
            "e" | "edit" => {
                let Some(text) = line("The arguments, as one line of JSON").await? else { return Ok(None) };
                match serde_json::from_str(&text) {
                    Ok(arguments @ Value::Object(_)) => return Ok(Some(Answer::edit(arguments))),
                    Ok(_) => paint::warn("the arguments must be one JSON object"),
                    Err(error) => paint::warn(format!("this is not JSON: {error}")),
                }
            }
            _ => paint::note("write y, e, n or r"),
        }
    }
}

fn not_blank(text: String) -> Option<String> {
    if text.trim().is_empty() { None } else { Some(text) }
}

/// One line, without its end; `None` at the end of stdin. Asks only at a terminal.
///
/// If the future is dropped the line that comes next is lost: drop it only to end the process.
pub(crate) async fn line(question: &str) -> Result<Option<String>, Failure> {
    if at_terminal() {
        let mut err = anstream::stderr();
        let _ = write!(err, "{BOLD}{question}{BOLD:#} {DIM}›{DIM:#} ");
        let _ = err.flush();
    }
    let read = spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().read_line(&mut text).map(|read| (read > 0).then_some(text))
    });
    match read.await {
        Ok(Ok(text)) => Ok(text.map(|text| text.trim_end_matches(['\n', '\r']).to_owned())),
        Ok(Err(error)) => Err(cannot_read(&error)),
        Err(error) => Err(Failure::new(format!("cannot read stdin: {error}"))),
    }
}

fn cannot_read(error: &io::Error) -> Failure {
    Failure::new(format!("cannot read stdin: {error}")).hint("the input must be UTF-8 text")
}

//! What is read from a person: the input and the answers.

use std::io::{self, IsTerminal, Read, Write};

use tokio::task::spawn_blocking;

use crate::cli::exit::Failure;
use crate::cli::paint::{BOLD, DIM};

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

//! A run's log as a file of its own: one line that says what it is, then one line of JSON for each event.
//!
//! The first line holds the crew's files, so the file is all that it takes to go through the run again, anywhere.

use std::sync::Arc;

use boathouse_core::crew::check::Catalog;
use boathouse_core::crew::{Crew, Source};
use boathouse_core::ids::{RunId, Seq};
use boathouse_core::run::event::{Event, Recorded};
use serde::{Deserialize, Serialize};

use crate::crew_dir::{self, LoadError};
use crate::journal::thread::decode;
use crate::journal::{Journal, JournalError, RunRow, Stored};

/// Events that are read from a journal at once.
const PAGE: usize = 500;

/// A whole log with its crew.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// The first line.
    pub head: Head,
    /// The events, from the first.
    pub events: Vec<Arc<Stored>>,
}

/// The first line of a log file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// What the file is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The run.
    pub run: RunId,
    /// Its crew's name.
    pub crew: String,
    /// Its crew's hash.
    pub crew_hash: String,
    /// Its crew's files, by name.
    pub source: Source,
}

/// What a log file's first line says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A log.
    #[serde(rename = "boathouse_log")]
    Log,
}

/// A text that is not a log file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFileError {
    /// The first line is not that of a log file.
    #[error("the first line is not that of an exported run: {0}")]
    Head(String),
    /// A line is not an event.
    #[error("line {line} is not an event that this version knows: {why}")]
    Event {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// There are no events.
    #[error("it holds no events")]
    Empty,
}

impl Head {
    /// The head of a run in a journal.
    pub async fn of(journal: &dyn Journal, row: &RunRow) -> Result<Head, JournalError> {
        let corrupt =
            |why: &str| JournalError::Corrupt(format!("crew {}, version {}: {why}", row.crew, row.crew_hash));
        let kept = journal.crew(&row.crew_hash).await?.ok_or_else(|| corrupt("not in the journal"))?;
        Ok(Head {
            kind: Kind::Log,
            run: row.run.clone(),
            crew: row.crew.clone(),
            crew_hash: row.crew_hash.to_string(),
            source: serde_json::from_str(&kept.source).map_err(|error| corrupt(&error.to_string()))?,
        })
    }

    /// One line of JSON, with its end.
    pub fn to_line(&self) -> String {
        // A struct of strings always serializes.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// The crew that the run began with.
    pub fn compile(&self, catalog: &Catalog) -> Result<Crew, LoadError> {
        crew_dir::compile(self.source.clone(), &self.crew, catalog)
    }
}

impl LogFile {
    /// A run's log as a journal has it; `None` if it has no such run.
    pub async fn read(journal: &dyn Journal, run: &RunId) -> Result<Option<LogFile>, JournalError> {
        let Some(row) = journal.run(run).await? else { return Ok(None) };
        let head = Head::of(journal, &row).await?;
        let events = read_events(journal, run).await?;
        Ok((!events.is_empty()).then_some(LogFile { head, events }))
    }

    /// Reads what [`LogFile::to_text`] wrote. Blank lines are left out.
    pub fn parse(text: &str) -> Result<LogFile, LogFileError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let (_, head) = lines.next().ok_or_else(|| LogFileError::Head("it is empty".to_owned()))?;
        let head = serde_json::from_str(head).map_err(|error| LogFileError::Head(error.to_string()))?;
        let event = |(line, text): (usize, &str)| {
            let stored = Stored::from_json(text.as_bytes().to_vec());
            stored.map(Arc::new).map_err(|error| LogFileError::Event { line, why: error.to_string() })
        };
        let events: Vec<Arc<Stored>> = lines.map(event).collect::<Result<_, _>>()?;
        if events.is_empty() { Err(LogFileError::Empty) } else { Ok(LogFile { head, events }) }
    }

    /// The whole file. Events are byte for byte as the journal has them, but for what the run pins of its thread.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = self.head.to_line().into_bytes();
        for event in &self.events {
            text.extend_from_slice(&event.json);
            text.push(b'\n');
        }
        text
    }

    /// The events as values.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.events.iter().map(|stored| stored.recorded.clone()).collect()
    }
}

/// The same events as a log has them that stands alone: with the messages that the run pins of its thread.
pub async fn alone(
    journal: &dyn Journal,
    run: &RunId,
    mut page: Vec<Arc<Stored>>,
) -> Result<Vec<Arc<Stored>>, JournalError> {
    for stored in &mut page {
        if !matches!(stored.recorded.event, Event::RunStarted(_) | Event::Begun { .. }) {
            continue;
        }
        let mut recorded = stored.recorded.clone();
        let pinned = match &mut recorded.event {
            Event::RunStarted(started) => started.pinned.as_mut(),
            Event::Begun { pinned } => pinned.as_mut(),
            _ => None,
        };
        let Some(pinned) = pinned.filter(|pinned| pinned.messages > 0 && pinned.said.is_empty()) else {
            continue;
        };
        let said = journal.pinned(run, pinned.messages).await?;
        pinned.said = said.iter().map(|message| decode(message)).collect::<Result<_, _>>()?;
        *stored = Arc::new(Stored::new(recorded));
    }
    Ok(page)
}

/// All events of a run, in order; none for an unknown run. What the run pins of its thread is with them.
pub(crate) async fn read_events(
    journal: &dyn Journal,
    run: &RunId,
) -> Result<Vec<Arc<Stored>>, JournalError> {
    let mut events: Vec<Arc<Stored>> = Vec::new();
    loop {
        let page = alone(journal, run, journal.read(run, Seq(events.len() as u64), PAGE).await?).await?;
        let last = page.len() < PAGE;
        events.extend(page);
        if last {
            return Ok(events);
        }
    }
}

//! The rows of runs: read one by one and in lists, those that must go on, and those that may go.

use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::RunState;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row};

use super::chores::{free, now};
use super::{schema, to_limit};
use crate::journal::{JournalError, RunQuery, RunRow};

/// Ended runs that are too old or too many, and their events, those that ended first in front; some at once.
const PRUNABLE: &str = "
    WITH ended AS (SELECT id, seq, updated_at FROM runs
            WHERE state IN ('completed', 'cancelled', 'failed', 'limit_reached')),
        too_many AS (SELECT updated_at, id FROM ended ORDER BY updated_at DESC, id DESC LIMIT 1 OFFSET $2)
    SELECT id, seq FROM ended
    WHERE updated_at < $1 OR (updated_at, id) <= (SELECT updated_at, id FROM too_many)
    ORDER BY updated_at, id LIMIT 100";

/// Events of runs that are forgotten at once, unless a single run has more.
const PRUNED_EVENTS: i64 = 5_000;

/// Puts the columns that [`to_row`] reads between two pieces of SQL.
macro_rules! concat_row {
    ($before:literal, $after:literal) => {
        concat!($before, "id, crew, crew_hash, thread, state, seq, created_at, updated_at", $after)
    };
}
pub(super) use concat_row;

pub(super) async fn row(readers: &SqlitePool, run: &RunId) -> Result<Option<RunRow>, JournalError> {
    let row = sqlx::query(concat_row!("SELECT ", " FROM runs WHERE id = $1"))
        .bind(run.as_str())
        .fetch_optional(readers)
        .await
        .map_err(schema::error)?;
    row.map(|row| to_row(&row, 0)).transpose()
}

pub(super) async fn rows(readers: &SqlitePool, query: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
    let mut sql = QueryBuilder::new(concat_row!("SELECT ", " FROM runs WHERE TRUE"));
    if let Some(crew) = &query.crew {
        sql.push(" AND crew = ").push_bind(crew);
    }
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(thread) = &query.thread {
        sql.push(" AND thread = ").push_bind(thread.as_str());
    }
    if let Some((at, run)) = &query.before {
        sql.push(" AND (created_at, id) < (").push_bind(at.0).push(", ").push_bind(run.as_str()).push(")");
    }
    sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(to_limit(query.limit));
    let rows = sql.build().fetch_all(readers).await.map_err(schema::error)?;
    rows.iter().map(|row| to_row(row, 0)).collect()
}

/// Runs at work that no other process than this one holds.
pub(super) async fn unfinished(readers: &SqlitePool, process: &str) -> Result<Vec<RunId>, JournalError> {
    let rows = sqlx::query(concat!(
        "SELECT id FROM runs WHERE state = 'running' AND ",
        free!("$1"),
        " ORDER BY created_at, id"
    ))
    .bind(process)
    .fetch_all(readers)
    .await
    .map_err(schema::error)?;
    rows.iter().map(|row| Ok(RunId::from(row.try_get::<String, _>(0).map_err(schema::error)?))).collect()
}

/// Ended runs that can go now: some of those that ended before `before`, or are too many beside `keep` others.
pub(super) async fn prunable(
    readers: &SqlitePool,
    before: Timestamp,
    keep: usize,
) -> Result<Vec<RunId>, JournalError> {
    let rows = sqlx::query(PRUNABLE)
        .bind(before.0)
        .bind(to_limit(keep))
        .fetch_all(readers)
        .await
        .map_err(schema::error)?;
    let mut events = 0;
    let mut runs = Vec::new();
    for row in &rows {
        events += row.try_get::<i64, _>(1).map_err(schema::error)?;
        if !runs.is_empty() && events > PRUNED_EVENTS {
            break;
        }
        runs.push(RunId::from(row.try_get::<String, _>(0).map_err(schema::error)?));
    }
    Ok(runs)
}

/// Reads a row, whose first column is `first`.
pub(super) fn to_row(row: &SqliteRow, first: usize) -> Result<RunRow, JournalError> {
    let text = |column: usize| row.try_get::<String, _>(first + column).map_err(schema::error);
    let number = |column: usize| row.try_get::<i64, _>(first + column).map_err(schema::error);
    let run = RunId::from(text(0)?);
    let state = text(4)?;
    let state = to_state(&state)
        .ok_or_else(|| JournalError::Corrupt(format!("run {run} is in the unknown state `{state}`")))?;
    Ok(RunRow {
        crew: text(1)?,
        crew_hash: text(2)?.into(),
        thread: ThreadId::from(text(3)?),
        state,
        seq: Seq(number(5)?.cast_unsigned()),
        created_at: Timestamp(number(6)?),
        updated_at: Timestamp(number(7)?),
        run,
    })
}

fn to_state(word: &str) -> Option<RunState> {
    serde_json::from_value(serde_json::Value::from(word)).ok()
}

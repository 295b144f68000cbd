//! What waits for people, and the notices that tell them.

use std::fmt::Write as _;

use boathouse_core::ids::{RunId, ThreadId, Timestamp, WaitId};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row};

use super::batch::text;
use super::chores::{free, now};
use super::{schema, to_limit};
use crate::journal::waits::Kept;
use crate::journal::{JournalError, Notice, OpenWait, WaitQuery};

/// The rest of an array that `batch` has begun: `[[wait, kind, tool, opened_at, expires_at, json], ...]]`.
pub(super) fn push_waits(array: &mut String, waits: &[OpenWait]) {
    array.push('[');
    for (number, wait) in waits.iter().enumerate() {
        array.push_str(if number == 0 { "[" } else { ",[" });
        let _ = write!(array, "{},\"{}\",", wait.wait, wait.what.kind());
        match wait.what.tool() {
            Some(tool) => text(array, tool),
            None => array.push_str("null"),
        }
        let _ = write!(array, ",{},", wait.opened_at.0);
        match wait.what.expires_at() {
            Some(at) => _ = write!(array, "{}", at.0),
            None => array.push_str("null"),
        }
        array.push(',');
        text(array, &Kept::json(wait));
        array.push(']');
    }
    array.push_str("]]");
}

/// The rest of an array that `batch` has begun: `[[id, url, body, at, attempts, next_at], ...]]`.
pub(super) fn push_notices(array: &mut String, notices: &[Notice]) {
    array.push('[');
    for (number, notice) in notices.iter().enumerate() {
        array.push_str(if number == 0 { "[" } else { ",[" });
        for field in [&notice.id, &notice.url, &notice.body] {
            text(array, field);
            array.push(',');
        }
        let _ = write!(array, "{},{},{}]", notice.at.0, notice.attempts, notice.next_at.0);
    }
    array.push_str("]]");
}

pub(super) async fn waits(readers: &SqlitePool, query: &WaitQuery) -> Result<Vec<OpenWait>, JournalError> {
    let mut sql = QueryBuilder::new(
        "SELECT w.run, w.crew, r.thread, w.wait, w.opened_at, w.json FROM waits w JOIN runs r ON r.id = w.run WHERE TRUE",
    );
    if let Some(crew) = &query.crew {
        sql.push(" AND w.crew = ").push_bind(crew);
    }
    if let Some(kind) = &query.kind {
        sql.push(" AND w.kind = ").push_bind(kind);
    }
    if let Some(tool) = &query.tool {
        sql.push(" AND w.tool = ").push_bind(tool);
    }
    if let Some((at, run, wait)) = &query.after {
        sql.push(" AND (w.opened_at, w.run, w.wait) > (")
            .push_bind(at.0)
            .push(", ")
            .push_bind(run.as_str())
            .push(", ")
            .push_bind(i64::from(wait.0))
            .push(")");
    }
    sql.push(" ORDER BY w.opened_at, w.run, w.wait LIMIT ").push_bind(to_limit(query.limit));
    let rows = sql.build().fetch_all(readers).await.map_err(schema::error)?;
    rows.iter().map(to_wait).collect()
}

fn to_wait(row: &SqliteRow) -> Result<OpenWait, JournalError> {
    let text = |column: usize| row.try_get::<String, _>(column).map_err(schema::error);
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(schema::error);
    let run = RunId::from(text(0)?);
    let corrupt = |why: String| JournalError::Corrupt(format!("a wait of run {run}: {why}"));
    let kept: Kept = serde_json::from_str(&text(5)?).map_err(|error| corrupt(error.to_string()))?;
    Ok(OpenWait {
        crew: text(1)?,
        thread: ThreadId::from(text(2)?),
        wait: WaitId(u32::try_from(number(3)?).map_err(|error| corrupt(error.to_string()))?),
        branch: kept.branch,
        agent: kept.agent,
        question: kept.question,
        what: kept.what,
        opened_at: Timestamp(number(4)?),
        run,
    })
}

pub(super) async fn expiries(
    readers: &SqlitePool,
    me: &str,
    limit: usize,
) -> Result<Vec<(Timestamp, RunId)>, JournalError> {
    let rows = sqlx::query(concat!(
        "SELECT w.expires_at, w.run FROM waits w JOIN runs r ON r.id = w.run
         WHERE w.expires_at IS NOT NULL AND r.state = 'paused' AND ",
        free!("$1"),
        " ORDER BY w.expires_at, w.run LIMIT $2"
    ))
    .bind(me)
    .bind(to_limit(limit))
    .fetch_all(readers)
    .await
    .map_err(schema::error)?;
    rows.iter()
        .map(|row| {
            let at = Timestamp(row.try_get(0).map_err(schema::error)?);
            Ok((at, RunId::from(row.try_get::<String, _>(1).map_err(schema::error)?)))
        })
        .collect()
}

pub(super) async fn outbox(
    readers: &SqlitePool,
    me: &str,
    except: &[&str],
    limit: usize,
) -> Result<Vec<Notice>, JournalError> {
    let rows = sqlx::query(concat!(
        "SELECT id, url, run, body, at, attempts, next_at FROM outbox WHERE ",
        free!("$1"),
        " AND url NOT IN (SELECT value FROM json_each($3)) ORDER BY next_at, id LIMIT $2"
    ))
    .bind(me)
    .bind(to_limit(limit))
    .bind(serde_json::Value::from(except).to_string())
    .fetch_all(readers)
    .await
    .map_err(schema::error)?;
    rows.iter()
        .map(|row| {
            let text = |column: usize| row.try_get::<String, _>(column).map_err(schema::error);
            let number = |column: usize| row.try_get::<i64, _>(column).map_err(schema::error);
            Ok(Notice {
                id: text(0)?,
                url: text(1)?,
                run: RunId::from(text(2)?),
                body: text(3)?,
                at: Timestamp(number(4)?),
                attempts: u32::try_from(number(5)?).unwrap_or(u32::MAX),
                next_at: Timestamp(number(6)?),
            })
        })
        .collect()
}

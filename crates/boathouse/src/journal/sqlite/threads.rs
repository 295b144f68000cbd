//! Conversations in the file: what runs do to their threads, beside the statements for their events and in the same
//! transaction.

use boathouse_core::ids::{RunId, ThreadId, Timestamp};
use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row};

use super::batch::Outcome;
use super::writer::Write;
use super::{schema, to_limit};
use crate::journal::thread::{NewThread, Next, OnThread, ThreadQuery, ThreadRow, Turn};
use crate::journal::{JournalError, Stored};

/// Threads that are forgotten at once.
const PRUNED: i64 = 20;

/// What is known of the thread of each write: its place, then whether the thread has a row whose turn is free, one on which
/// this run has the turn already, its messages, whether it is of the same crew, whether a run has the thread's id,
/// and how many runs were queued there before.
const FACTS: &str = "
    SELECT w.key, t.active IS NULL AND t.key IS NOT NULL, t.active = w.value->>1, t.messages,
        t.crew = coalesce(w.value->>2, r.crew),
        EXISTS (SELECT 1 FROM runs v WHERE v.id = w.value->>0 AND v.thread = v.id AND v.id <> w.value->>1),
        (SELECT count(*) FROM runs q
            WHERE q.state = 'queued' AND q.thread = w.value->>0 AND q.key < coalesce(r.key, 9223372036854775807))
    FROM json_each($1) w
        LEFT JOIN threads t ON t.id = w.value->>0 AND t.deleted = 0
        LEFT JOIN runs r ON r.id = w.value->>1";

/// Turns and places in the queue, `[thread, run, at, whether it begins]`: a thread is made if there is none and no run
/// has its id.
const TURNS: &str = "
    INSERT INTO threads (id, crew, messages, created_at, updated_at)
        SELECT w.value->>0, r.crew, 0, w.value->>2, w.value->>2
        FROM json_each($1) w JOIN runs r ON r.id = w.value->>1
        WHERE NOT EXISTS (SELECT 1 FROM runs v WHERE v.id = w.value->>0 AND v.thread = v.id)
        ON CONFLICT DO NOTHING;
    UPDATE threads SET active = w.value->>1, updated_at = w.value->>2
        FROM json_each($1) w WHERE threads.id = w.value->>0 AND threads.deleted = 0 AND w.value->>3;
    UPDATE runs SET thread_key = t.key
        FROM json_each($1) w JOIN threads t ON t.active = w.value->>1 AND t.id = w.value->>0 AND t.deleted = 0
        WHERE runs.id = w.value->>1";

/// Ends, `[thread, run, at, messages, summary]`, of runs that have the turn.
const ENDS: &str = "
    INSERT INTO thread_messages (thread, seq, json)
        SELECT t.key, t.messages + 1 + m.key, m.value
        FROM json_each($1) w JOIN threads t ON t.id = w.value->>0 AND t.deleted = 0 AND t.active = w.value->>1
            CROSS JOIN json_each(w.value, '$[3]') m;
    UPDATE threads SET active = NULL, updated_at = w.value->>2, summary = coalesce(w.value->>4, summary),
            messages = messages + json_array_length(w.value, '$[3]')
        FROM json_each($1) w
        WHERE threads.id = w.value->>0 AND threads.deleted = 0 AND threads.active = w.value->>1";

/// Says which writes their thread refuses: by the place of each, what became of it.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    writes: &[Write],
) -> Result<Vec<Option<Outcome>>, sqlx::Error> {
    let mut refused: Vec<Option<Outcome>> = writes.iter().map(|_| None).collect();
    let mut asked = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        let Some(OnThread { thread, turn: Some(turn), .. }) = write.on_thread() else { continue };
        let crew = match write {
            Write::Create { new, .. } => Some(&new.crew),
            _ => None,
        };
        asked.push((place, *turn, json!([thread, write.run(), crew])));
    }
    if asked.is_empty() {
        return Ok(refused);
    }
    let facts = Value::from(asked.iter().map(|(_, _, asked)| asked.clone()).collect::<Vec<_>>());
    let rows = sqlx::query(FACTS).bind(facts.to_string()).fetch_all(&mut *connection).await?;
    let mut queued = None;
    for row in &rows {
        let number = |column: usize| row.try_get::<Option<i64>, _>(column);
        let is = |column: usize| Ok::<_, sqlx::Error>(number(column)?.unwrap_or(0) != 0);
        let place = usize::try_from(number(0)?.unwrap_or(0)).unwrap_or(usize::MAX);
        let Some((place, turn, _)) = asked.get(place) else { continue };
        let before = usize::try_from(number(6)?.unwrap_or(0)).unwrap_or(usize::MAX);
        let same_crew = number(4)?.is_none_or(|same| same != 0);
        refused[*place] = match *turn {
            Turn::Begin { messages, ahead } => {
                let has = number(3)?.map(|has| usize::try_from(has).unwrap_or(usize::MAX));
                let fits = match has {
                    Some(has) => is(2)? || (is(1)? && same_crew && has == messages),
                    None => messages == 0 && !is(5)?,
                };
                (!fits || (!ahead && before > 0)).then_some(Outcome::ThreadBusy)
            }
            Turn::Queue { .. } if !same_crew => Some(Outcome::ThreadBusy),
            Turn::Queue { on_thread, .. } if before >= on_thread => Some(Outcome::ThreadQueueFull),
            Turn::Queue { in_all, .. } => {
                let all = match queued {
                    Some(all) => all,
                    None => count_queued(connection).await?,
                };
                queued = Some(if all < in_all { all + 1 } else { all });
                (all >= in_all).then_some(Outcome::QueueFull)
            }
        };
    }
    Ok(refused)
}

async fn count_queued(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let row = sqlx::query("SELECT count(*) FROM runs WHERE state = 'queued'").fetch_one(connection).await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX))
}

/// Does to the threads what the writes that were made say.
pub(super) async fn effect(
    connection: &mut SqliteConnection,
    writes: &[Write],
    outcomes: &[Outcome],
) -> Result<(), sqlx::Error> {
    let (mut turns, mut ends) = (Vec::new(), Vec::new());
    for (write, outcome) in writes.iter().zip(outcomes) {
        let (Some(on), Outcome::Written, Some(run)) = (write.on_thread(), outcome, write.run()) else {
            continue;
        };
        let at = write.events().last().map_or(0, |last: &std::sync::Arc<Stored>| last.recorded.at.0);
        // A run's own thread is made of it when it is needed.
        if let Some(turn) = on.turn
            && on.thread.as_str() != run.as_str()
        {
            turns.push(json!([on.thread, run, at, matches!(turn, Turn::Begin { .. })]));
        }
        if let Some(end) = &on.end {
            ends.push(json!([on.thread, run, at, texts(&end.messages), to_text(&end.summary)]));
        }
    }
    for (sql, what) in [(TURNS, turns), (ENDS, ends)] {
        if !what.is_empty() {
            sqlx::query(sql).bind(Value::from(what).to_string()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn texts(messages: &[Bytes]) -> Vec<Value> {
    messages.iter().map(|message| String::from_utf8_lossy(message).into_owned().into()).collect()
}

/// A summary as it is kept: JSON in a text.
fn to_text(summary: &Option<boathouse_core::run::event::Summary>) -> Option<String> {
    summary.as_ref().and_then(|summary| serde_json::to_string(summary).ok())
}

/// A change to one thread alone.
#[derive(Debug)]
pub(super) enum ThreadChange {
    Put(NewThread),
    Delete(ThreadId),
}

impl ThreadChange {
    /// Makes the change, in a transaction of its own. Returns whether there was something to do; a thread that is busy is
    /// [`JournalError::ThreadBusy`].
    pub(super) async fn make(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Result<bool, JournalError>, sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let made = match self {
            ThreadChange::Put(new) => Ok(put(connection, new).await?),
            ThreadChange::Delete(thread) => delete(connection, thread).await?,
        };
        sqlx::query("COMMIT").execute(connection).await?;
        Ok(made)
    }
}

async fn put(connection: &mut SqliteConnection, new: &NewThread) -> Result<bool, sqlx::Error> {
    let made = sqlx::query(
        "INSERT INTO threads (id, crew, messages, summary, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING",
    )
    .bind(new.thread.as_str())
    .bind(&new.crew)
    .bind(to_limit(new.messages.len()))
    .bind(to_text(&new.summary))
    .bind(new.at.0)
    .execute(&mut *connection)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO thread_messages (thread, seq, json) SELECT $1, m.key + 1, m.value FROM json_each($2) m",
    )
    .bind(made.last_insert_rowid())
    .bind(Value::from(texts(&new.messages)).to_string())
    .execute(connection)
    .await?;
    Ok(true)
}

async fn delete(
    connection: &mut SqliteConnection,
    thread: &ThreadId,
) -> Result<Result<bool, JournalError>, sqlx::Error> {
    let found = sqlx::query(
        "SELECT key, active IS NOT NULL OR EXISTS (SELECT 1 FROM runs WHERE state = 'queued' AND thread = $1)
         FROM threads WHERE id = $1 AND deleted = 0",
    )
    .bind(thread.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else { return Ok(Ok(false)) };
    let key: i64 = found.try_get(0)?;
    if found.try_get::<bool, _>(1)? {
        return Ok(Err(JournalError::ThreadBusy(thread.clone())));
    }
    sqlx::query("UPDATE threads SET deleted = 1 WHERE key = $1").bind(key).execute(&mut *connection).await?;
    sqlx::query(
        "DELETE FROM threads WHERE key = $1 AND NOT EXISTS (SELECT 1 FROM runs WHERE thread_key = $1)",
    )
    .bind(key)
    .execute(connection)
    .await?;
    Ok(Ok(true))
}

/// Threads of which no run is left, if they were deleted, are too old, or are too many; some at once.
pub(super) async fn prunable(
    readers: &SqlitePool,
    before: Timestamp,
    keep: usize,
) -> Result<Vec<i64>, JournalError> {
    let rows = sqlx::query(
        "WITH too_many AS (SELECT updated_at, key FROM threads ORDER BY updated_at DESC, key DESC LIMIT 1 OFFSET $2)
         SELECT key FROM threads
         WHERE active IS NULL
            AND (deleted = 1 OR updated_at < $1 OR (updated_at, key) <= (SELECT updated_at, key FROM too_many))
            AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.thread_key = threads.key)
            AND NOT EXISTS (SELECT 1 FROM runs q WHERE q.state = 'queued' AND q.thread = threads.id)
         ORDER BY updated_at, key LIMIT $3",
    )
    .bind(before.0)
    .bind(to_limit(keep))
    .bind(PRUNED)
    .fetch_all(readers)
    .await
    .map_err(schema::error)?;
    rows.iter().map(|row| row.try_get(0).map_err(schema::error)).collect()
}

/// Forgets threads, if no run is left of them.
pub(super) async fn forget(connection: &mut SqliteConnection, keys: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM threads WHERE key IN (SELECT value FROM json_each($1)) AND active IS NULL
            AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.thread_key = threads.key)
            AND NOT EXISTS (SELECT 1 FROM runs q WHERE q.state = 'queued' AND q.thread = threads.id)",
    )
    .bind(json!(keys).to_string())
    .execute(connection)
    .await
    .map(drop)
}

/// Runs whose turn has come.
pub(super) async fn next_queued(
    readers: &SqlitePool,
    thread: Option<&ThreadId>,
    limit: usize,
) -> Result<Vec<Next>, JournalError> {
    let mut sql = QueryBuilder::new("SELECT r.id, r.thread FROM runs r WHERE r.state = 'queued'");
    if let Some(thread) = thread {
        sql.push(" AND r.thread = ").push_bind(thread.as_str());
    }
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.state = 'queued' AND e.thread = r.thread AND e.key < r.key)
          AND NOT EXISTS (SELECT 1 FROM threads t WHERE t.id = r.thread AND t.deleted = 0 AND t.active IS NOT NULL)
          AND NOT EXISTS (SELECT 1 FROM runs v WHERE v.id = r.thread AND v.thread = v.id AND v.id <> r.id
                AND v.state IN ('queued', 'running', 'paused'))
          ORDER BY r.key LIMIT ",
    )
    .push_bind(to_limit(limit));
    let rows = sql.build().fetch_all(readers).await.map_err(schema::error)?;
    rows.iter()
        .map(|row| {
            let text = |column: usize| row.try_get::<String, _>(column).map_err(schema::error);
            Ok(Next { run: RunId::from(text(0)?), thread: ThreadId::from(text(1)?) })
        })
        .collect()
}

const ROW: &str = "SELECT id, crew, messages, summary, active, created_at, updated_at,
    (SELECT count(*) FROM runs WHERE state = 'queued' AND thread = threads.id) FROM threads WHERE deleted = 0";

pub(super) async fn row(readers: &SqlitePool, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError> {
    let mut sql = QueryBuilder::new(ROW);
    sql.push(" AND id = ").push_bind(thread.as_str());
    let row = sql.build().fetch_optional(readers).await.map_err(schema::error)?;
    row.as_ref().map(to_row).transpose()
}

pub(super) async fn rows(readers: &SqlitePool, query: &ThreadQuery) -> Result<Vec<ThreadRow>, JournalError> {
    let mut sql = QueryBuilder::new(ROW);
    if let Some(crew) = &query.crew {
        sql.push(" AND crew = ").push_bind(crew);
    }
    if let Some((at, thread)) = &query.before {
        sql.push(" AND (created_at, id) < (").push_bind(at.0).push(", ").push_bind(thread.as_str()).push(")");
    }
    sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(to_limit(query.limit));
    let rows = sql.build().fetch_all(readers).await.map_err(schema::error)?;
    rows.iter().map(to_row).collect()
}

fn to_row(row: &SqliteRow) -> Result<ThreadRow, JournalError> {
    let text = |column: usize| row.try_get::<Option<String>, _>(column).map_err(schema::error);
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(schema::error);
    let count = |column: usize| Ok::<_, JournalError>(usize::try_from(number(column)?).unwrap_or(0));
    let summary = text(3)?.map(|json| serde_json::from_str(&json)).transpose();
    Ok(ThreadRow {
        thread: ThreadId::from(text(0)?.unwrap_or_default()),
        crew: text(1)?.unwrap_or_default(),
        messages: count(2)?,
        summary: summary.map_err(|error| JournalError::Corrupt(format!("a thread's summary: {error}")))?,
        active: text(4)?.map(RunId::from),
        queued: count(7)?,
        created_at: Timestamp(number(5)?),
        updated_at: Timestamp(number(6)?),
    })
}

/// Messages of the thread that `of` names, after the first `after`.
pub(super) async fn messages(
    readers: &SqlitePool,
    of: Messages<'_>,
    after: usize,
    limit: usize,
) -> Result<Vec<Bytes>, JournalError> {
    let (key, id) = match of {
        Messages::OfThread(thread) => {
            ("SELECT key FROM threads WHERE deleted = 0 AND id = ", thread.as_str())
        }
        Messages::PinnedBy(run) => ("SELECT thread_key FROM runs WHERE id = ", run.as_str()),
    };
    let mut sql = QueryBuilder::new("SELECT json FROM thread_messages WHERE thread = (");
    sql.push(key).push_bind(id).push(") AND seq > ").push_bind(to_limit(after));
    sql.push(" ORDER BY seq LIMIT ").push_bind(to_limit(limit));
    let rows = sql.build().fetch_all(readers).await.map_err(schema::error)?;
    rows.iter().map(|row| Ok(row.try_get::<Vec<u8>, _>(0).map_err(schema::error)?.into())).collect()
}

/// Whose messages.
pub(super) enum Messages<'a> {
    OfThread(&'a ThreadId),
    PinnedBy(&'a RunId),
}

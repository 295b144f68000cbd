//! Events are read from the file: each in one piece again, and in its place.

use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq};
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::blobs::Whole;
use super::{schema, to_limit};
use crate::journal::{JournalError, Stored};

/// SQLite's integers are signed.
pub(super) const MAX_SEQ: u64 = i64::MAX as u64 - (1 << 32);

/// Events after `after`, in order, at most `limit`.
pub(super) async fn read(
    readers: &SqlitePool,
    run: &RunId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Arc<Stored>>, JournalError> {
    if after.0 > MAX_SEQ || limit == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT e.json, e.seq, p.place, b.text
            FROM (SELECT run, seq, json FROM events
                WHERE run = (SELECT key FROM runs WHERE id = $1) AND seq > $2 ORDER BY seq LIMIT $3) e
            LEFT JOIN blob_places p ON (p.run, p.seq) = (e.run, e.seq)
            LEFT JOIN blobs b ON b.key = p.blob
            ORDER BY e.seq, p.place",
    )
    .bind(run.as_str())
    .bind(after.0.cast_signed())
    .bind(to_limit(limit))
    .fetch_all(readers)
    .await
    .map_err(schema::error)?;
    rows.chunk_by(same_event)
        .zip(after.0 + 1..)
        .map(|(rows, seq)| match whole_json(rows).and_then(Stored::from_json) {
            Ok(event) if event.recorded.seq == Seq(seq) => Ok(Arc::new(event)),
            Ok(event) => Err(JournalError::Corrupt(format!(
                "run {run} has event {} where event {seq} should be",
                event.recorded.seq
            ))),
            Err(JournalError::Corrupt(why)) => {
                Err(JournalError::Corrupt(format!("event {seq} of run {run}: {why}")))
            }
            Err(other) => Err(other),
        })
        .collect()
}

/// Whether two rows with long texts are of one event.
fn same_event(row: &SqliteRow, next: &SqliteRow) -> bool {
    let seq = |row: &SqliteRow| row.try_get::<i64, _>(1).ok();
    seq(row) == seq(next)
}

/// The JSON of an event, from the rows of its long texts, or its one row without any.
fn whole_json(rows: &[SqliteRow]) -> Result<Vec<u8>, JournalError> {
    let bytes =
        |row: &SqliteRow, column: usize| row.try_get::<Option<Vec<u8>>, _>(column).map_err(schema::error);
    let lost = || JournalError::Corrupt("one of its texts is missing".to_owned());
    let first = rows.first().ok_or_else(lost)?;
    let mut whole = Whole::new(bytes(first, 0)?.ok_or_else(lost)?);
    for row in rows {
        if let Some(place) = row.try_get::<Option<i64>, _>(2).map_err(schema::error)? {
            whole.put(usize::try_from(place).map_err(|_| lost())?, &bytes(row, 3)?.ok_or_else(lost)?)?;
        }
    }
    Ok(whole.end())
}

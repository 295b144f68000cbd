//! What is written now and then, each in a transaction of its own: heartbeats, readiness, clearing up.

use std::time::Duration;

use boathouse_core::ids::Timestamp;
use sqlx::sqlite::SqliteConnection;

/// Milliseconds since 1970, by the database's clock.
macro_rules! now {
    () => {
        "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)"
    };
}

/// Whether nobody but the process `$me` holds the run. A clock that has jumped makes a process look absent for one
/// beat at most; then the fence keeps what it must not write out of the log.
macro_rules! free {
    ($me:literal) => {
        concat!(
            "(holder IN ('', ",
            $me,
            ") OR NOT EXISTS (SELECT 1 FROM processes p WHERE p.id = holder AND abs(",
            now!(),
            " - p.beat_at) < p.lease_ms))"
        )
    };
}
pub(super) use {free, now};

/// Bytes that a readiness check writes and takes away again.
const PROBE: i64 = 64 << 10;

/// Request keys that are forgotten at once.
const FORGOTTEN: i64 = 1_000;

/// One of them.
#[derive(Debug)]
pub(super) enum Chore {
    /// Tries whether there is room for a few events.
    Check,
    /// Says that a process is here.
    Beat { process: String, lease: Duration },
    /// Says that it is not any more: its runs are free.
    Leave { process: String },
    /// Forgets request keys.
    ForgetRequests { before: Timestamp },
    /// Forgets threads, if no run is left of them.
    ForgetThreads { keys: Vec<i64> },
    /// Forgets a notice, or keeps it for another attempt.
    SettleNotice { id: String, again: Option<Timestamp> },
    /// Forgets the oldest notices beyond so many.
    TrimOutbox { keep: i64 },
    /// Forgets crew sources, if no run uses them.
    DropCrews { hashes: Vec<String> },
}

impl Chore {
    pub(super) async fn run(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        match self {
            Chore::Check => {
                // What a check that was cut off has left must not make room for this one.
                sqlx::query("DELETE FROM probe").execute(&mut *connection).await?;
                sqlx::query("INSERT INTO probe VALUES (zeroblob($1))")
                    .bind(PROBE)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("DELETE FROM probe").execute(connection).await?;
            }
            Chore::Beat { process, lease } => {
                let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
                sqlx::query(concat!(
                    "INSERT INTO processes (id, beat_at, lease_ms) VALUES ($1, ",
                    now!(),
                    ", $2) ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at"
                ))
                .bind(process)
                .bind(lease_ms)
                .execute(&mut *connection)
                .await?;
                // Those that have been gone for long; nothing is written if there are none.
                sqlx::query(concat!(
                    "DELETE FROM processes WHERE id <> $1 AND abs(",
                    now!(),
                    " - beat_at) > 20 * lease_ms"
                ))
                .bind(process)
                .execute(connection)
                .await?;
            }
            Chore::Leave { process } => {
                sqlx::query("DELETE FROM processes WHERE id = $1").bind(process).execute(connection).await?;
            }
            Chore::ForgetRequests { before } => {
                sqlx::query(
                    "DELETE FROM requests WHERE rowid IN
                         (SELECT rowid FROM requests WHERE at < $1 ORDER BY at LIMIT $2)",
                )
                .bind(before.0)
                .bind(FORGOTTEN)
                .execute(connection)
                .await?;
            }
            Chore::ForgetThreads { keys } => super::threads::forget(connection, keys).await?,
            Chore::SettleNotice { id, again: None } => {
                sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id).execute(connection).await?;
            }
            Chore::SettleNotice { id, again: Some(at) } => {
                sqlx::query("UPDATE outbox SET attempts = attempts + 1, next_at = $2 WHERE id = $1")
                    .bind(id)
                    .bind(at.0)
                    .execute(connection)
                    .await?;
            }
            Chore::TrimOutbox { keep } => {
                sqlx::query(
                    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY at DESC, id DESC LIMIT -1 OFFSET $1)",
                )
                .bind(keep)
                .execute(connection)
                .await?;
            }
            Chore::DropCrews { hashes } => {
                for hash in hashes {
                    sqlx::query(
                        "DELETE FROM crews WHERE hash = $1 AND NOT EXISTS (SELECT 1 FROM runs WHERE crew_hash = $1)",
                    )
                    .bind(hash)
                    .execute(&mut *connection)
                    .await?;
                }
            }
        }
        Ok(())
    }
}

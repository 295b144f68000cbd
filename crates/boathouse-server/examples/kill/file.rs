//! What must hold in the file itself.

use std::path::Path;

use sqlx::Row;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::Failure;

/// What finds nothing in a sound journal.
const SEARCHES: [(&str, &str); 4] = [
    ("SQLite finds it damaged", "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
    ("a row refers to nothing", "SELECT \"table\" FROM pragma_foreign_key_check"),
    (
        "a run's number of events is wrong",
        "SELECT id || ' ' || seq FROM runs WHERE seq <> (SELECT count(*) FROM events WHERE run = key)
             OR seq <> (SELECT max(events.seq) FROM events WHERE run = key)",
    ),
    ("an event has another number inside", "SELECT json FROM events WHERE seq <> json ->> 'seq'"),
];

pub(crate) async fn check(journal: &Path, runs: usize, wrong: &mut Vec<String>) -> Result<(), Failure> {
    let mut connection = SqliteConnectOptions::new().filename(journal).read_only(true).connect().await?;
    for (what, search) in SEARCHES {
        for row in sqlx::query(search).fetch_all(&mut connection).await? {
            wrong.push(format!("the file: {what}: {}", row.try_get::<String, _>(0)?));
        }
    }
    let kept = sqlx::query("SELECT count(*) FROM runs").fetch_one(&mut connection).await?;
    let kept: i64 = kept.try_get(0)?;
    if usize::try_from(kept)? != runs {
        wrong.push(format!("the file holds {kept} runs; {runs} were asked for, each with one key"));
    }
    connection.close().await?;
    Ok(())
}

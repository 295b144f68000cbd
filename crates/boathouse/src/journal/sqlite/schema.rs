//! The file: how it is opened, its tables, and what SQLite's errors mean.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};

use crate::journal::JournalError;

/// "Boat" in ASCII, in the header of every journal.
const APPLICATION_ID: i64 = 0x426f_6174;

/// One step for each version of the tables; the last is today's. A step is never changed once it was released.
const STEPS: [&str; 6] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
];

/// How long a statement waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read.
const READERS: u32 = 4;

/// Makes the file if there is none, and returns its absolute path without symbolic links. A database of another program is
/// refused as it is.
pub(super) fn make_file(path: &Path) -> Result<PathBuf, JournalError> {
    let unavailable = |why: String| JournalError::Unavailable(format!("{}: {why}", path.display()));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(unavailable(format!("there is no folder {}; create it first", folder.display())));
    }
    if path.is_dir() {
        return Err(unavailable("this is a folder; name a file in it".to_owned()));
    }
    let file = OpenOptions::new().read(true).append(true).create(true).open(path);
    let opened = file.and_then(|file| Ok((is_foreign(file)?, path.canonicalize()?)));
    match opened.map_err(|error| unavailable(format!("the file cannot be written: {error}")))? {
        (true, _) => Err(foreign(path)),
        (false, path) => Ok(path),
    }
}

/// Whether the head of a file is that of another program's database. Of one that is not in WAL mode this must be known
/// before it is opened, which would change its mode. Source: <https://www.sqlite.org/fileformat.html>.
fn is_foreign(mut file: impl Read) -> std::io::Result<bool> {
    let mut head = [0; 108];
    let known = file.read_exact(&mut head);
    if matches!(&known, Err(error) if error.kind() == ErrorKind::UnexpectedEof) {
        return Ok(false);
    }
    known?;
    let is_database = head.starts_with(b"SQLite format 3\0");
    let in_wal_mode = head[18] == 2;
    let is_ours = head[68..72] == (APPLICATION_ID as u32).to_be_bytes();
    // A leaf of the table of tables, without a cell.
    let has_tables = head[100] != 0x0D || head[103..105] != [0, 0];
    Ok(is_database && !in_wal_mode && !is_ours && has_tables)
}

fn foreign(path: &Path) -> JournalError {
    JournalError::Corrupt(format!(
        "{} is a SQLite database of another program; choose another file",
        path.display()
    ))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // The log is cut back to this many bytes when it has grown past them.
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
}

/// Opens the connection that writes.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, JournalError> {
    let options = options(path).thread_name(|_| "journal-writer".to_owned());
    options.connect().await.map_err(|sqlx| error_of(path, sqlx))
}

/// The connections that read; they are opened as they are needed.
pub(super) fn readers(path: &Path) -> SqlitePool {
    // They look for single runs: what they read again is in the system's cache.
    let options = options(path)
        .pragma("query_only", "ON")
        .pragma("cache_size", "-512")
        .thread_name(|n| format!("journal-reader-{n}"));
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(10))
        .connect_lazy_with(options)
}

/// Makes the tables, or brings them up to today's version.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), JournalError> {
    let result = migrate_locked(connection, path).await;
    if result.is_err() {
        // There may be no transaction to roll back.
        let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    }
    result
}

async fn migrate_locked(connection: &mut SqliteConnection, path: &Path) -> Result<(), JournalError> {
    let error = |sqlx| error_of(path, sqlx);
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(error)?;
    let head = sqlx::query(
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id),
                (SELECT count(*) FROM sqlite_schema)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(error)?;
    let head = |column: usize| head.try_get::<i64, _>(column).map_err(error);
    let (version, application, tables) = (head(0)?, head(1)?, head(2)?);
    if application != APPLICATION_ID && tables > 0 {
        return Err(foreign(path));
    }
    let known = STEPS.len() as i64;
    if version > known {
        return Err(JournalError::NeedsUpgrade(format!(
            "{} has tables of version {version}, and this program knows version {known}; use a newer boathouse",
            path.display()
        )));
    }
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        sqlx::raw_sql(*step).execute(&mut *connection).await.map_err(error)?;
    }
    sqlx::raw_sql("COMMIT").execute(&mut *connection).await.map_err(error)?;
    Ok(())
}

/// Takes a file over that no other process has open: who held runs is gone, and crew sources that no run uses are
/// forgotten. Those that are served are put again before the next run.
pub(super) async fn begin_alone(connection: &mut SqliteConnection, path: &Path) -> Result<(), JournalError> {
    sqlx::raw_sql(
        "DELETE FROM processes;
         DELETE FROM crews WHERE NOT EXISTS (SELECT 1 FROM runs WHERE crew_hash = crews.hash)",
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(|sqlx| error_of(path, sqlx))
}

/// SQLite's primary result code; `None` if the error is not SQLite's.
/// Source: <https://www.sqlite.org/rescode.html>.
pub(super) fn code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// What a failure means to the journal's callers.
pub(super) fn error(error: sqlx::Error) -> JournalError {
    const READ_ONLY: u32 = 8;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const CONSTRAINT: u32 = 19;
    const NOT_A_DATABASE: u32 = 26;
    let why = error.as_database_error().map_or_else(|| error.to_string(), |told| told.message().to_owned());
    match (code(&error), &error) {
        (Some(NOT_A_DATABASE), _) => JournalError::Corrupt("the file is not a SQLite database".to_owned()),
        (Some(CORRUPT), _) => JournalError::Corrupt(format!("{why}; restore a backup")),
        (Some(CONSTRAINT), _) | (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            JournalError::Corrupt(why)
        }
        (Some(FULL), _) => {
            JournalError::Unavailable(format!("{why}; make room, and it works again by itself"))
        }
        (Some(READ_ONLY), _) => {
            JournalError::Unavailable(format!("{why}; the file and its folder must be writable"))
        }
        (_, sqlx::Error::PoolClosed) => JournalError::Closed,
        _ => JournalError::Unavailable(why),
    }
}

/// The same of a file that is being opened: it is named.
fn error_of(path: &Path, sqlx: sqlx::Error) -> JournalError {
    match error(sqlx) {
        JournalError::Corrupt(why) => JournalError::Corrupt(format!("{}: {why}", path.display())),
        JournalError::Unavailable(why) => JournalError::Unavailable(format!("{}: {why}", path.display())),
        other => other,
    }
}

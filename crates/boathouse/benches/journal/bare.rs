//! A bare group-commit loop: whatever waits is inserted by one statement in one transaction, then acknowledged.

use std::path::Path;
use std::time::{Duration, Instant};

use boathouse::journal::Stored;
use boathouse::journal::contract::replied;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// An event to be written, as an element of a JSON array, and whom to tell.
type Waiting = (String, oneshot::Sender<()>);

/// The way to the loop. It ends when this is dropped.
pub(crate) struct Bare(mpsc::Sender<Waiting>);

impl Bare {
    pub(crate) async fn open(path: &Path) -> Bare {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-16000")
            .disable_statement_logging()
            .connect()
            .await
            .unwrap();
        sqlx::raw_sql(
            "CREATE TABLE events (run INTEGER, seq INTEGER, json TEXT, PRIMARY KEY (run, seq)) STRICT",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        let (queue, mut queued) = mpsc::channel::<Waiting>(1024);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while queued.recv_many(&mut batch, 512).await > 0 {
                insert(&mut connection, &batch).await;
                for (_, done) in batch.drain(..) {
                    done.send(()).unwrap();
                }
            }
        });
        Bare(queue)
    }

    /// Gives each of `runs` runs so many events, each of which waits for the one before. Returns how long it took.
    pub(crate) async fn write(&self, round: u64, runs: u64, appends: u64) -> Duration {
        let text = "x".repeat(350);
        let mut prepared = Vec::new();
        for run in 0..runs {
            let events: Vec<_> = (2..2 + appends).map(|seq| (seq, replied(seq, &text))).collect();
            prepared.push(((round << 20) + run, events));
        }
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for (run, events) in prepared {
            let queue = self.0.clone();
            tasks.spawn(async move {
                for (seq, event) in events {
                    let (done, written) = oneshot::channel();
                    queue.send((element(run, seq, &event), done)).await.unwrap();
                    written.await.unwrap();
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        begin.elapsed()
    }
}

fn element(run: u64, seq: u64, event: &Stored) -> String {
    let json = std::str::from_utf8(&event.json).unwrap();
    format!("[{run},{seq},{}]", serde_json::Value::from(json))
}

async fn insert(connection: &mut SqliteConnection, batch: &[Waiting]) {
    let events: Vec<&str> = batch.iter().map(|(element, _)| element.as_str()).collect();
    let done = sqlx::query(
        "INSERT INTO events (run, seq, json)
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)",
    )
    .bind(format!("[{}]", events.join(",")))
    .execute(connection)
    .await
    .unwrap();
    assert_eq!(done.rows_affected(), batch.len() as u64);
}

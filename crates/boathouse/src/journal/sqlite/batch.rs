//! One transaction for many writes: one statement for each kind of them, sent to SQLite in one piece.
//!
//! What is to be written travels in three arguments: `$1`, the appends, and `$2`, the other writes, as JSON arrays, and
//! `$3`, the events' own JSON, end to end. Events are cut out of `$3` by place and length and so stay as they are.
//! All statements before the last `UPDATE` of a run see it as it was; so all of them agree on whether a write holds.

use std::fmt::Write as _;
use std::sync::Arc;

use boathouse_core::ids::RunId;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::blobs::{Cut, LongText};
use super::chores::{free, now};
use super::people::{push_notices, push_waits};
use super::runs::{concat_row, to_row};
use super::threads;
use super::writer::Write;
use crate::journal::{Lease, People, REQUESTS_KEPT, RequestKey, RunRow, Stored};

/// Appends. Rows: 0, the place in `$1` of one that does not hold, whether there is such a run.
const APPENDS: &str = "
    SELECT 0, a.key, r.key IS NOT NULL
        FROM json_each($1) a LEFT JOIN runs r ON r.id = a.value->>0
        WHERE r.key IS NULL OR (r.epoch, r.lease, r.seq) <> (a.value->>1, a.value->>2, a.value->>3);
    INSERT INTO events (run, seq, json)
        SELECT r.key, r.seq + 1 + e.key, CAST(substr($3, (e.value >> 32) + 1, e.value & 4294967295) AS TEXT)
        FROM json_each($1) a CROSS JOIN runs r CROSS JOIN json_each(a.value, '$[7]') e
        WHERE r.id = a.value->>0 AND (r.epoch, r.lease, r.seq) = (a.value->>1, a.value->>2, a.value->>3);
    UPDATE runs SET seq = a.value->>4, state = a.value->>5, updated_at = a.value->>6
        FROM json_each($1) a
        WHERE runs.id = a.value->>0
            AND (runs.epoch, runs.lease, runs.seq) = (a.value->>1, a.value->>2, a.value->>3);
";

/// Everything else. `$2` is an object of arrays. Rows: 1, the place of a run that exists already; 2, the place of a run
/// that is deleted; 3, the place of a run that is claimed, its epoch, its columns; 4, the place of a run whose request
/// was carried out before; 5, the place of a run that another process holds.
const OTHERS: &str = concat_row!(
    "
    INSERT INTO crews (hash, source, dir) SELECT c.value->>0, c.value->>1, c.value->>2
        FROM json_each($2, '$.crews') c WHERE TRUE
        ON CONFLICT (hash) DO UPDATE SET dir = excluded.dir WHERE excluded.dir IS NOT NULL;
    SELECT 1, n.key FROM json_each($2, '$.creates') n JOIN runs r ON r.id = n.value->>0;
    SELECT 4, n.key FROM json_each($2, '$.creates') n JOIN requests q
        ON q.scope = n.value->>13 AND q.key = n.value->>14 AND q.at > n.value->>15;
    INSERT INTO runs (id, epoch, lease, seq, state, updated_at, crew, crew_hash, thread, created_at, holder)
        SELECT n.value->>0, n.value->>1, n.value->>2, n.value->>4, n.value->>5, n.value->>6,
               n.value->>8, n.value->>9, n.value->>10, n.value->>11, n.value->>12
        FROM json_each($2, '$.creates') n
        WHERE NOT EXISTS (SELECT 1 FROM requests q
            WHERE q.scope = n.value->>13 AND q.key = n.value->>14 AND q.at > n.value->>15)
        ON CONFLICT (id) DO NOTHING;
    INSERT INTO events (run, seq, json)
        SELECT r.key, 1 + e.key, CAST(substr($3, (e.value >> 32) + 1, e.value & 4294967295) AS TEXT)
        FROM json_each($2, '$.creates') n CROSS JOIN runs r CROSS JOIN json_each(n.value, '$[7]') e
        WHERE r.id = n.value->>0 AND r.lease = n.value->>2;
    INSERT INTO requests (scope, key, body, run, seq, at)
        SELECT q.value->>0, q.value->>1, q.value->>2, q.value->>3, q.value->>7, q.value->>8
        FROM json_each($2, '$.requests') q JOIN runs r ON r.id = q.value->>3
        WHERE (r.epoch, r.lease, r.seq) = (q.value->>4, q.value->>5, q.value->>6)
        ON CONFLICT DO UPDATE SET body = excluded.body, run = excluded.run, seq = excluded.seq, at = excluded.at;
    INSERT INTO blobs (hash, text)
        SELECT t.value->>6, CAST(substr($3, (t.value->>5 >> 32) + 1, t.value->>5 & 4294967295) AS TEXT)
        FROM json_each($2, '$.texts') t JOIN runs r ON r.id = t.value->>0
        WHERE (r.epoch, r.lease, r.seq) = (t.value->>1, t.value->>2, t.value->>3)
            AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.hash = t.value->>6)
        ON CONFLICT (hash) DO NOTHING;
    INSERT INTO blob_places (run, seq, place, blob)
        SELECT r.key, t.value->>4, t.value->>7, b.key
        FROM json_each($2, '$.texts') t JOIN runs r ON r.id = t.value->>0 JOIN blobs b ON b.hash = t.value->>6
        WHERE (r.epoch, r.lease, r.seq) = (t.value->>1, t.value->>2, t.value->>3);
    DELETE FROM waits WHERE run IN (SELECT r.id FROM json_each($2, '$.waits') w JOIN runs r ON r.id = w.value->>0
        WHERE (r.epoch, r.lease, r.seq) = (w.value->>1, w.value->>2, w.value->>3));
    INSERT INTO waits (run, wait, crew, kind, tool, opened_at, expires_at, json)
        SELECT r.id, e.value->>0, r.crew, e.value->>1, e.value->>2, e.value->>3, e.value->>4, e.value->>5
        FROM json_each($2, '$.waits') w CROSS JOIN runs r CROSS JOIN json_each(w.value, '$[4]') e
        WHERE r.id = w.value->>0 AND (r.epoch, r.lease, r.seq) = (w.value->>1, w.value->>2, w.value->>3);
    INSERT INTO outbox (id, url, run, holder, body, at, attempts, next_at)
        SELECT e.value->>0, e.value->>1, r.id, r.holder, e.value->>2, e.value->>3, e.value->>4, e.value->>5
        FROM json_each($2, '$.notices') n CROSS JOIN runs r CROSS JOIN json_each(n.value, '$[4]') e
        WHERE r.id = n.value->>0 AND (r.epoch, r.lease, r.seq) = (n.value->>1, n.value->>2, n.value->>3)
        ON CONFLICT DO NOTHING;
    SELECT 2, d.key FROM json_each($2, '$.deletes') d JOIN runs r ON r.id = d.value;
    DELETE FROM runs WHERE id IN (SELECT d.value FROM json_each($2, '$.deletes') d);
    UPDATE runs SET epoch = epoch + 1, lease = c.value->>1, holder = c.value->>2
        FROM json_each($2, '$.claims') c WHERE runs.id = c.value->>0 AND (runs.state = 'queued' OR $FREE);
    SELECT CASE runs.lease WHEN c.lease THEN 3 ELSE 5 END, c.place, epoch, ",
    "
        FROM (SELECT key AS place, value->>0 AS run, value->>1 AS lease FROM json_each($2, '$.claims')) c
        JOIN runs ON id = c.run;
"
);

/// Whether a run is free to be claimed.
const FREE: &str = free!("c.value->>2");

/// What became of one write of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was written.
    Written,
    /// There is no such run.
    UnknownRun,
    /// Another wrote or holds the run.
    Conflict,
    /// There is such a run.
    Exists,
    /// The request that should start the run was carried out before.
    Repeated,
    /// Another process holds the run.
    Held,
    /// Another run has the turn on the thread.
    ThreadBusy,
    /// Too many runs wait on the thread.
    ThreadQueueFull,
    /// Too many runs wait in all.
    QueueFull,
    /// The run is claimed.
    Claimed(u64, Box<RunRow>),
}

/// The texts of the transactions, made once.
#[derive(Debug)]
pub(super) struct Transactions {
    appends: Arc<str>,
    all: Arc<str>,
    /// The same statements, inside a transaction that does more.
    inside: Arc<str>,
}

impl Transactions {
    pub(super) fn new() -> Transactions {
        let inside = format!("{}{APPENDS}", OTHERS.replace("$FREE", FREE));
        Transactions {
            appends: format!("BEGIN IMMEDIATE;{APPENDS}COMMIT").into(),
            all: format!("BEGIN IMMEDIATE;{inside}COMMIT").into(),
            inside: inside.into(),
        }
    }

    /// Commits the writes, of which no two are for one run or one thread, and tells what became of each, in their order.
    ///
    /// After an error nothing of them is written, and a transaction may still be open.
    pub(super) async fn commit(
        &self,
        connection: &mut SqliteConnection,
        writes: &[Write],
    ) -> Result<Vec<Outcome>, sqlx::Error> {
        if writes.iter().all(|write| write.on_thread().is_none()) {
            return self.write(connection, Arguments::of(writes, Vec::new()), &self.all).await;
        }
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let refused = threads::check(connection, writes).await?;
        let arguments = Arguments::of(writes, refused);
        let outcomes = self.write(connection, arguments, &self.inside).await?;
        threads::effect(connection, writes, &outcomes).await?;
        sqlx::query("COMMIT").execute(connection).await?;
        Ok(outcomes)
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        arguments: Arguments,
        all: &Arc<str>,
    ) -> Result<Vec<Outcome>, sqlx::Error> {
        let sql = if arguments.others.is_some() { all } else { &self.appends };
        // Several statements in one prepared query: SQLite's driver runs them all in one go on its own thread.
        let rows = sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(arguments.appends)
            .bind(arguments.others)
            .bind(arguments.events)
            .fetch_all(connection)
            .await?;
        let mut outcomes: Vec<_> = arguments.places.unless_told.into_iter().collect();
        for row in &rows {
            let place = |places: &[usize]| -> Result<usize, sqlx::Error> {
                let place = usize::try_from(row.try_get::<i64, _>(1)?).ok();
                place.and_then(|place| places.get(place).copied()).ok_or(sqlx::Error::RowNotFound)
            };
            let (place, outcome) = match row.try_get::<i64, _>(0)? {
                0 if row.try_get(2)? => (place(&arguments.places.appends)?, Outcome::Conflict),
                0 => (place(&arguments.places.appends)?, Outcome::UnknownRun),
                1 => (place(&arguments.places.creates)?, Outcome::Exists),
                2 => (place(&arguments.places.deletes)?, Outcome::Written),
                4 => (place(&arguments.places.creates)?, Outcome::Repeated),
                5 => (place(&arguments.places.claims)?, Outcome::Held),
                _ => (place(&arguments.places.claims)?, claimed(row)?),
            };
            outcomes[place] = outcome;
        }
        Ok(outcomes)
    }
}

fn claimed(row: &SqliteRow) -> Result<Outcome, sqlx::Error> {
    let epoch = row.try_get::<i64, _>(2)?.cast_unsigned();
    let row = to_row(row, 3).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Outcome::Claimed(epoch, Box::new(row)))
}

/// The arguments of a transaction.
struct Arguments {
    appends: String,
    /// `None` where there are only appends.
    others: Option<String>,
    events: Vec<u8>,
    places: Places,
}

/// Where each write is in the batch, by its place in its array.
#[derive(Default)]
struct Places {
    appends: Vec<usize>,
    creates: Vec<usize>,
    deletes: Vec<usize>,
    claims: Vec<usize>,
    /// What became of each write if no row says otherwise.
    unless_told: Vec<Outcome>,
}

impl Arguments {
    /// Of writes that are not refused already: `refused` says which are, by their places; it may be shorter.
    fn of(writes: &[Write], refused: Vec<Option<Outcome>>) -> Arguments {
        let mut refused = refused.into_iter();
        let mut places = Places::default();
        let mut events = Vec::with_capacity(writes.iter().map(Write::bytes).sum());
        let mut appends = Array::default();
        let (mut crews, mut creates) = (Array::default(), Array::default());
        let (mut deletes, mut claims) = (Array::default(), Array::default());
        let (mut requests, mut texts) = (Array::default(), Array::default());
        let (mut waits, mut notices) = (Array::default(), Array::default());
        let mut keep_people = |people: &People, run: &RunId, lease: Lease, if_at: u64| {
            if let Some(open) = &people.waits {
                push_waits(guarded(waits.next(), run, lease, if_at), open);
            }
            if !people.notices.is_empty() {
                push_notices(guarded(notices.next(), run, lease, if_at), &people.notices);
            }
        };
        for (place, write) in writes.iter().enumerate() {
            if let Some(outcome) = refused.next().flatten() {
                places.unless_told.push(outcome);
                continue;
            }
            places.unless_told.push(match write {
                Write::Append { append, cuts, after, .. } => {
                    places.appends.push(place);
                    let array = appends.next();
                    head(array, &append.run, append.lease, after.0, &append.events, append.state.as_str());
                    pieces(array, &append.events, cuts, &mut events);
                    array.push(']');
                    let fence = (&append.run, append.lease, after.0);
                    long_texts(&mut texts, fence, after.0, cuts, &mut events);
                    for request in &append.requests {
                        let last = after.0 + append.events.len() as u64;
                        keep_request(
                            requests.next(),
                            request,
                            &append.run,
                            append.lease,
                            after.0,
                            last,
                            &append.events,
                        );
                    }
                    keep_people(&append.people, &append.run, append.lease, after.0);
                    Outcome::Written
                }
                Write::Create { new, cuts, lease, holder, .. } => {
                    places.creates.push(place);
                    let array = creates.next();
                    head(array, &new.run, *lease, 0, &new.events, new.state.as_str());
                    pieces(array, &new.events, cuts, &mut events);
                    for field in [new.crew.as_str(), &new.crew_hash, new.thread.as_str()] {
                        array.push(',');
                        text(array, field);
                    }
                    let created_at = new.events.first().map_or(0, |first| first.recorded.at.0);
                    let _ = write!(array, ",{created_at},");
                    text(array, holder);
                    if let Some(request) = &new.request {
                        for field in [&request.scope, &request.key] {
                            array.push(',');
                            text(array, field);
                        }
                        let kept_since = created_at.saturating_sub(REQUESTS_KEPT.as_millis() as i64);
                        let _ = write!(array, ",{kept_since}");
                        let last = new.events.len() as u64;
                        keep_request(requests.next(), request, &new.run, *lease, last, last, &new.events);
                    }
                    array.push(']');
                    let fence = (&new.run, *lease, new.events.len() as u64);
                    long_texts(&mut texts, fence, 0, cuts, &mut events);
                    keep_people(&new.people, &new.run, *lease, new.events.len() as u64);
                    Outcome::Written
                }
                Write::Claim { run, lease, holder, .. } => {
                    places.claims.push(place);
                    let array = claims.next();
                    array.push('[');
                    text(array, run.as_str());
                    let _ = write!(array, ",\"{}\",", lease.as_simple());
                    text(array, holder);
                    array.push(']');
                    Outcome::UnknownRun
                }
                Write::Delete { run, .. } => {
                    places.deletes.push(place);
                    text(deletes.next(), run.as_str());
                    Outcome::UnknownRun
                }
                Write::PutCrew { hash, crew, .. } => {
                    let array = crews.next();
                    array.push('[');
                    text(array, hash);
                    for field in std::iter::once(&crew.source).chain(&crew.dir) {
                        array.push(',');
                        text(array, field);
                    }
                    array.push(']');
                    Outcome::Written
                }
                Write::Chore { .. } | Write::Thread { .. } | Write::Close => Outcome::Written,
            });
        }
        let only_appends = places.appends.len() == writes.len()
            && [&requests, &texts, &waits, &notices].iter().all(|array| array.0.is_empty())
            && writes.iter().all(|write| write.on_thread().is_none());
        let others = (!only_appends).then(|| {
            let (crews, creates) = (crews.end(), creates.end());
            let (deletes, claims, requests) = (deletes.end(), claims.end(), requests.end());
            let (texts, waits, notices) = (texts.end(), waits.end(), notices.end());
            format!(
                "{{\"crews\":{crews},\"creates\":{creates},\"deletes\":{deletes},\"claims\":{claims},\"requests\":{requests},\
                 \"texts\":{texts},\"waits\":{waits},\"notices\":{notices}}}"
            )
        });
        Arguments { appends: appends.end(), others, events, places }
    }
}

/// A JSON array in the making.
#[derive(Default)]
struct Array(String);

impl Array {
    fn next(&mut self) -> &mut String {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        &mut self.0
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }
}

/// `["run", epoch, "lease", after, last, "state", at, ` of an append or a new run.
fn head(array: &mut String, run: &RunId, lease: Lease, after: u64, events: &[Arc<Stored>], state: &str) {
    let at = events.last().map_or(0, |last| last.recorded.at.0);
    let last = after + events.len() as u64;
    array.push('[');
    text(array, run.as_str());
    // An epoch that no run can have becomes one that no run has.
    let epoch = i64::try_from(lease.epoch).unwrap_or(-1);
    let _ = write!(array, ",{epoch},\"{}\",{after},{last},\"{state}\",{at},", lease.id.as_simple());
}

/// `["run", epoch, "lease", if_at, ` of what is written if the run has the lease and the event `if_at` then.
fn guarded<'a>(array: &'a mut String, run: &RunId, lease: Lease, if_at: u64) -> &'a mut String {
    array.push('[');
    text(array, run.as_str());
    let epoch = i64::try_from(lease.epoch).unwrap_or(-1);
    let _ = write!(array, ",{epoch},\"{}\",{if_at},", lease.id.as_simple());
    array
}

/// A request that is carried out if its run has the lease and the event `if_at` then.
fn keep_request(
    array: &mut String,
    request: &RequestKey,
    run: &RunId,
    lease: Lease,
    if_at: u64,
    seq: u64,
    events: &[Arc<Stored>],
) {
    array.push('[');
    for field in [&request.scope, &request.key, &request.body] {
        text(array, field);
        array.push(',');
    }
    text(array, run.as_str());
    let at = events.last().map_or(0, |last| last.recorded.at.0);
    let epoch = i64::try_from(lease.epoch).unwrap_or(-1);
    let _ = write!(array, ",{epoch},\"{}\",{if_at},{seq},{at}]", lease.id.as_simple());
}

/// Where each event begins in `$3`, and its length, in one number each. Events with long texts go without them.
fn pieces(array: &mut String, stored: &[Arc<Stored>], cuts: &[(usize, Cut)], events: &mut Vec<u8>) {
    let mut cuts = cuts.iter().peekable();
    for (number, event) in stored.iter().enumerate() {
        array.push(if number == 0 { '[' } else { ',' });
        let json: &[u8] = match cuts.next_if(|(of, _)| *of == number) {
            Some((_, cut)) => &cut.short,
            None => &event.json,
        };
        let _ = write!(array, "{}", piece(json, events));
    }
    array.push(']');
}

/// Appends a piece to `$3`; where it begins and its length, in one number.
fn piece(bytes: &[u8], events: &mut Vec<u8>) -> usize {
    let begin = events.len();
    events.extend_from_slice(bytes);
    (begin << 32) | bytes.len()
}

/// The long texts of events that follow the event `after`, for a run that has the lease and the event `if_at` then.
fn long_texts(
    array: &mut Array,
    (run, lease, if_at): (&RunId, Lease, u64),
    after: u64,
    cuts: &[(usize, Cut)],
    events: &mut Vec<u8>,
) {
    let epoch = i64::try_from(lease.epoch).unwrap_or(-1);
    for (number, cut) in cuts {
        let seq = after + 1 + *number as u64;
        for LongText { place, hash, text: long } in &cut.texts {
            let array = array.next();
            array.push('[');
            text(array, run.as_str());
            let (lease, piece) = (lease.id.as_simple(), piece(long, events));
            let _ = write!(array, ",{epoch},\"{lease}\",{if_at},{seq},{piece},\"{hash}\",{place}]");
        }
    }
}

pub(super) fn text(array: &mut String, text: &str) {
    // Run ids need no escapes; crews' names and sources may.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        array.push('"');
        array.push_str(text);
        array.push('"');
    } else {
        array.push_str(&serde_json::Value::from(text).to_string());
    }
}

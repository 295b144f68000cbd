//! A log is read as it was written, and its row says how far it is.

use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq, ThreadId};
use boathouse_core::run::event::RunState;

use super::samples::{HASH, NOON, append, assert_conflict, create, log, new_run, replied, row, started};
use crate::journal::{Append, Journal, NewRun, RunQuery, RunRow};

/// Events are read as they were written: same order, same value, same bytes.
pub async fn events_come_back_in_order_and_byte_for_byte(journal: Arc<dyn Journal>) {
    let texts = [
        "plain",
        "",
        "quotes \" ' ` and \\ backslashes \\u0041",
        "lines\nand\r\nreturns\tand \u{1} control \u{7f}",
        "Grüße, 日本語, 🛶, e\u{301}, \u{feff}\u{2028}\u{202e}",
        "a nul \0 inside",
        "{\"json\": [1, 2.50, 1e400]}",
        "$1 ?1 %s -- ; DROP TABLE runs",
        &"long ".repeat(40_000),
    ];
    let lease = create(&*journal, new_run("a")).await;
    let mut written = vec![new_run("a").events.remove(0)];
    for (number, text) in (2..).zip(texts) {
        let event = replied(number, text);
        written.push(event.clone());
        journal.append(append("a", lease, vec![event])).await.unwrap();
    }
    let together: Vec<_> = (0..40)
        .map(|more| replied(written.len() as u64 + 1 + more, texts[more as usize % texts.len()]))
        .collect();
    written.extend(together.iter().cloned());
    journal.append(append("a", lease, together)).await.unwrap();

    let read = log(&*journal, "a").await;
    assert_eq!(read.len(), written.len(), "every event is read");
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(read.json, written.json, "the bytes of event {}", written.recorded.seq);
        assert_eq!(read.recorded, written.recorded, "the value of event {}", written.recorded.seq);
    }
}

/// `read` begins after `after` and stops at `limit`.
pub async fn reading_pages(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    journal.append(append("a", lease, (2..=10).map(|seq| replied(seq, "x")).collect())).await.unwrap();
    let page = async |after: u64, limit: usize| -> Vec<u64> {
        let events = journal.read(&RunId::from("a"), Seq(after), limit).await.unwrap();
        events.iter().map(|event| event.recorded.seq.0).collect()
    };
    assert_eq!(page(0, 3).await, [1, 2, 3]);
    assert_eq!(page(3, 4).await, [4, 5, 6, 7]);
    assert_eq!(page(7, 100).await, [8, 9, 10]);
    assert_eq!(page(9, usize::MAX).await, [10]);
    assert_eq!(page(10, 5).await, [0; 0], "nothing after the last event");
    assert_eq!(page(u64::MAX, 5).await, [0; 0], "nothing past the end");
    assert_eq!(page(0, 0).await, [0; 0], "a limit of 0");
}

/// The row shows the state, the last seq and the times of the first and last event.
pub async fn the_row_follows_the_log(journal: Arc<dyn Journal>) {
    let mut new = new_run("a");
    new.state = RunState::Queued;
    new.events.push(replied(2, "x"));
    let lease = create(&*journal, new).await;
    let expected = RunRow {
        run: RunId::from("a"),
        crew: "contract".to_owned(),
        crew_hash: HASH.into(),
        thread: ThreadId::from("thread"),
        state: RunState::Queued,
        seq: Seq(2),
        created_at: NOON,
        updated_at: NOON.plus_millis(2),
    };
    assert_eq!(row(&*journal, "a").await, expected);

    for (seq, state) in (3..).zip([
        RunState::Running,
        RunState::Running,
        RunState::Paused,
        RunState::Running,
        RunState::Completed,
        RunState::Cancelled,
        RunState::Failed,
        RunState::LimitReached,
    ]) {
        let append = Append { state, ..append("a", lease, vec![replied(seq, "x")]) };
        journal.append(append).await.unwrap();
        let expected = RunRow { state, seq: Seq(seq), updated_at: NOON.plus_millis(seq), ..expected.clone() };
        assert_eq!(row(&*journal, "a").await, expected);
        assert_eq!(journal.runs(&RunQuery { limit: 5, ..RunQuery::default() }).await.unwrap(), [expected]);
    }
}

/// No events, a first event that is not number 1, or a gap: nothing is written.
pub async fn malformed_events_are_refused(journal: Arc<dyn Journal>) {
    journal.put_crew(HASH, "name: contract\n", None).await.unwrap();
    for events in [vec![], vec![replied(2, "x")], vec![started(NOON, "hello"), replied(3, "x")]] {
        assert_conflict(journal.create(NewRun { events, ..new_run("a") }).await, "a malformed start");
        assert_eq!(journal.run(&RunId::from("a")).await.unwrap(), None, "nothing is left of it");
        assert_eq!(log(&*journal, "a").await, []);
    }
    let lease = create(&*journal, new_run("a")).await;
    for events in [vec![], vec![replied(2, "x"), replied(4, "x")], vec![replied(2, "x"), replied(2, "x")]] {
        assert_conflict(journal.append(append("a", lease, events)).await, "malformed events");
        assert_eq!(log(&*journal, "a").await.len(), 1, "nothing is left of them");
    }
}

//! One promise each.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use boathouse_core::run::event::CallEnd;

use super::*;
use crate::journal::JournalError;

const CALL: CallId = CallId(3);

const SMALL: FeedLimits = FeedLimits { events: 2, event_bytes: 1 << 20, deltas: 2, delta_bytes: 1 << 20 };

#[test]
fn a_delta_is_one_json_object() {
    let bench = Bench::new(FeedLimits::default());
    let mut watch = bench.watch(0, true);
    assert!(poll(&mut watch).is_none());
    bench.feed.delta(CALL, 1, "Grüße");
    bench.feed.delta(CALL, 1, "\n\"x\"\u{1}");
    let items = poll(&mut watch).unwrap().unwrap().unwrap();
    let lines: Vec<&str> = items
        .iter()
        .map(|item| match item {
            Item::Delta(data) => std::str::from_utf8(data).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#"{"type":"delta","call":3,"attempt":1,"offset":0,"text":"Grüße"}"#,
            r#"{"type":"delta","call":3,"attempt":1,"offset":7,"text":"\n\"x\"\u0001"}"#,
        ]
    );
}

#[test]
fn a_delta_is_encoded_once_for_all_watchers() {
    let bench = Bench::new(FeedLimits::default());
    let mut watches = [bench.watch(0, true), bench.watch(0, true)];
    watches.iter_mut().for_each(|watch| assert!(poll(watch).is_none()));
    bench.feed.delta(CALL, 1, "hello");
    let places = watches.each_mut().map(|watch| match &poll(watch).unwrap().unwrap().unwrap()[..] {
        [Item::Delta(data)] => data.as_ptr(),
        other => panic!("{other:?}"),
    });
    assert_eq!(places[0], places[1]);
}

#[test]
fn who_joins_late_gets_the_events_and_then_the_reply_so_far() {
    let bench = Bench::new(FeedLimits::default());
    bench.happen(&[noted(1), noted(2)]);
    bench.feed.delta(CALL, 1, "one ");
    bench.feed.delta(CALL, 1, "two ");
    let mut watch = bench.watch(1, true);
    assert_eq!(given(&mut watch), ["e2", "s3.1:one two "]);
    bench.feed.delta(CALL, 1, "three");
    bench.happen(&[replied(3, CALL)]);
    assert_eq!(given(&mut watch), ["d8:three", "e3"]);
    assert_eq!(given(&mut bench.watch(2, true)), ["e3"], "the reply is whole in its event");
}

#[test]
fn old_events_come_from_the_journal() {
    let bench = Bench::new(SMALL);
    for seq in 1..=5 {
        bench.happen(&[noted(seq)]);
    }
    assert_eq!(given(&mut bench.watch(0, false)), ["e1", "e2", "e3", "e4", "e5"]);
    assert_eq!(given(&mut bench.watch(4, false)), ["e5"]);
}

#[test]
fn events_from_before_the_feed_come_from_the_journal() {
    let log: Arc<Log> = Arc::default();
    log.commit(&[noted(1), noted(2)]);
    let bench = Bench { feed: Arc::new(Feed::new(Seq(2))), log };
    let mut watch = bench.watch(0, true);
    assert_eq!(given(&mut watch), ["e1", "e2"]);
    bench.happen(&[noted(3)]);
    assert_eq!(given(&mut watch), ["e3"]);
}

#[test]
fn events_that_someone_else_wrote_come_from_the_journal() {
    let bench = Bench::new(FeedLimits::default());
    let mut watch = bench.watch(0, false);
    bench.happen(&[noted(1)]);
    bench.log.commit(&[noted(2), noted(3)]);
    bench.happen(&[noted(4)]);
    assert_eq!(given(&mut watch), ["e1", "e2", "e3", "e4"]);
}

#[test]
fn who_falls_behind_is_told_and_gets_the_reply_so_far() {
    let bench = Bench::new(SMALL);
    let mut slow = bench.watch(0, true);
    assert!(poll(&mut slow).is_none());
    for piece in ["a", "b", "c", "d"] {
        bench.feed.delta(CALL, 1, piece);
    }
    bench.happen(&[noted(1), noted(2), noted(3)]);
    assert_eq!(given(&mut slow), ["gap", "e1", "e2", "e3", "s3.1:abcd"]);
    bench.feed.delta(CALL, 1, "e");
    assert_eq!(given(&mut slow), ["d4:e"]);
}

#[test]
fn deltas_that_everyone_was_given_are_not_kept() {
    let bench = Bench::new(SMALL);
    let mut watch = bench.watch(0, true);
    assert!(poll(&mut watch).is_none());
    for piece in ["a", "b", "c", "d"] {
        bench.feed.delta(CALL, 1, piece);
        assert_eq!(given(&mut watch).len(), 1, "no gap for who keeps up");
    }
}

#[test]
fn a_new_try_begins_anew() {
    let bench = Bench::new(FeedLimits::default());
    bench.feed.delta(CALL, 1, "lost");
    bench.feed.delta(CALL, 2, "new");
    bench.feed.delta(CALL, 1, " too late");
    assert_eq!(given(&mut bench.watch(0, true)), ["s3.2:new"]);
}

#[test]
fn a_stopped_call_has_no_reply() {
    let bench = Bench::new(FeedLimits::default());
    bench.feed.delta(CALL, 1, "half");
    bench.happen(&[stopped(1, CALL)]);
    assert_eq!(given(&mut bench.watch(0, true)), ["e1"]);
}

#[test]
fn the_end_comes_after_the_last_event() {
    let bench = Bench::new(FeedLimits::default());
    let mut watch = bench.watch(0, false);
    bench.happen(&[noted(1), ended(2)]);
    assert!(!watch.at_rest());
    assert_eq!(given(&mut watch), ["e1", "e2", "end"]);
    assert!(watch.at_rest());
    assert_eq!(given(&mut watch), ["end"]);
}

#[test]
fn a_feed_without_a_driver_ends() {
    let bench = Bench::new(FeedLimits::default());
    let mut watch = bench.watch(0, true);
    assert!(poll(&mut watch).is_none());
    bench.happen(&[noted(1)]);
    bench.feed.delta(CALL, 1, "half");
    bench.feed.close();
    assert_eq!(given(&mut watch), ["e1", "d0:half", "end"]);
}

#[test]
fn a_pause_is_told_once_and_the_run_goes_on_in_the_same_stream() {
    let bench = Bench::new(FeedLimits::default());
    let mut watch = bench.watch(0, true);
    bench.happen(&[noted(1)]);
    assert_eq!(given(&mut watch), ["e1"]);
    assert!(!watch.at_rest());
    bench.feed.set_rest(true);
    assert_eq!(given(&mut watch), ["."]);
    assert!(watch.at_rest());
    bench.feed.set_rest(false);
    assert!(!watch.at_rest());
    bench.happen(&[noted(2)]);
    assert_eq!(given(&mut watch), ["e2"]);
}

#[test]
fn who_joins_a_paused_run_is_given_everything_and_then_waits() {
    let bench = Bench::new(SMALL);
    for seq in 1..=5 {
        bench.happen(&[noted(seq)]);
    }
    bench.feed.set_rest(true);
    for deltas in [false, true] {
        let mut watch = bench.watch(0, deltas);
        assert!(!watch.at_rest());
        let mut said = given(&mut watch);
        said.retain(|item| item != ".");
        assert_eq!(said, ["e1", "e2", "e3", "e4", "e5"]);
        assert!(watch.at_rest());
    }
}

#[test]
fn a_stored_run_is_read_to_its_end() {
    let log: Arc<Log> = Arc::default();
    log.commit(&(1..=300).map(noted).collect::<Vec<_>>());
    let mut unfinished = Watch::stored(log.journal.clone(), RunId::from("r"), Seq(298));
    assert_eq!(given(&mut unfinished), ["e299", "e300", "end"]);
    log.commit(&[ended(301)]);
    let mut watch = Watch::stored(log.journal.clone(), RunId::from("r"), Seq(0));
    let said = given(&mut watch);
    assert_eq!((said.len(), said[300].as_str(), said[301].as_str()), (302, "e301", "end"));
    assert!(watch.at_rest());
}

#[test]
fn a_deleted_run_is_an_error_and_no_endless_loop() {
    let bench = Bench::new(SMALL);
    bench.feed.publish(&[noted(1), noted(2), noted(3), noted(4)]);
    let said = poll(&mut bench.watch(0, false)).unwrap();
    assert!(matches!(said, Err(JournalError::UnknownRun(_))), "{said:?}");
}

#[test]
fn the_driver_hears_when_the_last_watcher_goes() {
    let bench = Bench::new(FeedLimits::default());
    let abandoned =
        |bench: &Bench| pin!(bench.feed.abandoned()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
    assert!(!abandoned(&bench), "nobody has come yet");
    let (one, two) = (bench.watch(0, false), bench.watch(0, true));
    assert_eq!(bench.feed.watchers(), 2);
    drop(one);
    assert!(!abandoned(&bench));
    drop(two);
    assert_eq!(bench.feed.watchers(), 0);
    assert!(abandoned(&bench), "also if it happened before the question");
    assert!(abandoned(&bench), "whoever asks next is told too");
    drop(bench.watch(0, false));
    let back = bench.watch(0, false);
    assert!(!abandoned(&bench), "somebody came back");
    bench.feed.set_rest(true);
    drop(back);
    assert!(!abandoned(&bench), "a stream closed by a pause is no disconnect");
}

#[tokio::test]
async fn a_waiting_driver_is_woken_when_the_last_watcher_goes() {
    let bench = Bench::new(FeedLimits::default());
    let watch = bench.watch(0, false);
    tokio::join!(bench.feed.abandoned(), async {
        tokio::task::yield_now().await;
        drop(watch);
    });
}

#[tokio::test]
async fn a_waiting_watcher_is_woken_by_whatever_comes() {
    let bench = Bench::new(FeedLimits::default());
    let mut watch = bench.watch(0, true);
    let read = tokio::spawn(async move {
        let mut said = Vec::new();
        while let Some(items) = watch.next().await.unwrap() {
            said.extend(items.iter().map(short));
        }
        said
    });
    tokio::task::yield_now().await;
    bench.happen(&[noted(1)]);
    tokio::task::yield_now().await;
    bench.feed.delta(CALL, 1, "hi");
    tokio::task::yield_now().await;
    bench.happen(&[replied(2, CALL)]);
    tokio::task::yield_now().await;
    bench.happen(&[ended(3)]);
    assert_eq!(read.await.unwrap(), ["e1", "d0:hi", "e2", "e3"]);
}

fn stopped(seq: u64, call: CallId) -> Arc<Stored> {
    stored(seq, Event::CallStopped { call, end: CallEnd::Dropped })
}

/// What `next` gives now; `None` if it waits.
pub(super) fn poll(watch: &mut Watch) -> Option<Result<Option<Vec<Item>>, JournalError>> {
    let mut next = pin!(watch.next());
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(given) => Some(given),
        Poll::Pending => None,
    }
}

/// Everything that `next` gives until it waits or ends, in short: `e1`, `d0:text`, `s3.1:text`, `gap`, `.` for an
/// empty list, `end`.
fn given(watch: &mut Watch) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(items) = poll(watch) {
        let Some(items) = items.unwrap() else {
            said.push("end".to_owned());
            break;
        };
        if items.is_empty() {
            said.push(".".to_owned());
        }
        said.extend(items.iter().map(short));
    }
    said
}

fn short(item: &Item) -> String {
    match item {
        Item::Event(stored) => format!("e{}", stored.recorded.seq),
        Item::Delta(data) => {
            let delta: serde_json::Value = serde_json::from_slice(data).unwrap();
            format!("d{}:{}", delta["offset"], delta["text"].as_str().unwrap())
        }
        Item::Snapshot { call, attempt, text } => format!("s{call}.{attempt}:{text}"),
        Item::Gap => "gap".to_owned(),
    }
}

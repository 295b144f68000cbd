//! Threads in every order that the checker thinks of. A lost wake-up shows as a deadlock.

use shuttle::future::block_on;
use shuttle::thread;

use super::*;

const ORDERS: usize = 20_000;

/// Checks what one reader is given: events once and in order, deltas without a hole; gives the text of the reply.
async fn read_to_the_end(mut watch: Watch, after: u64, last: u64) {
    let mut seq = after;
    let mut text = String::new();
    while let Some(items) = watch.next().await.unwrap() {
        for item in items {
            match item {
                Item::Event(stored) => {
                    seq += 1;
                    assert_eq!(stored.recorded.seq, Seq(seq), "every event once, in order");
                    if let Event::ModelReplied { .. } = stored.recorded.event {
                        text.clear();
                    }
                }
                Item::Delta(data) => {
                    let delta: serde_json::Value = serde_json::from_slice(&data).unwrap();
                    assert_eq!(delta["offset"], text.len(), "deltas without a hole");
                    text.push_str(delta["text"].as_str().unwrap());
                }
                Item::Snapshot { text: so_far, .. } => text = so_far,
                Item::Gap => text.clear(),
            }
        }
    }
    assert_eq!(seq, last, "nothing is missing");
}

/// A run of two replies, told by two threads as the engine does: the driver publishes, the call sends deltas.
fn run(bench: &Bench) {
    for round in 0..2 {
        let call = CallId(round);
        bench.happen(&[noted(round * 2 + 1)]);
        let feed = bench.feed.clone();
        let pieces = thread::spawn(move || {
            for piece in ["a", "bc", "d"] {
                feed.delta(call, 1, piece);
            }
        });
        pieces.join().unwrap();
        bench.happen(&[replied(round * 2 + 2, call)]);
    }
    bench.happen(&[ended(5)]);
}

fn readers_at_any_time(limits: FeedLimits) {
    shuttle::check_random(
        move || {
            let bench = Bench::new(limits);
            let readers: Vec<_> = [(0, true), (0, true), (1, false)]
                .into_iter()
                .map(|(after, deltas)| {
                    let (feed, log) = (bench.feed.clone(), bench.log.journal.clone());
                    thread::spawn(move || {
                        let watch = Watch::live(feed, log, RunId::from("r"), Seq(after), deltas);
                        block_on(read_to_the_end(watch, after, 5));
                    })
                })
                .collect();
            run(&bench);
            for reader in readers {
                reader.join().unwrap();
            }
            assert_eq!(bench.feed.watchers(), 0);
        },
        ORDERS,
    );
}

#[test]
fn a_reader_that_joins_at_any_time_is_given_everything_once() {
    readers_at_any_time(FeedLimits::default());
}

#[test]
fn a_reader_that_falls_behind_at_any_time_is_given_everything_once() {
    readers_at_any_time(FeedLimits { events: 1, event_bytes: 0, deltas: 1, delta_bytes: 0 });
}

#[test]
fn a_pause_at_any_time_wakes_who_waits() {
    shuttle::check_random(
        || {
            let bench = Bench::new(FeedLimits::default());
            let mut watch = bench.watch(0, true);
            let reader = thread::spawn(move || {
                block_on(async {
                    let mut given = 0;
                    while !watch.at_rest() {
                        given += watch.next().await.unwrap().unwrap().len();
                    }
                    given
                })
            });
            bench.happen(&[noted(1)]);
            bench.feed.set_rest(true);
            assert_eq!(reader.join().unwrap(), 1);
        },
        ORDERS,
    );
}

#[test]
fn the_driver_hears_of_the_last_watcher_at_any_time() {
    shuttle::check_random(
        || {
            let bench = Bench::new(FeedLimits::default());
            let watches = [bench.watch(0, true), bench.watch(0, false)];
            let leaving: Vec<_> =
                watches.into_iter().map(|watch| thread::spawn(move || drop(watch))).collect();
            block_on(bench.feed.abandoned());
            assert_eq!(bench.feed.watchers(), 0);
            for thread in leaving {
                thread.join().unwrap();
            }
        },
        ORDERS,
    );
}

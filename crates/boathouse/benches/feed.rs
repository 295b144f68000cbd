//! What one reply of forty deltas costs the feed, with no watcher, one, and ten.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use boathouse::core::ids::{AgentId, BranchId, CallId, RunId, Seq, Timestamp};
use boathouse::core::message::{Finish, Reply};
use boathouse::core::run::event::{Event, Recorded};
use boathouse::feed::{Feed, Watch};
use boathouse::journal::Stored;
use boathouse::journal::memory::MemoryJournal;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const DELTAS: u64 = 40;

fn replied(seq: u64) -> Arc<Stored> {
    let event = Event::ModelReplied {
        call: CallId(seq),
        attempt: 1,
        branch: BranchId::MAIN,
        agent: AgentId::from("agent"),
        reply: Reply { text: "word ".repeat(40), calls: Vec::new(), usage: None, finish: Finish::Stop },
        took_ms: 800,
    };
    Arc::new(Stored::new(Recorded { seq: Seq(seq), at: Timestamp(0), event }))
}

/// Reads what is ready; waits for nothing.
fn read(watch: &mut Watch) {
    let next = pin!(watch.next());
    if let Poll::Ready(items) = next.poll(&mut Context::from_waker(Waker::noop())) {
        black_box(items).ok();
    }
}

fn reply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply of 40 deltas");
    group.throughput(Throughput::Elements(DELTAS));
    for watchers in [0, 1, 10] {
        group.bench_function(BenchmarkId::new("read one by one", watchers), |bench| {
            let feed = Arc::new(Feed::new(Seq(0)));
            let mut watches: Vec<Watch> = (0..watchers)
                .map(|_| {
                    let journal = Arc::new(MemoryJournal::default());
                    Watch::live(feed.clone(), journal, RunId::from("r"), Seq(0), true)
                })
                .collect();
            watches.iter_mut().for_each(read);
            let mut seq = 0;
            bench.iter(|| {
                seq += 1;
                for _ in 0..DELTAS {
                    feed.delta(CallId(seq), 1, black_box("word "));
                    watches.iter_mut().for_each(read);
                }
                feed.publish(&[replied(seq)]);
                watches.iter_mut().for_each(read);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reply);
criterion_main!(benches);

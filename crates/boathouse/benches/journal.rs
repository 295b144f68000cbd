//! Acknowledged appends per second, one event of half a kilobyte each. Every run waits for its append before it makes
//! the next, as a driver does.
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use boathouse::journal::contract::{append, new_run, replied};
use boathouse::journal::{Journal, MemoryJournal};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// How many runs write at once.
const RUNS: [u64; 4] = [1, 32, 64, 256];

/// Makes `runs` runs and gives each `appends` events. Returns how long the appends took.
async fn write(journal: &Arc<dyn Journal>, round: u64, runs: u64, appends: u64) -> Duration {
    let text = "x".repeat(350);
    let mut prepared = Vec::new();
    for number in 0..runs {
        let run = format!("{round:08}-{number:08}");
        let lease = journal.create(new_run(&run)).await.unwrap();
        let events: Vec<_> = (2..2 + appends).map(|seq| replied(seq, &text)).collect();
        prepared.push((run, lease, events));
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (run, lease, events) in prepared {
        let journal = journal.clone();
        tasks.spawn(async move {
            for event in events {
                journal.append(append(&run, lease, vec![event])).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begin.elapsed()
}

fn measure(criterion: &mut Criterion, name: &str, appends: u64, make: impl AsyncFn() -> Arc<dyn Journal>) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for runs in RUNS {
        group.throughput(Throughput::Elements(runs * appends));
        group.bench_function(BenchmarkId::new("runs at once", runs), |bencher| {
            let journal = runtime.block_on(make());
            let mut round = 0;
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let mut took = Duration::ZERO;
                    for _ in 0..times {
                        round += 1;
                        took += write(&journal, round, runs, appends).await;
                    }
                    took
                })
            });
            runtime.block_on(journal.close());
        });
    }
    group.finish();
}

fn memory(criterion: &mut Criterion) {
    measure(criterion, "memory", 32, async || Arc::new(MemoryJournal::new()) as Arc<dyn Journal>);
}

#[cfg(feature = "sqlite")]
#[path = "journal/bare.rs"]
mod bare;

/// What no journal on SQLite can beat: the same events, committed in groups, by one statement, with no questions asked.
#[cfg(feature = "sqlite")]
fn bare_loop(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = std::cell::Cell::new(0);
    let mut group = criterion.benchmark_group("bare loop, synchronous=FULL");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for runs in RUNS {
        group.throughput(Throughput::Elements(runs * 8));
        group.bench_function(BenchmarkId::new("runs at once", runs), |bencher| {
            files.set(files.get() + 1);
            let path = folder.path().join(format!("{}.db", files.get()));
            let bare = runtime.block_on(bare::Bare::open(&path));
            let mut round = 0;
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let mut took = Duration::ZERO;
                    for _ in 0..times {
                        round += 1;
                        took += bare.write(round, runs, 8).await;
                    }
                    took
                })
            });
        });
    }
    group.finish();
}

#[cfg(feature = "sqlite")]
fn sqlite(criterion: &mut Criterion) {
    use boathouse::journal::SqliteJournal;
    // In the build's own folder: a temporary folder may be in memory, where fsync costs nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = std::cell::Cell::new(0);
    measure(criterion, "SQLite, synchronous=FULL", 8, async || {
        files.set(files.get() + 1);
        let path = folder.path().join(format!("{}.db", files.get()));
        Arc::new(SqliteJournal::open(path).await.unwrap()) as Arc<dyn Journal>
    });
}

#[cfg(feature = "sqlite")]
criterion_group!(benches, memory, bare_loop, sqlite);
#[cfg(not(feature = "sqlite"))]
criterion_group!(benches, memory);
criterion_main!(benches);

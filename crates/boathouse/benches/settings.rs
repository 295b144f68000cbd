//! How many readers see whole settings while writers change them, two seconds for each kind of lock.
//!
//! Run with `cargo bench -p boathouse --bench settings`. "ours" is `SharedSettings`; the others are the same value
//! behind a lock of the standard library.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use boathouse::core::ids::AgentId;
use boathouse::settings::{LiveSettings, SharedSettings};

const READERS: usize = 200;
const WRITERS: usize = 5;
const LASTS: Duration = Duration::from_secs(2);

fn change(settings: &mut LiveSettings, verbose: bool) {
    settings.verbose = verbose;
    settings.start_agent = Some(AgentId::from(if verbose { "loud" } else { "quiet" }));
}

/// Whether both fields are of one write.
fn is_whole(settings: &LiveSettings) -> bool {
    match &settings.start_agent {
        None => !settings.verbose,
        Some(agent) => settings.verbose == (agent.as_str() == "loud"),
    }
}

/// Reads with [`READERS`] threads while [`WRITERS`] threads write without a pause.
fn measure(name: &str, read: impl Fn() -> bool + Sync, write: impl Fn(bool) + Sync) {
    let (stop, whole, torn, written) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut seen = [0; 2];
                while !stop.load(Ordering::Relaxed) {
                    seen[usize::from(read())] += 1;
                }
                torn.fetch_add(seen[0], Ordering::Relaxed);
                whole.fetch_add(seen[1], Ordering::Relaxed);
            });
        }
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut verbose = false;
                let mut writes = 0;
                while !stop.load(Ordering::Relaxed) {
                    verbose = !verbose;
                    write(verbose);
                    writes += 1;
                }
                written.fetch_add(writes, Ordering::Relaxed);
            });
        }
        thread::sleep(LASTS);
        stop.store(true, Ordering::Relaxed);
    });
    println!(
        "{name:<8} {:>12} whole reads {:>3} torn {:>10} writes in {:.2} s",
        whole.into_inner(),
        torn.into_inner(),
        written.into_inner(),
        began.elapsed().as_secs_f64(),
    );
}

fn main() {
    let ours = SharedSettings::default();
    measure("ours", || ours.read(is_whole), |verbose| ours.update(|settings| change(settings, verbose)));

    let kept = SharedSettings::default();
    measure(
        "ours Arc",
        || is_whole(&kept.load()),
        |verbose| kept.update(|settings| change(settings, verbose)),
    );

    let mutex = Mutex::new(LiveSettings::default());
    measure(
        "Mutex",
        || is_whole(&mutex.lock().unwrap_or_else(PoisonError::into_inner)),
        |verbose| change(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner), verbose),
    );

    let lock = RwLock::new(LiveSettings::default());
    measure(
        "RwLock",
        || is_whole(&lock.read().unwrap_or_else(PoisonError::into_inner)),
        |verbose| change(&mut lock.write().unwrap_or_else(PoisonError::into_inner), verbose),
    );
}

//! Every interleaving of uses of one pool that the checker finds.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Arc, KeyHash, Pool, PoolKey, Pooled};

/// Interleavings tried per test.
const TRIES: usize = 2_000;

/// A client of a key. Counts those alive, per key.
struct Counted {
    alive: Arc<[AtomicUsize; 3]>,
    key: usize,
}

impl Pooled for Counted {
    fn tidy(&self, _: Instant) {}
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive[self.key].fetch_sub(1, Ordering::SeqCst);
    }
}

fn key(number: usize) -> PoolKey {
    PoolKey { provider: number.to_string().into(), base_url: "".into(), key: KeyHash::of(None) }
}

fn get(pool: &Pool<Counted>, alive: &Arc<[AtomicUsize; 3]>, number: usize) -> Arc<Counted> {
    let client = pool.get(&key(number), || {
        alive[number].fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Counted { alive: alive.clone(), key: number })
    });
    client.unwrap_or_else(|never| match never {})
}

#[test]
fn users_of_one_key_share_one_client_while_it_is_used() {
    shuttle::check_random(
        || {
            // So short that every client is expired as soon as nobody holds it.
            let pool = Arc::new(Pool::new(Duration::ZERO, 2));
            let alive = Arc::new([const { AtomicUsize::new(0) }; 3]);
            // Addresses of the clients that are held now. The checker switches threads at its own locks only.
            let held = Arc::new(std::sync::Mutex::new(Vec::<usize>::new()));
            let users: Vec<_> = (0..3)
                .map(|_| {
                    let (pool, alive, held) = (pool.clone(), alive.clone(), held.clone());
                    shuttle::thread::spawn(move || {
                        for _ in 0..2 {
                            let client = get(&pool, &alive, 0);
                            let address = Arc::as_ptr(&client).addr();
                            let others = {
                                let mut held = held.lock().expect("not poisoned");
                                held.push(address);
                                held.clone()
                            };
                            assert!(
                                others.iter().all(|other| *other == address),
                                "two clients are used at once"
                            );
                            pool.sweep();
                            shuttle::thread::yield_now();
                            assert!(
                                Arc::ptr_eq(&client, &get(&pool, &alive, 0)),
                                "a client in use was replaced"
                            );
                            let mut held = held.lock().expect("not poisoned");
                            let at =
                                held.iter().position(|other| *other == address).expect("it was put there");
                            held.swap_remove(at);
                        }
                    })
                })
                .collect();
            for user in users {
                user.join().expect("no panic");
            }
        },
        TRIES,
    );
}

#[test]
fn the_cap_holds_and_the_books_agree_whatever_happens_at_once() {
    shuttle::check_random(
        || {
            let pool = Arc::new(Pool::new(Duration::from_secs(3600), 2));
            let alive = Arc::new([const { AtomicUsize::new(0) }; 3]);
            let mut threads: Vec<_> = (0..3)
                .map(|at| {
                    let (pool, alive) = (pool.clone(), alive.clone());
                    shuttle::thread::spawn(move || {
                        for number in [at, (at + 1) % 3] {
                            drop(get(&pool, &alive, number));
                            assert!(pool.metrics().size <= 2);
                        }
                    })
                })
                .collect();
            let sweeping = pool.clone();
            threads.push(shuttle::thread::spawn(move || {
                let first = key(0);
                sweeping.invalidate(|key| *key == first);
                sweeping.sweep();
            }));
            for thread in threads {
                thread.join().expect("no panic");
            }
            let metrics = pool.metrics();
            let alive: Vec<usize> = alive.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            assert!(alive.iter().all(|count| *count <= 1), "two clients of one key: {alive:?}");
            assert_eq!(alive.iter().sum::<usize>(), metrics.size);
            let dropped = metrics.evictions + metrics.expiries + metrics.invalidations;
            assert_eq!(metrics.misses - dropped, metrics.size as u64);
            assert_eq!(metrics.hits + metrics.misses, 6);
        },
        TRIES,
    );
}

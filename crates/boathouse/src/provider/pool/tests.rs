use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, advance};

use super::{KeyHash, LIFETIME, Pool, PoolKey, PoolMetrics, Pooled};

/// Counts those of its kind that are alive, and how often they were tidied.
struct Counted {
    alive: Arc<AtomicUsize>,
    tidied: AtomicUsize,
}

impl Pooled for Counted {
    fn tidy(&self, _: Instant) {
        self.tidied.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

fn key(text: &str) -> PoolKey {
    let key = KeyHash::of(Some(&SecretString::from(text)));
    PoolKey { provider: "p".into(), base_url: "http://h/v1".into(), key }
}

fn get(pool: &Pool<Counted>, alive: &Arc<AtomicUsize>, text: &str) -> Arc<Counted> {
    pool.get(&key(text), || {
        alive.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(Counted { alive: alive.clone(), tidied: AtomicUsize::new(0) })
    })
    .unwrap_or_else(|never| match never {})
}

#[tokio::test(start_paused = true)]
async fn every_use_renews_a_lifetime() {
    let (pool, alive) = (Pool::default(), Arc::default());
    let first = Arc::downgrade(&get(&pool, &alive, "a"));
    for _ in 0..5 {
        advance(LIFETIME - Duration::from_secs(60)).await;
        assert!(first.ptr_eq(&Arc::downgrade(&get(&pool, &alive, "a"))));
    }
    advance(LIFETIME).await;
    assert!(!first.ptr_eq(&Arc::downgrade(&get(&pool, &alive, "a"))));
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    assert_eq!(
        pool.metrics(),
        PoolMetrics { size: 1, hits: 5, misses: 2, evictions: 0, expiries: 1, invalidations: 0 }
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_in_use_does_not_expire() {
    let (pool, alive) = (Pool::default(), Arc::default());
    let held = get(&pool, &alive, "a");
    advance(LIFETIME * 3).await;
    assert_eq!(pool.sweep(), 0);
    assert!(Arc::ptr_eq(&held, &get(&pool, &alive, "a")));
    drop(held);
    advance(LIFETIME).await;
    assert_eq!(pool.sweep(), 1);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn expired_clients_go_though_nobody_asks() {
    let (pool, alive) = (Pool::default(), Arc::default());
    let held = get(&pool, &alive, "held");
    drop(get(&pool, &alive, "a"));
    tokio::time::sleep(LIFETIME + Duration::from_secs(31)).await;
    assert_eq!(alive.load(Ordering::Relaxed), 1, "the sweeper dropped the other");
    assert!(held.tidied.load(Ordering::Relaxed) > 100, "and the one in use was told to tidy up");
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_ends_with_the_pool() {
    let alive = Arc::default();
    let pool = Pool::default();
    drop(get(&pool, &alive, "a"));
    let tasks = tokio::runtime::Handle::current().metrics();
    assert_eq!(tasks.num_alive_tasks(), 1);
    drop(pool);
    tokio::task::yield_now().await;
    assert_eq!(tasks.num_alive_tasks(), 0);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_rotating_keys_stay_within_the_cap() {
    let (pool, alive) = (Pool::new(LIFETIME, 1_000), Arc::default());
    for round in 0..10_000 {
        get(&pool, &alive, &format!("key {round}"));
        get(&pool, &alive, "steady");
        assert!(alive.load(Ordering::Relaxed) <= 1_000);
        {
            let state = pool.shared.lock();
            assert_eq!(state.clients.len(), state.by_use.len());
            assert!(state.clients.len() <= 1_000);
            // A table may grow to the next power of two, and not beyond.
            assert!(state.clients.capacity() < 4_000);
        }
        advance(Duration::from_millis(10)).await;
    }
    let metrics = pool.metrics();
    assert_eq!(metrics.size, 1_000);
    assert_eq!(metrics.misses, 10_001, "the one used all the time was never evicted");
    assert_eq!(metrics.hits, 9_999);
    assert_eq!(metrics.evictions, 10_001 - 1_000);
    advance(LIFETIME).await;
    assert_eq!(pool.sweep(), 1_000);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn clients_can_be_dropped_by_choice() {
    let (pool, alive) = (Pool::default(), Arc::default());
    let held = get(&pool, &alive, "a");
    drop(get(&pool, &alive, "b"));
    let gone = key("a");
    assert_eq!(pool.invalidate(|key| *key == gone), 1);
    assert_eq!(pool.invalidate(|key| *key == gone), 0);
    assert!(!Arc::ptr_eq(&held, &get(&pool, &alive, "a")), "whoever holds it keeps it, others get a new one");
    assert_eq!(pool.metrics().invalidations, 1);
}

#[test]
fn a_pool_works_without_a_runtime_and_shows_no_key() {
    let (pool, alive) = (Pool::default(), Arc::default());
    get(&pool, &alive, "sk-secret");
    assert_eq!(pool.metrics().size, 1);
    let shown = format!("{:?}", key("sk-secret"));
    assert!(shown.starts_with("p at http://h/v1 with key "), "{shown}");
    assert!(!shown.contains("secret"));
}

#[test]
fn a_client_that_cannot_be_made_is_not_kept() {
    let pool: Pool<Counted> = Pool::default();
    assert_eq!(pool.get(&key("a"), || Err("no")).err(), Some("no"));
    assert_eq!(pool.metrics(), PoolMetrics::default());
}

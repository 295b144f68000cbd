//! The pool of clients: one per provider, base URL and key, for as long as it is used.
//!
//! Keys are known here by their SHA-256 only. A client that is dropped from the pool goes on for whoever still holds it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::sync::{Mutex, MutexGuard};

mod sweeper;

use sweeper::Sweeper;

/// How long a client is kept after its last use, by default.
pub const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Clients that are kept at most, by default.
pub const CAPACITY: usize = 1_000;

/// What a client is pooled by.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// The provider's name.
    pub provider: Arc<str>,
    /// Where it is.
    pub base_url: Arc<str>,
    /// The fingerprint of the key.
    pub key: KeyHash,
}

impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} with {:?}", self.provider, self.base_url, self.key)
    }
}

/// SHA-256 of a key; of nothing, where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a key.
    pub fn of(key: Option<&SecretString>) -> KeyHash {
        KeyHash(Sha256::digest(key.map_or("", |key| key.expose_secret())).into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// Something that can be pooled.
pub trait Pooled: Send + Sync + 'static {
    /// Gives back what it holds for no use, such as connections long idle. Called every half minute or so.
    fn tidy(&self, now: Instant);
}

/// How a pool has been used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolMetrics {
    /// Clients in it now.
    pub size: usize,
    /// Times that a client was there.
    pub hits: u64,
    /// Times that one was made.
    pub misses: u64,
    /// Clients dropped because the pool was full.
    pub evictions: u64,
    /// Clients dropped because their lifetime was over.
    pub expiries: u64,
    /// Clients dropped because somebody said so.
    pub invalidations: u64,
}

/// Clients by key, with a lifetime that each use renews and a cap that the least recently used gives way to.
///
/// A client that somebody holds is in use and does not expire. In a tokio runtime a task drops expired clients; the pool
/// owns it, and dropping the pool aborts it. Elsewhere they are dropped at the next [`Pool::get`].
pub struct Pool<C: Pooled> {
    shared: Arc<Shared<C>>,
    sweeper: Sweeper,
}

struct Shared<C> {
    lifetime: Duration,
    capacity: usize,
    state: Mutex<State<C>>,
}

struct State<C> {
    clients: HashMap<PoolKey, Entry<C>>,
    /// Keys by their last use, oldest first.
    by_use: BTreeMap<u64, PoolKey>,
    next_use: u64,
    metrics: PoolMetrics,
}

struct Entry<C> {
    client: Arc<C>,
    used: u64,
    used_at: Instant,
}

impl<C: Pooled> Default for Pool<C> {
    fn default() -> Self {
        Pool::new(LIFETIME, CAPACITY)
    }
}

impl<C: Pooled> Pool<C> {
    /// An empty pool. A capacity of 0 counts as 1.
    pub fn new(lifetime: Duration, capacity: usize) -> Pool<C> {
        let state = State {
            clients: HashMap::new(),
            by_use: BTreeMap::new(),
            next_use: 0,
            metrics: PoolMetrics::default(),
        };
        let lifetime = lifetime.max(Duration::from_nanos(1));
        let shared = Shared { lifetime, capacity: capacity.max(1), state: Mutex::new(state) };
        Pool { shared: Arc::new(shared), sweeper: Sweeper::default() }
    }

    /// The client of a key; `make` makes it if there is none. Each use renews its lifetime.
    ///
    /// `make` runs under the pool's lock, so that two callers never make two: it must be quick and not use the pool.
    pub fn get<E>(&self, key: &PoolKey, make: impl FnOnce() -> Result<C, E>) -> Result<Arc<C>, E> {
        let mut gone = Vec::new();
        let (client, made) = {
            let mut state = self.shared.lock();
            let now = Instant::now();
            state.expire(now, self.shared.lifetime, &mut gone);
            match state.hit(key, now) {
                Some(client) => (client, false),
                None => {
                    let client = Arc::new(make()?);
                    state.insert(key.clone(), client.clone(), now, self.shared.capacity, &mut gone);
                    (client, true)
                }
            }
        };
        // Closing sockets is not done under the lock.
        drop(gone);
        if made {
            self.sweeper.wake(&self.shared);
        }
        Ok(client)
    }

    /// Drops the clients whose key is chosen. Returns how many there were.
    pub fn invalidate(&self, choose: impl Fn(&PoolKey) -> bool) -> usize {
        let mut gone = Vec::new();
        let mut state = self.shared.lock();
        let keys: Vec<PoolKey> = state.clients.keys().filter(|key| choose(key)).cloned().collect();
        for key in &keys {
            gone.extend(state.remove(key));
        }
        state.metrics.invalidations += gone.len() as u64;
        drop(state);
        gone.len()
    }

    /// Drops what has expired, now. Returns how many there were.
    pub fn sweep(&self) -> usize {
        self.shared.sweep()
    }

    /// How it has been used.
    pub fn metrics(&self) -> PoolMetrics {
        let state = self.shared.lock();
        PoolMetrics { size: state.clients.len(), ..state.metrics }
    }
}

impl<C: Pooled> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sweep(&self) -> usize {
        let mut gone = Vec::new();
        let now = Instant::now();
        let mut state = self.lock();
        state.expire(now, self.lifetime, &mut gone);
        drop(state);
        gone.len()
    }

    /// One turn of the sweeper.
    fn tidy(&self) {
        self.sweep();
        let clients: Vec<Weak<C>> = {
            let state = self.lock();
            state.clients.values().map(|entry| Arc::downgrade(&entry.client)).collect()
        };
        let now = Instant::now();
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.tidy(now);
        }
    }
}

impl<C: Pooled> State<C> {
    fn hit(&mut self, key: &PoolKey, now: Instant) -> Option<Arc<C>> {
        let client = self.clients.get(key)?.client.clone();
        self.touch(key, now);
        self.metrics.hits += 1;
        Some(client)
    }

    fn insert(
        &mut self,
        key: PoolKey,
        client: Arc<C>,
        now: Instant,
        capacity: usize,
        gone: &mut Vec<Arc<C>>,
    ) {
        self.metrics.misses += 1;
        while self.clients.len() >= capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            gone.extend(self.clients.remove(&oldest).map(|entry| entry.client));
            self.metrics.evictions += 1;
        }
        let used = self.next_use;
        self.next_use += 1;
        self.by_use.insert(used, key.clone());
        self.clients.insert(key, Entry { client, used, used_at: now });
    }

    /// Uses come in order, so the oldest expire first.
    fn expire(&mut self, now: Instant, lifetime: Duration, gone: &mut Vec<Arc<C>>) {
        while let Some(key) = self.by_use.first_key_value().map(|(_, key)| key.clone()) {
            let Some(entry) = self.clients.get(&key) else {
                self.by_use.pop_first();
                continue;
            };
            if now.saturating_duration_since(entry.used_at) < lifetime {
                return;
            }
            // Only the pool hands out clients, and only under the lock: a count of one stays one.
            if Arc::strong_count(&entry.client) > 1 {
                self.touch(&key, now);
                continue;
            }
            gone.extend(self.remove(&key));
            self.metrics.expiries += 1;
        }
    }

    fn touch(&mut self, key: &PoolKey, now: Instant) {
        let Some(entry) = self.clients.get_mut(key) else { return };
        if let Some(key) = self.by_use.remove(&entry.used) {
            entry.used = self.next_use;
            entry.used_at = now;
            self.by_use.insert(self.next_use, key);
            self.next_use += 1;
        }
    }

    fn remove(&mut self, key: &PoolKey) -> Option<Arc<C>> {
        let entry = self.clients.remove(key)?;
        self.by_use.remove(&entry.used);
        Some(entry.client)
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check;
#[cfg(all(test, not(feature = "model-check")))]
mod tests;

//! Takes notices out of the outbox and delivers them, again and again until each is taken or too old.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use boathouse_core::ids::Timestamp;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::Clock;
use crate::journal::{Journal, Notice};
use crate::provider::client::{Client, Timeouts};

use super::{MAX_WAITING, Target, Webhooks};

/// Notices that are looked at together.
const PAGE: usize = 256;
/// Notices that are on their way to one address at once.
const AT_ONCE: usize = 4;
/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(4 * 60 * 60);
/// How often the outbox is looked at although nothing is known to be due.
const LOOK: Duration = Duration::from_secs(30);

/// What became of an attempt.
enum Attempt {
    Taken,
    /// The peer wants no more of them.
    Gone,
    Failed(String),
}

impl Webhooks {
    /// Delivers what is in the outbox, for ever. Dropping the future closes connections; what was under way is delivered
    /// again by the next one.
    pub(crate) async fn deliver(&self, journal: &dyn Journal, more: &Notify) {
        let clock = Clock::new(Timestamp(0));
        let clients: Vec<Client> = self.targets.iter().map(|target| self.client(target)).collect();
        let mut under_way: HashMap<String, usize> = HashMap::new();
        let mut attempts = FuturesUnordered::new();
        loop {
            let now = clock.on_the_wall();
            let count = |at: usize| under_way.values().filter(|target| **target == at).count();
            // One that stalls must not stand in the way of the others.
            let busy = (0..self.targets.len()).filter(|at| count(*at) >= AT_ONCE);
            let busy: Vec<&str> = busy.map(|at| self.targets[at].url.as_str()).collect();
            let notices = journal.outbox(&busy, PAGE).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "cannot look for notices");
                Vec::new()
            });
            if notices.len() == PAGE {
                self.trim(journal).await;
            }
            let mut pause = LOOK;
            for notice in notices {
                if under_way.contains_key(&notice.id) {
                    continue;
                }
                if notice.next_at > now {
                    pause = Duration::from_millis(notice.next_at.millis_since(now)).min(pause);
                    break;
                }
                let Some(at) = self.targets.iter().position(|target| target.url == notice.url) else {
                    tracing::warn!(run = %notice.run, notice = %notice.id, "a notice is dropped: its webhook is not told any more");
                    self.settle(journal, &notice, None).await;
                    continue;
                };
                if under_way.values().filter(|target| **target == at).count() < AT_ONCE {
                    under_way.insert(notice.id.clone(), at);
                    let (target, client) = (&self.targets[at], &clients[at]);
                    attempts.push(async move { (self.attempt(target, client, &notice, now).await, notice) });
                }
            }
            tokio::select! {
                Some((attempt, notice)) = attempts.next(), if !attempts.is_empty() => {
                    self.take_down(journal, &notice, attempt, clock.on_the_wall()).await;
                    under_way.remove(&notice.id);
                }
                () = more.notified() => {}
                () = sleep(pause) => clients.iter().for_each(|client| client.tidy(Instant::now())),
            }
        }
    }

    fn client(&self, target: &Target) -> Client {
        let reach = self.reach();
        let timeouts = Timeouts { connect: self.timeout, idle: self.timeout, ..Timeouts::default() };
        Client::reaching(reach, target.origin.clone(), timeouts)
    }

    async fn attempt(&self, target: &Target, client: &Client, notice: &Notice, now: Timestamp) -> Attempt {
        let seconds = now.0.div_euclid(1000);
        let request = Request::post(&target.path)
            .header(header::HOST, &target.origin.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("boathouse/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", self.secret.sign(&notice.id, seconds, &notice.body))
            .body(Full::new(Bytes::from(notice.body.clone())));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Attempt::Failed(error.to_string()),
        };
        match timeout(self.timeout, client.send(request)).await {
            Ok(Ok((response, exchange))) => {
                exchange.finish();
                match response.status() {
                    status if status.is_success() => Attempt::Taken,
                    StatusCode::GONE => Attempt::Gone,
                    status => Attempt::Failed(format!("{} answered {status}", target.origin)),
                }
            }
            Ok(Err(error)) => Attempt::Failed(error.message),
            Err(_) => Attempt::Failed(format!("{} gave no answer within {:?}", target.origin, self.timeout)),
        }
    }

    async fn take_down(&self, journal: &dyn Journal, notice: &Notice, attempt: Attempt, now: Timestamp) {
        let (run, id) = (&notice.run, &notice.id);
        let why = match attempt {
            Attempt::Taken => return self.settle(journal, notice, None).await,
            Attempt::Gone => {
                tracing::warn!(%run, notice = %id, "a notice is dropped: its webhook answered 410");
                return self.settle(journal, notice, None).await;
            }
            Attempt::Failed(why) => why,
        };
        let pause = self.pause(notice);
        let next_at = now.plus_millis(millis(pause));
        if next_at > notice.at.plus_millis(millis(self.patience)) {
            let attempts = notice.attempts + 1;
            tracing::warn!(%run, notice = %id, attempts, %why, "a notice is dropped: it could not be delivered in time");
            return self.settle(journal, notice, None).await;
        }
        tracing::warn!(%run, notice = %id, %why, again_in = ?pause, "a notice could not be delivered");
        self.settle(journal, notice, Some(next_at)).await;
    }

    /// Between half and all of the threefold pause. A hash takes the place of chance.
    fn pause(&self, notice: &Notice) -> Duration {
        let full = self.first_pause.saturating_mul(3u32.saturating_pow(notice.attempts)).min(MAX_PAUSE);
        let mut hasher = DefaultHasher::new();
        (&notice.id, notice.attempts).hash(&mut hasher);
        let full = millis(full);
        Duration::from_millis(full / 2 + hasher.finish() % (full / 2 + 1))
    }

    async fn settle(&self, journal: &dyn Journal, notice: &Notice, again: Option<Timestamp>) {
        if let Err(error) = journal.settle_notice(&notice.id, again).await {
            tracing::warn!(run = %notice.run, notice = %notice.id, %error, "what became of a notice cannot be kept; it may come again");
            // The outbox is as it was: not at once again.
            sleep(self.first_pause).await;
        }
    }

    async fn trim(&self, journal: &dyn Journal) {
        match journal.trim_outbox(MAX_WAITING).await {
            Ok(0) => {}
            Ok(dropped) => tracing::warn!(dropped, "too many notices wait; the oldest are dropped"),
            Err(error) => tracing::debug!(%error, "cannot look for notices"),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! Webhooks: somebody else's server is told when a run waits for a person, and when it ends.
//!
//! A notice is written to the journal in the transaction of the events that it tells of, and stays there until it is
//! delivered: at least once, also after a crash. It is signed as the Standard Webhooks specification says
//! (<https://www.standardwebhooks.com>), and goes to public addresses only, unless the caller allows others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::Run;
use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::{Outcome, RunState};
use serde::Serialize;
use serde_json::Value;

use crate::journal::{Notice, OpenWait, Stored};
use crate::provider::client::{Origin, Reach};

mod deliver;
mod secret;

pub use secret::WebhookSecret;

/// Notices that wait at most; the oldest beyond them are dropped.
const MAX_WAITING: usize = 10_000;

/// Who is told, and how.
#[derive(Debug)]
pub struct Webhooks {
    targets: Vec<Target>,
    secret: WebhookSecret,
    allow_private: bool,
    timeout: Duration,
    first_pause: Duration,
    patience: Duration,
}

/// One address that is told.
struct Target {
    url: String,
    origin: Origin,
    path: String,
}

/// The address may hold a token, so only its origin is shown.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)
    }
}

/// An address that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook {url} cannot be used: {why}")]
pub struct WebhookError {
    /// The address, as far as it holds no secret.
    pub url: String,
    /// What is wrong with it.
    pub why: String,
}

impl Webhooks {
    /// Tells nobody yet.
    pub fn new(secret: WebhookSecret) -> Webhooks {
        Webhooks {
            targets: Vec::new(),
            secret,
            allow_private: false,
            timeout: Duration::from_secs(15),
            first_pause: Duration::from_secs(5),
            patience: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// Tells this address, `http://` or `https://`, too.
    pub fn tell(mut self, url: &str) -> Result<Webhooks, WebhookError> {
        let url = url.trim();
        let refused = |why: String| {
            let shown = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
            WebhookError { url: shown.to_owned(), why }
        };
        let origin = Origin::parse(url).map_err(refused)?;
        let uri: hyper::Uri = url.parse().map_err(|error| refused(format!("it is not a URL ({error})")))?;
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        if self.targets.iter().any(|target| target.url == url) {
            return Err(refused("it is named twice".to_owned()));
        }
        self.targets.push(Target { url: url.to_owned(), origin, path });
        Ok(self)
    }

    /// Whether addresses that are not on the public internet may be told: this machine, this network. No, if nothing
    /// is said.
    pub fn allow_private(mut self, allow: bool) -> Webhooks {
        self.allow_private = allow;
        self
    }

    /// The first address that can never be told: it is written as one of this machine or its network, which
    /// [`Webhooks::allow_private`] does not allow. What names stand for is looked up with each notice.
    pub fn out_of_reach(&self) -> Option<&str> {
        let reach = self.reach();
        let is_out = |origin: &Origin| match origin.host.parse() {
            Ok(address) => !reach.contains(address),
            Err(_) => reach == Reach::Public && origin.host.eq_ignore_ascii_case("localhost"),
        };
        Some(&self.targets.iter().find(|target| is_out(&target.origin))?.url)
    }

    fn reach(&self) -> Reach {
        if self.allow_private { Reach::Anywhere } else { Reach::Public }
    }

    /// How long one attempt may take. Default 15 s.
    pub fn timeout(mut self, timeout: Duration) -> Webhooks {
        self.timeout = timeout;
        self
    }

    /// The pause after the first failed attempt, which grows threefold with each further one up to four hours, and how
    /// long a notice is tried in all. Default 5 s and 24 h.
    pub fn retry(mut self, first_pause: Duration, patience: Duration) -> Webhooks {
        (self.first_pause, self.patience) = (first_pause, patience);
        self
    }

    /// What is told of a run whose events have just been recorded: one notice for each address, or none.
    pub(crate) fn notices(&self, run: &Run, opened: bool, events: &[Arc<Stored>]) -> Vec<Notice> {
        let kind = match (run.outcome(), opened) {
            (Some(_), _) => "run.ended",
            (None, true) => "run.waiting",
            (None, false) => return Vec::new(),
        };
        let Some(last) = events.last() else { return Vec::new() };
        let at = last.recorded.at;
        let body = body(kind, at, run);
        let notices = self.targets.iter().map(|target| Notice {
            id: format!("msg_{}", uuid::Uuid::now_v7().simple()),
            url: target.url.clone(),
            run: run.id().clone(),
            body: body.clone(),
            at,
            attempts: 0,
            next_at: at,
        });
        notices.collect()
    }
}

/// What is sent. It says which run it is about and what waits; the rest is asked of the API.
fn body(kind: &str, at: Timestamp, run: &Run) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        r#type: &'a str,
        timestamp: Timestamp,
        data: Data<'a>,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        run: &'a RunId,
        crew: &'a str,
        thread: &'a ThreadId,
        state: RunState,
        seq: Seq,
        error: Option<&'a str>,
        limit: Option<&'a str>,
        waits: Vec<OpenWait>,
        metadata: &'a std::collections::BTreeMap<String, Value>,
    }
    let started = run.started();
    let (error, limit) = match run.outcome() {
        Some(Outcome::Failed { code, .. }) => (Some(code.as_str()), None),
        Some(Outcome::LimitReached { limit, .. }) => (None, Some(limit.as_str())),
        Some(Outcome::Completed { .. } | Outcome::Cancelled { .. }) | None => (None, None),
    };
    let data = Data {
        run: run.id(),
        crew: &started.crew,
        thread: &started.thread,
        state: run.state(),
        seq: run.seq(),
        error,
        limit,
        waits: OpenWait::of(run),
        metadata: &started.metadata,
    };
    // Texts, numbers and JSON always serialize.
    serde_json::to_string(&Body { r#type: kind, timestamp: at, data }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_told_are_refused_and_no_password_is_shown() {
        let secret = || WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        for (url, why) in [
            ("ftp://example.com/", "http://"),
            ("example.com", "http://"),
            ("https://user:hidden@example.com/", "user name or a password"),
            ("https:///", ""),
        ] {
            let refused = Webhooks::new(secret()).tell(url).expect_err(url).to_string();
            assert!(refused.contains(why) && !refused.contains("hidden"), "{refused}");
        }
        let hooks = Webhooks::new(secret()).tell("https://example.com/a/?token=t").expect("fine");
        assert_eq!(hooks.targets[0].path, "/a/?token=t", "the address is taken as it is written");
        assert!(!format!("{hooks:?}").contains("token"), "{hooks:?}");
        assert!(hooks.tell("https://example.com/a/?token=t").is_err(), "twice");
    }
}

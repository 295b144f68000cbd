//! What watchers rely on, whatever the order in which things happen.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use boathouse_core::ids::{AgentId, BranchId, CallId, RunId, Seq, Timestamp};
use boathouse_core::message::{Finish, Reply, Usage};
use boathouse_core::run::event::{Event, Outcome, Recorded};

use super::*;

#[cfg(not(feature = "model-check"))]
mod cases;
#[cfg(feature = "model-check")]
mod interleavings;
mod log;
#[cfg(not(feature = "model-check"))]
mod orders;

use log::Log;

fn stored(seq: u64, event: Event) -> Arc<Stored> {
    Arc::new(Stored::new(Recorded { seq: Seq(seq), at: Timestamp(0), event }))
}

fn noted(seq: u64) -> Arc<Stored> {
    stored(seq, Event::HistoryTrimmed { branch: BranchId::MAIN, dropped: 0, summary: None, failed: None })
}

fn replied(seq: u64, call: CallId) -> Arc<Stored> {
    stored(
        seq,
        Event::ModelReplied {
            call,
            attempt: 1,
            branch: BranchId::MAIN,
            agent: AgentId::from("a"),
            reply: Reply { text: String::new(), calls: Vec::new(), usage: None, finish: Finish::Stop },
            took_ms: 0,
        },
    )
}

fn ended(seq: u64) -> Arc<Stored> {
    let outcome = Outcome::Completed { output: String::new() };
    stored(seq, Event::RunEnded { outcome, usage: Usage::default() })
}

/// A feed and the log behind it.
struct Bench {
    feed: Arc<Feed>,
    log: Arc<Log>,
}

impl Bench {
    fn new(limits: FeedLimits) -> Bench {
        Bench { feed: Arc::new(Feed::with_limits(Seq(0), limits)), log: Arc::default() }
    }

    /// Commits, then publishes.
    fn happen(&self, events: &[Arc<Stored>]) {
        self.log.commit(events);
        self.feed.publish(events);
    }

    fn watch(&self, after: u64, deltas: bool) -> Watch {
        let journal = self.log.journal.clone();
        Watch::live(self.feed.clone(), journal, RunId::from("r"), Seq(after), deltas)
    }
}

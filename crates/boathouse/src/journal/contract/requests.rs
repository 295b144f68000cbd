//! A request that is sent twice is carried out once.

use std::sync::Arc;
use std::time::Duration;

use boathouse_core::ids::Seq;
use boathouse_core::run::event::Recorded;

use super::samples::{append, create, listed, new_run, replied, started};
use crate::journal::{Append, Journal, JournalError, NewRun, RequestKey, RunQuery, Stored, long_ago};

/// The request that starts a run is kept with it, and a second run of it is refused.
pub async fn a_request_starts_one_run(journal: Arc<dyn Journal>) {
    let request = RequestKey::new("POST /a", "k", b"{}");
    let now = long_ago(Duration::ZERO);
    let new = |run: &str| NewRun {
        request: Some(request.clone()),
        events: vec![started(now, "hello")],
        ..new_run(run)
    };
    assert_eq!(journal.request("POST /a", "k").await.unwrap(), None);
    let made = match tokio::join!(journal.create(new("one")), journal.create(new("two"))) {
        (Ok(_), Err(JournalError::Repeated(_))) => "one",
        (Err(JournalError::Repeated(_)), Ok(_)) => "two",
        both => panic!("exactly one is created: {both:?}"),
    };
    let again = journal.create(new("three")).await;
    assert!(matches!(again, Err(JournalError::Repeated(_))), "{again:?}");
    let done = journal.request("POST /a", "k").await.unwrap().unwrap();
    assert_eq!((done.run.as_str(), done.seq, done.body), (made, Seq(1), request.body.clone()));
    assert_eq!(journal.request("POST /b", "k").await.unwrap(), None, "a key counts for its address");
    assert_eq!(listed(&*journal, RunQuery { limit: 9, ..RunQuery::default() }).await, [made]);
    let other = NewRun { request: Some(RequestKey::new("POST /b", "k", b"{}")), ..new("other") };
    journal.create(other).await.unwrap();
    // After a day it is a new request, also before anything has been pruned.
    let old = |run: &str, hours: u64| NewRun {
        request: Some(RequestKey::new("POST /old", "k", b"{}")),
        events: vec![started(long_ago(Duration::from_secs(hours * 3600)), "hello")],
        ..new_run(run)
    };
    journal.create(old("old", 25)).await.unwrap();
    assert_eq!(journal.request("POST /old", "k").await.unwrap(), None, "it is too old");
    journal.create(old("young", 0)).await.unwrap();
    let done = journal.request("POST /old", "k").await.unwrap().unwrap();
    assert_eq!(done.run.as_str(), "young");
}

/// A request is kept with the events that carry it out, and not without them.
pub async fn a_request_is_kept_with_its_events(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    let answer = |seq: u64| {
        let event = Recorded { at: long_ago(Duration::ZERO), ..replied(seq, "x").recorded.clone() };
        let requests = vec![RequestKey::new("POST /a/answer", "k", b"yes")];
        Append { requests, ..append("a", lease, vec![Arc::new(Stored::new(event))]) }
    };
    let late = journal.append(answer(3)).await;
    assert!(matches!(late, Err(JournalError::Conflict(_))), "{late:?}");
    assert_eq!(journal.request("POST /a/answer", "k").await.unwrap(), None, "it was not carried out");
    journal.append(answer(2)).await.unwrap();
    let done = journal.request("POST /a/answer", "k").await.unwrap().unwrap();
    assert_eq!((done.run.as_str(), done.seq), ("a", Seq(2)));
}

//! Runs on a thread: what they begin with, what they leave behind, and the queue.

use boathouse_core::Run;
use boathouse_core::message::{Author, Message};
use boathouse_core::run::admit::{Command, Refused};
use boathouse_core::run::decide::{Decision, decide};
use boathouse_core::run::event::{
    CancelReason, Event, Outcome, Pinned, QueuedFor, RunStarted, RunState, Summary,
};

use super::crews::*;
use super::sim::*;

/// What was said on the thread before.
fn said() -> Vec<Message> {
    vec![
        Message::text(Author::User, "first question"),
        Message::text(Author::Agent(Some("a".into())), "first answer"),
        Message::text(Author::User, "said later"),
    ]
}

fn pinned(messages: usize) -> Option<Pinned> {
    Some(Pinned { messages, ..Pinned::default() })
}

fn queued(started: &mut RunStarted) {
    started.queued = Some(QueuedFor::Thread);
}

fn additions(sim: &Sim) -> Vec<String> {
    sim.run.additions().map(|message| message.content()).collect()
}

#[test]
fn a_run_begins_with_the_messages_that_it_pins_and_no_others() {
    let sim =
        Sim::on_thread(&said(), crew(vec![agent("a")]), script([("a", vec![text("yes")])]), |started| {
            started.pinned = pinned(2);
        })
        .go();
    let asked: Vec<String> = sim.prompts[0].messages.iter().map(|message| format!("{message:?}")).collect();
    insta::assert_debug_snapshot!(asked, @r#"
    [
        "User { text: \"first question\" }",
        "Assistant { text: \"first answer\", calls: [] }",
        "User { text: \"hello\" }",
    ]
    "#);
    assert_eq!(additions(&sim), ["hello", "yes"]);
}

#[test]
fn a_log_that_pins_more_than_the_thread_has_does_not_fold() {
    let sim = Sim::on_thread(&said(), crew(vec![agent("a")]), Script::default(), |started| {
        started.pinned = pinned(3);
    });
    let begun = Run::begin(sim.run.id().clone(), sim.run.crew().clone(), &sim.log[0]);
    let error = begun.expect_err("nothing of the thread is known").to_string();
    assert!(error.contains("it begins with 3 messages of its thread, and 0 are known"), "{error}");
}

#[test]
fn a_queued_run_does_nothing_until_its_turn_comes() {
    let mut sim = Sim::on_thread(&said(), crew(vec![agent("a")]), script([("a", vec![text("yes")])]), queued);
    assert_eq!((sim.run.state(), decide(&sim.run)), (RunState::Queued, Decision::Rest { wake_at: None }));
    assert_eq!(sim.run.history().len(), 0);
    for command in [Command::Pause, Command::Resume] {
        assert_eq!(sim.command(command), Err(Refused::Queued));
    }
    sim.now = sim.now.plus_millis(3_600_000);
    sim.record(Event::Begun { pinned: pinned(3) });
    sim.settle();
    assert_eq!(sim.run.active_ms(), 0, "waiting is not active time");
    let sim = sim.go();
    assert_eq!(sim.output(), "yes");
    assert_eq!(additions(&sim), ["hello", "yes"]);
    assert_eq!(sim.run.history().len(), 5);
}

#[test]
fn a_run_that_is_cancelled_in_the_queue_leaves_nothing_behind() {
    let mut sim = Sim::on_thread(&said(), crew(vec![agent("a")]), Script::default(), queued);
    sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("a queued run can be cancelled");
    let cancelled = Outcome::Cancelled { reason: CancelReason::Requested, receipt: Vec::new() };
    assert_eq!(*sim.outcome(), cancelled);
    assert!(additions(&sim).is_empty());
    let begun = boathouse_core::run::event::Recorded {
        seq: sim.run.seq().next(),
        at: sim.now,
        event: Event::Begun { pinned: None },
    };
    assert!(sim.run.apply(&begun).is_err(), "it cannot begin any more");
}

/// However a run ends, the thread it leaves can be gone on with: each call has its result, and no partial text is in it.
#[test]
fn whatever_a_run_ends_with_the_next_one_goes_on_from_a_valid_history() {
    let mut a = agent("a");
    a.tools = vec![LOOK, SEND];
    let crew = crew(vec![a]);
    let replies =
        || script([("a", vec![look(), tools("both", &[("Look", "{}"), ("Send", "{}")]), text("end")])]);
    let whole = Sim::on_thread(&said(), crew.clone(), replies(), |started| started.pinned = pinned(3)).go();
    for events in 1..whole.log.len() {
        let mut sim = whole.crashed_after(events);
        // After its end this changes nothing.
        sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("cancelling is idempotent");
        assert!(sim.run.outcome().is_some(), "after event {events}");
        let mut thread = said();
        thread.extend(sim.run.additions().map(|message| (**message).clone()));
        assert_eq!(thread[3].content(), "hello");
        for (at, message) in thread.iter().enumerate() {
            let asked: Vec<_> = message.calls.iter().map(|call| call.call).collect();
            let given = thread.get(at + 1).map(|next| &next.results[..]).unwrap_or_default();
            if !asked.is_empty() {
                assert_eq!(asked, given.iter().map(|result| result.call).collect::<Vec<_>>(), "{thread:#?}");
            }
        }
        let count = thread.len();
        let next = Sim::on_thread(&thread, crew.clone(), script([("a", vec![text("next")])]), |started| {
            started.pinned = pinned(count);
        });
        assert_eq!(next.go().output(), "next", "after event {events}");
    }
}

#[test]
fn a_crash_after_every_event_of_a_queued_run_ends_the_same() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let crew = crew(vec![a]);
    let mut sim = Sim::on_thread(&said(), crew, script([("a", vec![look(), text("end")])]), queued);
    sim.record(Event::Begun { pinned: pinned(2) });
    sim.settle();
    let whole = sim.go();
    for events in 2..whole.log.len() {
        let again = whole.crashed_after(events).go();
        assert_eq!((again.output(), again.history()), (whole.output(), whole.history()), "after {events}");
    }
    assert_eq!(whole.crashed_after(1).run.state(), RunState::Queued);
}

#[test]
fn a_summary_of_earlier_runs_stands_for_the_oldest_messages() {
    let sim = Sim::on_thread(&said(), crew(vec![agent("a")]), Script::default(), |started| {
        let summary = Some(Summary { messages: 2, text: "they met".to_owned() });
        started.pinned = Some(Pinned { messages: 3, summary, ..Pinned::default() });
    });
    let asked: Vec<String> = sim.prompts[0].messages.iter().map(|message| format!("{message:?}")).collect();
    insta::assert_debug_snapshot!(asked, @r#"
    [
        "User { text: \"first question\" }",
        "User { text: \"[summary of earlier messages]\\nthey met\" }",
        "User { text: \"said later\" }",
        "User { text: \"hello\" }",
    ]
    "#);
}

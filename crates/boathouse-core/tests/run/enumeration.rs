//! Every order of answers, every crash point, every pause point: always the same end.

use boathouse_core::crew::{Aggregate, Crew};
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::{Answer, CancelReason, Outcome, RunState, WaitFor};

use super::crews::*;
use super::sim::*;

/// How a run ended, without what depends on the order of events.
pub fn end(sim: &Sim) -> (Outcome, Vec<String>) {
    (sim.outcome().clone(), sim.history())
}

/// Calls `each` with the run at its end, for every order in which open calls can be answered.
fn every_order(sim: &Sim, each: &mut impl FnMut(&Sim)) {
    let open = sim.open();
    if open.is_empty() {
        return each(sim);
    }
    for call in open {
        let mut next = sim.clone();
        next.answer_call(call);
        every_order(&next, each);
    }
}

/// Answers what the run asks, the same each time, until it ends.
pub fn answered(mut sim: Sim) -> Sim {
    for _ in 0..100 {
        sim = sim.go();
        let Some(open) = sim.run.waits().first().cloned() else { return sim };
        let answer = match &open.what {
            WaitFor::Answer { .. } => Answer::Text { text: "yes".to_owned() },
            // A person looks and finds that it was done, with the result that the world would have given.
            WaitFor::UnknownOutcome { tool, arguments, .. } => {
                Answer::Done { output: format!("{tool} of {}: {arguments}", open.branch) }
            }
            WaitFor::Approval { .. } => panic!("no tool here needs an approval"),
        };
        sim.command(Command::Answer { wait: Some(open.wait), answer }).expect("it waits");
    }
    panic!("the run asks without end");
}

pub fn group_crew() -> (Crew, Script) {
    let said = script([
        ("desk", vec![text("everyone [ALL]")]),
        ("a", vec![tools("", &[("Look", r#"{"what":"1"}"#)]), text("a")]),
        ("b", vec![text("b")]),
        ("c", vec![tools("", &[("Put", "{}"), ("Look", "{}")]), text("c")]),
        ("closer", vec![text("closed")]),
    ]);
    (with_group(), said)
}

/// Rounds, a wait, a hand-off and a second agent with a `once` tool.
pub fn line_crew() -> (Crew, Script) {
    let mut a = agent("a");
    a.tools = vec![LOOK, PUT];
    a.wait_for_signal = true;
    a.signals = vec![signal("[B]", to_agent(1))];
    let mut b = agent("b");
    b.tools = vec![SEND];
    b.terminal = true;
    let said = script([
        ("a", vec![tools("", &[("Look", "{}"), ("Put", "{}")]), text("sure?"), text("then [B]")]),
        ("b", vec![tools("", &[("Send", "{}"), ("Send", r#"{"what":"2"}"#)]), text("sent")]),
    ]);
    (crew(vec![a, b]), said)
}

#[test]
fn every_order_of_a_group_with_every_crash_point_ends_the_same() {
    let (crew, said) = group_crew();
    let begun = Sim::new(crew, said);
    let expected = end(&begun.clone().go());
    let (mut orders, mut crashes) = (0, 0);
    every_order(&begun, &mut |ended| {
        orders += 1;
        assert_eq!(end(ended), expected);
        for events in 1..=ended.log.len() {
            crashes += 1;
            let again = ended.crashed_after(events).go();
            assert_eq!(end(&again), expected, "after event {events} of {:?}", ended.types());
        }
    });
    assert!(orders > 200, "{orders} orders, {crashes} crashes");
}

#[test]
fn a_crash_after_every_event_of_a_run_with_once_tools_ends_the_same_once_a_person_said_what_happened() {
    let (crew, said) = line_crew();
    let begun = Sim::new(crew, said);
    let ended = answered(begun);
    let expected = end(&ended);
    for events in 1..=ended.log.len() {
        let crashed = ended.crashed_after(events);
        let asked =
            crashed.run.waits().iter().filter(|open| matches!(open.what, WaitFor::UnknownOutcome { .. }));
        let sends =
            ended.log[..events].iter().filter(|recorded| in_flight_send(&ended, recorded, events)).count();
        assert_eq!(
            asked.count(),
            sends,
            "a person is asked about each call that was in flight, after event {events}"
        );
        assert_eq!(end(&answered(crashed)), expected, "after event {events}");
    }
}

/// Whether the event starts a `once` call that has not returned among the first `events`.
fn in_flight_send(sim: &Sim, recorded: &boathouse_core::run::event::Recorded, events: usize) -> bool {
    use boathouse_core::run::event::{CallKind, Event};
    let Event::CallStarted { call, kind: CallKind::Tool { tool, .. }, .. } = &recorded.event else {
        return false;
    };
    let returned = sim.log[..events]
        .iter()
        .any(|other| matches!(&other.event, Event::ToolReturned { result, .. } if result.call == *call));
    tool == "Send" && !returned
}

#[test]
fn two_crashes_anywhere_end_the_same() {
    let (crew, said) = line_crew();
    let ended = answered(Sim::new(crew, said));
    let expected = end(&ended);
    for first in 1..=ended.log.len() {
        let again = answered(ended.crashed_after(first));
        for second in first..=again.log.len() {
            assert_eq!(
                end(&answered(again.crashed_after(second))),
                expected,
                "after events {first} and {second}"
            );
        }
    }
}

#[test]
fn a_pause_after_every_event_ends_the_same() {
    for (crew, said) in [group_crew(), line_crew()] {
        let ended = answered(Sim::new(crew, said));
        let expected = end(&ended);
        for events in 1..ended.log.len() {
            let mut sim = ended.crashed_after(events);
            if sim.command(Command::Pause).is_err() {
                assert_eq!(end(&sim), expected);
                continue;
            }
            sim = sim.go();
            assert_eq!(sim.run.state(), RunState::Paused, "after event {events}");
            sim.command(Command::Resume).expect("it is paused");
            assert_eq!(end(&answered(sim)), expected, "after event {events}");
        }
    }
}

#[test]
fn a_cancel_after_every_event_leaves_nothing_in_flight_and_a_valid_history() {
    for (crew, said) in [group_crew(), line_crew()] {
        let ended = answered(Sim::new(crew, said));
        for events in 1..ended.log.len() {
            let mut sim = ended.crashed_after(events);
            sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("a run can be cancelled");
            assert!(sim.open().is_empty());
            let cancelled = matches!(sim.outcome(), Outcome::Cancelled { .. });
            assert!(cancelled || events + 1 == ended.log.len(), "{:?}", sim.outcome());
            for branch in sim.run.branches() {
                let calls: Vec<_> =
                    branch.history.iter().flat_map(|said| said.calls.iter().map(|c| c.call)).collect();
                let results: Vec<_> =
                    branch.history.iter().flat_map(|said| said.results.iter().map(|r| r.call)).collect();
                assert_eq!(calls, results, "each call has its one result, in order; after event {events}");
            }
            // A crash while it ends changes nothing, and asks nobody.
            for later in events..=sim.log.len() {
                let again = sim.crashed_after(later);
                if let Some(outcome) = again.run.outcome() {
                    assert!(matches!(outcome, Outcome::Cancelled { .. } | Outcome::Completed { .. }));
                }
            }
        }
    }
}

#[test]
fn aggregates_do_not_depend_on_the_order_either() {
    for aggregate in
        [Aggregate::Json, Aggregate::Merge, Aggregate::Template("{{ results | length }}".to_owned())]
    {
        let (mut crew, said) = group_crew();
        crew.groups[0].aggregate = aggregate;
        let begun = Sim::new(crew, said);
        let expected = end(&begun.clone().go());
        every_order(&begun, &mut |ended| assert_eq!(end(ended), expected));
    }
}

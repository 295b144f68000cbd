//! Commands: answers, pause and resume, cancel with its receipt; and what a run refuses.

use boathouse_core::crew::OnUnknown;
use boathouse_core::ids::{CallId, WaitId};
use boathouse_core::message::ResultStatus;
use boathouse_core::run::admit::{Command, Refused};
use boathouse_core::run::event::{
    Answer, CallEnd, CancelReason, Event, Outcome, ReceiptLine, RunState, WaitFor,
};

use super::crews::*;
use super::sim::*;

fn cancel() -> Command {
    Command::Cancel { reason: CancelReason::Requested }
}

fn answer(wait: Option<u32>, answer: Answer) -> Command {
    Command::Answer { wait: wait.map(WaitId), answer }
}

fn said(text: &str) -> Answer {
    Answer::Text { text: text.to_owned() }
}

/// One agent that sends something, at the point where the call is in flight.
fn sending(on_unknown: OnUnknown) -> Sim {
    let mut a = agent("a");
    a.tools = vec![SEND];
    let mut crew = crew(vec![a]);
    crew.tools[SEND.0] = tool("Send", boathouse_core::crew::Effect::Once, on_unknown);
    let mut sim =
        Sim::new(crew, script([("a", vec![tools("", &[("Send", r#"{"what":"mail"}"#)]), text("end")])]));
    sim.answer_call(sim.open()[0]);
    sim
}

#[test]
fn cancel_stops_what_is_in_flight_and_names_it_in_the_receipt() {
    let mut sim = Sim::new(with_group(), script([("desk", vec![text("[ALL]")])]));
    sim.answer_call(sim.open()[0]);
    sim.command(cancel()).expect("a run can be cancelled");
    let line = |call, agent: &str| ReceiptLine {
        call: CallId(call),
        agent: agent.into(),
        tool: None,
        end: CallEnd::Disconnected,
    };
    let receipt = vec![line(2, "a"), line(3, "b"), line(4, "c")];
    assert_eq!(*sim.outcome(), Outcome::Cancelled { reason: CancelReason::Requested, receipt });
    assert!(sim.open().is_empty());
}

#[test]
fn cancelling_again_or_after_the_end_changes_nothing() {
    let mut sim = Sim::new(crew(vec![agent("a")]), Script::default()).go();
    let events = sim.log.len();
    sim.command(cancel()).expect("cancelling is idempotent");
    assert_eq!(sim.log.len(), events);
    assert_eq!(sim.command(Command::Pause), Err(Refused::Ended));
    assert_eq!(sim.command(answer(None, said("x"))), Err(Refused::Ended));
}

#[test]
fn a_cancelled_run_keeps_a_valid_history() {
    let mut sim = sending(OnUnknown::Ask);
    sim.command(cancel()).expect("a run can be cancelled");
    let results = &sim.run.history()[2].results;
    assert_eq!(results.len(), 1);
    assert!(results[0].output.starts_with("outcome unknown"), "{}", results[0].output);
    let Outcome::Cancelled { receipt, .. } = sim.outcome() else { panic!("{:?}", sim.outcome()) };
    assert_eq!(receipt[0].tool.as_deref(), Some("Send"));
}

#[test]
fn a_lost_once_call_asks_and_each_answer_does_what_it_says() {
    let crashed = sending(OnUnknown::Ask);
    let crashed = crashed.crashed_after(crashed.log.len());
    assert_eq!(crashed.run.state(), RunState::Paused);
    let WaitFor::UnknownOutcome { tool, arguments, end, .. } = &crashed.run.waits()[0].what else {
        panic!("{:?}", crashed.run.waits())
    };
    assert_eq!((tool.as_str(), end), ("Send", &CallEnd::Lost));
    assert_eq!(arguments["what"], "mail");

    let mut done = crashed.clone();
    done.command(answer(None, Answer::Done { output: "it went".to_owned() })).expect("it waits");
    assert_eq!(done.run.history()[2].results[0].output, "it went");
    assert_eq!(done.go().output(), "end");

    let mut failed = crashed.clone();
    failed.command(answer(None, Answer::Fail {})).expect("it waits");
    assert_eq!(failed.run.history()[2].results[0].status, ResultStatus::Error);
    assert_eq!(failed.go().output(), "end");

    let mut again = crashed.clone();
    again.command(answer(Some(1), Answer::Rerun {})).expect("it waits");
    let attempts = again.log.iter().filter_map(|recorded| match recorded.event {
        Event::CallStarted { call: CallId(2), attempt, .. } => Some(attempt),
        _ => None,
    });
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 2], "the same call, its second attempt");
    assert_eq!(again.go().output(), "end");

    let mut cancelled = crashed;
    cancelled.command(cancel()).expect("a run can be cancelled");
    let Outcome::Cancelled { receipt, .. } = cancelled.outcome() else { panic!("{:?}", cancelled.outcome()) };
    assert_eq!(receipt[0].end, CallEnd::Unknown, "a recorded cancel asks nobody, and names the call");
}

#[test]
fn on_unknown_decides_without_a_person_where_it_says_so() {
    for (on_unknown, result) in [
        (OnUnknown::Fail, "outcome unknown"),
        (OnUnknown::AssumeDone, "assumed done"),
        (OnUnknown::Rerun, "Send of"),
    ] {
        let crashed = sending(on_unknown);
        let sim = crashed.crashed_after(crashed.log.len()).go();
        assert_eq!(sim.output(), "end");
        let output = &sim.run.history()[2].results[0].output;
        assert!(output.starts_with(result), "{on_unknown:?}: {output}");
    }
}

#[test]
fn answers_are_refused_with_the_reason() {
    let mut a = agent("a");
    a.wait_for_signal = true;
    let mut sim = Sim::new(crew(vec![a]), Script::default());
    assert_eq!(sim.command(answer(None, said("x"))), Err(Refused::NotWaiting));
    let mut sim = sim.go();
    assert_eq!(sim.command(answer(Some(7), said("x"))), Err(Refused::UnknownWait(WaitId(7))));
    assert!(matches!(sim.command(answer(None, Answer::Rerun {})), Err(Refused::WrongAnswer(_))));
    assert!(matches!(sim.command(answer(None, said("  "))), Err(Refused::WrongAnswer(_))));
    sim.command(answer(Some(1), said("x"))).expect("it waits");
    assert_eq!(sim.command(answer(Some(1), said("x"))), Err(Refused::AlreadyAnswered(WaitId(1))));
}

#[test]
fn several_open_waits_want_to_be_named() {
    let mut crew = with_group();
    for branch in &mut crew.agents[1..4] {
        branch.tools = vec![SEND];
    }
    let send = vec![tools("", &[("Send", "{}")]), text("sent")];
    let said = script([("desk", vec![text("[ALL]")]), ("a", send.clone()), ("b", send)]);
    let mut sim = Sim::new(crew, said);
    for _ in 0..4 {
        sim.answer_call(sim.open()[0]);
    }
    let mut sim = sim.crashed_after(sim.log.len());
    while let Some(call) = sim.open().first().copied() {
        sim.answer_call(call);
    }
    assert_eq!(sim.run.waits().len(), 2);
    assert_eq!(sim.command(answer(None, Answer::Fail {})), Err(Refused::Ambiguous(2)));
    sim.command(answer(Some(2), Answer::Fail {})).expect("it waits");
    assert_eq!(sim.run.state(), RunState::Running, "the other branch goes on");
}

#[test]
fn a_pause_lets_calls_in_flight_end_and_starts_nothing() {
    let mut sim = Sim::new(with_group(), script([("desk", vec![text("[ALL]")])]));
    sim.answer_call(sim.open()[0]);
    sim.command(Command::Pause).expect("a run can be paused");
    sim.command(Command::Pause).expect("pausing is idempotent");
    assert_eq!(sim.run.state(), RunState::Running);
    while let Some(call) = sim.open().first().copied() {
        sim.answer_call(call);
    }
    assert_eq!(sim.run.state(), RunState::Paused);
    sim.now = sim.now.plus_millis(900_000);
    sim.command(Command::Resume).expect("it is paused");
    assert_eq!(sim.run.active_ms(), 0);
    assert_eq!(sim.command(Command::Resume), Err(Refused::NotPaused));
    assert_eq!(sim.go().output(), ".");
}

#[test]
fn a_log_that_is_out_of_place_is_refused() {
    use boathouse_core::Run;
    use boathouse_core::run::ReplayError;
    let sim = Sim::new(crew(vec![agent("a")]), Script::default()).go();
    let replay = |log: &[boathouse_core::run::event::Recorded]| {
        Run::replay(sim.run.id().clone(), sim.run.crew().clone(), log).map(|_| ())
    };
    let mut gap = sim.log.clone();
    gap.remove(1);
    assert!(matches!(replay(&gap), Err(ReplayError::Gap { .. })));
    let mut more = sim.log.clone();
    more.push(more[1].clone());
    more.last_mut().expect("it has events").seq.0 = 5;
    assert!(matches!(replay(&more), Err(ReplayError::OutOfPlace(_))));
    let mut newer = sim.log.clone();
    let Event::RunStarted(started) = &mut newer[0].event else { panic!("the first event") };
    started.format = 99;
    assert_eq!(replay(&newer), Err(ReplayError::NeedsUpgrade { found: 99, known: 1 }));
    let mut other = sim.log.clone();
    let Event::RunStarted(started) = &mut other[0].event else { panic!("the first event") };
    started.crew_hash = "another".to_owned();
    assert!(matches!(replay(&other), Err(ReplayError::OtherCrew { .. })));
}

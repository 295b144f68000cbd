//! A fork at every step of a run goes to the same end; a retry repeats no call that may be made only once.

use boathouse_core::crew::{Approval, Crew, Model, OnError};
use boathouse_core::ids::{AgentId, CallId, RunId, Seq, ThreadId, Timestamp, WaitId};
use boathouse_core::run::admit::{Command, Refused};
use boathouse_core::run::approval::{ApprovalDecision, expired};
use boathouse_core::run::event::{
    Answer, CallErrorKind, CallKind, CancelReason, Event, Outcome, RunLimits, RunState, WaitFor,
};
use boathouse_core::run::fork::{Edits, Fork, ForkRefused, Fresh, Parent, fork, retry};
use boathouse_core::run::verify::first_difference;

use super::crews::*;
use super::enumeration::{answered, end, group_crew, line_crew};
use super::sim::*;

fn parent(sim: &Sim) -> Parent<'_> {
    Parent { run: sim.run.id().clone(), crew: sim.run.crew().clone(), log: &sim.log }
}

fn fresh(sim: &Sim) -> Fresh {
    Fresh { run: RunId::from("fork"), thread: ThreadId::from("fork"), now: sim.now.plus_millis(1000) }
}

fn forked(sim: &Sim, at: Option<u64>, edits: &Edits) -> Result<Sim, ForkRefused> {
    fork(&parent(sim), &fresh(sim), at.map(Seq), edits).map(|fork| driven(sim, fork))
}

fn retried(sim: &Sim) -> Result<Sim, ForkRefused> {
    retry(&parent(sim), &fresh(sim), &Edits::default()).map(|fork| driven(sim, fork))
}

/// The fork with the same world around it.
fn driven(sim: &Sim, fork: Fork) -> Sim {
    let Fork { run, log } = fork;
    assert!(run.open_calls().next().is_none(), "nobody has calls of a new run in hand");
    let (script, now, thread) = (sim.script.clone(), sim.now.plus_millis(1000), sim.thread.clone());
    let mut sim = Sim { run, log, script, now, prompts: Vec::new(), thread };
    sim.settle();
    sim
}

#[test]
fn a_fork_at_every_step_ends_as_the_run_did() {
    for (crew, said) in [group_crew(), line_crew()] {
        let ended = answered(Sim::new(crew, said));
        let expected = end(&ended);
        let mut steps = 0;
        for at in 1..=ended.log.len() as u64 {
            match forked(&ended, Some(at), &Edits::default()) {
                Ok(fork) => {
                    steps += 1;
                    assert_eq!(fork.log[0].seq, Seq(1));
                    let Event::RunStarted(started) = &fork.log[0].event else { panic!("it begins") };
                    let from = started.forked_from.as_ref().expect("it says where it comes from");
                    assert_eq!((from.run.as_str(), from.seq), ("run", Seq(at)));
                    assert_eq!(started.thread.as_str(), "fork");
                    let again = answered(fork);
                    assert_eq!(end(&again), expected, "from event {at}");
                    assert_eq!(first_difference(again.run.id(), again.run.crew(), &again.log), Ok(None));
                    for crash in 1..=again.log.len() {
                        assert_eq!(end(&answered(again.crashed_after(crash))), expected, "a fork is a run");
                    }
                }
                Err(ForkRefused::NotAStep { before, after, .. }) => {
                    for near in [before, after].into_iter().flatten() {
                        forked(&ended, Some(near.0), &Edits::default()).expect("the nearest steps are steps");
                    }
                    assert!(before.is_some(), "the first event is one");
                }
                Err(other) => panic!("event {at}: {other}"),
            }
        }
        assert!(steps > 3, "{steps} steps");
    }
}

#[test]
fn a_fork_that_waits_for_room_at_any_step_ends_as_the_run_did() {
    for (crew, said) in [group_crew(), line_crew()] {
        let ended = answered(Sim::new(crew, said));
        let expected = end(&ended);
        let mut steps = 0;
        for at in 1..=ended.log.len() as u64 {
            let Ok(made) = fork(&parent(&ended), &fresh(&ended), Some(Seq(at)), &Edits::default()) else {
                continue;
            };
            steps += 1;
            let waiting = made.queued().expect("it can be read");
            assert_eq!(waiting.run.state(), RunState::Queued);
            let mut begun = driven(&ended, waiting);
            assert_eq!(begun.run.seq(), Seq(at), "nothing happens before its turn");
            let active = begun.run.active_ms();
            begun.now = begun.now.plus_millis(86_400_000);
            begun.record(Event::Begun { pinned: None });
            assert_eq!(begun.run.active_ms(), active, "waiting takes none of its time");
            begun.settle();
            let again = answered(begun);
            assert_eq!(end(&again), expected, "from event {at}");
            assert_eq!(first_difference(again.run.id(), again.run.crew(), &again.log), Ok(None));
            // What it was forked with was written in one go.
            assert_eq!(again.crashed_after(at as usize).run.state(), RunState::Queued);
            for crash in at as usize + 1..=again.log.len() {
                assert_eq!(end(&answered(again.crashed_after(crash))), expected, "after event {crash}");
            }
            // Its own forks do not wait, wherever they begin.
            for at in 1..=again.log.len() as u64 {
                let Ok(second) = forked(&again, Some(at), &Edits::default()) else { continue };
                assert_eq!(end(&answered(second)), expected, "from event {at} of the fork");
            }
        }
        assert!(steps > 3, "{steps} steps");
    }
}

#[test]
fn approvals_of_a_fork_that_waits_for_room_expire_after_its_begin() {
    let sim = asking();
    let made = fork(&parent(&sim), &fresh(&sim), None, &Edits::default()).expect("it waits for a person");
    let mut begun = driven(&sim, made.queued().expect("it can be read"));
    begun.now = begun.now.plus_millis(86_400_000);
    assert_eq!(expired(&begun.run, begun.now), None, "nobody could decide");
    let decision = ApprovalDecision { wait: WaitId(1), answer: Answer::Approve {}, digest: None, by: None };
    let decisions = vec![decision];
    assert_eq!(begun.command(Command::Decide { decisions }), Err(Refused::Queued));
    begun.record(Event::Begun { pinned: None });
    begun.settle();
    let expires = begun.run.waits()[0].expires_at();
    assert_eq!(expires, Some(begun.now.plus_millis(60_000)));
    assert_eq!(begun.run.state(), RunState::Paused);
}

#[test]
fn events_with_calls_in_flight_and_the_end_are_no_steps() {
    let (crew, said) = line_crew();
    let ended = answered(Sim::new(crew, said));
    let refused = forked(&ended, Some(2), &Edits::default()).expect_err("the first call is in flight");
    assert_eq!(
        refused.to_string(),
        "no run can begin after event 2: calls are in flight; the nearest where one can are 1 and 3"
    );
    let last = ended.log.len() as u64;
    let refused = forked(&ended, Some(last), &Edits::default()).expect_err("it has ended");
    assert!(refused.to_string().contains("the run has ended; the nearest where one can is"), "{refused}");
    for at in [0, last + 1, u64::MAX] {
        let refused = forked(&ended, Some(at), &Edits::default()).expect_err("there is no such event");
        assert_eq!(refused, ForkRefused::NoSuchStep { at: Seq(at), last: Seq(last) });
    }
}

#[test]
fn edits_count_from_the_step_on() {
    let (crew, said) = line_crew();
    let ended = answered(Sim::new(crew, said));
    let model = Model { provider: "other".to_owned(), model: "m".to_owned(), base_url: None };
    let edits = Edits {
        input: Some("something else".to_owned()),
        models: [(AgentId::from("b"), model.clone())].into(),
        limits: Some(RunLimits { max_rounds: Some(3), ..RunLimits::default() }),
        ..Edits::default()
    };
    let again = answered(forked(&ended, None, &edits).expect("an input is for the first event"));
    assert!(again.history()[0].contains("something else"));
    assert_eq!(again.run.started().limits.max_rounds, Some(3));
    let asked: Vec<&str> = again.prompts.iter().map(|prompt| prompt.model.provider.as_str()).collect();
    let of_b = again.prompts.iter().filter(|prompt| prompt.agent.as_str() == "b");
    assert!(of_b.count() > 0);
    for prompt in &again.prompts {
        let expected = if prompt.agent.as_str() == "b" { "other" } else { "scripted" };
        assert_eq!(prompt.model.provider, expected, "{asked:?}");
    }
    let unknown = Edits { models: [(AgentId::from("bb"), model)].into(), ..Edits::default() };
    let refused = forked(&ended, None, &unknown).expect_err("no such agent");
    assert!(refused.to_string().contains("has no agent `bb`"), "{refused}");
}

#[test]
fn an_answer_goes_to_the_last_wait_and_a_reply_replaces_the_last_one() {
    let (crew, said) = line_crew();
    let ended = answered(Sim::new(crew, said));
    let edits =
        Edits { answer: Some((None, Answer::Text { text: "rather not".to_owned() })), ..Edits::default() };
    let again = answered(forked(&ended, None, &edits).expect("it waited once"));
    assert!(again.history().iter().any(|line| line.contains("rather not")), "{:?}", again.history());
    assert!(!again.history().iter().any(|line| line.contains("user: yes")), "{:?}", again.history());

    let reply = Edits { reply: Some("nothing to do [B]".to_owned()), ..Edits::default() };
    let replied = |agent: &str| {
        let found = ended.log.iter().find(|recorded| {
            matches!(&recorded.event, Event::ModelReplied { agent: by, .. } if by.as_str() == agent)
        });
        found.expect("it replied").seq.0
    };
    // The first reply of `a` asked for two tools: now it asks for none.
    let again = answered(forked(&ended, Some(replied("a")), &reply).expect("it is a step"));
    assert_eq!(again.path(), ["a", "b"]);
    assert_eq!(again.history()[1], "a: nothing to do [B][][]");
    let refused = forked(&ended, Some(1), &reply).expect_err("the first event is no reply");
    assert_eq!(refused, ForkRefused::NotAReply(Seq(1)));
}

#[test]
fn a_fork_of_a_paused_run_goes_on() {
    let (crew, said) = line_crew();
    let mut sim = Sim::new(crew, said);
    sim.command(Command::Pause).expect("it runs");
    let sim = sim.go();
    assert_eq!(sim.run.state(), RunState::Paused);
    let fork = forked(&sim, Some(sim.log.len() as u64), &Edits::default()).expect("nothing is in flight");
    assert_eq!(fork.run.state(), RunState::Running);
    answered(fork);
}

#[test]
fn a_failed_run_is_tried_again_with_all_its_tries() {
    let mut crew = crew(vec![agent("a")]);
    crew.settings.model_attempts = 3;
    let sim = Sim::new(crew, script([("a", vec![fails(CallErrorKind::Server)])])).go();
    assert!(matches!(sim.outcome(), Outcome::Failed { .. }));
    let again = retried(&sim).expect("it failed");
    let Event::RunStarted(started) = &again.log[0].event else { panic!("it begins") };
    assert_eq!(started.forked_from.as_ref().map(|from| from.seq), Some(Seq(1)));
    let again = again.go();
    let tries = |sim: &Sim| sim.types().iter().filter(|kind| *kind == "attempt_failed").count();
    assert_eq!(tries(&again), tries(&sim), "all tries are made again");
}

#[test]
fn only_runs_that_ended_badly_are_tried_again() {
    let (crew, said) = line_crew();
    let sim = Sim::new(crew, said);
    assert_eq!(retried(&sim).map(|_| ()), Err(ForkRefused::NotEnded));
    let ended = answered(sim);
    assert_eq!(retried(&ended).map(|_| ()), Err(ForkRefused::Completed));
}

/// Calls of `Send` (once) that were started, by the number of times.
fn sends(sim: &Sim) -> Vec<CallId> {
    let started = sim.log.iter().filter_map(|recorded| match &recorded.event {
        Event::CallStarted { call, kind: CallKind::Tool { tool, .. }, .. } if tool == "Send" => Some(*call),
        _ => None,
    });
    started.collect()
}

#[test]
fn a_retry_after_a_cancel_anywhere_repeats_no_once_call_unless_a_person_says_so() {
    let (crew, said) = line_crew();
    let whole = answered(Sim::new(crew, said));
    let mut asked = 0;
    for events in 1..whole.log.len() {
        let mut sim = whole.crashed_after(events);
        sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("a run can be cancelled");
        if !matches!(sim.outcome(), Outcome::Cancelled { .. }) {
            continue;
        }
        let again = retried(&sim).expect("it was cancelled");
        asked += again
            .run
            .waits()
            .iter()
            .filter(|wait| matches!(wait.what, WaitFor::UnknownOutcome { .. }))
            .count();
        let again = answered(again);
        assert_eq!(again.history(), whole.history(), "after event {events}");
        let mut calls = sends(&again);
        let all = calls.len();
        calls.dedup();
        assert_eq!(calls.len(), all, "no call is made twice, after event {events}: {:?}", again.types());
        assert_eq!(first_difference(again.run.id(), again.run.crew(), &again.log), Ok(None));
    }
    assert!(asked > 2, "a person is asked about calls that were cut off: {asked}");
}

/// A run of a group whose branch c sends while branch b's model is at work.
fn sent_in_a_group(change: impl FnOnce(&mut Crew), b: Said) -> (Sim, CallId) {
    let (mut crew, _) = group_crew();
    crew.agents.iter_mut().find(|agent| agent.id.as_str() == "c").expect("it is there").tools = vec![SEND];
    change(&mut crew);
    let said = script([
        ("desk", vec![text("everyone [ALL]")]),
        ("a", vec![text("a")]),
        ("b", vec![b]),
        ("c", vec![tools("", &[("Send", "{}")]), text("c")]),
    ]);
    let mut sim = Sim::new(crew, said);
    let desk = sim.open()[0];
    sim.answer_call(desk);
    let of_c = sim.run.open_calls().find(|(_, branch)| branch.0 == 3).expect("c is asked").0;
    sim.answer_call(of_c);
    let send = *sends(&sim).first().expect("c sends");
    sim.answer_call(send);
    (sim, send)
}

#[test]
fn a_retry_after_a_cancel_keeps_what_other_branches_have_done() {
    let (mut sim, _) = sent_in_a_group(|_| {}, text("b"));
    sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("a run can be cancelled");
    let again = retried(&sim).expect("it was cancelled").go();
    assert!(matches!(again.outcome(), Outcome::Completed { .. }));
    assert_eq!(sends(&again).len(), 1, "{:?}", again.types());
    assert_eq!(first_difference(again.run.id(), again.run.crew(), &again.log), Ok(None));
}

#[test]
fn a_retry_that_would_repeat_once_calls_is_refused_by_name() {
    let fails_fast = |crew: &mut Crew| {
        crew.groups[0].on_error = OnError::FailFast;
        crew.settings.model_attempts = 1;
    };
    let (sim, send) = sent_in_a_group(fails_fast, fails(CallErrorKind::Rejected));
    let sim = sim.go();
    assert!(matches!(sim.outcome(), Outcome::Failed { .. }), "{:?}", sim.outcome());
    let refused = retried(&sim).expect_err("it would send twice");
    assert!(
        matches!(&refused, ForkRefused::WouldRepeat { calls, .. } if calls == &[(send, "Send".to_owned())]),
        "{refused}"
    );
}

#[test]
fn a_timeout_is_tried_again_with_fresh_time() {
    let mut sim = Sim::new(crew(vec![agent("a")]), script([("a", vec![text("late")])]));
    sim.wait_for_timer().expect("a run has a limit");
    assert!(matches!(sim.outcome(), Outcome::LimitReached { .. }));
    let again = retried(&sim).expect("it reached a limit");
    assert_eq!(again.run.active_ms(), 0);
    assert!(again.log.iter().all(|recorded| recorded.at >= Timestamp(sim.now.0)));
    assert_eq!(again.go().output(), "late");
}

/// A run whose calls of `Send` wait for a person, for a minute each.
fn asking() -> Sim {
    let mut a = agent("a");
    a.tools = vec![SEND];
    let mut crew = crew(vec![a]);
    let mut spec = (*crew.tools[SEND.0].spec).clone();
    spec.approval = Approval::Always;
    crew.tools[SEND.0].spec = spec.into();
    crew.settings.approval_timeout_ms = Some(60_000);
    let two = [("Send", r#"{"what":"1"}"#), ("Send", r#"{"what":"2"}"#)];
    let mut sim = Sim::new(crew, script([("a", vec![tools("", &two), text("end")])]));
    sim.answer_call(sim.open()[0]);
    sim
}

#[test]
fn approvals_of_a_fork_expire_as_long_after_it_as_they_did_after_they_were_asked_for() {
    let mut sim = asking();
    let waits: Vec<WaitId> = sim.run.waits().iter().map(|open| open.wait).collect();
    let asked = sim.run.seq().0;
    // The first is decided, the second expires; then a day passes.
    let decision = ApprovalDecision { wait: waits[0], answer: Answer::Approve {}, digest: None, by: None };
    sim.command(Command::Decide { decisions: vec![decision] }).expect("it waits");
    sim.answer_call(sim.open()[0]);
    sim.now = sim.now.plus_millis(60_000);
    sim.record(expired(&sim.run, sim.now).expect("its time is over"));
    let expired_at = sim.run.seq().0;
    sim.settle();
    sim.now = sim.now.plus_millis(86_400_000);

    let fork = forked(&sim, Some(asked), &Edits::default()).expect("it waits there");
    let begins = fork.run.created_at();
    assert_eq!(fork.run.waits().len(), 2, "nothing has expired: {:?}", fork.types());
    for open in fork.run.waits() {
        assert_eq!(open.expires_at(), Some(begins.plus_millis(60_000)));
    }
    assert_eq!(expired(&fork.run, begins.plus_millis(59_999)), None);
    // Also of a fork of the fork, and what had expired before stays so.
    let again = forked(&fork, Some(asked), &Edits::default()).expect("it waits there");
    assert_eq!(again.run.waits()[0].expires_at(), Some(again.run.created_at().plus_millis(60_000)));
    let later = forked(&sim, Some(expired_at), &Edits::default()).expect("nothing is in flight there");
    assert!(later.run.waits().is_empty());
    for fork in [fork, again, later.go()] {
        assert_eq!(first_difference(fork.run.id(), fork.run.crew(), &fork.log), Ok(None));
    }
}

//! Parallel groups: joining, failing, timing out, and what enters the main history.

use boathouse_core::crew::{Join, OnError, Route};
use boathouse_core::run::event::{BranchEnd, CallErrorKind, Event, Outcome, Timer};

use super::crews::*;
use super::sim::*;

/// `a` and `c` take a round of tools each.
fn said() -> Script {
    script([
        ("desk", vec![text("everyone [ALL]")]),
        ("a", vec![tools("a looks", &[("Look", r#"{"what":"1"}"#)]), text("a is done [DONE]")]),
        ("b", vec![text("b is done")]),
        ("c", vec![tools("c puts", &[("Put", "{}"), ("Look", "{}")]), text("c is done")]),
        ("closer", vec![text("closed")]),
    ])
}

fn ends(sim: &Sim) -> Vec<BranchEnd> {
    let ended = sim.run.branches().iter().skip(1).filter_map(|branch| branch.end().cloned());
    ended.collect()
}

/// Answers the open calls of one agent until it has none.
fn finish(sim: &mut Sim, agent: &str) {
    while let Some(call) = sim.open().into_iter().find(|call| {
        let place = sim.run.find_call(*call).expect("the call is open");
        sim.run.crew().agent(place.branch().agent).id.as_str() == agent
    }) {
        sim.answer_call(call);
    }
}

#[test]
fn branches_run_side_by_side_with_full_rounds_and_join_in_the_order_of_the_file() {
    let mut sim = Sim::new(with_group(), said());
    finish(&mut sim, "desk");
    assert_eq!(sim.open().len(), 3, "all branches are called at once");
    for agent in ["c", "b", "a"] {
        finish(&mut sim, agent);
    }
    let sim = sim.go();
    assert_eq!(sim.output(), "closed");
    let joined = &sim.run.history()[2].content();
    let places: Vec<Option<usize>> = ["[a]", "[b]", "[c]"].iter().map(|agent| joined.find(agent)).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{joined}");
    assert!(joined.contains("Look of") && joined.contains("a is done"), "{joined}");
    assert_eq!(sim.run.history().len(), 4, "input, the desk's reply, the aggregate, the closer's reply");
}

#[test]
fn a_branch_begins_with_the_reply_that_opened_the_group_and_signals_do_not_act_in_it() {
    let mut crew = with_group();
    crew.agents[1].signals = vec![signal("[DONE]", Route::End)];
    crew.agents[2].wait_for_signal = true;
    crew.agents[3].terminal = true;
    let sim = Sim::new(crew, said()).go();
    assert_eq!(sim.output(), "closed");
    assert!(ends(&sim).iter().all(|end| *end == BranchEnd::Completed {}));
    let branch = sim.prompts.iter().find(|prompt| prompt.agent.as_str() == "b").expect("b was called");
    assert!(format!("{:?}", branch.messages).contains("everyone [ALL]"));
}

#[test]
fn a_group_without_next_agent_completes_the_run_with_its_aggregate() {
    let mut crew = with_group();
    crew.groups[0].next_agent = None;
    let sim = Sim::new(crew, said()).go();
    assert!(sim.output().contains("[PARALLEL EXECUTION RESULTS]") || sim.output().contains("b is done"));
}

#[test]
fn with_first_the_rest_is_cancelled_before_the_join() {
    let mut crew = with_group();
    crew.groups[0].join = Join::First;
    let mut sim = Sim::new(crew, said());
    finish(&mut sim, "desk");
    finish(&mut sim, "b");
    assert_eq!(ends(&sim), [BranchEnd::Cancelled {}, BranchEnd::Completed {}, BranchEnd::Cancelled {}]);
    assert_eq!(sim.open().len(), 1, "only the closer is called");
    assert_eq!(sim.go().output(), "closed");
}

#[test]
fn a_quorum_waits_for_so_many_and_fails_the_run_if_it_cannot_be_reached() {
    let mut crew = with_group();
    crew.groups[0].join = Join::Quorum(2);
    let mut sim = Sim::new(crew.clone(), said());
    finish(&mut sim, "desk");
    finish(&mut sim, "b");
    assert_eq!(ends(&sim).len(), 1);
    finish(&mut sim, "c");
    assert_eq!(ends(&sim), [BranchEnd::Cancelled {}, BranchEnd::Completed {}, BranchEnd::Completed {}]);

    let mut broken = said();
    broken.0.insert("a".to_owned(), vec![fails(CallErrorKind::Rejected)]);
    broken.0.insert("c".to_owned(), vec![fails(CallErrorKind::Rejected)]);
    let sim = Sim::new(crew, broken).go();
    let Outcome::Failed { code, error } = sim.outcome() else { panic!("{:?}", sim.outcome()) };
    assert_eq!(code, "parallel_failed");
    assert_eq!(error, "parallel group `all` failed: 1 of 3 branches completed, 2 had to; a: no");
}

#[test]
fn a_failing_branch_leaves_the_others_alone_unless_the_group_fails_fast() {
    let mut broken = said();
    broken.0.insert("b".to_owned(), vec![fails(CallErrorKind::Rejected)]);
    let sim = Sim::new(with_group(), broken.clone()).go();
    assert_eq!(sim.output(), "closed");
    let failed = sim.log.iter().find_map(|recorded| match &recorded.event {
        Event::Joined { failed, completed, .. } => Some((failed.clone(), *completed)),
        _ => None,
    });
    assert_eq!(failed, Some((vec![("b".into(), "no".to_owned())], 2)));

    let mut crew = with_group();
    crew.groups[0].on_error = OnError::FailFast;
    let mut sim = Sim::new(crew, broken);
    finish(&mut sim, "desk");
    finish(&mut sim, "b");
    assert!(sim.open().is_empty(), "the others are stopped");
    let Outcome::Failed { error, .. } = sim.outcome() else { panic!("{:?}", sim.outcome()) };
    assert_eq!(error, "parallel group `all` failed: b: no");
}

#[test]
fn when_all_fail_the_run_fails() {
    let mut broken = said();
    for agent in ["a", "b", "c"] {
        broken.0.insert(agent.to_owned(), vec![fails(CallErrorKind::Rejected)]);
    }
    let sim = Sim::new(with_group(), broken).go();
    assert!(matches!(sim.outcome(), Outcome::Failed { code, .. } if code == "parallel_failed"));
}

#[test]
fn the_groups_time_limit_ends_what_is_left_and_the_rest_goes_on() {
    let mut sim = Sim::new(with_group(), said());
    finish(&mut sim, "desk");
    finish(&mut sim, "b");
    assert!(matches!(sim.wait_for_timer(), Some(Timer::Group(_))));
    assert_eq!(ends(&sim), [BranchEnd::TimedOut {}, BranchEnd::Completed {}, BranchEnd::TimedOut {}]);
    assert_eq!(sim.go().output(), "closed");
}

#[test]
fn a_limit_concerns_its_branch_alone() {
    let mut crew = with_group();
    crew.settings.max_rounds = 1;
    let mut long = said();
    long.0.insert("a".to_owned(), vec![tools("1", &[("Look", "{}")]), tools("2", &[("Look", "{}")])]);
    let sim = Sim::new(crew, long).go();
    assert_eq!(ends(&sim)[0], BranchEnd::LimitReached { limit: "max_rounds".to_owned() });
    assert_eq!(sim.output(), "closed");
}

#[test]
fn a_cancelled_branch_with_an_unknown_outcome_waits_for_a_person_before_the_join() {
    let mut crew = with_group();
    crew.groups[0].join = Join::First;
    let mut sending = said();
    sending.0.insert("a".to_owned(), vec![tools("", &[("Send", r#"{"what":"mail"}"#)])]);
    let mut sim = Sim::new(crew, sending);
    finish(&mut sim, "desk");
    let of_a = sim.open()[0];
    sim.answer_call(of_a);
    finish(&mut sim, "b");
    assert_eq!(sim.run.waits().len(), 1, "{:?}", sim.types());
    let answer = boathouse_core::run::event::Answer::Done { output: "sent".to_owned() };
    sim.command(boathouse_core::run::admit::Command::Answer { wait: None, answer }).expect("it waits");
    assert_eq!(ends(&sim)[0], BranchEnd::Cancelled {});
    assert_eq!(sim.go().output(), "closed");
}

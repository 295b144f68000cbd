//! Limits: rounds, hand-offs, time, tries. Checked before the call, and the run says which one it was.

use boathouse_core::Run;
use boathouse_core::ids::BranchId;
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::{Answer, CallErrorKind, Event, NextAttempt, Outcome, Recorded, Timer};

use super::crews::*;
use super::sim::*;

fn limit(sim: &Sim) -> (&str, &str) {
    match sim.outcome() {
        Outcome::LimitReached { limit, output } => (limit, output),
        other => panic!("no limit was reached: {other:?}"),
    }
}

#[test]
fn max_rounds_executes_so_many_rounds_and_answers_the_calls_after_them() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let mut crew = crew(vec![a]);
    crew.settings.max_rounds = 2;
    let sim = Sim::new(crew, script([("a", vec![look(), look(), look(), look()])])).go();
    assert_eq!(limit(&sim), ("max_rounds", "again"));
    let results: Vec<String> =
        sim.run.history().iter().flat_map(|said| &said.results).map(|r| r.output.clone()).collect();
    assert_eq!(results.len(), 3);
    assert_eq!(results[2], "not run: max_rounds");
    assert_eq!(sim.types().iter().filter(|kind| *kind == "tool_returned").count(), 2);
}

#[test]
fn an_answer_and_a_hand_off_begin_a_new_turn() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    a.wait_for_signal = true;
    a.signals = vec![signal("[B]", to_agent(1))];
    let mut b = agent("b");
    b.tools = vec![LOOK];
    let mut crew = crew(vec![a, b]);
    crew.settings.max_rounds = 1;
    let said =
        script([("a", vec![look(), text("?"), look(), text("[B]")]), ("b", vec![look(), text("done")])]);
    let mut sim = Sim::new(crew, said).go();
    sim.command(Command::Answer { wait: None, answer: Answer::Text { text: "go on".to_owned() } })
        .expect("it waits");
    assert_eq!(sim.go().output(), "done");
}

#[test]
fn exactly_max_handoffs_routes_are_taken_also_to_oneself() {
    let mut a = agent("a");
    a.signals = vec![signal("[AGAIN]", to_agent(0))];
    for allowed in [0, 1, 3] {
        let mut crew = crew(vec![a.clone()]);
        crew.settings.max_handoffs = allowed;
        let sim = Sim::new(crew, script([("a", vec![text("more [AGAIN]"); 9])])).go();
        assert_eq!(limit(&sim), ("max_handoffs", "more"));
        assert_eq!(sim.run.handoffs(), allowed);
        assert_eq!(sim.prompts.len() as u32, allowed + 1);
    }
}

#[test]
fn a_group_counts_as_one_route_and_its_next_agent_as_another() {
    let said = script([("desk", vec![text("[ALL]")])]);
    for (allowed, ended) in [(0, Some("max_handoffs")), (1, Some("max_handoffs")), (2, None)] {
        let mut crew = with_group();
        crew.settings.max_handoffs = allowed;
        let sim = Sim::new(crew, said.clone()).go();
        match ended {
            Some(name) => assert_eq!(limit(&sim).0, name),
            None => assert_eq!(sim.output(), "."),
        }
    }
}

#[test]
fn a_request_only_tightens_limits() {
    let mut a = agent("a");
    a.signals = vec![signal("[AGAIN]", to_agent(0))];
    for (asked, taken) in [(1, 1), (50, 5)] {
        let sim = Sim::with(crew(vec![a.clone()]), script([("a", vec![text("[AGAIN]"); 60])]), |started| {
            started.limits.max_handoffs = Some(asked);
        });
        assert_eq!(sim.go().run.handoffs(), taken);
    }
}

#[test]
fn the_time_limit_counts_active_time_only() {
    let mut a = agent("a");
    a.wait_for_signal = true;
    let mut crew = crew(vec![a]);
    crew.settings.timeout_ms = 10_000;
    let mut sim = Sim::new(crew, script([("a", vec![text("?"), text("?")])]));
    sim.now = sim.now.plus_millis(4_000);
    sim.answer_call(sim.open()[0]);
    sim.now = sim.now.plus_millis(1_000_000);
    sim.command(Command::Answer { wait: None, answer: Answer::Text { text: "late".to_owned() } })
        .expect("it waits");
    assert_eq!(sim.run.active_ms(), 4_000, "waiting for a person is no active time");
    let answered_at = sim.now;
    assert_eq!(sim.wait_for_timer(), Some(Timer::Run));
    assert_eq!(sim.now.millis_since(answered_at), 6_000);
    assert_eq!(limit(&sim), ("timeout_seconds", "?"));
}

#[test]
fn time_without_a_driver_does_not_count() {
    let mut sim = Sim::new(crew(vec![agent("a")]), Script::default());
    sim.now = sim.now.plus_millis(3_000_000);
    let sim = sim.crashed_after(sim.log.len());
    assert_eq!(sim.run.active_ms(), 0);
    assert_eq!(sim.go().output(), ".");
}

#[test]
fn a_failure_that_may_pass_is_tried_again_after_a_growing_pause_then_the_backup_answers() {
    let mut a = agent("a");
    a.models = vec![model("first"), model("second")];
    let said = script([("a", vec![Said::Fails(CallErrorKind::Server, 4)])]);
    let sim = Sim::new(crew(vec![a]), said).go();
    let models: Vec<&str> = sim.prompts.iter().map(|prompt| prompt.model.model.as_str()).collect();
    assert_eq!(models, ["first", "first", "first", "second", "second"]);
    let attempts: Vec<u32> = sim.prompts.iter().map(|prompt| prompt.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    assert!(sim.prompts.iter().all(|prompt| prompt.call == sim.prompts[0].call), "one call, five tries");
    assert_eq!(sim.output(), "after all");
}

#[test]
fn a_refused_request_is_not_repeated() {
    let sim = Sim::new(crew(vec![agent("a")]), script([("a", vec![fails(CallErrorKind::Auth)])])).go();
    assert_eq!(sim.prompts.len(), 1);
    let Outcome::Failed { code, error } = sim.outcome() else { panic!("{:?}", sim.outcome()) };
    assert_eq!((code.as_str(), error.as_str()), ("model_failed", "no"));
    assert!(matches!(&sim.log[2].event, Event::AttemptFailed { next: NextAttempt::GiveUp {}, .. }));
}

#[test]
fn the_pause_between_tries_is_within_its_bounds_and_the_same_in_every_replay() {
    let mut a = crew(vec![agent("a")]);
    a.settings.model_attempts = 12;
    a.settings.retry_backoff_ms = (100, 2_000);
    let run = || Sim::new(a.clone(), script([("a", vec![fails(CallErrorKind::Server)])])).go();
    let sim = run();
    let mut pauses = Vec::new();
    for recorded in &sim.log {
        if let Event::AttemptFailed { next: NextAttempt::Again { at }, .. } = &recorded.event {
            pauses.push(at.millis_since(recorded.at));
        }
    }
    assert_eq!(pauses.len(), 11);
    for (tries, pause) in pauses.iter().enumerate() {
        let full = (100u64 << tries).min(2_000);
        assert!((full / 2..=full).contains(pause), "try {tries} waits {pause} of {full} ms");
    }
    assert_eq!(run().log, sim.log);
}

#[test]
fn keep_recent_trims_prompts_but_never_the_first_request_the_input_or_system_messages() {
    use boathouse_core::message::{Author, Message};
    use boathouse_core::run::request::PromptMessage;
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let mut crew = crew(vec![a]);
    crew.settings.keep_recent = Some(3);
    let sim = Sim::with(crew, script([("a", vec![look(), look(), look(), text("end")])]), |started| {
        started.history = vec![
            Message::text(Author::User, "the very first"),
            Message::text(Author::System, "house rules"),
            Message::text(Author::Agent(None), "old words"),
        ];
    })
    .go();
    let last = &sim.prompts.last().expect("the model was asked").messages;
    let said: Vec<String> = last.iter().map(|message| format!("{message:?}")).collect();
    let said = said.join("\n");
    assert!(
        said.contains("the very first") && said.contains("house rules") && said.contains("hello"),
        "{said}"
    );
    assert!(!said.contains("old words"), "{said}");
    let results = last.iter().filter(|message| matches!(message, PromptMessage::Tool { .. })).count();
    assert!((1..=2).contains(&results), "old rounds are gone: {said}");
    assert!(sim.types().contains(&"history_trimmed".to_owned()));
}

#[test]
fn a_log_that_trims_what_there_is_not_or_parts_calls_from_results_is_refused() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let sim = Sim::new(crew(vec![a]), script([("a", vec![look(), text("done")])])).go();
    let returned = sim.log.iter().position(|recorded| matches!(recorded.event, Event::ToolReturned { .. }));
    let log = &sim.log[..=returned.expect("a tool was called")];
    let run = Run::replay(sim.run.id().clone(), sim.run.crew().clone(), log).expect("the log folds");
    // The input, a call, its results.
    assert_eq!(run.history().len(), 3);
    let trimmed = |dropped: usize| {
        let mut run = run.clone();
        let event = Event::HistoryTrimmed { branch: BranchId::MAIN, dropped, summary: None, failed: None };
        run.apply(&Recorded { seq: run.seq().next(), at: run.last_at(), event })
    };
    assert_eq!([0, 1, 3].map(trimmed), [Ok(()), Ok(()), Ok(())]);
    for dropped in [2, 4, usize::MAX] {
        let why = trimmed(dropped).expect_err("it is refused").to_string();
        assert!(why.contains(&format!("cannot be trimmed before message {dropped}")), "{why}");
    }
}

//! Calls that wait for a person, and answers that must have a form, through the real driver and journal.

use std::sync::Arc;
use std::time::Duration;

use boathouse::core::Run;
use boathouse::core::ids::{RunId, ThreadId, Timestamp, WaitId};
use boathouse::core::run::admit::Refused;
use boathouse::core::run::approval::ApprovalDecision;
use boathouse::core::run::decide::{Decision, decide};
use boathouse::core::run::event::{Answer, CallKind, Event, Outcome, Recorded, RunState, Timer, WaitFor};
use boathouse::engine::{CommandError, Engine};
use boathouse::journal::memory::MemoryJournal;
use boathouse::journal::{Journal, NewRun, OpenWait, People, RequestKey, Stored, WaitQuery};
use serde_json::json;

use super::durability::crashed_after;
use super::support::*;

/// One agent that pays twice and looks, all in one reply.
const PAY: &str = r#"
name: pay
agents:
  - { id: clerk, provider: scripted, model: any, tools: [pay, look], is_terminal: true }
"#;

const PAY_SCRIPT: &str = r#"
rules:
  - { call: 1, reply: "", tools: [{ name: pay, arguments: { what: "rent" } }, { name: look, arguments: { what: x } }, { name: pay, arguments: { what: "too much" } }] }
  - { reply: "so: {{result.pay}}" }
"#;

/// Two branches of a group pay, and one looks.
const PAY_GROUP: &str = r#"
name: paygroup
agents:
  - { id: desk, provider: scripted, model: any }
  - { id: a, provider: scripted, model: any, tools: [pay] }
  - { id: b, provider: scripted, model: any, tools: [look] }
  - { id: c, provider: scripted, model: any, tools: [pay, look] }
  - { id: closer, provider: scripted, model: any, is_terminal: true }
routing:
  signals:
    desk:
      - { signal: "[ALL]", target: everyone }
  parallel_groups:
    everyone: { agents: [a, b, c], next_agent: closer }
"#;

const PAY_GROUP_SCRIPT: &str = r#"
rules:
  - { agent: desk, reply: "all of you [ALL]" }
  - { agent: a, call: 1, reply: "", tools: [{ name: pay, arguments: { what: "rent" } }] }
  - { agent: a, call: 2, reply: "a: {{result.pay}}" }
  - { agent: b, call: 1, reply: "", tools: [{ name: look, arguments: { what: "2" } }] }
  - { agent: b, call: 2, reply: "b is done" }
  - { agent: c, call: 1, reply: "", tools: [{ name: pay, arguments: { what: "too much" } }, { name: look, arguments: { what: "3" } }] }
  - { agent: c, call: 2, reply: "c: {{result.pay}}" }
  - { agent: closer, reply: "closed" }
"#;

fn decision(wait: u32, answer: Answer) -> ApprovalDecision {
    ApprovalDecision { wait: WaitId(wait), answer, digest: None, by: Some("ann".to_owned()) }
}

fn reject(reason: &str) -> Answer {
    Answer::Reject { reason: Some(reason.to_owned()) }
}

/// What was paid so far.
fn paid(world: &mut World) -> usize {
    std::iter::from_fn(|| world.made.try_recv().ok()).filter(|call| call.starts_with("pay")).count()
}

async fn waiting(engine: &Engine, crew: &str) -> RunId {
    let run = engine.start(start(crew)).await.expect("it starts");
    assert_eq!(engine.wait(&run).await.expect("it rests").state, RunState::Paused);
    run
}

#[tokio::test]
async fn nothing_is_paid_before_somebody_said_so_also_after_a_restart() {
    let mut world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let run = waiting(&engine, "pay").await;
    let view = engine.run(&run).await.expect("it works").expect("there is such a run");
    assert_eq!(view.approvals.len(), 2);
    assert_eq!(view.waits.len(), 2);
    assert_eq!(paid(&mut world), 0);
    engine.shutdown(Duration::from_secs(5)).await;

    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let listed = engine.waits(&WaitQuery { limit: 9, ..WaitQuery::default() }).await.expect("it works");
    assert_eq!(listed, view.approvals, "the list says what the run says");
    let other = ApprovalDecision { digest: Some("other".to_owned()), ..decision(1, Answer::Approve {}) };
    let refused = engine.decide(&run, vec![other]).await.expect_err("other arguments");
    assert!(matches!(refused, CommandError::Refused(Refused::OtherDigest(WaitId(1)))), "{refused}");
    engine
        .decide(&run, vec![decision(1, Answer::Approve {}), decision(2, reject("no"))])
        .await
        .expect("both wait");
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(paid(&mut world), 1);
    let output = "so: not run: a person rejected the call: no".to_owned();
    assert_eq!(view.outcome, Some(Outcome::Completed { output }));
    let by: Vec<Option<String>> = log(&engine, &run)
        .await
        .into_iter()
        .filter_map(|recorded| match recorded.event {
            Event::Answered { by, .. } => Some(by),
            _ => None,
        })
        .collect();
    assert_eq!(by, [Some("ann".to_owned()), Some("ann".to_owned())]);
    assert_eq!(engine.waits(&WaitQuery { limit: 9, ..WaitQuery::default() }).await.expect("it works"), []);
}

#[tokio::test]
async fn of_many_decisions_at_once_exactly_one_wins() {
    let mut world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let run = waiting(&engine, "pay").await;
    let decisions = (0..16).map(|at| {
        let (engine, run) = (engine.clone(), run.clone());
        let answer =
            if at % 2 == 0 { Answer::edit(json!({"what": at.to_string()})) } else { reject(&at.to_string()) };
        tokio::spawn(async move { engine.decide(&run, vec![decision(1, answer)]).await })
    });
    let decisions: Vec<_> = decisions.collect();
    let mut taken = 0;
    for decided in decisions {
        match decided.await.expect("no panic") {
            Ok(()) => taken += 1,
            Err(CommandError::Refused(Refused::AlreadyDecided(WaitId(1)))) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(taken, 1);
    finish(&engine, &run).await;
    assert!(paid(&mut world) <= 1);
}

#[tokio::test]
async fn edited_arguments_must_fit_the_tool() {
    let mut world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let run = waiting(&engine, "pay").await;
    let before = log(&engine, &run).await.len();
    let wrong = decision(1, Answer::edit(json!({"what": 5})));
    let refused = engine.decide(&run, vec![decision(2, reject("no")), wrong]).await.expect_err("a number");
    let CommandError::Refused(Refused::DoesNotFit { wait, at, why }) = refused else { panic!("{refused}") };
    assert_eq!((wait, at.as_str()), (WaitId(1), "/what"));
    assert!(why.contains("`pay`") && why.contains("is not of type \"string\""), "{why}");
    assert_eq!(log(&engine, &run).await.len(), before, "the other decision was not taken either");
    engine.decide(&run, vec![decision(1, Answer::edit(json!({"what": "less"})))]).await.expect("it fits");
    finish(&engine, &run).await;
    let started = log(&engine, &run).await.into_iter().find_map(|recorded| match recorded.event {
        Event::CallStarted { kind: CallKind::Tool { tool, arguments, .. }, .. } if tool == "pay" => {
            Some(arguments)
        }
        _ => None,
    });
    assert_eq!(started, Some(json!({"what": "less"})));
    assert_eq!(paid(&mut world), 1);
}

#[tokio::test]
async fn a_decision_with_a_key_is_carried_out_once() {
    let world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let run = waiting(&engine, "pay").await;
    let key = || RequestKey::new("POST /approvals", "k", b"{}");
    let both = vec![decision(1, Answer::Approve {}), decision(2, Answer::Approve {})];
    let done = engine.decide_once(&run, both.clone(), key()).await.expect("both wait");
    engine.wait(&run).await.expect("it ends");
    let again = engine.decide_once(&run, both.clone(), key()).await.expect("it is known");
    assert_eq!((again.seq, done.replayed, again.replayed), (done.seq, false, true));
    let another = RequestKey::new("POST /approvals", "another", b"{}");
    let same = engine.decide_once(&run, both, another).await.expect("it has been decided so");
    assert!(!same.replayed);
}

#[tokio::test]
async fn a_crash_after_every_event_with_approvals_ends_the_same() {
    for (crew, script, name) in [(PAY, PAY_SCRIPT, "pay"), (PAY_GROUP, PAY_GROUP_SCRIPT, "paygroup")] {
        let mut world = World::new();
        let engine = world.engine(crew, script).await;
        let run = engine.start(start(name)).await.expect("it starts");
        finish(&engine, &run).await;
        let whole = log(&engine, &run).await;
        let expected = end(&whole);
        assert_eq!(paid(&mut world), 1);
        for events in 1..whole.len() {
            let mut again = World::new();
            let folded =
                Run::replay(run.clone(), engine.crews()[0].clone(), &whole[..events]).expect("it folds");
            // As the driver would have written it: the state once there is nothing more to record.
            let state = match decide(&folded) {
                Decision::Rest { .. } => folded.state(),
                Decision::Record(_) | Decision::Await { .. } => RunState::Running,
            };
            crashed_after(&again, &run, &whole[..events], &engine, state).await;
            let restarted = again.engine(crew, script).await;
            finish(&restarted, &run).await;
            assert_eq!(end(&log(&restarted, &run).await), expected, "{name} after event {events}");
            let before = whole[..events].iter().filter(|recorded| starts_pay(recorded)).count();
            assert_eq!(paid(&mut again), 1 - before, "{name}: paid once in all, after event {events}");
            restarted.shutdown(Duration::from_secs(5)).await;
        }
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

fn starts_pay(recorded: &Recorded) -> bool {
    matches!(&recorded.event, Event::CallStarted { kind: CallKind::Tool { tool, .. }, .. } if tool == "pay")
}

#[tokio::test(start_paused = true)]
async fn an_approval_expires_while_the_run_rests() {
    let mut world = World::new();
    let crew = format!("{PAY}settings: {{ approval_timeout_seconds: 7200, timeout_seconds: 5 }}\n");
    let engine = world.engine_on(MemoryJournal::new(), &crew, PAY_SCRIPT).await;
    let run = waiting(&engine, "pay").await;
    tokio::time::sleep(Duration::from_secs(7100)).await;
    let view = engine.run(&run).await.expect("it works").expect("there is such a run");
    assert_eq!((view.state, view.approvals.len()), (RunState::Paused, 2));
    tokio::time::sleep(Duration::from_secs(101)).await;
    let view = engine.wait(&run).await.expect("it ends");
    let output = "so: not run: the approval expired, nobody decided in time".to_owned();
    assert_eq!(view.outcome, Some(Outcome::Completed { output }));
    assert_eq!(paid(&mut world), 0);
    let refused = engine.decide(&run, vec![decision(1, Answer::Approve {})]).await.expect_err("too late");
    assert!(matches!(refused, CommandError::Refused(Refused::Expired(WaitId(1)))), "{refused}");
}

/// A log of the world before: an approval that was opened long ago, and has expired since.
async fn long_expired(world: &World, engine: &Engine) -> RunId {
    let run = waiting(engine, "pay").await;
    let crew = engine.crews()[0].clone();
    let mut events = log(engine, &run).await;
    for recorded in &mut events {
        recorded.at = Timestamp(1_700_000_000_000 + recorded.seq.0.cast_signed());
        if let Event::WaitOpened { what: WaitFor::Approval { expires_at, .. }, .. } = &mut recorded.event {
            *expires_at = Some(Timestamp(1_700_000_060_000));
        }
    }
    let old = RunId::from("old");
    let folded = Run::replay(old.clone(), crew.clone(), &events).expect("it folds");
    assert_eq!(folded.state(), RunState::Paused);
    let new = NewRun {
        run: old.clone(),
        crew: crew.name.clone(),
        crew_hash: crew.hash.clone(),
        thread: ThreadId::from("thread"),
        state: RunState::Paused,
        events: events.into_iter().map(|recorded| Arc::new(Stored::new(recorded))).collect(),
        request: None,
        on_thread: None,
        people: People { waits: Some(OpenWait::of(&folded)), notices: Vec::new() },
    };
    let journal = world.sqlite().await;
    journal.create(new).await.expect("the journal works");
    journal.close().await;
    old
}

#[tokio::test]
async fn what_expired_while_no_server_ran_is_found_at_the_next_start() {
    let mut world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let old = long_expired(&world, &engine).await;
    engine.shutdown(Duration::from_secs(5)).await;
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    until("the run goes on by itself", async || {
        engine.wait(&old).await.expect("there is such a run").state == RunState::Completed
    })
    .await;
    let expired = log(&engine, &old)
        .await
        .into_iter()
        .filter(|recorded| matches!(recorded.event, Event::TimedOut { timer: Timer::Wait(_) }));
    assert_eq!((expired.count(), paid(&mut world)), (2, 0));
}

#[tokio::test]
async fn a_decision_that_comes_too_late_is_refused_although_nobody_has_seen_the_expiry_yet() {
    let mut world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let old = long_expired(&world, &engine).await;
    // Whoever is faster, the keeper or this decision: it is too late.
    let refused = engine.decide(&old, vec![decision(1, Answer::Approve {})]).await.expect_err("too late");
    assert!(matches!(refused, CommandError::Refused(Refused::Expired(WaitId(1)))), "{refused}");
    engine.wait(&old).await.expect("it ends");
    assert_eq!(paid(&mut world), 0);
}

#[tokio::test]
async fn an_answer_must_have_the_form_that_was_asked_for() {
    let world = World::new();
    let crew = r#"
name: form
agents: [{ id: asker, provider: scripted, model: any }]
routing:
  signals: { asker: [{ signal: "[OK]", target: null }] }
  agent_behaviors:
    asker:
      wait_for_signal: true
      answer_schema: { type: object, properties: { minutes: { type: integer, minimum: 1 } }, required: [minutes] }
"#;
    let script = r#"rules: [{ call: 1, reply: "How long?" }, { reply: "fine [OK]" }]"#;
    let engine = world.engine(crew, script).await;
    let run = waiting(&engine, "form").await;
    let before = log(&engine, &run).await.len();
    for (text, place) in [("an hour", ""), (r#"{"minutes": 0}"#, "/minutes"), ("{}", "")] {
        let answer = Answer::Text { text: text.to_owned() };
        let refused = engine.answer(&run, None, answer).await.expect_err(text);
        let CommandError::Refused(Refused::DoesNotFit { at, .. }) = &refused else { panic!("{refused}") };
        assert_eq!(at, place, "{refused}");
    }
    assert_eq!(log(&engine, &run).await.len(), before, "nothing has changed");
    let answer = Answer::Text { text: r#"{"minutes": 60}"#.to_owned() };
    engine.answer(&run, None, answer).await.expect("it fits");
    assert_eq!(engine.wait(&run).await.expect("it ends").state, RunState::Completed);
}

#[tokio::test]
async fn what_waits_is_listed_over_all_runs_and_goes_with_its_run() {
    let world = World::new();
    let engine = world.engine(PAY, PAY_SCRIPT).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(waiting(&engine, "pay").await);
    }
    let query = || WaitQuery { tool: Some("pay".to_owned()), limit: 99, ..WaitQuery::default() };
    let listed = engine.waits(&query()).await.expect("it works");
    let expected: Vec<(&RunId, u32)> = runs.iter().flat_map(|run| [(run, 1), (run, 2)]).collect();
    assert_eq!(listed.iter().map(|wait| (&wait.run, wait.wait.0)).collect::<Vec<_>>(), expected);
    use boathouse::core::run::event::CancelReason;
    engine.cancel(&runs[0], CancelReason::Requested, true).await.expect("it can be cancelled");
    finish(&engine, &runs[1]).await;
    assert_eq!(engine.waits(&query()).await.expect("it works").len(), 2, "of the last run");
}

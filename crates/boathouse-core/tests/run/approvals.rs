//! Calls that wait for a person: nothing is made before it may be, each decision does what it says, and whatever the
//! order, the crash or the cancel, each call has exactly one result.

use boathouse_core::crew::{AgentIx, Approval, Crew, Effect, Join, OnUnknown, ToolIx};
use boathouse_core::ids::{CallId, Timestamp, WaitId};
use boathouse_core::message::ResultStatus;
use boathouse_core::run::admit::{Command, Refused};
use boathouse_core::run::approval::{ANONYMOUS, ApprovalDecision, digest, expired};
use boathouse_core::run::decide::{Decision, decide};
use boathouse_core::run::event::{
    Answer, BranchEnd, CallKind, CancelReason, Event, Outcome, RunState, WaitFor,
};
use serde_json::json;

use super::crews::*;
use super::sim::*;

fn approved_by(mut crew: Crew, tool: ToolIx, approval: Approval) -> Crew {
    let mut spec = (*crew.tools[tool.0].spec).clone();
    spec.approval = approval;
    crew.tools[tool.0].spec = spec.into();
    crew
}

/// One agent that looks, and sends twice: sending needs an approval.
fn sender() -> Crew {
    let mut a = agent("a");
    a.tools = vec![LOOK, PUT, SEND];
    approved_by(crew(vec![a]), SEND, Approval::Always)
}

fn two_sends() -> Script {
    let calls = [("Send", r#"{"what":"1"}"#), ("Look", "{}"), ("Send", r#"{"what":"2"}"#)];
    script([("a", vec![tools("", &calls), text("end")])])
}

/// The run of [`sender`] once its first reply has come.
fn asked() -> Sim {
    let mut sim = Sim::new(sender(), two_sends());
    sim.answer_call(sim.open()[0]);
    sim
}

fn decision(wait: u32, answer: Answer) -> ApprovalDecision {
    ApprovalDecision { wait: WaitId(wait), answer, digest: None, by: None }
}

fn decide_one(wait: u32, answer: Answer) -> Command {
    Command::Decide { decisions: vec![decision(wait, answer)] }
}

fn cancel() -> Command {
    Command::Cancel { reason: CancelReason::Requested }
}

/// The tools that were started, with their arguments.
fn started(sim: &Sim) -> Vec<String> {
    let started = sim.log.iter().filter_map(|recorded| match &recorded.event {
        Event::CallStarted { kind: CallKind::Tool { tool, arguments, .. }, .. } => {
            Some(format!("{tool}{arguments}"))
        }
        _ => None,
    });
    started.collect()
}

/// Each call of each history has exactly one result, in order.
fn assert_one_result_each(sim: &Sim) {
    for branch in sim.run.branches() {
        let calls: Vec<CallId> =
            branch.history.iter().flat_map(|said| said.calls.iter().map(|c| c.call)).collect();
        let results: Vec<CallId> =
            branch.history.iter().flat_map(|said| said.results.iter().map(|r| r.call)).collect();
        assert_eq!(calls, results, "{:?}", sim.types());
    }
}

#[test]
fn a_call_is_not_made_before_it_is_approved_and_the_others_go_on() {
    let mut sim = asked();
    assert_eq!(started(&sim), ["Look{}"], "only what needs no approval");
    assert_eq!(sim.run.state(), RunState::Running);
    let WaitFor::Approval { call, tool, arguments, digest: shown, expires_at } = &sim.run.waits()[0].what
    else {
        panic!("{:?}", sim.run.waits())
    };
    assert_eq!(
        (*call, tool.as_str(), arguments, *expires_at),
        (CallId(2), "Send", &json!({"what": "1"}), None)
    );
    assert_eq!(*shown, digest(arguments));
    assert_eq!(sim.run.waits().len(), 2);

    sim.answer_call(sim.open()[0]);
    assert_eq!(sim.run.state(), RunState::Paused, "only people are waited for");
    let active = sim.run.active_ms();
    sim.now = sim.now.plus_millis(86_400_000);
    sim.command(decide_one(2, Answer::Approve {})).expect("it waits");
    assert_eq!(sim.run.active_ms(), active, "waiting for a person costs no time");
    assert_eq!(started(&sim), ["Look{}", r#"Send{"what":"2"}"#]);
    sim.command(decide_one(1, Answer::Approve {})).expect("it waits");
    let sim = sim.go();
    assert_eq!(sim.output(), "end");
    let results: Vec<CallId> = sim.run.history()[2].results.iter().map(|result| result.call).collect();
    assert_eq!(results, [CallId(2), CallId(3), CallId(4)], "in the order of the calls");
}

#[test]
fn each_decision_does_what_it_says() {
    let result = |answer: Answer| {
        let mut sim = asked();
        sim.command(decide_one(1, Answer::Approve {})).expect("it waits");
        sim.command(decide_one(2, answer)).expect("it waits");
        let sim = sim.go();
        assert_eq!(sim.output(), "end");
        assert_one_result_each(&sim);
        let result = sim.run.history()[2].results[2].clone();
        (result.status, result.output, started(&sim).contains(&r#"Send{"what":"2"}"#.to_owned()))
    };
    let (status, output, made) = result(Answer::Approve {});
    assert_eq!((status, made), (ResultStatus::Success, true), "{output}");
    let (status, output, made) = result(Answer::Reject { reason: Some("too much".to_owned()) });
    assert_eq!((status, made), (ResultStatus::Error, false));
    assert_eq!(output, "not run: a person rejected the call: too much");
    let (_, output, made) = result(Answer::Reject { reason: None });
    assert_eq!((output.as_str(), made), ("not run: a person rejected the call, without a reason", false));
    let (status, output, made) = result(Answer::Respond { output: "sent by hand".to_owned() });
    assert_eq!((status, output.as_str(), made), (ResultStatus::Success, "sent by hand", false));
}

#[test]
fn edited_arguments_are_used_and_the_model_is_told() {
    let mut sim = asked();
    let edit = Answer::edit(json!({"what": "less"}));
    let Answer::Edit { digest: new, .. } = &edit else { panic!("{edit:?}") };
    assert_ne!(Some(new.clone()), sim.run.waits()[0].what.digest());
    sim.command(decide_one(1, edit)).expect("it waits");
    assert!(started(&sim).contains(&r#"Send{"what":"less"}"#.to_owned()), "{:?}", started(&sim));
    sim.command(decide_one(2, Answer::Approve {})).expect("it waits");
    let sim = sim.go();
    let history = sim.run.history();
    assert_eq!(history[1].calls[0].arguments, json!({"what": "1"}), "what the agent asked for stays");
    let told = &history[2].results[0].output;
    assert!(
        told.starts_with(
            "[a person edited the arguments before the call was made: {\"what\":\"less\"}]\nSend"
        ),
        "{told}"
    );
    assert!(history[2].results[2].output.starts_with("Send"), "the other one is not touched");
}

#[test]
fn a_decision_stands_and_repeating_it_changes_nothing() {
    let mut sim = asked();
    let reject = Answer::Reject { reason: Some("no".to_owned()) };
    sim.command(decide_one(1, reject.clone())).expect("it waits");
    let events = sim.log.len();
    sim.command(decide_one(1, reject.clone())).expect("the same again is fine");
    assert_eq!(sim.log.len(), events);
    for other in [Answer::Approve {}, Answer::Reject { reason: None }] {
        assert_eq!(sim.command(decide_one(1, other)), Err(Refused::AlreadyDecided(WaitId(1))));
    }
    assert_eq!(sim.command(decide_one(9, Answer::Approve {})), Err(Refused::UnknownApproval(WaitId(9))));
    assert!(matches!(sim.command(decide_one(2, Answer::Rerun {})), Err(Refused::WrongAnswer(_))));
    let text = Command::Answer { wait: Some(WaitId(2)), answer: Answer::Text { text: "yes".to_owned() } };
    assert!(matches!(sim.command(text), Err(Refused::WrongAnswer(_))));
    assert!(matches!(sim.command(decide_one(2, Answer::edit(json!([1])))), Err(Refused::WrongAnswer(_))));
    assert_eq!(sim.log.len(), events, "nothing that was refused left a trace");

    let mut sim = sim.crashed_after(sim.log.len());
    sim.command(decide_one(2, Answer::Approve {})).expect("it waits");
    let mut sim = sim.go();
    assert_eq!(sim.output(), "end");
    sim.command(decide_one(1, reject)).expect("also once the run has ended");
    assert_eq!(sim.command(decide_one(1, Answer::Approve {})), Err(Refused::AlreadyDecided(WaitId(1))));
    assert_eq!(sim.command(decide_one(9, Answer::Approve {})), Err(Refused::UnknownApproval(WaitId(9))));
}

#[test]
fn many_decisions_are_taken_together_or_not_at_all() {
    let mut sim = asked();
    let events = sim.log.len();
    let many = |decisions| Command::Decide { decisions };
    let approve = |wait| decision(wait, Answer::Approve {});
    let reject = |wait| decision(wait, Answer::Reject { reason: None });
    assert_eq!(sim.command(many(vec![approve(1), approve(3)])), Err(Refused::UnknownApproval(WaitId(3))));
    assert_eq!(sim.command(many(vec![approve(1), reject(1)])), Err(Refused::DecidedTwice(WaitId(1))));
    assert_eq!(sim.log.len(), events);
    let by = ApprovalDecision { by: Some("Ann".to_owned()), ..reject(2) };
    sim.command(many(vec![approve(1), by, approve(1)])).expect("both wait");
    let decided: Vec<(u32, Option<&str>)> = sim.log[events..]
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Answered { wait, by, .. } => Some((wait.0, by.as_deref())),
            _ => None,
        })
        .collect();
    assert_eq!(decided, [(1, Some(ANONYMOUS)), (2, Some("Ann"))]);
    sim.command(many(vec![reject(2), approve(1)])).expect("all of it has been decided so");
}

#[test]
fn a_decision_about_other_arguments_is_refused() {
    let mut sim = asked();
    let decision = |digest: String| Command::Decide {
        decisions: vec![ApprovalDecision { digest: Some(digest), ..decision(1, Answer::Approve {}) }],
    };
    let other = digest(&json!({"what": "other"}));
    assert_eq!(sim.command(decision(other)), Err(Refused::OtherDigest(WaitId(1))));
    sim.command(decision(digest(&json!({"what": "1"})))).expect("it is about these arguments");
}

#[test]
fn an_expression_says_which_calls_need_a_person() {
    let when = Approval::parse("args.what != 'harmless'").expect("an expression");
    let mut a = agent("a");
    a.tools = vec![SEND];
    let crew = approved_by(crew(vec![a]), SEND, when);
    let calls = [("Send", r#"{"what":"harmless"}"#), ("Send", r#"{"what":"x"}"#), ("Send", "{}")];
    let mut sim = Sim::new(crew, script([("a", vec![tools("", &calls), text("end")])]));
    sim.answer_call(sim.open()[0]);
    assert_eq!(started(&sim), [r#"Send{"what":"harmless"}"#]);
    assert_eq!(sim.run.waits().len(), 2, "an expression that fails asks");
}

/// [`asked`], with approvals that expire after a minute.
fn expiring() -> Sim {
    let mut crew = sender();
    crew.settings.approval_timeout_ms = Some(60_000);
    let mut sim = Sim::new(crew, two_sends());
    sim.answer_call(sim.open()[0]);
    sim
}

#[test]
fn an_approval_expires_by_the_clock_on_the_wall() {
    let mut sim = expiring();
    let opened = sim.now;
    assert_eq!(sim.run.waits()[0].expires_at(), Some(opened.plus_millis(60_000)));
    sim.command(decide_one(2, Answer::Approve {})).expect("it waits");
    // While other calls are at work the driver is told when.
    let Decision::Await { until: Some((_, at)), .. } = decide(&sim.run) else {
        panic!("calls are in flight")
    };
    assert_eq!(at, opened.plus_millis(60_000));
    let mut sim = {
        let mut sim = sim;
        while let Some(call) = sim.open().first().copied() {
            sim.answer_call(call);
        }
        sim
    };
    assert_eq!(decide(&sim.run), Decision::Rest { wake_at: Some(opened.plus_millis(60_000)) });
    assert_eq!(expired(&sim.run, opened.plus_millis(59_999)), None);
    // Another process comes much later.
    sim = sim.crashed_after(sim.log.len());
    sim.now = opened.plus_millis(90_000);
    let event = expired(&sim.run, sim.now).expect("its time is over");
    sim.record(event);
    sim.settle();
    assert_eq!(sim.command(decide_one(1, Answer::Approve {})), Err(Refused::Expired(WaitId(1))));
    let sim = sim.go();
    assert_eq!(sim.output(), "end");
    let result = &sim.run.history()[2].results[0];
    assert_eq!(
        (result.status, result.output.as_str()),
        (ResultStatus::Error, "not run: the approval expired, nobody decided in time")
    );
    assert_eq!(started(&sim).len(), 2, "{:?}", started(&sim));
}

#[test]
fn an_approval_expires_also_while_an_operator_has_paused_the_run() {
    let mut sim = expiring();
    while let Some(call) = sim.open().first().copied() {
        sim.answer_call(call);
    }
    sim.command(Command::Pause).expect("it can be paused");
    let Decision::Rest { wake_at: Some(at) } = decide(&sim.run) else { panic!("it is paused") };
    sim.now = at;
    while let Some(event) = expired(&sim.run, sim.now) {
        sim.record(event);
    }
    sim.settle();
    assert_eq!((sim.run.state(), sim.run.waits().len()), (RunState::Paused, 0), "nothing goes on");
    sim.command(Command::Resume).expect("it is paused");
    assert_eq!(sim.go().output(), "end");
}

#[test]
fn a_tool_of_its_own_time_does_not_take_the_crews() {
    let mut crew = sender();
    crew.settings.approval_timeout_ms = Some(60_000);
    let mut spec = (*crew.tools[SEND.0].spec).clone();
    spec.approval_timeout_ms = Some(5_000);
    crew.tools[SEND.0].spec = spec.into();
    let mut sim = Sim::new(crew, two_sends());
    sim.answer_call(sim.open()[0]);
    assert_eq!(sim.run.waits()[0].expires_at(), Some(Timestamp(1_005_000)));
}

#[test]
fn what_is_approved_while_the_run_is_paused_starts_when_it_goes_on() {
    let mut sim = asked();
    while let Some(call) = sim.open().first().copied() {
        sim.answer_call(call);
    }
    sim.command(Command::Pause).expect("it can be paused");
    sim.command(decide_one(1, Answer::Approve {})).expect("it waits");
    sim.command(decide_one(2, Answer::Respond { output: "done".to_owned() })).expect("it waits");
    assert_eq!((sim.run.state(), started(&sim).len()), (RunState::Paused, 1));
    sim.command(Command::Resume).expect("it is paused");
    assert_eq!(started(&sim).len(), 2);
    assert_eq!(sim.go().output(), "end");
}

#[test]
fn a_call_that_was_approved_is_not_asked_about_again_when_a_crash_takes_it() {
    let mut a = agent("a");
    a.tools = vec![PUT];
    let crew = approved_by(crew(vec![a]), PUT, Approval::Always);
    let mut sim = Sim::new(crew, script([("a", vec![tools("", &[("Put", "{}")]), text("end")])]));
    sim.answer_call(sim.open()[0]);
    sim.command(decide_one(1, Answer::edit(json!({"what": "x"})))).expect("it waits");
    let again = sim.crashed_after(sim.log.len());
    assert!(again.run.waits().is_empty());
    assert_eq!(started(&again), [r#"Put{"what":"x"}"#, r#"Put{"what":"x"}"#], "as it was approved");
    assert_eq!(again.go().output(), "end");
}

/// Two branches that send, one that only talks.
fn group_that_sends() -> (Crew, Script) {
    let crew = approved_by(with_group(), SEND, Approval::Always);
    let send = |what: &str| vec![tools("", &[("Send", what)]), text("sent")];
    let said = script([
        ("desk", vec![text("everyone [ALL]")]),
        ("a", send(r#"{"what":"a"}"#)),
        ("b", vec![text("b")]),
        ("c", send(r#"{"what":"c"}"#)),
        ("closer", vec![text("closed")]),
    ]);
    (crew, said)
}

#[test]
fn only_the_branch_that_asks_waits() {
    let (crew, said) = group_that_sends();
    let mut sim = Sim::new(crew, said).go();
    assert_eq!((sim.run.state(), sim.run.waits().len()), (RunState::Paused, 2));
    assert_eq!(sim.run.branches()[2].end(), Some(&BranchEnd::Completed {}), "b was not held up");
    sim.now = sim.now.plus_millis(3_600_000);
    sim.command(decide_one(2, Answer::Reject { reason: None })).expect("it waits");
    let mut sim = sim.go();
    assert_eq!(sim.run.state(), RunState::Paused, "the group's time stood still");
    sim.command(decide_one(1, Answer::Approve {})).expect("it waits");
    assert_eq!(sim.go().output(), "closed");
}

#[test]
fn a_group_that_needs_no_more_withdraws_what_its_branches_asked() {
    let (mut crew, said) = group_that_sends();
    crew.groups[0].join = Join::First;
    let sim = Sim::new(crew, said).go();
    assert_eq!(sim.output(), "closed");
    assert!(sim.run.waits().is_empty());
    assert_one_result_each(&sim);
    assert_eq!(sim.run.branches()[1].end(), Some(&BranchEnd::Cancelled {}));
    assert!(!started(&sim).iter().any(|call| call.starts_with("Send")), "nothing was sent");
    let mut going = Sim::new(approved_by(with_group(), SEND, Approval::Always), group_that_sends().1);
    going = going.go();
    going.command(cancel()).expect("it can be cancelled");
    assert_eq!(going.command(decide_one(1, Answer::Approve {})), Err(Refused::Ended));
}

#[test]
fn a_call_is_not_made_again_once_its_group_is_over() {
    let (_, said) = group_that_sends();
    let mut crew = with_group();
    crew.groups[0].join = Join::First;
    let mut sim = Sim::new(crew, said);
    sim.answer_call(sim.open()[0]);
    let [a, b, c] = sim.open()[..] else { panic!("{:?}", sim.open()) };
    [a, c, b].into_iter().for_each(|call| sim.answer_call(call));
    assert_eq!((sim.run.state(), sim.run.waits().len()), (RunState::Paused, 2), "{:?}", sim.types());
    let again = sim.command(decide_one(1, Answer::Rerun {}));
    assert!(
        matches!(&again, Err(Refused::WrongAnswer(why)) if why.contains("not called again")),
        "{again:?}"
    );
    for (wait, answer) in [(1, Answer::Fail {}), (2, Answer::Done { output: "it went".to_owned() })] {
        sim.command(decide_one(wait, answer)).expect("it waits");
    }
    assert_eq!(sim.go().output(), "closed");
}

#[test]
fn a_cancel_with_approvals_open_gives_each_call_one_result() {
    let (crew, said) = group_that_sends();
    let ended = decided_by(Sim::new(crew, said), &[1, 2]);
    for events in 1..ended.log.len() {
        let mut sim = ended.crashed_after(events);
        sim.command(cancel()).expect("a run can be cancelled");
        assert_one_result_each(&sim);
        assert!(sim.run.waits().is_empty() && sim.open().is_empty());
    }
    let mut sim = asked();
    sim.command(cancel()).expect("a run can be cancelled");
    let Outcome::Cancelled { receipt, .. } = sim.outcome() else { panic!("{:?}", sim.outcome()) };
    assert_eq!(receipt.len(), 1, "the receipt names what was in flight, and only that: {receipt:?}");
    assert_eq!(sim.run.history()[2].results[0].output, "not run: the run ended first");
}

/// How the decisions of the tests below go: the first wait is approved, the second is rejected.
fn verdict(wait: WaitId) -> Answer {
    if wait.0 % 2 == 1 { Answer::Approve {} } else { Answer::Reject { reason: Some("no".to_owned()) } }
}

/// Goes on, deciding what waits in the order given, by the position among the open ones.
fn decided_by(mut sim: Sim, order: &[usize]) -> Sim {
    let mut order = order.iter();
    for _ in 0..100 {
        sim = sim.go();
        if sim.run.waits().is_empty() {
            return sim;
        }
        let at = order.next().map_or(0, |at| at % sim.run.waits().len());
        let open = &sim.run.waits()[at];
        let (wait, tool) = (open.wait, open.what.clone());
        let answer = match tool {
            WaitFor::Approval { ref arguments, .. } => match arguments["what"].as_str() {
                Some("1" | "a") => Answer::Approve {},
                _ => Answer::Reject { reason: Some("no".to_owned()) },
            },
            WaitFor::UnknownOutcome { ref tool, ref arguments, .. } => {
                Answer::Done { output: format!("{tool} of {}: {arguments}", open.branch) }
            }
            WaitFor::Answer { .. } => Answer::Text { text: "yes".to_owned() },
        };
        sim.command(decide_one(wait.0, answer)).expect("it waits");
    }
    panic!("the run asks without end");
}

fn end(sim: &Sim) -> (Outcome, Vec<String>) {
    (sim.outcome().clone(), sim.history())
}

#[test]
fn every_order_of_decisions_and_returns_with_a_crash_after_every_event_ends_the_same() {
    let (crew, said) = group_that_sends();
    for begun in [Sim::new(crew, said), Sim::new(sender(), two_sends())] {
        let expected = end(&decided_by(begun.clone(), &[]));
        let (mut orders, mut crashes) = (0, 0);
        each_order(&begun, &mut |ended| {
            orders += 1;
            assert_eq!(end(ended), expected, "{:?}", ended.types());
            // Crashes of every order would be the same ones again and again.
            if orders % 7 == 1 {
                for events in 1..=ended.log.len() {
                    crashes += 1;
                    let again = decided_by(ended.crashed_after(events), &[]);
                    assert_eq!(end(&again), expected, "after event {events} of {:?}", ended.types());
                }
            }
        });
        assert!(orders > 10 && crashes > 10, "{orders} orders, {crashes} crashes");
    }
}

/// Calls `each` with the run at its end, for every order in which calls return and people decide.
fn each_order(sim: &Sim, each: &mut impl FnMut(&Sim)) {
    let (open, waits) = (sim.open(), sim.run.waits().to_vec());
    if open.is_empty() && waits.is_empty() {
        return each(sim);
    }
    for call in open {
        let mut next = sim.clone();
        next.answer_call(call);
        each_order(&next, each);
    }
    for wait in waits {
        let WaitFor::Approval { arguments, .. } = &wait.what else { panic!("{wait:?}") };
        let answer = match arguments["what"].as_str() {
            Some("1" | "a") => Answer::Approve {},
            _ => Answer::Reject { reason: Some("no".to_owned()) },
        };
        let mut next = sim.clone();
        next.command(decide_one(wait.wait.0, answer)).expect("it waits");
        each_order(&next, each);
    }
}

#[test]
fn an_unknown_outcome_is_decided_like_an_approval() {
    let mut a = agent("a");
    a.tools = vec![SEND];
    let mut crew = crew(vec![a]);
    crew.tools[SEND.0] = tool("Send", Effect::Once, OnUnknown::Ask);
    let mut sim = Sim::new(crew, script([("a", vec![tools("", &[("Send", "{}")]), text("end")])]));
    sim.answer_call(sim.open()[0]);
    let mut sim = sim.crashed_after(sim.log.len());
    assert!(matches!(sim.command(decide_one(1, Answer::Approve {})), Err(Refused::WrongAnswer(_))));
    let done = Answer::Done { output: "it went".to_owned() };
    sim.command(decide_one(1, done.clone())).expect("it waits");
    sim.command(decide_one(1, done)).expect("the same again is fine");
    assert_eq!(sim.run.history()[2].results[0].output, "it went");
    assert_eq!(sim.go().output(), "end");
}

#[test]
fn rounds_beyond_the_limit_ask_nobody() {
    let mut crew = sender();
    crew.settings.max_rounds = 1;
    let send = || tools("", &[("Send", r#"{"what":"1"}"#)]);
    let sim = decided_by(Sim::new(crew, script([("a", vec![send(), send()])])), &[]);
    assert!(matches!(sim.outcome(), Outcome::LimitReached { limit, .. } if limit == "max_rounds"));
    assert_eq!(sim.types().iter().filter(|kind| *kind == "wait_opened").count(), 1);
    assert_one_result_each(&sim);
}

#[test]
fn a_next_agent_gets_what_was_decided_before_it() {
    let mut a = agent("a");
    a.tools = vec![SEND];
    a.handoff_targets = vec![AgentIx(1)];
    let mut b = agent("b");
    b.terminal = true;
    let crew = approved_by(crew(vec![a, b]), SEND, Approval::Always);
    let said = script([("a", vec![tools("", &[("Send", "{}")]), text("then b")]), ("b", vec![text("fine")])]);
    let mut sim = Sim::new(crew, said).go();
    sim.command(decide_one(1, verdict(WaitId(2)))).expect("it waits");
    let sim = sim.go();
    let shown = format!("{:?}", sim.prompts.last().expect("b was asked").messages);
    assert!(shown.contains("a person rejected the call: no"), "{shown}");
}

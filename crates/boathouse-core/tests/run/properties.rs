//! Random crews, random models, random worlds: every run ends or rests within its limits, its history stays valid,
//! and its log folds to what it was.

use std::collections::BTreeMap;

use boathouse_core::Run;
use boathouse_core::crew::{
    Agent, AgentIx, Approval, Crew, HandoffStyle, Join, OnError, OnUnknown, Route, ToolCallStyle,
};
use boathouse_core::ids::WaitId;
use boathouse_core::run::admit::Command;
use boathouse_core::run::approval::ApprovalDecision;
use boathouse_core::run::event::{Answer, CallErrorKind, CancelReason, Event, WaitFor};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::crews::*;
use super::sim::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn route() -> impl Strategy<Value = Route> {
    prop_oneof![(0..4usize).prop_map(to_agent), (0..2usize).prop_map(to_group), Just(Route::End)]
}

fn an_agent(id: &'static str) -> impl Strategy<Value = Agent> {
    let signals = prop::collection::vec((select(vec!["[X]", "[Y]", "[END]"]), route()), 0..3);
    let flags = (any::<bool>(), any::<bool>(), prop::option::of(route()), prop::option::of(0..4usize));
    let tools = prop::sample::subsequence(vec![LOOK, PUT, SEND], 0..=3);
    let style = select(vec![ToolCallStyle::Auto, ToolCallStyle::Native, ToolCallStyle::Text]);
    (signals, flags, tools, style, 1..3usize).prop_map(move |(signals, flags, tools, style, models)| {
        let mut agent = agent(id);
        agent.signals = signals.into_iter().map(|(text, route)| signal(text, route)).collect();
        (agent.wait_for_signal, agent.terminal, agent.default_route) = (flags.0, flags.1, flags.2);
        agent.handoff_targets = flags.3.into_iter().map(AgentIx).collect();
        agent.tools = tools;
        agent.tool_calls = style;
        agent.models = ["one", "two"][..models].iter().map(|name| model(name)).collect();
        agent
    })
}

fn a_crew() -> impl Strategy<Value = Crew> {
    let agents = (an_agent("a"), an_agent("b"), an_agent("c"), an_agent("d"));
    let join = select(vec![Join::All, Join::First, Join::Quorum(2)]);
    let on_error = select(vec![OnError::Continue, OnError::FailFast]);
    let groups = prop::collection::vec((join, on_error, prop::option::of(0..4usize), 2..4usize), 2);
    let styles = select(vec![HandoffStyle::Signal, HandoffStyle::Tool, HandoffStyle::Auto]);
    let unknown = select(vec![OnUnknown::Ask, OnUnknown::Fail, OnUnknown::AssumeDone, OnUnknown::Rerun]);
    let limits = (0..4u32, 1..4u32, 1..3u32, prop::option::of(1..6usize), 1..4usize);
    let approval = select(vec![
        Approval::Never,
        Approval::Never,
        Approval::Always,
        Approval::When("args.what == 'w'".to_owned()),
    ]);
    let approvals = prop::collection::vec(approval, 3);
    (agents, groups, styles, unknown, approvals, limits).prop_map(
        |(agents, groups, style, unknown, approvals, limits)| {
            let mut crew = crew(vec![agents.0, agents.1, agents.2, agents.3]);
            for (ix, (join, on_error, next, size)) in groups.into_iter().enumerate() {
                let mut group = group(["first", "second"][ix], &[0, 1, 2, 3][..size]);
                (group.join, group.on_error, group.next_agent) = (join, on_error, next.map(AgentIx));
                crew.groups.push(group);
            }
            crew.handoff = style;
            crew.tools[SEND.0] = tool("Send", boathouse_core::crew::Effect::Once, unknown);
            for (ix, needed) in approvals.into_iter().enumerate() {
                let mut spec = (*crew.tools[ix].spec).clone();
                spec.approval = needed;
                crew.tools[ix].spec = spec.into();
            }
            crew.settings.max_handoffs = limits.0;
            crew.settings.max_rounds = limits.1;
            crew.settings.model_attempts = limits.2;
            crew.settings.keep_recent = limits.3;
            crew.settings.tool_concurrency = limits.4;
            crew
        },
    )
}

fn a_reply() -> impl Strategy<Value = Said> {
    let words = select(vec![
        "fine",
        "go on [X]",
        "[Y] then",
        "all done [END]",
        "Look(x)\nSend(\"y\")",
        "",
        "[x] loosely",
    ]);
    let call = (
        select(vec!["Look", "Put", "Send", "Nothing", "transfer_to_a", "transfer_to_first"]),
        select(vec!["{}", r#"{"what":"w"}"#, "{broken", "[]", ""]),
    );
    let calls = prop::collection::vec(call, 0..4);
    let kind = select(vec![CallErrorKind::Server, CallErrorKind::Auth, CallErrorKind::RateLimited]);
    prop_oneof![
        6 => (words, calls).prop_map(|(words, calls)| tools(words, &calls)),
        1 => (kind, 1..5u32).prop_map(|(kind, tries)| Said::Fails(kind, tries)),
    ]
}

fn a_script() -> impl Strategy<Value = Script> {
    let lines = prop::collection::vec(prop::collection::vec(a_reply(), 0..6), NAMES.len());
    lines.prop_map(|lines| {
        Script(NAMES.iter().map(|name| (*name).to_owned()).zip(lines).collect::<BTreeMap<_, _>>())
    })
}

/// What the world does next.
#[derive(Clone, Debug)]
enum Doing {
    Answers(Index),
    Crashes(Index),
    TimesOut,
    Pauses,
    Resumes,
    Cancels,
    Decides(Index, Answer),
}

fn a_decision() -> impl Strategy<Value = Answer> {
    select(vec![
        Answer::Approve {},
        Answer::edit(serde_json::json!({"what": "edited"})),
        Answer::Reject { reason: None },
        Answer::Respond { output: "by hand".to_owned() },
        Answer::Rerun {},
    ])
}

fn world() -> impl Strategy<Value = Vec<Doing>> {
    let doing = prop_oneof![
        30 => any::<Index>().prop_map(Doing::Answers),
        3 => any::<Index>().prop_map(Doing::Crashes),
        1 => Just(Doing::TimesOut),
        2 => Just(Doing::Pauses),
        2 => Just(Doing::Resumes),
        1 => Just(Doing::Cancels),
        6 => (any::<Index>(), a_decision()).prop_map(|(which, answer)| Doing::Decides(which, answer)),
    ];
    prop::collection::vec(doing, 0..40)
}

fn decide_one(wait: WaitId, answer: Answer) -> Command {
    Command::Decide { decisions: vec![ApprovalDecision { wait, answer, digest: None, by: None }] }
}

fn check(sim: &Sim) {
    let crew = sim.run.crew();
    let routes =
        sim.log.iter().filter(|r| matches!(r.event, Event::HandedOff { .. } | Event::Forked { .. })).count();
    assert!(routes as u32 <= crew.settings.max_handoffs);
    for branch in sim.run.branches() {
        assert!(branch.rounds <= crew.settings.max_rounds + 1);
    }
    let replayed = Run::replay(sim.run.id().clone(), crew.clone(), &sim.log).expect("the log folds");
    assert_eq!(format!("{replayed:?}"), format!("{:?}", sim.run), "the log folds to the run");
    if sim.run.outcome().is_some() {
        assert!(sim.open().is_empty());
        let calls: usize = sim.run.history().iter().map(|message| message.calls.len()).sum();
        let results: usize = sim.run.history().iter().map(|message| message.results.len()).sum();
        assert_eq!(calls, results);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_runs_end_within_their_limits(crew in a_crew(), script in a_script(), world in world()) {
        let mut sim = Sim::new(crew, script);
        for doing in &world {
            match doing {
                Doing::Answers(which) => match sim.open() {
                    open if open.is_empty() => {}
                    open => sim.answer_call(*which.get(&open)),
                },
                // The log keeps every event that was acknowledged; the last batch may be cut anywhere.
                Doing::Crashes(after) => sim = sim.crashed_after(1 + after.index(sim.log.len())),
                Doing::TimesOut => { sim.wait_for_timer(); }
                Doing::Pauses => { let _ = sim.command(Command::Pause); }
                Doing::Resumes => { let _ = sim.command(Command::Resume); }
                Doing::Decides(which, answer) => {
                    if !sim.run.waits().is_empty() {
                        let wait = which.get(sim.run.waits()).wait;
                        // Not every decision suits every wait.
                        let _ = sim.command(decide_one(wait, answer.clone()));
                    }
                }
                Doing::Cancels => sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("always"),
            }
            check(&sim);
        }
        // Whatever happened, the run can be brought to its end.
        let mut asked = 0;
        while sim.run.outcome().is_none() {
            sim = sim.go();
            let _ = sim.command(Command::Resume);
            if let Some(open) = sim.run.waits().first().cloned() {
                let answer = match open.what {
                    WaitFor::Answer { .. } => Answer::Text { text: "yes".to_owned() },
                    WaitFor::UnknownOutcome { .. } => Answer::Done { output: "done".to_owned() },
                    WaitFor::Approval { .. } => Answer::Approve {},
                };
                sim.command(decide_one(open.wait, answer)).expect("it waits");
            }
            check(&sim);
            asked += 1;
            // An agent may ask for ever: people end that.
            if asked > 20 {
                sim.command(Command::Cancel { reason: CancelReason::Requested }).expect("always");
                prop_assert!(sim.run.outcome().is_some());
            }
        }
    }
}

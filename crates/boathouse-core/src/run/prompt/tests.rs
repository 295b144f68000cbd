use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::crew::{
    Agent, AgentIx, Aggregate, Crew, Effect, Group, GroupIx, HandoffStyle, Join, Model, OnError, Parameters,
    Route, Settings, Signal, ToolDef, ToolIx, ToolKind, ToolSpec,
};
use crate::ids::{AgentId, BranchId, RunId, Seq, ThreadId, Timestamp};
use crate::message::{Author, CallStyle, Message, ResultStatus, ToolCall, ToolResult};
use crate::run::event::{self, Event, OnDisconnect, Recorded, RunLimits, RunStarted, Via};

fn agent(id: &str, name: &str) -> Agent {
    Agent {
        id: AgentId::from(id),
        name: name.to_owned(),
        role: String::new(),
        description: String::new(),
        backstory: String::new(),
        system_prompt: None,
        models: vec![Model { provider: "scripted".to_owned(), model: "one".to_owned(), base_url: None }],
        parameters: Parameters::default(),
        tool_calls: ToolCallStyle::Auto,
        tools: Vec::new(),
        signals: Vec::new(),
        wait_for_signal: false,
        answer_schema: None,
        terminal: false,
        default_route: None,
        handoff_targets: Vec::new(),
    }
}

fn signal(text: &str, route: Route, description: &str) -> Signal {
    Signal { text: text.to_owned(), route, description: description.to_owned() }
}

fn tool(spec: ToolSpec) -> ToolDef {
    ToolDef { spec: Arc::new(spec.effect(Effect::Read)), kind: ToolKind::Registered }
}

/// My (orchestrator), Ngân (clarifier), Trang (executor, two tools), and the group `team` of the last two.
fn crew() -> Crew {
    let mut my = agent("orchestrator", "My");
    my.role = "Coordinator".to_owned();
    my.description = "Sends each problem to whom it belongs".to_owned();
    my.backstory = "{{name}} has led the desk of {{organization}} for years.".to_owned();
    my.signals = vec![
        signal("[ROUTE_EXECUTOR]", Route::Agent(AgentIx(2)), "the machine is known"),
        signal("[TEAM]", Route::Group(GroupIx(0)), "both are needed, says {{name}}"),
        signal("[COMPLETE]", Route::End, ""),
    ];
    my.wait_for_signal = true;
    my.handoff_targets = vec![AgentIx(1), AgentIx(2)];
    let clarifier = agent("clarifier", "Ngân");
    let mut executor = agent("executor", "Trang");
    executor.terminal = true;
    executor.tools = vec![ToolIx(0), ToolIx(1)];
    let ping = json!({
        "type": "object",
        "properties": {
            "host": {"type": "string", "description": "Name or address"},
            "count": {"type": "integer", "default": 4},
            "mode": {"enum": ["icmp", "tcp"]},
        },
        "required": ["host"],
    });
    Crew {
        name: "it-support".to_owned(),
        description: String::new(),
        hash: "hash".into(),
        source: BTreeMap::new(),
        agents: vec![my, clarifier, executor],
        entry: AgentIx(0),
        groups: vec![Group {
            name: "team".to_owned(),
            description: "Both at once".to_owned(),
            agents: vec![AgentIx(1), AgentIx(2)],
            join: Join::All,
            on_error: OnError::Continue,
            timeout_ms: 60_000,
            aggregate: Aggregate::Text,
            next_agent: None,
        }],
        tools: vec![
            tool(ToolSpec::new("PingHost", "Sends pings to a host.", ping)),
            tool(ToolSpec::new(
                "GetCPUUsage",
                "CPU load in percent.",
                json!({"type": "object", "properties": {}}),
            )),
        ],
        handoff: HandoffStyle::Signal,
        settings: Settings {
            language: Some("vi".to_owned()),
            organization: Some("ACME".to_owned()),
            ..Settings::default()
        },
        vars: BTreeMap::from([
            ("organization".to_owned(), Some("{{company}} Ltd".to_owned())),
            ("company".to_owned(), None),
        ]),
    }
}

/// A run that has begun and wants its first reply.
fn run(crew: Crew, at: &str, history: Vec<Message>) -> Run {
    let started = RunStarted {
        format: event::FORMAT,
        crew: crew.name.clone(),
        crew_hash: crew.hash.to_string(),
        thread: ThreadId::from("thread"),
        input: "the input".to_owned(),
        history,
        start_at: Some(AgentId::from(at)),
        vars: BTreeMap::from([("company".to_owned(), "Bến Thuyền".to_owned())]),
        metadata: BTreeMap::new(),
        limits: RunLimits::default(),
        on_disconnect: OnDisconnect::Continue,
        verbose: false,
        forked_from: None,
        pinned: None,
        queued: None,
    };
    let first = Recorded { seq: Seq(1), at: Timestamp(0), event: Event::RunStarted(Box::new(started)) };
    Run::begin(RunId::from("run"), Arc::new(crew), &first).expect("the log begins well")
}

fn apply(run: &mut Run, event: Event) {
    run.apply(&Recorded { seq: run.seq().next(), at: Timestamp(0), event }).expect("the event fits");
}

fn fork(run: &mut Run) {
    let branches = vec![(BranchId(1), AgentId::from("clarifier")), (BranchId(2), AgentId::from("executor"))];
    let from = AgentId::from("orchestrator");
    let via = Via::Default;
    apply(run, Event::Forked { branch: BranchId::MAIN, group: "team".to_owned(), from, via, branches });
}

fn first(run: &Run) -> ModelRequest {
    build(run, CallId(1)).expect("the first call is wanted")
}

fn by(id: &str) -> Author {
    Author::Agent(Some(AgentId::from(id)))
}

fn call(call: u64, tool: &str, style: CallStyle) -> ToolCall {
    ToolCall {
        call: CallId(call),
        id: format!("id{call}"),
        tool: tool.to_owned(),
        arguments: json!({"host": "a"}),
        style,
    }
}

fn round(author: &Author, text: &str, calls: Vec<ToolCall>, outputs: &[&str]) -> [Message; 2] {
    let results = calls.iter().zip(outputs).map(|(call, output)| ToolResult {
        call: call.call,
        status: ResultStatus::Success,
        output: (*output).to_owned(),
    });
    let results = results.collect();
    let mut asks = Message::text(author.clone(), text);
    asks.calls = calls;
    [asks, Message { from: author.clone(), parts: Vec::new(), calls: Vec::new(), results }]
}

/// The messages for people.
fn show(request: &ModelRequest) -> String {
    let mut text = String::new();
    for message in &request.messages {
        let _ = match message {
            PromptMessage::System { text: said } => writeln!(text, "SYSTEM {said}"),
            PromptMessage::User { text: said } => writeln!(text, "USER {said}"),
            PromptMessage::Assistant { text: said, calls } => {
                let calls: Vec<String> =
                    calls.iter().map(|call| format!("{}({})", call.tool, call.arguments)).collect();
                writeln!(text, "ASSISTANT {said} {calls:?}")
            }
            PromptMessage::Tool { id, tool, output, failed } => {
                writeln!(text, "TOOL {id} {tool} failed={failed} {output}")
            }
        };
    }
    text
}

#[test]
fn a_generic_prompt_is_made_from_the_persona() {
    insta::assert_snapshot!(first(&run(crew(), "orchestrator", Vec::new())).system);
}

#[test]
fn an_agent_that_calls_tools_by_text_is_told_how() {
    let mut crew = crew();
    crew.agents[2].tool_calls = ToolCallStyle::Text;
    let request = first(&run(crew, "executor", Vec::new()));
    assert_eq!(request.tools, []);
    insta::assert_snapshot!(request.system);
}

#[test]
fn a_custom_prompt_is_filled_in_and_gets_the_tool_list() {
    let mut crew = crew();
    let executor = &mut crew.agents[2];
    executor.tool_calls = ToolCallStyle::Text;
    executor.role = "Technician".to_owned();
    executor.backstory = "{{name}} repairs for {{ organization }}.".to_owned();
    executor.system_prompt = Some(
        "You are {{name}}, {{description}}. {{backstory}} {{{role}}} {{unknown}} {{ {{name}} }} {{company\n"
            .to_owned(),
    );
    insta::assert_snapshot!(first(&run(crew, "executor", Vec::new())).system);
}

#[test]
fn placeholders_that_never_end_are_bounded() {
    for (a, b) in [
        ("{{b}}{{b}}".repeat(1000), "{{a}}".to_owned()),
        ("{{b}}".repeat(50_000), "x".repeat(50_000)),
        ("{{".repeat(200_000), "}}".to_owned()),
        ("{{b}}".repeat(2_000), "{{c}}".repeat(2_000)),
        ("{{ ".repeat(200_000), String::new()),
    ] {
        let mut crew = crew();
        crew.vars.insert("a".to_owned(), Some(a));
        crew.vars.insert("b".to_owned(), Some(b));
        crew.vars.insert("c".to_owned(), Some(String::new()));
        crew.agents[0].system_prompt = Some("{{a}} and {{a}}".to_owned());
        let system = first(&run(crew, "orchestrator", Vec::new())).system;
        assert!(system.len() < 3 << 20, "{} bytes", system.len());
    }
}

#[test]
fn others_speak_as_users_and_their_tools_are_text() {
    let mut history = vec![
        Message::text(Author::System, "Be kind."),
        Message::text(Author::User, "My server is slow."),
        Message::text(Author::Agent(None), "Which one?"),
        Message::text(by("orchestrator"), "I know. [ROUTE_EXECUTOR]"),
    ];
    history.extend(round(
        &by("executor"),
        "I look.",
        vec![call(7, "PingHost", CallStyle::Native)],
        &["12 ms"],
    ));
    let written = "PingHost(a)";
    history.extend(round(&by("clarifier"), written, vec![call(8, "PingHost", CallStyle::Text)], &["13 ms"]));
    history.push(Message::text(Author::Group("team".to_owned()), "All is said."));
    history.push(Message::text(by("gone"), "I was in an older crew."));
    let views = ["executor", "clarifier"].map(|at| show(&first(&run(crew(), at, history.clone()))));
    insta::assert_snapshot!(views.join("----\n"));
}

#[test]
fn the_crews_only_agent_owns_what_a_given_history_calls_the_assistants() {
    let mut crew = crew();
    crew.agents.drain(1..);
    crew.groups.clear();
    crew.agents[0].signals.clear();
    crew.agents[0].handoff_targets.clear();
    let history = vec![Message::text(Author::User, "Hello."), Message::text(Author::Agent(None), "Hello!")];
    assert_eq!(
        first(&run(crew, "orchestrator", history)).messages[1],
        PromptMessage::Assistant { text: "Hello!".to_owned(), calls: Vec::new() }
    );
}

#[test]
fn outputs_are_cut_with_a_mark() {
    let mut crew = crew();
    crew.settings.max_tool_output = Some(5);
    crew.settings.max_total_tool_output = Some(8);
    let calls = (1..=3).map(|at| call(at, "PingHost", CallStyle::Native)).collect();
    let history = round(&by("executor"), "", calls, &["ééé", "1234", "5678"]).to_vec();
    let outputs: Vec<String> = first(&run(crew, "executor", history))
        .messages
        .into_iter()
        .filter_map(|message| match message {
            PromptMessage::Tool { output, .. } => Some(output),
            _ => None,
        })
        .collect();
    assert_eq!(
        outputs,
        [
            "éé\n[... cut: the first 4 of 6 bytes are shown]",
            "123\n[... cut: the first 3 of 4 bytes are shown]",
            "\n[... cut: the first 0 of 4 bytes are shown]",
        ]
    );
}

#[test]
fn arguments_that_could_not_be_read_are_still_an_object() {
    let mut unreadable = call(1, "PingHost", CallStyle::Native);
    unreadable.arguments = json!("{host");
    let history = round(&by("executor"), "", vec![unreadable], &["not valid JSON"]).to_vec();
    let request = first(&run(crew(), "executor", history));
    let PromptMessage::Assistant { calls, .. } = &request.messages[0] else {
        panic!("{:?}", request.messages)
    };
    assert_eq!(calls[0].arguments, json!({"unreadable": "{host"}));
}

#[test]
fn calls_are_shown_as_providers_take_them() {
    let mut odd = call(1, "Ping Host!", CallStyle::Native);
    odd.id = "call_0".to_owned();
    let same = ToolCall { call: CallId(2), ..odd.clone() };
    let mut history = round(&by("executor"), "", vec![odd], &["no such tool"]).to_vec();
    history.extend(round(&by("executor"), "", vec![same], &["still none"]));
    assert_eq!(
        show(&first(&run(crew(), "executor", history))),
        "ASSISTANT  [\"Ping_Host_({\\\"host\\\":\\\"a\\\"})\"]\n\
         TOOL call_0 Ping_Host_ failed=false no such tool\n\
         ASSISTANT  [\"Ping_Host_({\\\"host\\\":\\\"a\\\"})\"]\n\
         TOOL call_0_2 Ping_Host_ failed=false still none\n\
         USER the input\n"
    );
}

#[test]
fn transfers_are_made_from_the_routes() {
    let mut crew = crew();
    crew.agents[1].id = AgentId::from("Ngân 1");
    crew.agents[2].id = AgentId::from("ngan_1");
    crew.agents[0].default_route = Some(Route::Agent(AgentIx(0)));
    let offered = |crew: &Crew| {
        transfers(crew, AgentIx(0))
            .into_iter()
            .map(|(name, _, what)| format!("{name}: {what}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(offered(&crew), [""; 0]);
    crew.handoff = HandoffStyle::Auto;
    assert_eq!(
        offered(&crew),
        [
            "transfer_to_ngan_1: Hands the conversation over to Trang. the machine is known",
            "transfer_to_team: Hands the conversation over to the group team. Both at once both are needed, says {{name}}",
            "transfer_to_orchestrator: Hands the conversation over to My. Sends each problem to whom it belongs",
            "transfer_to_Ngan_1: Hands the conversation over to Ngân.",
        ]
    );
    crew.agents[0].tool_calls = ToolCallStyle::Text;
    assert_eq!(offered(&crew), [""; 0]);
    crew.handoff = HandoffStyle::Tool;
    assert_eq!(offered(&crew).len(), 4);
    assert_eq!(first(&run(crew, "orchestrator", Vec::new())).tools, []);
}

#[test]
fn placeholders_in_a_transfers_description_are_filled_in() {
    let mut crew = crew();
    crew.handoff = HandoffStyle::Tool;
    let request = first(&run(crew, "orchestrator", Vec::new()));
    let team = ToolOffer::Transfer {
        name: "transfer_to_team".to_owned(),
        description: "Hands the conversation over to the group team. Both at once both are needed, says My"
            .to_owned(),
    };
    assert!(request.tools.contains(&team), "{:?}", request.tools);
}

#[test]
fn transfer_names_are_unique_and_short() {
    let mut crew = crew();
    crew.handoff = HandoffStyle::Tool;
    crew.agents[1].id = AgentId::from("é".repeat(100).as_str());
    crew.agents[2].id = AgentId::from("e".repeat(100).as_str());
    let names: Vec<String> = transfers(&crew, AgentIx(0)).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() <= 64), "{names:?}");
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{names:?}");
}

#[test]
fn in_a_branch_neither_signals_nor_transfers_are_offered() {
    let mut crew = crew();
    crew.handoff = HandoffStyle::Auto;
    crew.agents[2].signals = vec![signal("[BACK]", Route::Agent(AgentIx(0)), "")];
    let mut run = run(crew, "executor", Vec::new());
    let request = first(&run);
    assert!(
        request.system.contains("[BACK]") && request.system.contains("final agent"),
        "{}",
        request.system
    );
    assert_eq!(request.tools.len(), 3);
    fork(&mut run);

    let request = build(&run, CallId(3)).expect("the branch wants a reply");
    assert_eq!(request.agent.as_str(), "executor");
    assert!(
        !request.system.contains("[BACK]") && !request.system.contains("final agent"),
        "{}",
        request.system
    );
    assert_eq!(request.tools.len(), 2);
    assert!(build(&run, CallId(1)).is_none(), "the main branch wants nothing now");
}

#[test]
fn where_hand_offs_are_tools_only_endings_are_written() {
    let mut crew = crew();
    crew.handoff = HandoffStyle::Tool;
    let system = first(&run(crew, "orchestrator", Vec::new())).system;
    assert!(system.contains("[COMPLETE]") && !system.contains("[ROUTE_EXECUTOR]"), "{system}");
}

#[test]
fn the_mark_tells_prompts_apart() {
    let base = mark(&first(&run(crew(), "executor", Vec::new())));
    assert_eq!(base.hash.len(), 32);
    assert_eq!(base.revision, REVISION);
    assert_eq!(base, mark(&first(&run(crew(), "executor", Vec::new()))), "it is the same every time");
    let history = |text: &str| vec![Message::text(Author::User, text)];
    let one = mark(&first(&run(crew(), "executor", history("ab"))));
    let other = mark(&first(&run(crew(), "executor", history("ba"))));
    assert_ne!(one.hash, other.hash);
    assert_eq!(one.bytes, other.bytes);
    assert_eq!(one.bytes, base.bytes + 2);
}

/// Part of a random history. Texts carry their speaker and a number.
#[derive(Clone, Debug)]
enum Turn {
    Says(&'static str),
    Calls { who: &'static str, style: CallStyle, text: bool, calls: usize, results: usize },
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let who = || prop::sample::select(vec!["orchestrator", "clarifier", "executor", "gone"]);
    let anyone = prop::sample::select(vec![
        "user",
        "system",
        "nobody",
        "team",
        "orchestrator",
        "clarifier",
        "executor",
        "gone",
    ]);
    let style = prop::sample::select(vec![CallStyle::Native, CallStyle::Text]);
    let calls = (who(), style, any::<bool>(), 1..4usize, 0..5usize)
        .prop_map(|(who, style, text, calls, results)| Turn::Calls { who, style, text, calls, results });
    prop::collection::vec(prop_oneof![anyone.prop_map(Turn::Says), calls], 0..12)
}

fn history(turns: &[Turn]) -> Vec<Message> {
    let author = |who: &str| match who {
        "user" => Author::User,
        "system" => Author::System,
        "nobody" => Author::Agent(None),
        "team" => Author::Group("team".to_owned()),
        who => by(who),
    };
    let mut history = Vec::new();
    let mut next_call = 1;
    // Ids repeat, as those of some servers do.
    let call =
        |number: u64, style| ToolCall { id: format!("id{}", number % 2), ..call(number, "PingHost", style) };
    for (at, turn) in turns.iter().enumerate() {
        match turn {
            Turn::Says(who) => history.push(Message::text(author(who), format!("<{who} {at}>"))),
            Turn::Calls { who, style, text, calls, results } => {
                let asked: Vec<ToolCall> =
                    (0..*calls).map(|more| call(next_call + more as u64, *style)).collect();
                next_call += *calls as u64;
                let outputs: Vec<&str> = vec!["output"; *results];
                let said = if *text { format!("<{who} {at}>") } else { String::new() };
                let [asks, gives] = round(&author(who), &said, asked, &outputs);
                history.push(asks);
                if *results > 0 {
                    history.push(gives);
                }
            }
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_prompt_is_always_valid(
        turns in turns(),
        style in prop::sample::select(vec![ToolCallStyle::Auto, ToolCallStyle::Native, ToolCallStyle::Text]),
        handoff in prop::sample::select(vec![HandoffStyle::Signal, HandoffStyle::Tool, HandoffStyle::Auto]),
        at in prop::sample::select(vec!["orchestrator", "clarifier", "executor"]),
        trimmed in 0..30usize,
        forked in any::<bool>(),
    ) {
        let mut crew = crew();
        crew.handoff = handoff;
        for agent in &mut crew.agents {
            agent.tool_calls = style;
        }
        let history = history(&turns);
        let total = history.len() + 1;
        let mut run = run(crew, at, history);
        let trimmed = trimmed % total;
        let parts_results = run.history().get(trimmed).is_some_and(|message| !message.results.is_empty());
        let trimmed = trimmed - usize::from(parts_results);
        apply(&mut run, Event::HistoryTrimmed { branch: BranchId::MAIN, dropped: trimmed, summary: None, failed: None });
        let (request, at) = if forked {
            fork(&mut run);
            (build(&run, CallId(3)).expect("the branch wants a reply"), "executor")
        } else {
            (first(&run), at)
        };

        let messages = &request.messages;
        let ends_well = !matches!(messages.last(), None | Some(PromptMessage::Assistant { .. }));
        prop_assert!(ends_well);
        let mut place = 0;
        let mut ids = std::collections::BTreeSet::new();
        while place < messages.len() {
            match &messages[place] {
                PromptMessage::Assistant { text, calls } => {
                    prop_assert!(!text.is_empty() || !calls.is_empty(), "an empty message");
                    prop_assert!(text.split('<').skip(1).all(|rest| rest.starts_with(at)), "{at} did not say {text}");
                    prop_assert!(calls.is_empty() || !request.tools.is_empty(), "tool blocks without tools");
                    for call in calls {
                        place += 1;
                        let Some(PromptMessage::Tool { id, .. }) = messages.get(place) else {
                            return Err(TestCaseError::fail(format!("call {} has no result", call.id)));
                        };
                        prop_assert_eq!(id, &call.id);
                        prop_assert!(ids.insert(id), "two calls have the id {id}");
                    }
                }
                PromptMessage::Tool { id, .. } => {
                    return Err(TestCaseError::fail(format!("result {id} has no call")));
                }
                PromptMessage::User { text } | PromptMessage::System { text } => {
                    prop_assert!(!text.trim().is_empty());
                    prop_assert!(!text.contains(&format!("<{at} ")), "{at} said {text}");
                }
            }
            place += 1;
        }
        let inputs = messages.iter().filter(|message| matches!(message, PromptMessage::User { text } if text == "the input"));
        prop_assert_eq!(inputs.count(), 1, "the input is sent once");
        if trimmed == 0 {
            for (number, turn) in turns.iter().enumerate() {
                let (Turn::Says(who) | Turn::Calls { who, text: true, .. }) = turn else { continue };
                let said = format!("<{who} {number}>");
                prop_assert_eq!(show(&request).matches(&said).count(), 1, "{} is said once", said);
            }
        }
    }
}

//! The crews under `testdata/crews`: the good ones load, the bad ones say exactly what is wrong.
//!
//! `expected.txt` holds the rendered problems; `BLESS=1` writes it anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use boathouse_core::crew::check::{Catalog, Checked, check, hash};
use boathouse_core::crew::problem::render;
use boathouse_core::crew::{
    Aggregate, CommandLine, Crew, Effect, Join, OnError, OnUnknown, Route, Settings, Source, ToolCallStyle,
    ToolKind, ToolSpec,
    graph::{self, Graph},
    http::{HeaderPiece, Method},
    mcp::McpReach,
};
use proptest::prelude::*;
use serde_json::json;

#[path = "crews/keys.rs"]
mod keys;
#[path = "crews/pages.rs"]
mod pages;

/// Tools that the program has.
const TOOLS: [&str; 12] = [
    "GetCPUUsage",
    "GetMemoryUsage",
    "GetDiskSpace",
    "PingHost",
    "GetSystemInfo",
    "GetRunningProcesses",
    "CheckServiceStatus",
    "ResolveDNS",
    "CheckMemoryStatus",
    "CheckDiskStatus",
    "CheckNetworkStatus",
    "GetSystemDiagnostics",
];

fn catalog() -> Catalog {
    let spec = |name| {
        let parameters = json!({"type": "object", "properties": {"host": {"type": "string"}}});
        Arc::new(ToolSpec::new(name, "A registered tool.", parameters).effect(Effect::Read))
    };
    Catalog {
        tools: TOOLS.map(spec).to_vec(),
        providers: ["openai", "ollama", "scripted"].map(str::to_owned).to_vec(),
    }
}

fn folders(kind: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/crews").join(kind);
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn read(folder: &Path) -> Source {
    let mut source = Source::new();
    for file in ["crew.yaml", "scripted.yaml"] {
        if let Ok(text) = fs::read_to_string(folder.join(file)) {
            source.insert(file.to_owned(), text);
        }
    }
    for entry in fs::read_dir(folder.join("agents")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        source.insert(format!("agents/{name}"), fs::read_to_string(path).unwrap());
    }
    source
}

fn checked(folder: &Path) -> Checked {
    check(&read(folder), folder.file_name().unwrap().to_str().unwrap(), &catalog())
}

fn good(name: &str) -> Crew {
    let folder = folders("good").into_iter().find(|folder| folder.ends_with(name)).unwrap();
    let Checked { crew, problems } = checked(&folder);
    crew.unwrap_or_else(|| panic!("{}", render(&problems)))
}

/// Compares with a file, or writes it.
fn compare(path: &Path, actual: &str, faults: &mut Vec<String>) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected != actual {
        faults.push(format!("{}\n--- expected\n{expected}\n--- actual\n{actual}", path.display()));
    }
}

#[test]
fn every_good_crew_loads_with_exactly_its_warnings() {
    let mut faults = Vec::new();
    for folder in folders("good") {
        let Checked { crew, problems } = checked(&folder);
        if crew.is_none() {
            faults.push(format!("{} gave no crew", folder.display()));
        }
        compare(&folder.join("expected.txt"), &render(&problems), &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn every_bad_crew_says_exactly_what_is_wrong() {
    let mut faults = Vec::new();
    // What only the reading of a folder can find is told by the tests of the library.
    let on_disk =
        |folder: &PathBuf| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("disk-"));
    for folder in folders("bad").into_iter().filter(|folder| !on_disk(folder)) {
        let Checked { crew, problems } = checked(&folder);
        if crew.is_some() {
            faults.push(format!("{} gave a crew", folder.display()));
        }
        compare(&folder.join("expected.txt"), &render(&problems), &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn every_problem_says_what_to_do() {
    let all = folders("bad").into_iter().chain(folders("good"));
    let problems = all.flat_map(|folder| checked(&folder).problems);
    let silent: BTreeSet<String> =
        problems.filter(|problem| problem.hint.is_none()).map(|problem| problem.to_string()).collect();
    assert!(silent.is_empty(), "{}", silent.into_iter().collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn the_go_systems_help_desk_means_what_it_meant() {
    let crew = good("it-support-go");
    assert_eq!(crew.name, "it-support-go");
    let id = |ix| crew.agent(ix).id.as_str();
    assert_eq!(id(crew.entry), "orchestrator");
    let my = crew.agent(crew.entry);
    let routes: Vec<_> = my.signals.iter().map(|s| (s.text.as_str(), crew.route_name(s.route))).collect();
    assert_eq!(routes, [("[ROUTE_EXECUTOR]", Some("executor")), ("[ROUTE_CLARIFIER]", Some("clarifier"))]);
    assert!(my.wait_for_signal && !my.terminal);
    assert_eq!(my.default_route.and_then(|route| crew.route_name(route)), Some("clarifier"));
    assert_eq!(my.handoff_targets.iter().map(|ix| id(*ix)).collect::<Vec<_>>(), ["clarifier", "executor"]);
    assert_eq!((my.models[0].provider.as_str(), my.models[0].model.as_str()), ("openai", "gpt-4o-mini"));
    let executor = crew.agent(crew.find_agent("executor").unwrap());
    assert!(executor.terminal);
    assert_eq!(executor.default_route, Some(Route::End));
    assert_eq!(executor.signals[0].route, Route::End);
    let tools: Vec<_> = executor.tools.iter().map(|ix| crew.tool(*ix).spec.name.as_str()).collect();
    assert_eq!(tools, ["GetCPUUsage", "GetMemoryUsage"]);
}

#[test]
fn both_styles_of_naming_models_load() {
    let crew = good("hello");
    let agent = crew.agent(crew.entry);
    let models: Vec<_> = agent.models.iter().map(|m| (m.model.as_str(), m.base_url.as_deref())).collect();
    assert_eq!(models, [("qwen3:1.7b", Some("http://localhost:11434")), ("gemma3:1b", None)]);
    assert_eq!(agent.parameters.temperature, Some(0.0), "0 is a temperature");
    assert_eq!(crew.settings.tool_timeout_ms, 5_000);
    assert_eq!(crew.settings.organization.as_deref(), Some("Example Ltd"));

    let crew = good("inline");
    let reviewer = crew.agent(crew.find_agent("reviewer").unwrap());
    let p = &reviewer.parameters;
    assert_eq!((p.max_tokens, p.top_p, p.seed), (Some(200), Some(0.9), Some(7)));
    assert_eq!((p.stop.as_slice(), p.extra["top_k"].as_i64()), (["END".to_owned()].as_slice(), Some(40)));
    assert_eq!(reviewer.tool_calls, ToolCallStyle::Text);
    assert!(reviewer.terminal, "`yes` is true");
    assert_eq!(reviewer.models[0].model, "scripted");
}

#[test]
fn command_tools_are_whole() {
    let crew = good("command-tools");
    let tools: Vec<_> = crew.tools.iter().map(|tool| tool.spec.name.as_str()).collect();
    assert_eq!(tools, ["SearchLog", "ExecuteCommand", "Deploy", "GetCPUUsage"], "as the agent names them");
    let search = &crew.tools[0];
    assert_eq!(
        (search.spec.effect, search.spec.timeout_ms, search.spec.retries),
        (Effect::Read, Some(2500), 2)
    );
    assert_eq!(search.spec.max_output_bytes, 1000);
    assert_eq!(search.spec.positional, ["text", "lines"]);
    let ToolKind::Command(command) = &search.kind else { panic!("{:?}", search.kind) };
    assert_eq!(
        (command.cwd.as_deref(), command.env.as_slice()),
        (Some("data"), ["APP_HOME".to_owned()].as_slice())
    );
    let CommandLine::Argv(argv) = &command.run else { panic!("{:?}", command.run) };
    assert_eq!(argv[..2], ["grep", "--max-count={lines}"]);

    let allowed = &crew.tools[1];
    assert_eq!(allowed.spec.parameters["properties"]["command"]["enum"], json!(["disk", "uptime"]));
    assert_eq!(allowed.spec.parameters["required"], json!(["command"]));
    let ToolKind::Command(command) = &allowed.kind else { panic!("{:?}", allowed.kind) };
    assert!(matches!(&command.run, CommandLine::Allow(list) if list["disk"] == ["df", "-h"]));

    let deploy = &crew.tools[2].spec;
    assert_eq!((deploy.effect, deploy.on_unknown), (Effect::Once, OnUnknown::AssumeDone));
    assert_eq!(crew.tools[3].kind, ToolKind::Registered);
}

#[test]
fn http_tools_are_whole() {
    let crew = good("http-tools");
    let http: Vec<_> = crew
        .tools
        .iter()
        .map(|tool| match &tool.kind {
            ToolKind::Http(http) => http,
            other => panic!("{other:?}"),
        })
        .collect();
    let [find, create, close] = &http[..] else { panic!("three tools") };
    assert_eq!((find.method, create.method, close.method), (Method::Get, Method::Post, Method::Delete));
    assert!(http.iter().all(|http| http.address.origin == "https://tickets.example:8443"));
    assert_eq!(find.address.arguments().collect::<Vec<_>>(), ["project", "text", "limit"]);
    assert_eq!((&find.body, find.headers.len()), (&None, 0));
    let authorization = create.headers.iter().find(|header| header.name == "Authorization").unwrap();
    let token = HeaderPiece::Variable("TICKETS_TOKEN".to_owned());
    assert_eq!(authorization.value, [HeaderPiece::Text("Bearer ".to_owned()), token]);
    assert_eq!(create.body, Some(json!({"title": "{title}", "from": "crew {{title}}", "lines": "{lines}"})));
    assert_eq!((crew.tools[1].spec.effect, crew.tools[2].spec.effect), (Effect::Idempotent, Effect::Once));
}

#[test]
fn mcp_tools_are_whole() {
    let crew = good("mcp-tools");
    let mcp = |at: usize| match &crew.tools[at].kind {
        ToolKind::Mcp(mcp) => mcp,
        other => panic!("{other:?}"),
    };
    let named: Vec<_> = [0, 1].map(|at| (mcp(at).server.name.as_str(), mcp(at).tool.as_str())).to_vec();
    assert_eq!(named, [("notes", "read_note"), ("tickets", "create_ticket")]);
    let McpReach::Program { argv, env } = &mcp(0).server.reach else { panic!("{:?}", mcp(0)) };
    assert_eq!(argv[2..], ["@example/notes", "--root", "{notes}"], "nothing is filled in");
    assert_eq!(env, &["NOTES_TOKEN"]);
    let McpReach::Http { address, headers } = &mcp(1).server.reach else { panic!("{:?}", mcp(1)) };
    assert_eq!((address.origin.as_str(), headers.len()), ("https://tickets.example", 1));
}

#[test]
fn groups_join_as_written() {
    let crew = good("groups");
    let joins: Vec<_> = crew.groups.iter().map(|group| (group.name.as_str(), group.join)).collect();
    assert_eq!(joins, [("everyone", Join::All), ("race", Join::First), ("vote", Join::Quorum(2))]);
    let [everyone, race, vote] = &crew.groups[..] else { panic!("three groups") };
    assert_eq!((everyone.timeout_ms, race.timeout_ms), (90_000, 1_500), "the crew's time, or its own");
    assert_eq!((race.on_error, &race.aggregate), (OnError::FailFast, &Aggregate::Merge));
    assert!(matches!(&vote.aggregate, Aggregate::Template(text) if text.contains("summary.total")));
    assert_eq!((everyone.next_agent, race.next_agent), (crew.find_agent("writer"), None));
    assert_eq!(crew.agent(crew.entry).signals[1].route, Route::Group(crew.find_group("race").unwrap()));
}

#[test]
fn variables_have_a_default_or_none() {
    let vars = good("vars").vars;
    assert_eq!(vars["product"].as_deref(), Some("Boathouse"));
    assert_eq!(vars["customer"], None);
    assert_eq!(vars["spare"].as_deref(), Some("1"));
}

#[test]
fn zero_and_absent_settings_are_the_defaults() {
    let settings = good("support-tiers").settings;
    let expected = Settings {
        keep_recent: Some(20),
        max_tool_output: Some(2000),
        tool_concurrency: 2,
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn a_run_begins_at_the_first_agent_that_is_not_terminal() {
    let entry = |text: &str| {
        let source = Source::from([("crew.yaml".to_owned(), text.to_owned())]);
        let checked = check(&source, "x", &catalog());
        let crew = checked.crew.unwrap_or_else(|| panic!("{}", render(&checked.problems)));
        crew.agent(crew.entry).id.to_string()
    };
    let agents = "agents: [{id: a, provider: scripted, is_terminal: true}, {id: b, provider: scripted}]\n";
    assert_eq!(entry(agents), "b");
    assert_eq!(entry(&format!("{agents}entry_point: a\n")), "a");
    assert_eq!(entry(&format!("{agents}routing: {{agent_behaviors: {{b: {{is_terminal: true}}}}}}\n")), "a");
}

#[test]
fn every_good_crew_is_drawn() {
    for folder in folders("good") {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let graph = Graph::of(&good(name));
        insta::assert_snapshot!(format!("mermaid_{name}"), graph::mermaid(&graph));
        insta::assert_snapshot!(format!("dot_{name}"), graph::dot(&graph));
    }
}

fn drawn(text: &str) -> Graph {
    let source = Source::from([("crew.yaml".to_owned(), text.to_owned())]);
    Graph::of(&check(&source, "x", &catalog()).crew.unwrap())
}

/// `from -kind-> to: label` of each arrow.
fn arrows(graph: &Graph) -> Vec<String> {
    let id = |place: usize| &graph.nodes[place].id;
    let arrow = |edge: &graph::Edge| {
        format!("{} -{:?}-> {}: {}", id(edge.from), edge.kind, id(edge.to), edge.label.join(", "))
    };
    graph.edges.iter().map(arrow).collect()
}

#[test]
fn only_what_can_act_is_drawn() {
    let text = "
agents:
  - {id: a, provider: scripted, handoff_targets: [b, c]}
  - {id: b, provider: scripted}
  - {id: c, provider: scripted, is_terminal: true}
  - {id: d, provider: scripted}
routing:
  signals:
    a: [{signal: '[B]', target: b}, {signal: '[ALSO B]', target: b}, {signal: '[TEAM]', target: team}]
    b: [{signal: '[C]', target: c}]
    c: [{signal: '[DONE]', target: null}]
    d: [{signal: '[A]', target: a}]
  defaults: {b: c}
  agent_behaviors: {b: {wait_for_signal: true}}
  parallel_groups: {team: {agents: [c, d], next_agent: c}}
";
    assert_eq!(
        arrows(&drawn(text)),
        [
            "start -Plain-> a0: ",
            "a0 -Signal-> a1: [B], [ALSO B]",
            "a0 -Signal-> g0: [TEAM]",
            "a0 -HandoffTarget-> a1: hand-off target",
            "a1 -Signal-> a2: [C]",
            "a2 -Signal-> finish: [DONE]",
            "g0 -Joined-> a2: ",
        ],
        "no default of one that waits, no other hand-off target, nothing of one that only works in a group"
    );
    assert_eq!(
        arrows(&drawn(&format!("handoff: tool{text}"))),
        [
            "start -Plain-> a0: ",
            "a0 -Transfer-> a1: transfer_to_b",
            "a0 -Transfer-> g0: transfer_to_team",
            "a0 -Transfer-> a2: transfer_to_c",
            "a0 -HandoffTarget-> a1: hand-off target",
            "a1 -Transfer-> a2: transfer_to_c",
            "a2 -Signal-> finish: [DONE]",
            "g0 -Joined-> a2: ",
        ]
    );
}

#[test]
fn a_graph_cannot_be_broken_by_names() {
    let graph = drawn("name: 'a\"b'\nagents: [{id: 'x\"]; y', name: '<b>`\\#&quot;', provider: scripted}]\n");
    let node = graph::mermaid(&graph).lines().nth(2).unwrap().trim().to_owned();
    assert_eq!(node, "a0[\"#60;b#62;#96;#92;#35;#38;quot#59;<br/>x#34;]#59; y\"]");
    let dot = graph::dot(&graph);
    assert!(dot.starts_with("digraph \"a\\\"b\" {"), "{dot}");
    assert!(dot.contains("a0 [label=\"<b>`\\\\#&amp;quot;\\nx\\\"]; y\"];"), "{dot}");
}

#[test]
fn problems_are_bounded() {
    let text = format!("agents: [{}]\n", vec!["x{}".replace("{}", "y"); 30_000].join(", "));
    let Checked { crew, problems } = check(&Source::from([("crew.yaml".to_owned(), text)]), "x", &catalog());
    assert!(crew.is_none());
    assert!(problems.len() <= 501, "{}", problems.len());
    let many: String =
        (0..20_000).map(|n| format!("  - {{id: a{n}, provider: scripted, tools: [t{n}]}}\n")).collect();
    let source = Source::from([("crew.yaml".to_owned(), format!("agents:\n{many}"))]);
    let Checked { crew, problems } = check(&source, "x", &catalog());
    assert!(crew.is_none());
    assert_eq!(
        problems.last().unwrap().message,
        "39499 more problems",
        "20000 tools, and as many agents but one that nobody reaches"
    );
    // Braces that never close, in a file of the largest size.
    let text = "agents: [{id: a, provider: scripted, tools: [T], system_prompt: '{0}'}]
tools: {T: {description: x, command: {argv: [ls, '{0}']}}}";
    let text = text.replace("{0}", &"{".repeat(500_000));
    let checked = check(&Source::from([("crew.yaml".to_owned(), text)]), "x", &catalog());
    assert!(checked.crew.is_some(), "{}", render(&checked.problems));
}

/// The good crews, one of them spoiled: a piece cut out, doubled, or replaced.
fn spoiled() -> impl Strategy<Value = (Source, String)> {
    let all: Vec<Source> = folders("good").iter().map(|folder| read(folder)).collect();
    let piece = prop_oneof![
        Just(String::new()),
        "[-?:,{}&*!|>'\"%@# \n\\[\\]a-z0-9]{1,6}",
        prop::sample::select(vec![
            "\n- ", ": ", "null", "{{", "}}", "\t", "*a", "&a ", "<<: *a", "\u{0}", "é", "0", "-1"
        ])
        .prop_map(str::to_owned),
    ];
    (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..40usize,
        piece,
    )
        .prop_map(move |(crew, file, at, cut, piece)| {
            let mut source = all[crew.index(all.len())].clone();
            let name = source.keys().nth(file.index(source.len())).unwrap().clone();
            let text: Vec<char> = source[&name].chars().collect();
            let at = at.index(text.len() + 1);
            let rest = (at + cut).min(text.len());
            let spoiled = text[..at]
                .iter()
                .chain(piece.chars().collect::<Vec<_>>().iter())
                .chain(&text[rest..])
                .collect();
            source.insert(name.clone(), spoiled);
            (source, name)
        })
}

/// What must hold of every check.
fn is_sound(source: &Source) -> Result<(), TestCaseError> {
    let first = check(source, "some-crew", &catalog());
    let errors = first.problems.iter().filter(|problem| problem.is_error()).count();
    prop_assert_eq!(first.crew.is_none(), errors > 0, "{}", render(&first.problems));
    let again = check(source, "some-crew", &catalog());
    prop_assert_eq!(&first.problems, &again.problems);
    prop_assert_eq!(format!("{:?}", first.crew), format!("{:?}", again.crew));
    render(&first.problems);
    let Some(crew) = first.crew else { return Ok(()) };
    prop_assert!(crew.entry.0 < crew.agents.len());
    for agent in &crew.agents {
        prop_assert!(!agent.models.is_empty());
        prop_assert!(agent.tools.iter().all(|tool| tool.0 < crew.tools.len()));
        let routes = agent.signals.iter().map(|signal| signal.route).chain(agent.default_route);
        for route in routes {
            // Panics on an index that the crew did not give out.
            crew.route_name(route);
        }
    }
    for group in &crew.groups {
        prop_assert!(!group.agents.is_empty());
        prop_assert!(!matches!(group.join, Join::Quorum(n) if n == 0 || n > group.agents.len()));
    }
    let graph = Graph::of(&crew);
    graph::mermaid(&graph);
    graph::dot(&graph);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_spoiled_crew_gives_a_crew_or_an_error((source, _) in spoiled()) {
        is_sound(&source)?;
    }

    #[test]
    fn any_text_gives_a_crew_or_an_error(crew in any::<String>(), agent in any::<String>()) {
        is_sound(&Source::from([("crew.yaml".to_owned(), crew), ("agents/a.yaml".to_owned(), agent)]))?;
    }

    #[test]
    fn the_hash_changes_if_and_only_if_the_source_does((source, name) in spoiled()) {
        let crews = folders("good");
        let original = crews.iter().map(|folder| read(folder)).find(|other| {
            other.keys().eq(source.keys()) && other.iter().all(|(file, text)| *file == name || source[file] == *text)
        });
        let original = original.unwrap();
        prop_assert_eq!(hash(&original) == hash(&source), original == source);
    }
}

#[test]
fn the_hash_tells_files_apart_and_stays_over_versions() {
    let of = |files: &[(&str, &str)]| {
        hash(&files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    };
    assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
    assert_ne!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "1b2")]));
    assert_ne!(of(&[("crew.yaml", "x")]), of(&[("crew.yaml", "x"), ("scripted.yaml", "")]));
    // Runs in journals hold this hash.
    assert_eq!(
        of(&[("crew.yaml", "name: x\n"), ("agents/a.yaml", "id: a\n")]),
        "82783ffd13d7a350b20b7ae469f15ecc666b58b96954b745b9188e4f5e4ecddc"
    );
}

//! Cancel means stopped: whatever a run was doing, nothing of it is alive once a cancel that waits has been answered, and the
//! receipt says how each call ended.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use boathouse::core::crew::Effect;
use boathouse::core::crew::check::Catalog;
use boathouse::core::ids::RunId;
use boathouse::core::run::event::{CallEnd, CancelReason, Event, Outcome, ReceiptLine, RunState};
use boathouse::engine::{Engine, RunView};
use boathouse::journal::sqlite::SqliteJournal;
use boathouse::provider::Providers;
use boathouse::provider::scripted::Scripted;
use boathouse::tool::{ToolError, Tools, abandoned_count, function};
use proptest::prelude::*;
use proptest::test_runner::Config;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

use crate::upstream::{Answer, Upstream};

use super::support::*;

/// Short, as some calls use all of it; enough for a program that obeys on a machine that has much else to do.
const GRACE: Duration = Duration::from_secs(1);
/// Where no call uses it up.
const LONG_GRACE: Duration = Duration::from_secs(20);

/// Something that an agent can be doing when its run is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// A model over a real socket that has said nothing yet, or half of it.
    Model { begun: bool },
    /// A function that watches for the cancel.
    Cooperates,
    /// A function that is done just when it is told to stop.
    Finishes,
    /// A function that is dropped.
    Waits,
    /// A function that says that it watches, and does not.
    Ignores,
    /// Code that holds its thread.
    Blocks,
    /// A program with a child, which ends when it is asked to.
    Program,
    /// A program with a child, both of which do not.
    Stubborn,
    /// A request over a real socket that nobody answers.
    Request,
}

impl Work {
    const ALL: [Work; 10] = [
        Work::Model { begun: false },
        Work::Model { begun: true },
        Work::Cooperates,
        Work::Finishes,
        Work::Waits,
        Work::Ignores,
        Work::Blocks,
        Work::Program,
        Work::Stubborn,
        Work::Request,
    ];

    /// What the receipt must say of it.
    fn end(self) -> CallEnd {
        match self {
            Work::Model { .. } | Work::Request => CallEnd::Disconnected,
            Work::Cooperates | Work::Waits => CallEnd::Dropped,
            Work::Finishes => CallEnd::Finished,
            Work::Ignores | Work::Blocks => CallEnd::Abandoned,
            Work::Program => CallEnd::Terminated,
            Work::Stubborn => CallEnd::Killed,
        }
    }

    /// Whether it ends only because the grace does.
    fn uses_up_the_grace(self) -> bool {
        matches!(self.end(), CallEnd::Abandoned | CallEnd::Killed)
    }

    fn tool(self) -> Option<&'static str> {
        match self {
            Work::Model { .. } => None,
            Work::Cooperates => Some("cooperates"),
            Work::Finishes => Some("finishes"),
            Work::Waits => Some("waits"),
            Work::Ignores => Some("ignores"),
            Work::Blocks => Some("blocks"),
            Work::Program => Some("program"),
            Work::Stubborn => Some("stubborn"),
            Work::Request => Some("request"),
        }
    }
}

/// A crew of one agent, or of a desk that opens a group; each agent does its works at once.
fn crew(agents: &[Vec<Work>], url: &str, dir: &Path) -> (String, String) {
    let mut script = "rules:\n  - { agent: desk, reply: \"all of you [ALL]\" }\n".to_owned();
    let mut text =
        "name: busy\nagents:\n  - { id: desk, provider: scripted, model: any, system_prompt: x }\n"
            .to_owned();
    let mut ids = Vec::new();
    for (place, works) in agents.iter().enumerate() {
        let id = format!("a{place}");
        let tools: Vec<&str> = works.iter().filter_map(|work| work.tool()).collect();
        if tools.is_empty() {
            text += &format!(
                "  - {{ id: {id}, provider: remote, model: any, provider_url: \"{url}\", system_prompt: x }}\n"
            );
        } else {
            let named = tools.join(", ");
            text += &format!(
                "  - {{ id: {id}, provider: scripted, model: any, system_prompt: x, tools: [{named}] }}\n"
            );
            let calls: Vec<String> = tools.iter().map(|tool| format!("{{ name: {tool} }}")).collect();
            script +=
                &format!("  - {{ agent: {id}, call: 1, reply: \"\", tools: [{}] }}\n", calls.join(", "));
        }
        ids.push(id);
    }
    text += &format!(
        "routing:\n  signals:\n    desk: [{{ signal: \"[ALL]\", target: all }}]\n  parallel_groups:\n    all: {{ agents: [{}] }}\n",
        ids.join(", ")
    );
    let fifo = dir.join("started");
    let program = |name: &str, body: &str| {
        format!(
            "  {name}:\n    description: For tests\n    command: {{ argv: [sh, -c, \"{body}\"] }}\n",
            body = body.replace("FIFO", &fifo.display().to_string())
        )
    };
    text += "tools:\n";
    text += &program("program", "sh -c 'sleep 600; : FIFO' & echo program > FIFO; wait");
    text += &program(
        "stubborn",
        "trap '' TERM; sh -c 'trap : TERM; sleep 600; sleep 600; : FIFO' & echo stubborn > FIFO; wait; wait; wait",
    );
    text += &format!("  request: {{ description: For tests, http: {{ method: POST, url: \"{url}\" }} }}\n");
    text += "settings: { timeout_seconds: 600, parallel_timeout_seconds: 600, tool_execution_timeout_seconds: 600 }\n";
    (text, script)
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// A door that blocked threads wait at.
type Door = Arc<Mutex<blocking::Receiver<()>>>;

fn tools(started: &mpsc::UnboundedSender<&'static str>, door: &Door) -> Tools {
    let tell = |name: &'static str| {
        let started = started.clone();
        move || {
            // The test may be over.
            let _ = started.send(name);
        }
    };
    let (a, b, c, d, e) =
        (tell("cooperates"), tell("finishes"), tell("waits"), tell("ignores"), tell("blocks"));
    let door = door.clone();
    let tools = [
        function("cooperates", "For tests", move |_: Nothing, cx| {
            a();
            async move {
                cx.cancelled.cancelled().await;
                Err(ToolError::Stopped(CallEnd::Dropped))
            }
        })
        .cooperative(),
        function("finishes", "For tests", move |_: Nothing, cx| {
            b();
            async move {
                cx.cancelled.cancelled().await;
                Ok("just done".to_owned())
            }
        })
        .cooperative(),
        function("waits", "For tests", move |_: Nothing, _| {
            c();
            std::future::pending()
        }),
        function("ignores", "For tests", move |_: Nothing, _| {
            d();
            std::future::pending()
        })
        .cooperative(),
        function("blocks", "For tests", move |_: Nothing, _| {
            e();
            // Until the test lets it go.
            let _ = door.lock().map(|door| door.recv());
            std::future::ready(Ok("late".to_owned()))
        }),
    ];
    tools
        .into_iter()
        .fold(Tools::new(), |tools, tool| tools.with(tool.effect(Effect::Read)).expect("the name is free"))
}

/// What is still running of programs that know this folder.
fn programs(dir: &Path) -> Vec<String> {
    let mark = dir.display().to_string();
    let read = |path: PathBuf| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("there is one").flatten() {
        let stat = read(process.path().join("stat")).unwrap_or_default();
        let ended = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        if let Ok(line) = read(process.path().join("cmdline"))
            && line.contains(&mark)
            && !ended
        {
            found.push(line.replace('\0', " "));
        }
    }
    found
}

/// Waits until something holds, which needs no more than other tasks' turn.
async fn soon(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("never so: {what}"));
}

fn receipt(view: &RunView) -> &[ReceiptLine] {
    match &view.outcome {
        Some(Outcome::Cancelled { receipt, .. }) => receipt,
        other => panic!("not cancelled: {other:?}"),
    }
}

/// Starts a run with these works, cancels it when so many of them have begun, and looks whether anything is left.
async fn nothing_is_left(agents: Vec<Vec<Work>>, begun: usize, mut upstream: Upstream) {
    let dir = tempfile::tempdir().expect("a folder");
    let fifo = dir.path().join("started");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let (started, mut starts) = mpsc::unbounded_channel();
    // Open for reading and writing: the end of one writer is not the end.
    let pipe = std::fs::File::options().read(true).write(true).open(&fifo).expect("it opens");
    let told = started.clone();
    let listener = std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(pipe).lines().map_while(Result::ok) {
            match line.as_str() {
                name @ ("program" | "stubborn") => {
                    let name = if name == "program" { "program" } else { "stubborn" };
                    // The test may be over.
                    let _ = told.send(name);
                }
                _ => return,
            }
        }
    });
    let (open, door) = blocking::channel();
    let door: Door = Arc::new(Mutex::new(door));
    let works: Vec<Work> = agents.iter().flatten().copied().collect();
    for work in &works {
        match work {
            Work::Model { begun: false } | Work::Request => upstream.answer(Answer::default().stall()),
            Work::Model { begun: true } => {
                let piece = br#"data: {"choices":[{"index":0,"delta":{"content":"half"}}]}"#;
                upstream.answer(Answer::stream().chunk(&[piece.as_slice(), b"\n\n"].concat()).stall());
            }
            _ => {}
        }
    }
    let providers = Providers::new().with("scripted", Arc::new(Scripted::new())).openai_compatible(
        "remote",
        upstream.url(),
        None,
    );
    let tools = tools(&started, &door);
    let catalog =
        Catalog { tools: tools.specs(), providers: vec!["scripted".to_owned(), "remote".to_owned()] };
    let (crew, script) = crew(&agents, &upstream.url(), dir.path());
    let journal = SqliteJournal::open(dir.path().join("runs.db")).await.expect("it opens");
    let grace = if works.iter().any(|work| work.uses_up_the_grace()) { GRACE } else { LONG_GRACE };
    let engine = Engine::builder()
        .providers(providers)
        .tools(tools)
        .journal(journal)
        .crew(load(&crew, &script, &catalog))
        .cancel_grace(grace)
        .start()
        .await
        .expect("the engine starts");
    // Connections that are not in use have a keeper, which is no run's.
    let keeper = usize::from(works.iter().any(|work| matches!(work, Work::Model { .. })));
    let before = Handle::current().metrics().num_alive_tasks() + keeper;

    let abandoned_before = abandoned_count();
    let run = engine.start(start("busy")).await.expect("it starts");
    for _ in 0..begun.min(works.len()) {
        tokio::select! {
            Some(_) = starts.recv() => {}
            _ = upstream.request() => {}
        }
    }
    let view = engine.cancel(&run, CancelReason::Requested, true).await.expect("it can be cancelled");

    assert_eq!(programs(dir.path()), Vec::<String>::new(), "no program is left of {agents:?}");
    let all_begun = begun >= works.len();
    let lines = receipt(&view);
    for line in lines {
        let theirs =
            line.agent.as_str().strip_prefix('a').and_then(|place| agents.get(place.parse::<usize>().ok()?));
        let work = theirs.into_iter().flatten().find(|work| work.tool() == line.tool.as_deref());
        // What was told to stop before it had begun was not made, or ended before it was at work.
        let early =
            !all_begun && matches!(line.end, CallEnd::Dropped | CallEnd::Finished | CallEnd::Terminated);
        assert!(early || work.map(|work| work.end()) == Some(line.end), "{work:?} in {lines:?}");
    }
    if all_begun {
        assert_eq!(lines.len(), works.len(), "every call is named: {lines:?}");
    }
    upstream.open_is(0).await;
    // What blocks a thread cannot be stopped; it is counted.
    let blocked = works.iter().filter(|work| **work == Work::Blocks).count();
    if all_begun {
        assert!(abandoned_count() - abandoned_before >= blocked as u64, "what went on is counted");
    }
    let events = log(&engine, &run).await;
    assert!(matches!(events.last().map(|last| &last.event), Some(Event::RunEnded { .. })));
    drop(open);
    // The run's own task ends with its turn.
    soon("no task of the run is alive", || Handle::current().metrics().num_alive_tasks() <= before).await;
    assert_eq!(log(&engine, &run).await.len(), events.len(), "nothing is recorded after the end");

    let again = engine.cancel(&run, CancelReason::Requested, true).await.expect("nothing to do");
    assert_eq!(receipt(&again), lines, "the receipt does not change");
    engine.shutdown(Duration::from_secs(5)).await;
    std::fs::write(&fifo, "over\n").expect("somebody listens");
    listener.join().expect("no panic");
}

fn in_a_world_of_its_own(test: impl AsyncFnOnce(Upstream)) {
    let runtime = |threads| Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    // A task that has yielded waits for its own thread, which a call may block: the peer has a thread that none does.
    let peers = runtime(1).expect("a runtime");
    let upstream = peers.block_on(Upstream::start());
    // More threads than may be blocked at once.
    runtime(4).expect("a runtime").block_on(test(upstream));
}

/// What an agent does: one model call, or some of the tools.
fn works() -> impl Strategy<Value = Vec<Work>> {
    let tools = proptest::sample::subsequence(Work::ALL[2..].to_vec(), 1..=3);
    prop_oneof![
        1 => any::<bool>().prop_map(|begun| vec![Work::Model { begun }]),
        2 => tools,
    ]
}

proptest! {
    #![proptest_config(Config { cases: 24, max_shrink_iters: 24, ..Config::default() })]

    #[test]
    fn whatever_a_run_does_nothing_of_it_is_alive_after_a_cancel(
        mut agents in proptest::collection::vec(works(), 1..4),
        begun in 0_usize..12,
    ) {
        // One thread is enough to show what blocking does.
        let mut blocks = false;
        for works in &mut agents {
            works.retain(|work| *work != Work::Blocks || !std::mem::replace(&mut blocks, true));
        }
        agents.retain(|works| !works.is_empty());
        in_a_world_of_its_own(async |upstream| nothing_is_left(agents, begun, upstream).await);
    }
}

#[test]
fn each_kind_of_call_ends_as_the_contract_says() {
    for work in Work::ALL {
        in_a_world_of_its_own(async |upstream| nothing_is_left(vec![vec![work]], 1, upstream).await);
    }
}

/// A run that was cancelled while one agent waited for this model; the reply's end is told by the peer.
async fn with_a_model_at_work(script: impl FnOnce(&str) -> String) -> (Engine, RunId, Upstream) {
    let mut upstream = Upstream::start().await;
    upstream.answer(Answer::default().stall());
    let providers = Providers::new().openai_compatible("remote", upstream.url(), None);
    let catalog = Catalog { tools: Vec::new(), providers: vec!["remote".to_owned()] };
    let engine = Engine::builder()
        .providers(providers)
        .crew(load(&script(&upstream.url()), "rules: []", &catalog))
        .cancel_grace(GRACE)
        .start()
        .await
        .expect("the engine starts");
    let run = engine.start(start("one")).await.expect("it starts");
    upstream.request().await;
    (engine, run, upstream)
}

#[tokio::test]
async fn a_deadline_takes_the_same_path_as_a_cancel() {
    let (engine, run, upstream) = with_a_model_at_work(|url| {
        format!(
            "name: one\nagents:\n  - {{ id: a, provider: remote, model: any, provider_url: \"{url}\", system_prompt: x }}\nsettings: {{ timeout_seconds: 0.2 }}\n"
        )
    })
    .await;
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(view.state, RunState::LimitReached);
    let stopped = log(&engine, &run).await.into_iter().find_map(|recorded| match recorded.event {
        Event::CallStopped { end, .. } => Some(end),
        _ => None,
    });
    assert_eq!(stopped, Some(CallEnd::Disconnected));
    upstream.gone_is(1).await;
}

#[tokio::test]
async fn a_second_cancel_waits_for_the_same_end() {
    let (engine, run, upstream) = with_a_model_at_work(|url| {
        format!("name: one\nagents:\n  - {{ id: a, provider: remote, model: any, provider_url: \"{url}\", system_prompt: x }}\n")
    })
    .await;
    let cancels = (0..8).map(|_| engine.cancel(&run, CancelReason::Requested, true));
    let views = futures_util::future::join_all(cancels).await;
    let views: Vec<RunView> = views.into_iter().map(|view| view.expect("it can be cancelled")).collect();
    for view in &views {
        assert_eq!(receipt(view), receipt(&views[0]));
        assert_eq!(view.seq, views[0].seq);
    }
    assert_eq!(receipt(&views[0])[0].end, CallEnd::Disconnected);
    upstream.gone_is(1).await;
    let requests = log(&engine, &run)
        .await
        .into_iter()
        .filter(|recorded| matches!(recorded.event, Event::CancelRequested { .. }));
    assert_eq!(requests.count(), 1);
}

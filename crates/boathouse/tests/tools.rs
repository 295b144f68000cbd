//! Command tools with real processes: what they get, what they give, and that nothing of them outlives the call.
//!
//! Scripts tell their process ids through a named pipe that all their processes hold open: its end is their end.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use boathouse::core::crew::{CommandLine, CommandSpec, Effect, ToolDef, ToolKind, ToolSpec};
use boathouse::core::message::ResultStatus;
use boathouse::core::run::event::CallEnd;
use boathouse::tool::{CallLimits, ToolEnd, Tools, abandoned_count, call, tool_for};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio_util::sync::CancellationToken;

#[path = "support/calls.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod calls;

use calls::{context, success};

const LIMITS: CallLimits = CallLimits {
    timeout: Duration::from_secs(30),
    grace: Duration::from_secs(8),
    max_output_bytes: 32 * 1024,
};

/// A crew's folder with one command tool.
struct Crew {
    dir: TempDir,
    def: ToolDef,
}

impl Crew {
    fn new(argv: &[&str]) -> Crew {
        Crew::of(CommandLine::Argv(argv.iter().map(|element| (*element).to_owned()).collect()))
    }

    fn of(run: CommandLine) -> Crew {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "command": {"type": "string"}},
        });
        let def = ToolDef {
            spec: Arc::new(ToolSpec::new("Tool", "", schema)),
            kind: ToolKind::Command(Arc::new(CommandSpec { run, cwd: None, env: Vec::new() })),
        };
        Crew { dir: TempDir::new().unwrap(), def }
    }

    /// A tool that runs a shell script of the crew's, with a named pipe `pipe` beside it.
    fn script(text: &str) -> Crew {
        let crew = Crew::new(&["sh", "script.sh"]);
        std::fs::write(crew.dir.path().join("script.sh"), text).unwrap();
        let made = std::process::Command::new("mkfifo").arg(crew.path("pipe")).status().unwrap();
        assert!(made.success());
        crew
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(mut self, change: impl FnOnce(&mut CommandSpec)) -> Crew {
        let ToolKind::Command(command) = &self.def.kind else { unreachable!() };
        let mut command = (**command).clone();
        change(&mut command);
        self.def.kind = ToolKind::Command(Arc::new(command));
        self
    }

    fn effect(mut self, effect: Effect) -> Crew {
        self.def.spec = Arc::new((*self.def.spec).clone().effect(effect));
        self
    }

    async fn call(&self, arguments: Value) -> ToolEnd {
        self.call_with(arguments, &CancellationToken::new(), LIMITS).await
    }

    async fn call_with(
        &self,
        arguments: Value,
        cancelled: &CancellationToken,
        limits: CallLimits,
    ) -> ToolEnd {
        let cx = context(Some(self.dir.path().to_owned()), cancelled);
        call(tool_for(&Tools::new(), &self.def).unwrap(), &arguments, cx, limits).await
    }

    /// Reads the line of process ids that the script writes once all its processes are at work.
    async fn at_work(&self) -> (Vec<u32>, BufReader<File>) {
        let mut pipe = BufReader::new(File::open(self.path("pipe")).await.unwrap());
        let mut line = String::new();
        pipe.read_line(&mut line).await.unwrap();
        (line.split_whitespace().map(|pid| pid.parse().unwrap()).collect(), pipe)
    }

    /// Cancels the call when its processes are at work; gives its end and their ids.
    async fn cancel_at_work(&self, limits: CallLimits) -> (ToolEnd, Vec<u32>) {
        let token = CancellationToken::new();
        let (end, pids) = tokio::join!(self.call_with(json!({}), &token, limits), async {
            let (pids, _) = self.at_work().await;
            assert!(pids.len() > 1 && pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
            token.cancel();
            pids
        });
        (end, pids)
    }
}

/// Whether a process runs; one that has ended and only waits to be collected does not.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else {
        return false;
    };
    !matches!(stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]), Some("Z" | "X"))
}

fn error(output: &str) -> ToolEnd {
    ToolEnd::Returned { status: ResultStatus::Error, output: output.to_owned() }
}

/// Two processes below the shell, one of them not its child; all ignore SIGTERM.
const STUBBORN: &str = r#"
trap '' TERM
exec 3> pipe
(sleep 1000 & echo $! > inner; exec sleep 1000) &
while ! test -s inner; do :; done
echo $$ $! $(cat inner) >&3
wait
"#;

#[tokio::test]
async fn an_argument_is_one_argument_whatever_is_in_it() {
    let crew = Crew::new(&["printf", "<%s>", "{a}", "--b={b}"]);
    let end = crew.call(json!({"a": "x $(id); `id` 'y' \"z\" *", "b": "1 2\n3"})).await;
    assert_eq!(end, success("<x $(id); `id` 'y' \"z\" *><--b=1 2\n3>"));
}

#[tokio::test]
async fn a_value_that_would_be_an_option_is_refused_before_the_program_starts() {
    let crew = Crew::new(&["touch", "{a}"]);
    let ToolEnd::Returned { status: ResultStatus::Error, output } =
        crew.call(json!({"a": "--version"})).await
    else {
        panic!()
    };
    assert_eq!(output, "`a` may not begin with `-` here: the program would take it for an option");
}

#[tokio::test]
async fn after_two_dashes_a_value_may_begin_with_one() {
    let mut crew = Crew::new(&["grep", "--fixed-strings", "--max-count={lines}", "--", "{text}", "app.log"]);
    let schema = json!({
        "type": "object",
        "properties": {"text": {"type": "string"}, "lines": {"type": "integer", "default": 1}},
        "required": ["text"],
    });
    crew.def.spec = Arc::new(ToolSpec::new("SearchLog", "", schema));
    std::fs::write(crew.path("app.log"), "one\ntwo --help\nthree --help\n").unwrap();
    assert_eq!(crew.call(json!({"text": "--help"})).await, success("two --help"));
    assert_eq!(crew.call(json!({"text": "--help", "lines": 9})).await, success("two --help\nthree --help"));
}

#[tokio::test]
async fn a_definition_that_cannot_work_is_told_to_the_model() {
    let end = Crew::new(&["ls", "{path}"]).call(json!({})).await;
    let told = "the tool `Tool` cannot be called: `{path}` is no parameter of the tool; declare it, or write `{{path}}` for the text";
    assert_eq!(end, error(told));
}

#[tokio::test]
async fn only_listed_variables_are_handed_on() {
    // Cargo and nextest set these two for tests.
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some() && std::env::var_os("CARGO_PKG_VERSION").is_some());
    let crew = Crew::new(&["env"]).command(|command| command.env = vec!["CARGO_PKG_NAME".to_owned()]);
    let ToolEnd::Returned { status: ResultStatus::Success, output } = crew.call(json!({})).await else {
        panic!()
    };
    let names: BTreeMap<&str, &str> = output.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(names["CARGO_PKG_NAME"], "boathouse");
    assert_eq!(names["BOATHOUSE_IDEMPOTENCY_KEY"], "run-7");
    let known = ["PATH", "HOME", "LANG", "TZ", "CARGO_PKG_NAME", "BOATHOUSE_IDEMPOTENCY_KEY"];
    assert!(names.keys().all(|name| known.contains(name)), "{names:?}");
}

#[tokio::test]
async fn a_failure_tells_code_and_both_outputs() {
    let crew = Crew::script("echo partial; echo 'no such host' >&2; exit 3");
    let end = crew.call(json!({})).await;
    assert_eq!(end, error("`sh` ended with exit code 3\n[stderr]\nno such host\n[stdout]\npartial"));
}

#[tokio::test]
async fn a_program_that_crashed_has_an_unknown_outcome() {
    let crew = Crew::script("kill -9 $$");
    let end = crew.call(json!({})).await;
    let message = "`sh` was ended by signal 9".to_owned();
    assert_eq!(end, ToolEnd::Unknown { end: CallEnd::Unknown, message: message.clone() });
    assert_eq!(crew.effect(Effect::Read).call(json!({})).await, error(&message));
}

#[tokio::test]
async fn a_program_is_called_by_the_name_that_the_crew_gives_it() {
    assert_eq!(Crew::new(&["sh", "-c", "echo $0"]).call(json!({})).await, success("sh"));
    let crew = Crew::new(&["./say.sh"]);
    let program = crew.path("say.sh");
    std::fs::write(&program, "#!/bin/sh\necho said").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(crew.call(json!({})).await, success("said"));
}

#[tokio::test]
async fn a_missing_program_is_told() {
    let end = Crew::new(&["no-such-program-here"]).call(json!({})).await;
    let told = "cannot start `no-such-program-here`: no such program or working directory on this machine";
    assert_eq!(end, error(told));
}

#[tokio::test]
async fn it_works_in_the_crews_folder_and_nowhere_else() {
    let crew = Crew::new(&["sh", "-c", "pwd -P"]).command(|command| command.cwd = Some("data/in".to_owned()));
    let inside = crew.path("data/in");
    std::fs::create_dir_all(&inside).unwrap();
    let inside = inside.canonicalize().unwrap();
    assert_eq!(crew.call(json!({})).await, success(inside.to_str().unwrap()));

    std::fs::remove_dir(&inside).unwrap();
    std::os::unix::fs::symlink("/", &inside).unwrap();
    let told = "tool Tool: its working directory leads out of the crew's folder, to /";
    assert_eq!(crew.call(json!({})).await, error(told));
}

#[tokio::test]
async fn an_allow_list_starts_what_it_names() {
    let crew = Crew::of(CommandLine::Allow(BTreeMap::from([
        ("greet".to_owned(), vec!["echo".to_owned(), "hello {a}".to_owned()]),
        ("part".to_owned(), vec!["echo".to_owned(), "bye".to_owned()]),
    ])));
    assert_eq!(crew.call(json!({"command": "greet", "a": "you"})).await, success("hello you"));
    let end = crew.call(json!({"command": "rm -rf /"})).await;
    assert_eq!(end, error("`rm -rf /` is not allowed; `command` is one of: greet, part"));
}

#[tokio::test]
async fn output_is_read_to_the_end_and_kept_to_the_cap() {
    let mut crew = Crew::script("head -c 5000000 /dev/zero | tr '\\0' x; echo end >&2");
    crew.def.spec = Arc::new(ToolSpec { max_output_bytes: 1000, ..(*crew.def.spec).clone() });
    let kept = "x".repeat(1000);
    let told = format!("{kept}\n[cut here: the output was longer than 1000 bytes]\n[stderr]\nend");
    assert_eq!(crew.call(json!({})).await, success(&told));
}

#[tokio::test]
async fn cancel_terminates_the_whole_group() {
    let crew = Crew::script("exec 3> pipe; sleep 1000 & echo $$ $! >&3; wait");
    let (end, pids) = crew.cancel_at_work(LIMITS).await;
    assert_eq!(end, ToolEnd::Stopped(CallEnd::Terminated));
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_with_its_grandchildren() {
    let before = abandoned_count();
    let crew = Crew::script(STUBBORN);
    let (end, pids) = crew.cancel_at_work(CallLimits { grace: Duration::from_millis(800), ..LIMITS }).await;
    assert_eq!(end, ToolEnd::Stopped(CallEnd::Killed));
    assert_eq!(pids.len(), 3);
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
    assert_eq!(abandoned_count(), before);
}

#[tokio::test]
async fn a_grandchild_that_ignores_sigterm_is_killed_though_the_program_obeyed() {
    let crew = Crew::script(
        "exec 3> pipe; (trap '' TERM; exec sleep 1000 > /dev/null 2>&1) & echo $$ $! > ids
         while ! grep -q sleep /proc/$!/comm; do :; done; cat ids >&3; exec 3>&-; wait",
    );
    let (end, pids) = crew.cancel_at_work(CallLimits { grace: Duration::from_millis(800), ..LIMITS }).await;
    assert_eq!(end, ToolEnd::Stopped(CallEnd::Killed));
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}

#[tokio::test]
async fn a_timeout_stops_the_group_too() {
    let crew = Crew::script("exec 3> pipe; sleep 1000 & echo $$ $! >&3; wait");
    let limits = CallLimits { timeout: Duration::from_millis(300), ..LIMITS };
    let token = CancellationToken::new();
    let (end, (pids, _)) = tokio::join!(crew.call_with(json!({}), &token, limits), crew.at_work());
    let message = "timed out after 300 ms; its processes were terminated".to_owned();
    assert_eq!(end, ToolEnd::Unknown { end: CallEnd::Unknown, message });
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}

#[tokio::test]
async fn a_child_left_behind_neither_hangs_the_call_nor_outlives_it() {
    let crew = Crew::script("exec 3> pipe; sleep 1000 & echo $$ $! >&3; echo done");
    let (end, (pids, _)) = tokio::join!(crew.call(json!({})), crew.at_work());
    assert_eq!(end, success("done"));
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}

#[tokio::test]
async fn a_process_that_leaves_the_group_does_not_hang_the_call() {
    let crew = Crew::script("setsid sh -c 'echo $$ > pipe; exec sleep 1000' & read pid < pipe; echo $pid");
    let ToolEnd::Returned { status: ResultStatus::Success, output } = crew.call(json!({})).await else {
        panic!()
    };
    let escaped = rustix::process::Pid::from_raw(output.parse().unwrap()).unwrap();
    rustix::process::kill_process(escaped, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn dropping_the_call_kills_the_group() {
    let crew = Crew::script(STUBBORN);
    let token = CancellationToken::new();
    let mut pipe = tokio::select! {
        end = crew.call_with(json!({}), &token, LIMITS) => panic!("{end:?}"),
        (_, pipe) = crew.at_work() => pipe,
    };
    // The end of the pipe is the end of all processes that hold it.
    assert_eq!(pipe.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

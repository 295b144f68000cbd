#![expect(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;

use async_trait::async_trait;
use boathouse_core::ids::CallId;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::tool::Tools;

const LIMITS: CallLimits =
    CallLimits { timeout: Duration::from_secs(30), grace: Duration::from_secs(5), max_output_bytes: 1000 };

/// What the tool under test does.
enum Does {
    Say(String),
    FailUntil(u32),
    Refuse,
    Panic,
    Hang(Arc<Notify>),
    StopWhenTold(Arc<Notify>),
    FinishWhenTold(Arc<Notify>),
    Block(Mutex<Option<mpsc::Receiver<()>>>, Arc<Notify>),
    LoseTrack,
}

struct Probe {
    spec: Arc<ToolSpec>,
    does: Does,
    calls: Arc<AtomicU32>,
    attempts: Arc<Mutex<Vec<(u32, String)>>>,
}

fn probe(effect: Effect, does: Does) -> Probe {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    Probe {
        spec: Arc::new(ToolSpec { retries: 2, ..ToolSpec::new("Probe", "", schema).effect(effect) }),
        does,
        calls: Arc::default(),
        attempts: Arc::default(),
    }
}

#[async_trait]
impl Tool for Probe {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, _: &Value, cx: &ToolCx) -> Result<String, ToolError> {
        let nth = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.attempts.lock().unwrap().push((cx.attempt, cx.idempotency_key.clone()));
        match &self.does {
            Does::Say(text) => Ok(text.clone()),
            Does::FailUntil(n) if nth >= *n => Ok(format!("worked at try {nth}")),
            Does::FailUntil(_) => Err(ToolError::Failed(format!("no luck at try {nth}"))),
            Does::Refuse => Err(ToolError::Refused("not like this".to_owned())),
            Does::Panic => panic!("ouch {nth}"),
            Does::Hang(begun) => {
                begun.notify_one();
                std::future::pending().await
            }
            Does::StopWhenTold(begun) => {
                begun.notify_one();
                cx.cancelled.cancelled().await;
                Err(ToolError::Stopped(CallEnd::Terminated))
            }
            Does::FinishWhenTold(begun) => {
                begun.notify_one();
                cx.cancelled.cancelled().await;
                Ok("done after all".to_owned())
            }
            Does::Block(release, begun) => {
                let release = release.lock().unwrap().take().unwrap();
                begun.notify_one();
                let _ = release.recv();
                Ok("too late".to_owned())
            }
            Does::LoseTrack => Err(ToolError::Unknown("the connection broke".to_owned())),
        }
    }

    fn stop(&self) -> Stop {
        match self.does {
            Does::StopWhenTold(_) | Does::FinishWhenTold(_) => Stop::Cooperate,
            _ => Stop::Drop,
        }
    }
}

fn cx(cancelled: &CancellationToken) -> ToolCx {
    ToolCx {
        run: "r".into(),
        call: CallId(1),
        attempt: 1,
        agent: "a".into(),
        idempotency_key: "r-1".to_owned(),
        crew_dir: None,
        history: rpds::VectorSync::new_sync(),
        cancelled: cancelled.clone(),
        grace: Duration::ZERO,
    }
}

async fn run(probe: Probe) -> ToolEnd {
    call(Arc::new(probe), &json!({}), cx(&CancellationToken::new()), LIMITS).await
}

/// Starts the call, waits until the tool is at work, cancels it.
async fn run_and_cancel(effect: Effect, make: impl FnOnce(Arc<Notify>) -> Does) -> ToolEnd {
    let (begun, token) = (Arc::new(Notify::new()), CancellationToken::new());
    let tool = Arc::new(probe(effect, make(begun.clone())));
    let arguments = json!({});
    let (end, ()) = tokio::join!(call(tool, &arguments, cx(&token), LIMITS), async {
        begun.notified().await;
        token.cancel();
    });
    end
}

fn error(output: &str) -> ToolEnd {
    ToolEnd::error(output)
}

fn success(output: &str) -> ToolEnd {
    ToolEnd::Returned { status: ResultStatus::Success, output: output.to_owned() }
}

fn unknown(message: &str) -> ToolEnd {
    ToolEnd::Unknown { end: CallEnd::Unknown, message: message.to_owned() }
}

#[tokio::test]
async fn bad_arguments_never_reach_the_tool() {
    let probe = probe(Effect::Read, Does::Say("called".to_owned()));
    let calls = probe.calls.clone();
    let tool = Tools::new().with(probe).unwrap().get("Probe").unwrap();
    let end = call(tool, &json!({"n": "one"}), cx(&CancellationToken::new()), LIMITS).await;
    let ToolEnd::Returned { status: ResultStatus::Error, output } = end else { panic!("{end:?}") };
    assert!(output.contains("- /n: \"one\" is not of type \"integer\""), "{output}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn failed_reads_are_tried_again_with_the_same_key() {
    let probe = probe(Effect::Idempotent, Does::FailUntil(3));
    let attempts = probe.attempts.clone();
    assert_eq!(run(probe).await, success("worked at try 3"));
    let key = "r-1".to_owned();
    assert_eq!(*attempts.lock().unwrap(), [(1, key.clone()), (2, key.clone()), (3, key)]);
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_last_failure() {
    assert_eq!(run(probe(Effect::Read, Does::FailUntil(9))).await, error("no luck at try 3"));
    assert_eq!(run(probe(Effect::Read, Does::Panic)).await, error("tool Probe panicked: ouch 3"));
}

#[tokio::test(start_paused = true)]
async fn once_tools_and_refusals_are_never_tried_again() {
    assert_eq!(run(probe(Effect::Once, Does::FailUntil(2))).await, error("no luck at try 1"));
    assert_eq!(run(probe(Effect::Once, Does::Panic)).await, unknown("tool Probe panicked: ouch 1"));
    assert_eq!(run(probe(Effect::Once, Does::LoseTrack)).await, unknown("the connection broke"));
    let refusing = probe(Effect::Read, Does::Refuse);
    let calls = refusing.calls.clone();
    assert_eq!(run(refusing).await, error("not like this"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_an_error_result_or_an_unknown_outcome() {
    let hang = || Does::Hang(Arc::new(Notify::new()));
    assert_eq!(run(probe(Effect::Read, hang())).await, error("timed out after 30 s"));
    assert_eq!(run(probe(Effect::Once, hang())).await, unknown("timed out after 30 s"));
    let cooperating = probe(Effect::Once, Does::StopWhenTold(Arc::new(Notify::new())));
    assert_eq!(run(cooperating).await, unknown("timed out after 30 s; its processes were terminated"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_says_what_became_of_it() {
    let before = tokio::time::Instant::now();
    assert_eq!(run_and_cancel(Effect::Once, Does::Hang).await, ToolEnd::Stopped(CallEnd::Dropped));
    let told = run_and_cancel(Effect::Once, Does::StopWhenTold).await;
    assert_eq!(told, ToolEnd::Stopped(CallEnd::Terminated));
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits for a grace that is not needed");
    assert_eq!(run_and_cancel(Effect::Once, Does::FinishWhenTold).await, success("done after all"));
}

#[tokio::test]
async fn a_call_cancelled_before_it_began_is_not_made() {
    let (token, probe) = (CancellationToken::new(), probe(Effect::Once, Does::Panic));
    token.cancel();
    assert_eq!(call(Arc::new(probe), &json!({}), cx(&token), LIMITS).await, error("not run: cancelled"));
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_the_pause_before_a_retry() {
    let token = CancellationToken::new();
    let probe = Arc::new(probe(Effect::Read, Does::FailUntil(9)));
    let arguments = json!({});
    let (end, ()) = tokio::join!(call(probe.clone(), &arguments, cx(&token), LIMITS), async {
        tokio::time::advance(BACKOFF / 2).await;
        token.cancel();
    });
    assert_eq!(end, error("no luck at try 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_blocks_its_thread_is_abandoned_and_counted() {
    let before = abandoned_count();
    let (release, blocked) = mpsc::channel();
    let (begun, token) = (Arc::new(Notify::new()), CancellationToken::new());
    let tool = Arc::new(probe(Effect::Read, Does::Block(Mutex::new(Some(blocked)), begun.clone())));
    let limits = CallLimits { grace: Duration::from_millis(20), ..LIMITS };
    let arguments = json!({});
    let (end, ()) = tokio::join!(call(tool, &arguments, cx(&token), limits), async {
        begun.notified().await;
        token.cancel();
    });
    assert_eq!(end, ToolEnd::Stopped(CallEnd::Abandoned));
    assert!(abandoned_count() > before);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_cooperate_is_dropped_after_the_grace() {
    /// Says that it listens, and does not.
    struct Deaf(Arc<ToolSpec>, Arc<Notify>, Arc<()>);

    #[async_trait]
    impl Tool for Deaf {
        fn spec(&self) -> &Arc<ToolSpec> {
            &self.0
        }

        async fn call(&self, _: &Value, _: &ToolCx) -> Result<String, ToolError> {
            let _alive = self.2.clone();
            self.1.notify_one();
            std::future::pending().await
        }

        fn stop(&self) -> Stop {
            Stop::Cooperate
        }
    }

    let (begun, alive, token) = (Arc::new(Notify::new()), Arc::new(()), CancellationToken::new());
    let spec = Arc::new(ToolSpec::new("Deaf", "", json!({"type": "object"})));
    let tool = Arc::new(Deaf(spec, begun.clone(), alive.clone()));
    let (started, arguments) = (tokio::time::Instant::now(), json!({}));
    let (end, ()) = tokio::join!(call(tool, &arguments, cx(&token), LIMITS), async {
        begun.notified().await;
        token.cancel();
    });
    assert_eq!(end, ToolEnd::Stopped(CallEnd::Abandoned));
    assert_eq!(started.elapsed(), LIMITS.grace);
    assert_eq!(Arc::strong_count(&alive), 1, "the future and the tool are gone");
}

#[tokio::test]
async fn long_output_is_cut_with_a_mark() {
    let end = run(probe(Effect::Read, Does::Say("é".repeat(600)))).await;
    let kept = "é".repeat(500);
    assert_eq!(end, success(&format!("{kept}\n[cut here: the output was longer than 1000 bytes]")));
}

proptest! {
    #[test]
    fn a_cap_keeps_a_beginning_of_whole_characters(text in ".{0,80}", max in 0usize..100) {
        let capped = cap(text.clone(), max);
        if text.len() <= max {
            prop_assert_eq!(capped, text);
        } else {
            let kept = capped.strip_suffix(&cut_mark(max)).unwrap();
            prop_assert!(text.starts_with(kept));
            prop_assert!(kept.len() <= max && kept.len() + 4 > max);
        }
    }
}

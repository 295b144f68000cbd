//! The scenarios whose logs are kept. A new kind of event gets one here.

use boathouse::core::run::event::Answer;
use boathouse::core::run::fork::Edits;

use crate::crews::*;

/// A crew, what its models say, and what happens.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// A folder of the repository, instead of `crew` and `script`; its models are scripted.
    pub(crate) example: Option<&'static str>,
    pub(crate) crew: &'static str,
    pub(crate) script: &'static str,
    pub(crate) input: &'static str,
    pub(crate) steps: &'static [Step],
}

/// Something that happens to a run from outside.
pub(crate) enum Step {
    /// The log has so many events of this kind.
    Until(&'static str, usize),
    /// The run ends or waits.
    Rest,
    Answer(&'static str),
    Rerun,
    Done(&'static str),
    Fail,
    /// The oldest wait is decided like this.
    Decide(fn() -> Answer),
    Pause,
    Resume,
    /// With its receipt.
    Cancel,
    /// The process goes away in the middle, and another one goes on.
    Crash,
    /// The last run is forked; what follows is about the new one.
    Fork(fn() -> Edits),
    Retry,
    /// Another run waits for this one on its thread; what follows is about the new one.
    Queue,
}

const fn crew(
    name: &'static str,
    crew: &'static str,
    script: &'static str,
    steps: &'static [Step],
) -> Scenario {
    Scenario { name, example: None, crew, script, input: "hello", steps }
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "it-support-asks-twice",
            example: Some("examples/it-support"),
            crew: "",
            script: "",
            input: "My computer is slow",
            steps: &[Step::Answer("no idea"), Step::Rest, Step::Cancel],
        },
        crew("rounds-and-hand-offs", LINE, LINE_SCRIPT, &[Step::Answer("the second one")]),
        crew("crash-in-a-model-call", SLOW, SLOW_SCRIPT, &[Step::Until("call_started", 1), Step::Crash]),
        crew(
            "unknown-outcome-done",
            SEND,
            SEND_SCRIPT,
            &[Step::Until("call_started", 2), Step::Crash, Step::Done("sent after all")],
        ),
        crew("unknown-outcome-rerun", QUICK, QUICK_SCRIPT, &[Step::Rerun, Step::Fail]),
        crew(
            "approvals",
            APPROVALS,
            APPROVALS_SCRIPT,
            &[
                Step::Decide(|| Answer::Approve {}),
                Step::Decide(|| Answer::edit(serde_json::json!({"amount": 20}))),
                Step::Decide(|| Answer::Reject { reason: Some("it was paid last week".to_owned()) }),
                Step::Decide(|| Answer::Respond { output: "paid in cash".to_owned() }),
            ],
        ),
        crew("cancel-with-receipt", WORK, WORK_SCRIPT, &[Step::Until("call_started", 4), Step::Cancel]),
        crew(
            "retry-after-cancel",
            SEND,
            SEND_SCRIPT,
            &[Step::Until("call_started", 2), Step::Cancel, Step::Retry, Step::Done("it was sent")],
        ),
        crew(
            "pause-and-resume",
            SLOW,
            SLOW_SCRIPT,
            &[Step::Until("call_started", 1), Step::Pause, Step::Rest, Step::Resume],
        ),
        crew("failure-with-backup", BACKUP, BACKUP_SCRIPT, &[]),
        crew("model-failed", BACKUP, FAILED_SCRIPT, &[]),
        crew("group-of-every-end", GROUP, GROUP_SCRIPT, &[]),
        crew("group-first", FIRST, FIRST_SCRIPT, &[]),
        crew("group-fails-fast", FAIL_FAST, FAIL_FAST_SCRIPT, &[]),
        crew("group-times-out", TIMES_OUT, FIRST_SCRIPT, &[]),
        crew("out-of-time", OUT_OF_TIME, SLOW_SCRIPT, &[]),
        crew("too-many-hand-offs", PING_PONG, PING_PONG_SCRIPT, &[]),
        crew("too-many-rounds", ROUNDS, ROUNDS_SCRIPT, &[]),
        crew("transfer-by-tool", TRANSFER, TRANSFER_SCRIPT, &[]),
        crew("tools-by-text", BY_TEXT, BY_TEXT_SCRIPT, &[]),
        crew(
            "history-is-trimmed",
            TRIMMED,
            TRIMMED_SCRIPT,
            &[Step::Answer("one"), Step::Answer("two"), Step::Answer("three")],
        ),
        crew(
            "history-is-summarized",
            SUMMARIZED,
            SUMMARIZED_SCRIPT,
            &[Step::Answer("one"), Step::Answer("two"), Step::Answer("three")],
        ),
        crew("begun-on-a-thread", SLOW, SLOW_SCRIPT, &[Step::Until("call_started", 1), Step::Queue]),
        crew(
            "fork-with-edits",
            LINE,
            LINE_SCRIPT,
            &[Step::Answer("the first one"), Step::Rest, Step::Fork(another_answer)],
        ),
    ]
}

fn another_answer() -> Edits {
    Edits {
        answer: Some((None, Answer::Text { text: "rather the second one".to_owned() })),
        ..Edits::default()
    }
}

//! Every key of a test file and what it takes. `docs/testing.md` is the page for people.

use boathouse_core::crew::file::keys::{TEXTS, acts, needs};
use boathouse_core::crew::file::{Kind, Table};

const COUNT: Kind = Kind::Whole { min: 0, max: 1_000_000_000 };
const TIMEOUT: Kind = Kind::Seconds { default: "60" };
const TEXT_CHECK: Kind = Kind::Map(&TEXT);
const SCRIPT: Kind = Kind::Either {
    what: "the path of a file, or a map with `rules`",
    scalar: Some(&Kind::Text),
    list: None,
    map: Some(&Kind::Json),
};
const ONE_OR_MORE: Kind = Kind::Either {
    what: "a text, or a list of texts",
    scalar: Some(&Kind::Text),
    list: Some(&TEXTS),
    map: None,
};
const CALLS: Kind = Kind::List(&Kind::Either {
    what: "the name of a tool, or a call as a map",
    scalar: Some(&Kind::Text),
    list: None,
    map: Some(&Kind::Map(&CALL)),
});

/// A file of `tests/`.
pub(super) static FILE: Table = Table {
    name: "tests",
    what: "a file of tests",
    keys: &[
        needs("tests", Kind::List(&Kind::Map(&TEST)), "the tests"),
        acts("script", SCRIPT, "what `scripted` answers from, instead of the crew's `scripted.yaml`"),
        acts("timeout_seconds", TIMEOUT, "the time that each test may take").or("60"),
    ],
    mistaken: &[
        ("name", "it belongs into an item of `tests:`"),
        ("input", "it belongs into an item of `tests:`"),
        ("expect", "it belongs into an item of `tests:`"),
        ("timeout", "the key is `timeout_seconds`"),
    ],
};

/// One test.
static TEST: Table = Table {
    name: "test",
    what: "a test",
    keys: &[
        needs("name", Kind::Text, "what the test shows"),
        needs("input", Kind::Text, "what the run is asked"),
        acts("history", Kind::List(&Kind::Map(&SAID)), "what was said before"),
        acts("vars", Kind::Entries(&Kind::Text), "values for placeholders in prompts"),
        acts("start_at", Kind::Text, "the agent to start at").or("the crew's entry"),
        acts(
            "answers",
            Kind::List(&Kind::Either {
                what: "a text, or a decision about a call such as `{do: approve}` or `{do: done, output: TEXT}`",
                scalar: Some(&Kind::Text),
                list: None,
                map: Some(&Kind::Map(&ANSWER)),
            }),
            "answers to pauses, in order",
        ),
        acts("script", SCRIPT, "what `scripted` answers from").or("the file's, else the crew's"),
        acts("timeout_seconds", TIMEOUT, "the time that the test may take").or("the file's"),
        needs("expect", Kind::Map(&EXPECT), "what must come of it"),
    ],
    mistaken: &[
        ("description", "write it into `name`"),
        ("query", "the key is `input`"),
        ("answer", "the key is `answers`, a list"),
        ("path", "it belongs under `expect:`"),
        ("output", "it belongs under `expect:`"),
        ("state", "it belongs under `expect:`"),
        ("tools", "it belongs under `expect:`"),
        ("expected", "the key is `expect`"),
        ("timeout", "the key is `timeout_seconds`"),
    ],
};

/// A message of a test's history.
static SAID: Table = Table {
    name: "history_message",
    what: "a message of `history`",
    keys: &[
        needs("role", Kind::Choice(&["user", "assistant", "system"]), "who said it"),
        needs("content", Kind::Text, "what was said"),
    ],
    mistaken: &[("text", "the key is `content`"), ("from", "the key is `role`")],
};

/// An answer to the question what became of a tool call.
static ANSWER: Table = Table {
    name: "answer",
    what: "an answer",
    keys: &[
        needs(
            "do",
            Kind::Choice(&["approve", "edit", "reject", "respond", "rerun", "done", "fail"]),
            "what is to become of the call",
        ),
        acts("output", Kind::Text, "with `do: done` and `do: respond`: what the call gave"),
        acts("reason", Kind::Text, "with `do: reject`: what the agent is told"),
        acts("arguments", Kind::Json, "with `do: edit`: what the call is made with"),
    ],
    mistaken: &[("text", "an answer in words is written as a text, not as a map")],
};

/// What must come of a test.
static EXPECT: Table = Table {
    name: "expect",
    what: "`expect`",
    keys: &[
        acts("state", Kind::Choice(&["completed", "paused", "failed", "limit_reached"]), "how the run ends")
            .or("completed"),
        acts("limit", Kind::Text, "the limit that stopped the run"),
        acts("error", TEXT_CHECK, "a check of the error of a failed run"),
        acts(
            "path",
            Kind::List(&Kind::Either {
                what: "an agent's id, or a list of ids for a parallel group",
                scalar: Some(&Kind::Text),
                list: Some(&TEXTS),
                map: None,
            }),
            "the agents that had the run, in order",
        ),
        acts(
            "tools",
            Kind::Either {
                what: "a list of calls, or a map with `exactly`, `in_order`, `any_order` or `never`",
                scalar: None,
                list: Some(&CALLS),
                map: Some(&Kind::Map(&TOOLS)),
            },
            "the tool calls that were made",
        ),
        acts("output", TEXT_CHECK, "a check of the run's output"),
        acts("json", Kind::Map(&JSON), "checks of the output as JSON"),
        acts(
            "pauses",
            Kind::Either {
                what: "a number, or a list with a map for each pause",
                scalar: Some(&COUNT),
                list: Some(&Kind::List(&Kind::Map(&PAUSE))),
                map: None,
            },
            "how often the run paused, and for what",
        ),
        acts("at_most", Kind::Map(&AT_MOST), "what the run may need"),
    ],
    mistaken: &[
        ("outcome", "the key is `state`"),
        ("contains", "it belongs under `output:`"),
        ("not_contains", "it belongs under `output:`"),
        ("equals", "it belongs under `output:`"),
        ("regex", "it belongs under `output:`"),
        ("agents", "the key is `path`"),
        ("limits", "the key is `at_most`"),
        ("calls", "the key is `tools`"),
        ("waits", "the key is `pauses`"),
    ],
};

/// A check of a text.
static TEXT: Table = Table {
    name: "text_check",
    what: "a text check",
    keys: &[
        acts("equals", Kind::Text, "the text, apart from space around it"),
        acts("contains", ONE_OR_MORE, "what the text contains"),
        acts("not_contains", ONE_OR_MORE, "what the text does not contain"),
        acts("regex", ONE_OR_MORE, "what matches somewhere in the text"),
    ],
    mistaken: &[
        ("matches", "the key is `regex`"),
        ("is", "the key is `equals`"),
        ("includes", "the key is `contains`"),
    ],
};

/// Checks of the tool calls of a run.
static TOOLS: Table = Table {
    name: "tool_checks",
    what: "`tools`",
    keys: &[
        acts("exactly", CALLS, "all calls, in order"),
        acts("in_order", CALLS, "calls in this order, with others between them"),
        acts("any_order", CALLS, "calls in any order, among others"),
        acts("never", CALLS, "calls that are not made"),
    ],
    mistaken: &[("tool", "a single call is an item of a list: `tools: [{tool: ...}]`")],
};

/// One expected call.
static CALL: Table = Table {
    name: "expected_call",
    what: "a call",
    keys: &[
        needs("tool", Kind::Text, "the name of the tool"),
        acts("arguments", Kind::Json, "arguments that the call has, among others"),
        acts("exact_arguments", Kind::Json, "all arguments of the call"),
        acts("agent", Kind::Text, "whose call it is"),
        acts("status", Kind::Choice(&["success", "error"]), "whether the tool did its work"),
        acts("result", TEXT_CHECK, "a check of what the model was told"),
    ],
    mistaken: &[
        ("name", "the key is `tool`"),
        ("args", "the key is `arguments`"),
        ("output", "the key is `result`"),
    ],
};

/// Checks of the output as JSON.
static JSON: Table = Table {
    name: "json_checks",
    what: "`json`",
    keys: &[
        acts("at", Kind::Json, "JSON pointers and the values they lead to"),
        acts("schema", Kind::Json, "a JSON Schema for the output"),
    ],
    mistaken: &[("path", "write `at: {\"/a/b\": value}`"), ("pointer", "write `at: {\"/a/b\": value}`")],
};

/// One expected pause.
static PAUSE: Table = Table {
    name: "expected_pause",
    what: "a pause",
    keys: &[
        acts("agent", Kind::Text, "who asks"),
        acts("question", TEXT_CHECK, "a check of what the agent said"),
    ],
    mistaken: &[],
};

/// What a run may need.
static AT_MOST: Table = Table {
    name: "at_most",
    what: "`at_most`",
    keys: &[
        acts("model_calls", COUNT, "replies of models"),
        acts("tool_calls", COUNT, "tool calls"),
        acts("rounds", COUNT, "rounds of tool calls"),
        acts("handoffs", COUNT, "routes taken"),
        acts("tokens", COUNT, "tokens of prompts and replies"),
        acts("active_seconds", Kind::Number { min: 0.0, max: 2_592_000.0 }, "time in which the run worked"),
    ],
    mistaken: &[
        ("calls", "write `model_calls` or `tool_calls`"),
        ("seconds", "the key is `active_seconds`"),
        ("max_rounds", "the key is `rounds`"),
        ("max_handoffs", "the key is `handoffs`"),
    ],
};

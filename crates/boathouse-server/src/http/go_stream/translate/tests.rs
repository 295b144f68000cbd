#![expect(clippy::unwrap_used, reason = "tests")]

use boathouse::core::run::event::Recorded;

use super::*;

/// Translates a log, given as the JSON that the journal keeps, for a reader that has everything up to `seen`.
fn told(log: &[&str], seen: u64) -> String {
    let mut translator = Translator::new("r1".into(), None, Seq(seen));
    let mut out = BytesMut::new();
    for (place, event) in log.iter().enumerate() {
        let json = format!(r#"{{"seq":{},"at":"2026-01-02T03:04:05.678Z",{event}}}"#, place + 1);
        translator.write(&Recorded::from_json(&json).unwrap(), &mut out);
    }
    String::from_utf8(out.to_vec()).unwrap()
}

/// Type, agent and content of each event.
fn gist(told: &str) -> Vec<String> {
    told.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|json| {
            let event: Value = serde_json::from_str(json).unwrap();
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            format!("{} | {} | {}", text("type"), text("agent"), text("content"))
        })
        .collect()
}

const STARTED: &str =
    r#""type":"run_started","format":1,"crew":"c","crew_hash":"h","thread":"t1","input":"hi""#;

fn calling(call: u64, attempt: u32, branch: u32, agent: &str) -> String {
    format!(
        r#""type":"call_started","call":{call},"attempt":{attempt},"branch":{branch},"agent":"{agent}","kind":"model","provider":"scripted","model":"m","base_url":null,"prompt":{{"hash":"","bytes":0,"revision":1}}"#
    )
}

fn replied(call: u64, branch: u32, agent: &str, text: &str) -> String {
    format!(
        r#""type":"model_replied","call":{call},"attempt":1,"branch":{branch},"agent":"{agent}","reply":{{"text":{text:?},"usage":null,"finish":"stop"}},"took_ms":1"#
    )
}

fn returned(call: u64, status: &str, output: &str) -> String {
    format!(
        r#""type":"tool_returned","branch":0,"result":{{"call":{call},"status":"{status}","output":"{output}"}},"took_ms":1"#
    )
}

fn planned(call: u64, tool: &str) -> String {
    format!(r#"{{"call":{call},"id":"x","tool":"{tool}","arguments":{{}},"style":"text"}}"#)
}

fn ended(outcome: &str) -> String {
    format!(r#""type":"run_ended",{outcome},"usage":{{"input_tokens":0,"output_tokens":0}}"#)
}

#[test]
fn a_run_with_tools_is_told_as_the_go_system_told_it() {
    let round =
        format!(r#""type":"round_started","branch":0,"calls":[{},{}]"#, planned(2, "A"), planned(3, "B"));
    let log = [
        STARTED.to_owned(),
        calling(1, 1, 0, "triage"),
        replied(1, 0, "triage", "a <b> & c"),
        round,
        returned(3, "error", "no"),
        returned(2, "success", "yes"),
        calling(4, 1, 0, "triage"),
        calling(4, 2, 0, "triage"),
        replied(4, 0, "triage", "done"),
        ended(r#""state":"completed","output":"done""#),
    ];
    let log: Vec<&str> = log.iter().map(String::as_str).collect();
    insta::assert_snapshot!(told(&log, 0), @r#"
    id: r1/1
    data: {"type":"start","agent":"system","content":"🚀 Starting crew execution...","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/2
    data: {"type":"agent_start","agent":"triage","content":"🔄 Starting triage...","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/3
    data: {"type":"agent_response","agent":"triage","content":"a \u003cb\u003e \u0026 c","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/3
    data: {"type":"tool_start","agent":"triage","content":"🔧 [Tool] A → Executing...","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/4
    data: {"type":"tool_start","agent":"triage","content":"🔧 [Tool] B → Executing...","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/5
    data: {"type":"tool_result","agent":"triage","content":"✅ [Tool] A → yes","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/6
    data: {"type":"tool_result","agent":"triage","content":"❌ [Tool] B → no","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/7
    data: {"type":"agent_start","agent":"triage","content":"🔄 Starting triage...","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/9
    data: {"type":"agent_response","agent":"triage","content":"done","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}

    id: r1/10
    data: {"type":"done","agent":"system","content":"✅ Execution completed","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1"}}
    "#);
    let rest = told(&log, 5);
    assert!(told(&log, 0).ends_with(&rest), "a replay tells the rest in the same words");
    assert!(rest.starts_with("id: r1/5\ndata: {\"type\":\"tool_result\""), "{rest}");
}

#[test]
fn a_partial_failure_of_a_group_is_a_warning() {
    let log = [
        STARTED.to_owned(),
        r#""type":"forked","branch":0,"group":"g","from":"a","via":"default","branches":[[1,"x"],[2,"y"]]"#
            .to_owned(),
        calling(1, 1, 1, "x"),
        calling(2, 1, 2, "y"),
        replied(2, 2, "y", "fine"),
        r#""type":"branch_ended","branch":1,"end":{"status":"failed","error":"no model"}"#.to_owned(),
        r#""type":"branch_ended","branch":2,"end":{"status":"completed"}"#.to_owned(),
        r#""type":"joined","branch":0,"group":"g","output":"o","completed":1,"failed":[["x","no model"]]"#
            .to_owned(),
        ended(r#""state":"limit_reached","limit":"max_handoffs","output":"o""#),
    ];
    let log: Vec<&str> = log.iter().map(String::as_str).collect();
    insta::assert_snapshot!(gist(&told(&log, 0)).join("\n"), @r#"
    start | system | 🚀 Starting crew execution...
    agent_start | x | 🔄 [Parallel] x starting...
    agent_start | y | 🔄 [Parallel] y starting...
    agent_response | y | fine
    error | x | ❌ Agent failed: no model
    warning | system | ⚠️ 1 agents failed, continuing with 1 results
    warning | system | ⚠️ Limit reached: max_handoffs
    done | system | ✅ Execution completed
    "#);
}

#[test]
fn a_pause_ends_without_done_and_names_its_wait() {
    let log = [
        STARTED.to_owned(),
        calling(1, 1, 0, "clarifier"),
        replied(1, 0, "clarifier", "which server?"),
        r#""type":"wait_opened","wait":1,"branch":0,"agent":"clarifier","for":{"kind":"answer"}"#.to_owned(),
    ];
    let log: Vec<&str> = log.iter().map(String::as_str).collect();
    let told = told(&log, 3);
    insta::assert_snapshot!(told, @r#"
    id: r1/4
    data: {"type":"pause","agent":"clarifier","content":"[PAUSE:clarifier] Waiting for user input","timestamp":"2026-01-02T03:04:05.678Z","metadata":{"run":"r1","thread":"t1","wait":1}}
    "#);
}

#[test]
fn a_failed_or_cancelled_run_is_one_error() {
    let round = format!(r#""type":"round_started","branch":0,"calls":[{}]"#, planned(2, "A"));
    let cancelled = [
        STARTED.to_owned(),
        round,
        r#""type":"cancel_requested","reason":"requested""#.to_owned(),
        r#""type":"call_stopped","call":2,"end":"killed""#.to_owned(),
        ended(r#""state":"cancelled","reason":"requested","receipt":[]"#),
    ];
    let cancelled: Vec<&str> = cancelled.iter().map(String::as_str).collect();
    insta::assert_snapshot!(gist(&told(&cancelled, 0)).join("\n"), @r#"
    start | system | 🚀 Starting crew execution...
    tool_start | system | 🔧 [Tool] A → Executing...
    tool_result | system | ❌ [Tool] A → not finished
    error | system | Execution error: the run was cancelled
    "#);
    let failed = ended(r#""state":"failed","code":"model_failed","error":"no key""#);
    insta::assert_snapshot!(gist(&told(&[STARTED, &failed], 1)).join("\n"), @r#"error | system | Execution error: no key"#);
}

#[test]
fn strings_are_escaped_as_go_does() {
    let mut out = BytesMut::new();
    go_string("a\"\\\n\u{1}<>&\u{2028}\u{2029}é€\u{7f}", &mut out);
    assert_eq!(out, "\"a\\\"\\\\\\n\\u0001\\u003c\\u003e\\u0026\\u2028\\u2029é€\u{7f}\"");
}

proptest::proptest! {
    #[test]
    fn escaped_strings_read_back(text in "\\PC*|[\\x00-\\x7f\u{2020}-\u{2030}]*") {
        let mut out = BytesMut::new();
        go_string(&text, &mut out);
        proptest::prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}

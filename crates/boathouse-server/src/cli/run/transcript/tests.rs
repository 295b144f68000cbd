#![expect(clippy::unwrap_used, reason = "writing to memory does not fail")]

use std::collections::BTreeMap;

use boathouse::core::crew::check::{Catalog, check};
use serde_json::json;

use super::*;

const CREW: &str = "\
name: desk
entry_point: triage
agents:
  - {id: triage, name: My, model: m, provider: scripted}
  - {id: doer, name: Trang, model: m, provider: scripted, is_terminal: true}
routing:
  signals:
    triage:
      - {signal: \"[GO]\", target: doer}
";

/// A transcript in memory; colours are dropped.
struct Page {
    transcript: Transcript<Vec<u8>>,
    seq: u64,
    at: i64,
}

impl Page {
    fn new() -> Page {
        Page::with_status_line(false)
    }

    fn with_status_line(status_line: bool) -> Page {
        let source = BTreeMap::from([("crew.yaml".to_owned(), CREW.to_owned())]);
        let catalog = Catalog { tools: Vec::new(), providers: vec!["scripted".to_owned()] };
        let crew = Arc::new(check(&source, "desk", &catalog).crew.unwrap());
        let mut page = Page { transcript: Transcript::new(Vec::new(), crew, status_line), seq: 0, at: 0 };
        page.event(json!({
            "type": "run_started", "format": 1, "crew": "desk", "crew_hash": "", "thread": "t", "input": "hello",
        }));
        page
    }

    /// An event as it is written in the log, a second after the one before.
    fn event(&mut self, event: Value) {
        self.seq += 1;
        let recorded = Recorded {
            seq: boathouse::core::ids::Seq(self.seq),
            at: Timestamp(self.at),
            event: serde_json::from_value(event).unwrap(),
        };
        self.at += 1000;
        self.transcript.event(&recorded).unwrap();
    }

    fn call(&mut self, call: u64, agent: &str) {
        self.event(json!({
            "type": "call_started", "call": call, "attempt": 1, "branch": 0, "agent": agent, "kind": "model",
            "provider": "scripted", "model": "m", "base_url": null, "prompt": {"hash": "", "bytes": 0, "revision": 1},
        }));
    }

    fn tool(&mut self, call: u64, tool: &str, arguments: Value) {
        self.event(json!({
            "type": "call_started", "call": call, "attempt": 1, "branch": 0, "agent": "doer", "kind": "tool",
            "tool": tool, "arguments": arguments, "effect": "read",
        }));
    }

    fn returned(&mut self, call: u64, status: &str, output: &str, took_ms: u64) {
        self.event(json!({
            "type": "tool_returned", "branch": 0, "took_ms": took_ms,
            "result": {"call": call, "status": status, "output": output},
        }));
    }

    fn delta(&mut self, call: u64, offset: usize, text: &str) {
        self.transcript.delta(CallId(call), 1, offset, text).unwrap();
    }

    fn reply(&mut self, call: u64, agent: &str, text: &str) {
        self.event(json!({
            "type": "model_replied", "call": call, "attempt": 1, "branch": 0, "agent": agent, "took_ms": 5,
            "reply": {"text": text, "usage": {"input_tokens": 10, "output_tokens": 2}, "finish": "stop"},
        }));
    }

    fn text(&self) -> String {
        let bytes = anstream::adapter::strip_bytes(&self.transcript.sheet.out).into_vec();
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn a_run_reads_like_a_conversation() {
    let mut page = Page::new();
    page.call(1, "triage");
    page.delta(1, 0, "Trang takes ");
    page.delta(1, 12, "it.\n\n[GO]");
    page.reply(1, "triage", "Trang takes it.\n\n[GO]");
    page.event(json!({
        "type": "handed_off", "branch": 0, "from": "triage", "to": "doer", "via": {"signal": "[GO]"},
    }));
    page.call(2, "doer");
    page.reply(2, "doer", "I measure.");
    page.tool(3, "Ping", json!({"host": "a", "count": 1}));
    page.tool(4, "Cpu", json!({}));
    page.returned(4, "success", "CPU 3 %\n\ncore 0\ncore 1", 312);
    page.returned(3, "error", "no answer", 61_400);
    page.call(5, "doer");
    page.reply(5, "doer", "All is well.");
    page.event(json!({
        "type": "run_ended", "state": "completed", "output": "All is well.",
        "usage": {"input_tokens": 30, "output_tokens": 6},
    }));
    insta::assert_snapshot!(page.text());
}

#[test]
fn on_a_terminal_what_is_awaited_stands_in_a_line_that_goes_away() {
    let mut page = Page::with_status_line(true);
    page.call(1, "doer");
    page.reply(1, "doer", "I measure.");
    page.tool(2, "Ping", json!({"host": "a"}));
    page.tool(3, "Cpu", json!({}));
    let before = page.text();
    assert!(before.ends_with("  … Ping, Cpu"), "{before:?}");
    page.returned(3, "success", "", 1);
    page.returned(2, "success", "", 2);
    let raw = String::from_utf8(page.transcript.sheet.out.clone()).unwrap();
    // What a terminal shows: a line that was erased is gone.
    let shown: Vec<String> = raw
        .split('\n')
        .map(|line| line.rsplit("\r\u{1b}[K").next().unwrap_or_default())
        .map(|line| anstream::adapter::strip_str(line).to_string())
        .collect();
    assert_eq!(
        shown,
        ["", "● Trang (doer)", "I measure.", "  ✓ Cpu  1 ms", "  ✓ Ping(host: \"a\")  2 ms", ""]
    );
}

#[test]
fn replies_side_by_side_are_shown_one_after_the_other() {
    let mut page = Page::new();
    page.call(1, "triage");
    page.call(2, "doer");
    page.delta(1, 0, "one ");
    page.delta(2, 0, "two ");
    page.reply(2, "doer", "two done");
    page.delta(1, 4, "goes on");
    page.reply(1, "triage", "one goes on.");
    let text = page.text();
    assert!(text.contains("one goes on.\n\n● Trang (doer)\ntwo done\n"), "{text}");
}

#[test]
fn a_reply_that_another_one_overtook_is_shown_from_its_beginning() {
    let mut page = Page::new();
    page.call(1, "triage");
    page.call(2, "doer");
    page.delta(2, 0, "early ");
    page.reply(1, "triage", "first");
    page.delta(2, 6, "and late");
    let text = page.text();
    assert!(text.ends_with("first\n\n● Trang (doer)\nearly and late"), "{text}");
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_shown() {
    let mut page = Page::new();
    page.call(1, "triage");
    page.delta(1, 0, "abc");
    page.transcript.snapshot(CallId(1), 1, "abcdef").unwrap();
    // Pieces that the snapshot holds already are not shown twice.
    page.delta(1, 3, "def");
    page.delta(1, 6, "ghi");
    page.reply(1, "triage", "abcdefghi");
    assert!(page.text().ends_with("\nabcdefghi\n"), "{}", page.text());
}

#[test]
fn a_failed_try_says_what_comes_next() {
    let mut page = Page::new();
    page.call(1, "triage");
    page.delta(1, 0, "half a rep");
    page.event(json!({
        "type": "attempt_failed", "call": 1, "attempt": 1, "took_ms": 4,
        "error": {"kind": "server", "message": "500 from the peer"},
        "next": {"do": "again", "at": "1970-01-01T00:00:02.250Z"},
    }));
    let text = page.text();
    assert!(
        text.ends_with("half a rep\n  ! the model of My: 500 from the peer (trying again in 250 ms)\n"),
        "{text}"
    );
}

#[test]
fn a_group_is_told_as_it_opens_and_joins() {
    let mut page = Page::new();
    page.event(json!({
        "type": "forked", "branch": 0, "group": "both", "from": "triage", "via": {"signal": "[GO]"},
        "branches": [[1, "triage"], [2, "doer"]],
    }));
    page.event(json!({"type": "branch_ended", "branch": 1, "end": {"status": "completed"}}));
    page.event(json!({"type": "branch_ended", "branch": 2, "end": {"status": "timed_out"}}));
    page.event(json!({
        "type": "joined", "branch": 0, "group": "both", "output": "...", "completed": 1,
        "failed": [["doer", "timed out"]],
    }));
    assert_eq!(
        page.text(),
        "⇉ both: My, Trang side by side\n· Trang ran out of time\n⇇ both: 1 of 2 completed; missing: Trang\n"
    );
}

#[test]
fn a_tool_of_somebody_who_did_not_speak_last_says_whose_it_is() {
    let mut page = Page::new();
    page.call(1, "doer");
    page.reply(1, "doer", "I measure.");
    page.tool(3, "Cpu", json!({}));
    page.call(2, "triage");
    page.tool(4, "Ping", json!({"host": "a"}));
    page.returned(4, "success", "", 5);
    page.reply(2, "triage", "");
    page.call(5, "doer");
    page.returned(3, "success", "", 5);
    let text = page.text();
    assert!(
        text.ends_with(
            "● My (triage)\n  ✓ Trang: Ping(host: \"a\")  5 ms\n\n● Trang (doer)\n  ✓ Cpu  5 ms\n"
        ),
        "{text}"
    );
}

#[test]
fn that_old_messages_are_left_out_is_said_once() {
    let mut page = Page::new();
    page.event(json!({"type": "history_trimmed", "branch": 0, "dropped": 2}));
    page.event(json!({"type": "history_trimmed", "branch": 0, "dropped": 4}));
    assert_eq!(page.text(), "· from here on older messages no longer go into prompts\n");
}

#[test]
fn a_cancelled_run_shows_its_receipt() {
    let mut page = Page::new();
    page.call(1, "doer");
    page.reply(1, "doer", "I measure.");
    page.tool(2, "Ping", json!({"host": "a"}));
    page.event(json!({"type": "cancel_requested", "reason": "requested"}));
    page.event(json!({"type": "call_stopped", "call": 2, "end": "terminated"}));
    page.event(json!({
        "type": "run_ended", "state": "cancelled", "reason": "requested",
        "receipt": [{"call": 2, "agent": "doer", "tool": "Ping", "end": "terminated"}],
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }));
    insta::assert_snapshot!(page.text());
}

#[test]
fn what_models_and_tools_write_cannot_drive_the_terminal() {
    let mut page = Page::new();
    page.call(1, "doer");
    page.delta(1, 0, "\u{1b}]0;owned\u{7}");
    page.reply(1, "doer", "\u{1b}]0;owned\u{7}");
    page.tool(2, "Ping", json!({"host": "\u{1b}[2J"}));
    page.returned(2, "success", "\u{1b}[31mred", 1);
    let raw = String::from_utf8(page.transcript.sheet.out.clone()).unwrap();
    assert!(!raw.contains("\u{1b}]0;") && !raw.contains("\u{1b}[2J") && !raw.contains("\u{7}"), "{raw:?}");
    assert!(raw.contains("\u{fffd}]0;owned\u{fffd}"), "{raw:?}");
}

#[test]
fn times_are_told_in_the_unit_that_fits() {
    let told: Vec<String> = [0, 999, 1_250, 59_999, 200_000].map(duration).into();
    assert_eq!(told, ["0 ms", "999 ms", "1.2 s", "59.9 s", "3 min 20 s"]);
}

//! What must hold for every run, however often its servers died.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::batch::Told;
use crate::tally::Tally;

/// What the crews' programs did: `<run>-<call> <tool> <what>`, by key.
pub(crate) struct Ledger(BTreeMap<String, Vec<String>>);

impl Ledger {
    /// Without a file nothing was done.
    pub(crate) fn read(file: &Path) -> std::io::Result<Ledger> {
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut done: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (key, what) = line.split_once(' ').unwrap_or((line, ""));
            done.entry(key.to_owned()).or_default().push(what.to_owned());
        }
        Ok(Ledger(done))
    }

    fn of(&self, run: &str, call: u64) -> &[String] {
        self.0.get(&format!("{run}-{call}")).map_or(&[], Vec::as_slice)
    }

    /// Nothing was done for a run that nobody was told of.
    pub(crate) fn check_runs(&self, told: &[Told], wrong: &mut Vec<String>) {
        let known: BTreeSet<&str> = told.iter().map(|told| told.run.as_str()).collect();
        for key in self.0.keys() {
            let run = key.rsplit_once('-').map_or(key.as_str(), |(run, _)| run);
            if !known.contains(run) {
                wrong.push(format!("the ledger has a line for `{key}`, which is no call of a known run"));
            }
        }
    }
}

/// One call, as the log has it.
#[derive(Default)]
struct Call {
    tool: Option<String>,
    effect: String,
    what: String,
    /// The attempts that were announced, in order.
    attempts: Vec<u64>,
    /// Results: settled, returned, or a person's word.
    results: u32,
    succeeded: bool,
    reruns: usize,
}

/// Compares one run's log with what its client was told and with the ledger.
pub(crate) fn run(told: &Told, log: &[Value], ledger: &Ledger, wrong: &mut Vec<String>, tally: &mut Tally) {
    let mut wrong = |what: String| wrong.push(format!("run {}: {what}", told.run));
    for (event, seq) in log.iter().zip(1..) {
        if event["seq"].as_u64() != Some(seq) {
            wrong(format!("event {} is where {seq} should be", event["seq"]));
        }
    }
    for (seq, seen) in &told.events {
        match log.get(*seq as usize - 1) {
            Some(kept) if kept == seen => {}
            Some(kept) => wrong(format!("event {seq} was shown as {seen}, and is kept as {kept}")),
            None => wrong(format!("event {seq} was shown, and is lost: {seen}")),
        }
    }
    if told.events.len() != log.len() {
        wrong(format!("its streams gave {} events of {}", told.events.len(), log.len()));
    }
    let ends = log.iter().filter(|event| event["type"] == "run_ended").count();
    let last = log.last().unwrap_or(&Value::Null);
    if ends != 1 || last["type"] != "run_ended" {
        wrong(format!("{ends} ends; the last event is {last}"));
    }
    match last["state"].as_str() {
        Some("completed") => {}
        Some("cancelled") if told.asked_to_cancel => tally.count("cancelled", 1),
        // It was taken over again and again with no step forward.
        Some("failed") if last["code"] == "crash_loop" => tally.count("crash loops", 1),
        _ => wrong(format!("ended wrongly: {last}")),
    }
    check_answers(told, log, &mut wrong);
    check_calls(told, log, last["state"] == "completed", ledger, &mut wrong, tally);
}

fn check_answers(told: &Told, log: &[Value], wrong: &mut impl FnMut(String)) {
    let mut answered: BTreeMap<u64, &Value> = BTreeMap::new();
    let mut cancelled = false;
    for event in log {
        match event["type"].as_str() {
            Some("answered") => {
                let wait = event["wait"].as_u64().unwrap_or_default();
                if answered.insert(wait, &event["answer"]).is_some() {
                    wrong(format!("wait {wait} was answered twice"));
                }
            }
            Some("cancel_requested") => cancelled = true,
            Some("call_started") if cancelled => wrong(format!("a call began after the cancel: {event}")),
            Some(_) | None => {}
        }
    }
    for (wait, verdict) in &told.answers {
        let kind = answered.get(wait).and_then(|answer| answer["kind"].as_str());
        let fits = match kind {
            Some("text") => verdict["text"].is_string(),
            Some(kind) => !verdict[kind].is_null(),
            None => false,
        };
        if !fits {
            wrong(format!("the answer {verdict} was acknowledged; the log has {:?}", answered.get(wait)));
        }
    }
    if told.cancelled && !cancelled && log.last().is_none_or(|last| last["state"] == "cancelled") {
        wrong("a cancel was acknowledged, and is not in the log".to_owned());
    }
}

fn check_calls(
    told: &Told,
    log: &[Value],
    completed: bool,
    ledger: &Ledger,
    wrong: &mut impl FnMut(String),
    tally: &mut Tally,
) {
    let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
    let mut waits: BTreeMap<u64, u64> = BTreeMap::new();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    for event in log {
        let call = number(&event["call"]);
        match event["type"].as_str() {
            Some("round_started") => {
                for planned in event["calls"].as_array().into_iter().flatten() {
                    let call = calls.entry(number(&planned["call"])).or_default();
                    call.tool = planned["tool"].as_str().map(str::to_owned);
                    call.results += u32::from(!planned["settled"].is_null());
                }
            }
            Some("call_started") => {
                let call = calls.entry(call).or_default();
                call.effect = event["effect"].as_str().unwrap_or("model").to_owned();
                call.what = event["arguments"]["what"].as_str().unwrap_or_default().to_owned();
                call.attempts.push(number(&event["attempt"]));
            }
            Some("tool_returned") => {
                let call = calls.entry(number(&event["result"]["call"])).or_default();
                call.results += 1;
                call.succeeded = event["result"]["status"] == "success";
            }
            Some("model_replied") => calls.entry(call).or_default().results += 1,
            Some("wait_opened") if event["for"]["kind"] == "unknown_outcome" => {
                tally.count("unknown outcomes", 1);
                waits.insert(number(&event["wait"]), number(&event["for"]["call"]));
            }
            Some("answered") => {
                let Some(call) = waits.get(&number(&event["wait"])) else { continue };
                let call = calls.entry(*call).or_default();
                match event["answer"]["kind"].as_str() {
                    Some("rerun") => call.reruns += 1,
                    Some(_) | None => call.results += 1,
                }
            }
            Some("taken_over") => tally.count("take-overs", 1),
            Some(_) | None => {}
        }
    }
    for (number, call) in &calls {
        let done = ledger.of(&told.run, *number);
        let name = call.tool.as_deref().unwrap_or("model");
        if call.attempts.iter().zip(1..).any(|(attempt, wanted)| *attempt != wanted) {
            wrong(format!("call {number} of {name} has the attempts {:?}", call.attempts));
        }
        if call.results > 1 || (completed && call.results != 1) {
            wrong(format!("call {number} of {name} has {} results", call.results));
        }
        let as_asked = format!("{name} {}", call.what);
        if let Some(other) = done.iter().find(|line| **line != as_asked) {
            wrong(format!("call {number} is `{as_asked}`, and `{other}` was done with its key"));
        }
        if call.succeeded && call.tool.is_some() && done.is_empty() {
            wrong(format!("call {number} of {name} returned, and was never made"));
        }
        if done.len() > call.attempts.len() {
            wrong(format!(
                "call {number} of {name} was made {} times, announced {:?}",
                done.len(),
                call.attempts
            ));
        }
        match call.effect.as_str() {
            "once" if done.len() > 1 + call.reruns || call.attempts.len() > 1 + call.reruns => {
                wrong(format!(
                    "call {number} of {name} may be made once: made {} times, tried {:?}, {} reruns allowed",
                    done.len(),
                    call.attempts,
                    call.reruns
                ))
            }
            "once" => {}
            _ => tally.count("idempotent calls repeated", u64::from(done.len() > 1)),
        }
    }
}

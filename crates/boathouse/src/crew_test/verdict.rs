//! Given what became of a run, whether it is what was expected.

use boathouse_core::message::ResultStatus;
use boathouse_core::run::event::RunState;
use serde::Serialize;
use serde_json::Value;

use super::expect::{Among, CallCheck, Expect, PausesCheck, TextCheck, ToolsCheck};
use super::facts::{Call, Facts, Step};

/// Most violations of a schema that are told.
const VIOLATIONS: usize = 10;

/// A check that did not hold: what was expected, and what came instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// What was checked, such as `path` or `output`.
    pub check: String,
    /// What was expected of it.
    pub expected: String,
    /// What came.
    pub came: String,
    /// Whether the two were to be the same text, so that their difference says where they part.
    pub same: bool,
}

impl Miss {
    /// What was expected, and what came.
    pub fn new(check: impl Into<String>, expected: impl Into<String>, came: impl Into<String>) -> Miss {
        Miss { check: check.into(), expected: expected.into(), came: came.into(), same: false }
    }

    /// The same, where both were to be the same text.
    fn same(self) -> Miss {
        Miss { same: true, ..self }
    }
}

/// Every check of `expect` that does not hold, in the order of `docs/testing.md`. None is left out because another failed.
pub fn verdict(expect: &Expect, facts: &Facts) -> Vec<Miss> {
    let mut misses = Vec::new();
    if expect.state != facts.state {
        misses.push(Miss::new("state", expect.state.as_str(), state(facts)));
    } else if let Some(limit) = &expect.limit
        && facts.limit.as_ref() != Some(limit)
    {
        misses.push(Miss::new("limit", limit, facts.limit.clone().unwrap_or_default()).same());
    }
    // That a run did not fail at all is told by its state.
    if let (Some(check), Some(error)) = (&expect.error, &facts.error) {
        check_text(check, "error", error, &mut misses);
    }
    if let Some(path) = &expect.path
        && !same_path(path, &facts.path)
    {
        misses.push(Miss::new("path", path_text(path), path_text(&facts.path)).same());
    }
    for check in &expect.tools {
        misses.extend(check_tools(check, &facts.calls));
    }
    if let Some(check) = &expect.output {
        check_text(check, "output", &facts.output, &mut misses);
    }
    check_json(expect, &facts.output, &mut misses);
    if let Some(check) = &expect.pauses {
        check_pauses(check, facts, &mut misses);
    }
    check_needs(expect, facts, &mut misses);
    misses
}

/// The state, and why.
fn state(facts: &Facts) -> String {
    let state = facts.state.as_str();
    match (facts.state, &facts.error, &facts.limit, facts.pauses.last()) {
        (RunState::Failed, Some(error), ..) => format!("{state}: {error}"),
        (RunState::LimitReached, _, Some(limit), _) => format!("{state}: {limit}"),
        (RunState::Paused, _, _, Some(pause)) => {
            format!("{state}: {} asks {}", pause.agent, quoted(&pause.question))
        }
        _ => state.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text.trim()).to_string()
}

fn same_path(expected: &[Step], came: &[Step]) -> bool {
    let same = |(expected, came): (&Step, &Step)| match (expected, came) {
        (Step::Agent(expected), Step::Agent(came)) => expected == came,
        (Step::Group(expected), Step::Group(came)) => {
            let (mut expected, mut came) = (expected.clone(), came.clone());
            expected.sort();
            came.sort();
            expected == came
        }
        (Step::Agent(_), Step::Group(_)) | (Step::Group(_), Step::Agent(_)) => false,
    };
    expected.len() == came.len() && expected.iter().zip(came).all(same)
}

/// `router → [lan, hoa] → writer`.
pub fn path_text(path: &[Step]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Agent(agent) => agent.to_string(),
        Step::Group(agents) => {
            let agents: Vec<&str> = agents.iter().map(|agent| agent.as_str()).collect();
            format!("[{}]", agents.join(", "))
        }
    });
    steps.collect::<Vec<_>>().join(" → ")
}

fn check_text(check: &TextCheck, what: &str, text: &str, misses: &mut Vec<Miss>) {
    if let Some(equals) = &check.equals
        && equals.trim() != text.trim()
    {
        misses.push(Miss::new(what, equals.trim(), text.trim()).same());
    }
    let mut miss = |how: &str, wanted: String| {
        misses.push(Miss::new(format!("{what} {how}"), wanted, text.trim()));
    };
    for wanted in check.contains.iter().filter(|wanted| !text.contains(wanted.as_str())) {
        miss("contains", quoted(wanted));
    }
    for unwanted in check.not_contains.iter().filter(|unwanted| text.contains(unwanted.as_str())) {
        miss("does not contain", quoted(unwanted));
    }
    for regex in check.regex.iter().filter(|regex| !regex.is_match(text)) {
        miss("matches", format!("/{regex}/"));
    }
}

fn holds(check: &TextCheck, text: &str) -> bool {
    let mut misses = Vec::new();
    check_text(check, "", text, &mut misses);
    misses.is_empty()
}

fn check_tools(check: &ToolsCheck, calls: &[Call]) -> Option<Miss> {
    let expected = &check.calls;
    let fits = |place: usize, call: usize| fits(&expected[place], &calls[call]);
    let came = || call_lines(calls, expected.iter().any(|call| call.result.is_some()));
    let lines = |places: Vec<usize>| {
        let lines: Vec<String> = places.iter().map(|place| expected[*place].to_string()).collect();
        lines.join("\n")
    };
    match check.how {
        Among::Exactly => {
            let same = expected.len() == calls.len() && (0..calls.len()).all(|at| fits(at, at));
            let told = || match expected.len() {
                0 => "no call".to_owned(),
                count => lines((0..count).collect()),
            };
            (!same).then(|| Miss::new("tools", told(), came()))
        }
        Among::InOrder => {
            let mut from = 0;
            let missing = (0..expected.len()).find(|place| {
                match (from..calls.len()).find(|call| fits(*place, *call)) {
                    Some(found) => {
                        from = found + 1;
                        false
                    }
                    None => true,
                }
            })?;
            let after = match missing {
                0 => String::new(),
                place => format!(" after {}", expected[place - 1]),
            };
            Some(Miss::new("tools in order", format!("{}{after}", expected[missing]), came()))
        }
        Among::AnyOrder => {
            let missing = unmatched(expected.len(), calls.len(), fits);
            (!missing.is_empty()).then(|| Miss::new("tools in any order", lines(missing), came()))
        }
        Among::Never => {
            let made = |place: &usize| (0..calls.len()).any(|call| fits(*place, call));
            let unwanted: Vec<usize> = (0..expected.len()).filter(made).collect();
            (!unwanted.is_empty())
                .then(|| Miss::new("tools never called", format!("no {}", lines(unwanted)), came()))
        }
    }
}

/// Places that are left when as many places as possible have a call of their own that fits.
fn unmatched(places: usize, calls: usize, fits: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    /// Finds a call for a place, moving other places to other calls where that helps.
    fn find(
        place: usize,
        taken: &mut [Option<usize>],
        seen: &mut [bool],
        fits: &impl Fn(usize, usize) -> bool,
    ) -> bool {
        for call in 0..taken.len() {
            if seen[call] || !fits(place, call) {
                continue;
            }
            seen[call] = true;
            if taken[call].is_none_or(|other| find(other, taken, seen, fits)) {
                taken[call] = Some(place);
                return true;
            }
        }
        false
    }
    let mut taken = vec![None; calls];
    (0..places).filter(|place| !find(*place, &mut taken, &mut vec![false; calls], &fits)).collect()
}

fn fits(expected: &CallCheck, call: &Call) -> bool {
    let arguments = match &call.arguments {
        Value::Object(map) => Some(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    };
    let has = |name: &String, value: &Value| {
        arguments.and_then(|map| map.get(name)).is_some_and(|came| same_json(value, came))
    };
    expected.tool == call.tool
        && expected.arguments.iter().all(|(name, value)| has(name, value))
        && (!expected.exact || arguments.map_or(0, serde_json::Map::len) == expected.arguments.len())
        && expected.agent.as_ref().is_none_or(|agent| *agent == call.agent)
        && expected.status.is_none_or(|status| call.status == Some(status))
        && expected.result.as_ref().is_none_or(|check| holds(check, &call.result))
}

/// Whether two values are the same; `1` and `1.0` are.
fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_json(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| same_json(x, y)))
        }
        _ => a == b,
    }
}

impl std::fmt::Display for CallCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rest = if self.exact { "" } else { "…" };
        f.write_str(&call_text(
            &self.tool,
            &self.arguments,
            if self.arguments.is_empty() { "" } else { rest },
        ))?;
        if self.exact && self.arguments.is_empty() {
            f.write_str("()")?;
        }
        if let Some(agent) = &self.agent {
            write!(f, " by {agent}")?;
        }
        if let Some(status) = self.status {
            write!(f, " → {}", status_word(Some(status)))?;
        }
        if let Some(result) = &self.result {
            write!(f, " → {}", describe(result))?;
        }
        Ok(())
    }
}

/// What a text check asks for, in words.
fn describe(check: &TextCheck) -> String {
    let mut parts = Vec::new();
    parts.extend(check.equals.iter().map(|text| format!("equals {}", quoted(text))));
    parts.extend(check.contains.iter().map(|text| format!("contains {}", quoted(text))));
    parts.extend(check.not_contains.iter().map(|text| format!("does not contain {}", quoted(text))));
    parts.extend(check.regex.iter().map(|regex| format!("matches /{regex}/")));
    parts.join(", ")
}

fn call_text(tool: &str, arguments: &serde_json::Map<String, Value>, rest: &str) -> String {
    let mut pairs: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    if !rest.is_empty() {
        pairs.push(rest.to_owned());
    }
    if pairs.is_empty() { tool.to_owned() } else { format!("{tool}({})", pairs.join(", ")) }
}

fn status_word(status: Option<ResultStatus>) -> &'static str {
    match status {
        Some(ResultStatus::Success) => "success",
        Some(ResultStatus::Error) => "error",
        None => "no result",
    }
}

/// The calls of a run, a line each.
fn call_lines(calls: &[Call], with_results: bool) -> String {
    if calls.is_empty() {
        return "no call".to_owned();
    }
    let lines = calls.iter().map(|call| {
        let text = match &call.arguments {
            Value::Object(map) => call_text(&call.tool, map, ""),
            other => format!("{}({other})", call.tool),
        };
        let by = format!("{text} by {}", call.agent);
        match call.status {
            Some(ResultStatus::Success) if !with_results => by,
            status if with_results => format!("{by} → {} {}", status_word(status), quoted(&call.result)),
            status => format!("{by} → {}", status_word(status)),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check_json(expect: &Expect, output: &str, misses: &mut Vec<Miss>) {
    if expect.json_at.is_empty() && expect.json_schema.is_none() {
        return;
    }
    let value: Value = match serde_json::from_str(output.trim()) {
        Ok(value) => value,
        Err(error) => {
            misses.push(Miss::new("json", format!("JSON and nothing else ({error})"), output.trim()));
            return;
        }
    };
    for (pointer, wanted) in &expect.json_at {
        let what = if pointer.is_empty() { "json".to_owned() } else { format!("json at {pointer}") };
        match value.pointer(pointer) {
            Some(came) if same_json(wanted, came) => {}
            Some(came) => misses.push(Miss::new(what, wanted.to_string(), came.to_string()).same()),
            None => misses.push(Miss::new(what, wanted.to_string(), format!("nothing there, in {value}"))),
        }
    }
    if let Some(schema) = &expect.json_schema {
        for error in schema.iter_errors(&value).take(VIOLATIONS) {
            let at = error.instance_path().to_string();
            let what = if at.is_empty() { "json schema".to_owned() } else { format!("json schema at {at}") };
            misses.push(Miss::new(what, error.to_string(), value.pointer(&at).unwrap_or(&value).to_string()));
        }
    }
}

fn check_pauses(check: &PausesCheck, facts: &Facts, misses: &mut Vec<Miss>) {
    let came = &facts.pauses;
    let wanted = match check {
        PausesCheck::Count(count) => *count,
        PausesCheck::Each(each) => each.len(),
    };
    if wanted != came.len() {
        let lines: Vec<String> =
            came.iter().map(|pause| format!("{} asks {}", pause.agent, quoted(&pause.question))).collect();
        let told = match came.len() {
            0 => "none".to_owned(),
            count => format!("{count}:\n{}", lines.join("\n")),
        };
        misses.push(Miss::new("pauses", wanted.to_string(), told));
    }
    let PausesCheck::Each(each) = check else { return };
    for (at, (check, pause)) in each.iter().zip(came).enumerate() {
        let what = format!("pause {}", at + 1);
        if let Some(agent) = &check.agent
            && *agent != pause.agent
        {
            misses.push(Miss::new(format!("{what} agent"), agent.as_str(), pause.agent.as_str()).same());
        }
        if let Some(question) = &check.question {
            check_text(question, &format!("{what} question"), &pause.question, misses);
        }
    }
}

fn check_needs(expect: &Expect, facts: &Facts, misses: &mut Vec<Miss>) {
    let (most, needed) = (&expect.at_most, &facts.needed);
    let counts = [
        ("model_calls", most.model_calls, needed.model_calls),
        ("tool_calls", most.tool_calls, needed.tool_calls),
        ("rounds", most.rounds, needed.rounds),
        ("handoffs", most.handoffs, needed.handoffs),
        ("tokens", most.tokens, needed.tokens),
    ];
    for (what, most, needed) in counts {
        if let Some(most) = most.filter(|most| needed > *most) {
            misses.push(Miss::new(what, format!("at most {most}"), needed.to_string()));
        }
    }
    if let Some(most) = most.active_ms.filter(|most| needed.active_ms > *most) {
        misses.push(Miss::new(
            "active time",
            format!("at most {most} ms"),
            format!("{} ms", needed.active_ms),
        ));
    }
}

//! The crews that are served under load, written as a person would write them.

use std::path::{Path, PathBuf};

use crate::http::Result;

/// Echoes a text with a program that every machine has.
const ECHO: &str = "
tools:
  Echo:
    description: Says a text.
    effect: read
    parameters:
      type: object
      properties:
        text: {type: string}
      required: [text]
    command:
      argv: [echo, \"{text}\"]
";

/// Writes a crew of one agent.
fn write(dir: &Path, name: &str, model: &str, tools: &str, more: &str) -> Result<PathBuf> {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir)?;
    let crew = format!(
        "version: \"1.0\"
name: {name}
entry_point: agent
agents:
  - id: agent
    name: Agent
    role: An agent
    model: {model}
    provider: openai
    tools: [{tools}]
    is_terminal: true
    system_prompt: You are an agent. Help.
{more}"
    );
    std::fs::write(dir.join("crew.yaml"), crew)?;
    Ok(dir)
}

/// One reply of 40 pieces, as `model` paces it.
pub(crate) fn one(dir: &Path, name: &str, model: &str) -> Result<PathBuf> {
    write(dir, name, model, "", "")
}

/// Five replies of 40 pieces, four of which call one of two tools.
pub(crate) fn five(dir: &Path, name: &str, model: &str) -> Result<PathBuf> {
    write(dir, name, model, "ResolveDNS, GetMemoryUsage", "")
}

/// One reply of 40 pieces that takes a second: 200 ms to the first, 20 ms between two.
pub(crate) fn slow(dir: &Path) -> Result<PathBuf> {
    write(dir, "slow", "plain-200-20", "", "")
}

/// One reply that takes so long that no experiment sees it.
pub(crate) fn endless(dir: &Path) -> Result<PathBuf> {
    write(dir, "endless", "plain-86400000-0", "", "settings: {timeout_seconds: 86400}")
}

/// One reply of so many pieces, the first after `first_ms`, `each_ms` between two.
pub(crate) fn many(dir: &Path, pieces: usize, first_ms: u64, each_ms: u64) -> Result<PathBuf> {
    write(dir, "many", &format!("many@{pieces}-{first_ms}-{each_ms}"), "", "")
}

/// Asks, waits for an answer, and is done with it.
pub(crate) fn asking(dir: &Path) -> Result<PathBuf> {
    let routing = "routing:
  signals:
    agent: [{signal: \"[DONE]\", target: null}]
  agent_behaviors:
    agent: {wait_for_signal: true}
";
    write(dir, "ask", "ask", "", routing)
}

/// Three replies, two of which call a tool; every word depends on all that came before.
pub(crate) fn same(dir: &Path) -> Result<PathBuf> {
    write(dir, "same", "same", "Echo", ECHO)
}

/// So many replies that each call a tool.
pub(crate) fn long(dir: &Path, rounds: usize, keep_recent: Option<usize>) -> Result<PathBuf> {
    let keep = keep_recent.map(|keep| format!("\n  keep_recent: {keep}")).unwrap_or_default();
    let settings = format!("settings:\n  max_rounds: {}\n  timeout_seconds: 86400{keep}\n{ECHO}", rounds + 1);
    write(dir, "long", &format!("long@{rounds}"), "Echo", &settings)
}

/// A starter that hands over to a group of three, each of which replies slowly.
pub(crate) fn parallel(dir: &Path) -> Result<PathBuf> {
    let dir = dir.join("parallel");
    std::fs::create_dir_all(&dir)?;
    let agent = |id: &str, model: &str, more: &str| {
        format!(
            "  - id: {id}
    name: {id}
    role: An agent
    model: {model}
    provider: openai
    system_prompt: You are an agent. Help.
{more}"
        )
    };
    let slow = "plain-50-100";
    let crew = format!(
        "version: \"1.0\"
name: parallel
entry_point: start
agents:
{}{}{}{}routing:
  defaults:
    start: all
  parallel_groups:
    all:
      agents: [a, b, c]
      join: all
",
        agent("start", "plain", ""),
        agent("a", slow, ""),
        agent("b", slow, ""),
        agent("c", slow, ""),
    );
    std::fs::write(dir.join("crew.yaml"), crew)?;
    Ok(dir)
}

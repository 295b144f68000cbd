//! The crews that are killed: what they do leaves marks that can be counted.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The crews' names.
pub(crate) const NAMES: [&str; 2] = ["line", "group"];

/// Writes who called into the ledger, one line that is whole: `<key> <tool> <what>`. It may be killed, or its server may,
/// before and after.
const PROGRAM: &str = "#!/bin/sh
sleep 0.02
echo \"$BOATHOUSE_IDEMPOTENCY_KEY $1 $2\" >> ../ledger
sleep 0.02
echo \"$1 of $2\"
";

/// An agent that looks, puts, asks and hands over to one that sends.
const LINE: &str = r#"
name: line
agents:
  - { id: first, provider: scripted, model: any, system_prompt: x, tools: [look, put] }
  - { id: second, provider: scripted, model: any, system_prompt: x, tools: [send, put], is_terminal: true }
routing:
  signals:
    first:
      - { signal: "[SECOND]", target: second }
  agent_behaviors:
    first: { wait_for_signal: true }
settings: { timeout_seconds: 600 }
"#;

const LINE_SCRIPT: &str = r#"
rules:
  - { agent: first, call: 1, delay_ms: 20, reply: "looking at it now", tools: [{ name: look, arguments: { what: a } }, { name: put, arguments: { what: b } }] }
  - { agent: first, call: 2, delay_ms: 20, piece_delay_ms: 5, reply: "and which one of them shall it be?" }
  - { agent: first, call: 3, delay_ms: 20, reply: "on to it [SECOND]" }
  - { agent: second, call: 1, delay_ms: 20, reply: "", tools: [{ name: send, arguments: { what: c } }] }
  - { agent: second, call: 2, delay_ms: 20, reply: "", tools: [{ name: send, arguments: { what: d } }, { name: put, arguments: { what: e } }] }
  - { agent: second, delay_ms: 20, piece_delay_ms: 5, reply: "it is all sent and done" }
"#;

/// A desk that opens a group of three, each with tools, and one that closes.
const GROUP: &str = r#"
name: group
agents:
  - { id: desk, provider: scripted, model: any, system_prompt: x }
  - { id: a, provider: scripted, model: any, system_prompt: x, tools: [send] }
  - { id: b, provider: scripted, model: any, system_prompt: x, tools: [put] }
  - { id: c, provider: scripted, model: any, system_prompt: x, tools: [send, look] }
  - { id: closer, provider: scripted, model: any, system_prompt: x, is_terminal: true }
routing:
  signals:
    desk:
      - { signal: "[ALL]", target: everyone }
  parallel_groups:
    everyone: { agents: [a, b, c], next_agent: closer, timeout_seconds: 600 }
settings: { timeout_seconds: 600 }
"#;

const GROUP_SCRIPT: &str = r#"
rules:
  - { agent: desk, delay_ms: 20, reply: "all of you [ALL]" }
  - { agent: a, call: 1, delay_ms: 10, reply: "", tools: [{ name: send, arguments: { what: "1" } }] }
  - { agent: a, delay_ms: 10, reply: "a is done" }
  - { agent: b, call: 1, delay_ms: 20, reply: "", tools: [{ name: put, arguments: { what: "2" } }] }
  - { agent: b, delay_ms: 20, reply: "b is done" }
  - { agent: c, call: 1, delay_ms: 30, reply: "", tools: [{ name: send, arguments: { what: "3" } }, { name: look, arguments: { what: "4" } }] }
  - { agent: c, delay_ms: 30, reply: "c is done" }
  - { agent: closer, delay_ms: 20, reply: "closed" }
"#;

/// `look` may be repeated, `put` with its key, `send` never silently.
fn tools() -> String {
    let tool = |name: &str, effect: &str| {
        format!(
            "  {name}:
    description: For tests
    effect: {effect}
    parameters: {{type: object, properties: {{what: {{type: string}}}}, required: [what]}}
    command: {{argv: [./note.sh, {name}, \"{{what}}\"]}}
"
        )
    };
    let tools = [("look", "read"), ("put", "idempotent"), ("send", "once")];
    "tools:\n".to_owned() + &tools.map(|(name, effect)| tool(name, effect)).concat()
}

/// Writes the crews' folders; their ledger is beside them.
pub(crate) fn write(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let crews = [(LINE, LINE_SCRIPT), (GROUP, GROUP_SCRIPT)];
    NAMES
        .iter()
        .zip(crews)
        .map(|(name, (crew, script))| {
            let folder = dir.join(name);
            std::fs::create_dir(&folder)?;
            std::fs::write(folder.join("crew.yaml"), format!("{crew}{}", tools()))?;
            std::fs::write(folder.join("scripted.yaml"), script)?;
            let program = folder.join("note.sh");
            std::fs::write(&program, PROGRAM)?;
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
            Ok(folder)
        })
        .collect()
}

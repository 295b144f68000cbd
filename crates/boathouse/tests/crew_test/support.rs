//! A crew in a folder, and its tests.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::{Effect, ToolSpec};
use boathouse::crew_dir;
use boathouse::crew_dir::LoadError;
use boathouse::crew_test::{Report, Runner, Suite};
use boathouse::tool::{Tool, ToolCx, ToolError, Tools};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A desk that routes, asks, works with tools, and opens a group.
pub const DESK: &str = r#"
name: desk
vars: {topic: anything}
entry_point: triage
settings: {max_rounds: 2, max_handoffs: 3}
agents:
  - {id: triage, provider: scripted, system_prompt: "{{topic}}: [ASK], [WORK], [ALL] or [END]"}
  - {id: asker, provider: scripted, system_prompt: "Ask. [WORK]"}
  - {id: worker, provider: scripted, tools: [Say, Pay], is_terminal: true}
  - {id: lan, provider: scripted, tools: [Say]}
  - {id: hoa, provider: scripted}
  - {id: writer, provider: scripted, is_terminal: true}
tools:
  Say:
    description: Says it.
    effect: read
    command: {argv: [echo, "{text}"]}
    parameters:
      type: object
      properties: {text: {type: string}, times: {type: number}}
      required: [text]
routing:
  signals:
    triage:
      - {signal: "[ASK]", target: asker}
      - {signal: "[WORK]", target: worker}
      - {signal: "[ALL]", target: everyone}
      - {signal: "[END]", target: null}
      - {signal: "[AGAIN]", target: triage}
    asker: [{signal: "[WORK]", target: worker}]
  agent_behaviors: {asker: {wait_for_signal: true}}
  parallel_groups:
    everyone: {agents: [lan, hoa], next_agent: writer}
"#;

pub const SCRIPT: &str = r#"
rules:
  - {agent: triage, input: vague, reply: "Ask them. [ASK]"}
  - {agent: triage, input: everyone, reply: "All. [ALL]"}
  - {agent: triage, input: loop, reply: "Again. [AGAIN]"}
  - {agent: triage, input: slow, delay_ms: 3600000, reply: "At last. [END]"}
  - {agent: triage, input: json, reply: '{"ok": true, "items": [{"name": "disk", "size": 1.0}]} [END]'}
  - {agent: triage, input: broken, error: {kind: rejected, message: "the model said no"}}
  - {agent: triage, input: hello, reply: "Good day. [END]", usage: {input_tokens: 30, output_tokens: 12}}
  - {agent: triage, reply: "Work. [WORK]"}
  - {agent: asker, call: 1, reply: "Which one?"}
  - {agent: asker, when: "^no idea", reply: "Then guess?"}
  - {agent: asker, reply: "Thank you. [WORK]"}
  - {agent: worker, input: pay, call: 1, reply: "I pay.", tools: [{name: Pay, arguments: {amount: 3}}]}
  - {agent: worker, input: rounds, reply: "More.", tools: [{name: Say, arguments: {text: again}}]}
  - {agent: worker, call: 1, reply: "I say.", tools: [{name: Say, arguments: {}}, {name: Shout}, {name: Say, arguments: {text: a b, times: 2}}]}
  - {agent: worker, input: pay, reply: "It gave: {{result.Pay}}"}
  - {agent: worker, reply: "Done: {{result.Say}}"}
  - {agent: lan, call: 1, reply: "", tools: [{name: Say, arguments: {text: lan}}]}
  - {agent: lan, reply: "Lan is done."}
  - {agent: hoa, reply: "Hoa is done."}
  - {agent: writer, reply: "In sum: fine."}
"#;

/// The crew `desk` in a folder of its own.
pub struct Desk(TempDir);

impl Desk {
    /// With one file of tests.
    pub fn with(tests: &str) -> Desk {
        Desk::with_files(&[("tests.yaml", tests.as_bytes())])
    }

    /// With these files in its folder `tests`.
    pub fn with_files(files: &[(&str, &[u8])]) -> Desk {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("crew.yaml"), DESK).unwrap();
        fs::write(dir.path().join("scripted.yaml"), SCRIPT).unwrap();
        for (name, bytes) in files {
            let file = dir.path().join("tests").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        Desk(dir)
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn load(&self) -> Result<Suite, LoadError> {
        let catalog = Catalog { tools: tools().specs(), providers: vec!["scripted".to_owned()] };
        Suite::load(self.dir(), crew_dir::load(self.dir(), &catalog).unwrap())
    }

    /// What is told of tests that cannot be read.
    pub fn refused(&self) -> String {
        let error = self.load().expect_err("these tests cannot be read");
        error.to_string().replace(&self.dir().display().to_string(), "DIR")
    }

    /// Runs all tests, one after the other.
    pub async fn run(&self) -> Vec<Report> {
        let suite = self.load().unwrap_or_else(|error| panic!("{error}"));
        let runner = Runner::new(tools());
        let mut reports = Vec::new();
        for test in &suite.tests {
            reports.push(runner.run(&suite, test).await.expect("nobody stops the tests"));
        }
        reports
    }

    /// Runs all tests, all of which must pass.
    pub async fn passes(&self) -> Vec<Report> {
        let reports = self.run().await;
        let failed: Vec<String> =
            reports.iter().filter(|report| !report.passed()).map(Report::to_string).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        reports
    }

    /// Runs all tests, none of which may pass; what is told of them.
    pub async fn fails(&self) -> String {
        let reports = self.run().await;
        assert!(reports.iter().all(|report| !report.passed()), "{reports:#?}");
        reports.iter().map(Report::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// The tools of a program.
pub fn tools() -> Tools {
    let parameters = json!({"type": "object", "properties": {"amount": {"type": "integer"}}});
    let spec = ToolSpec::new("Pay", "Pays.", parameters).effect(Effect::Once);
    Tools::builtin().with(Pay(Arc::new(spec))).unwrap()
}

/// Nobody knows whether it pays.
struct Pay(Arc<ToolSpec>);

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn call(&self, _arguments: &Value, _cx: &ToolCx) -> Result<String, ToolError> {
        Err(ToolError::Unknown("the bank hung up".to_owned()))
    }
}

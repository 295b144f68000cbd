//! What a parallel group gives: the results of its branches as one message. Also the block that tool results come in
//! where agents call tools by text.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::crew::Aggregate;
use crate::ids::AgentId;
use crate::message::{ResultStatus, ToolResult};

use super::event::BranchEnd;

/// Instructions that a template may execute.
const TEMPLATE_FUEL: u64 = 1_000_000;

/// What one branch of a group gave.
#[derive(Clone, Debug)]
pub struct BranchResult<'a> {
    /// The agent's id.
    pub agent: &'a AgentId,
    /// The agent's name.
    pub name: &'a str,
    /// Its last reply; empty if it gave none.
    pub reply: &'a str,
    /// The results of all its tool calls, each with the tool's name.
    pub tools: &'a [(String, ToolResult)],
    /// How it ended.
    pub end: &'a BranchEnd,
}

/// The results of a group's branches, in the order given, as one text.
///
/// - `text`: the Go system's block; a branch's section also has its tool results, and its status if it did not complete.
/// - `json`: `{"results": [{agent, name, status, error?, limit?, reply, tools: [{tool, status, output}]}], "summary":
///   {total, completed, failed: [agent]}}`, where `failed` names every branch that did not complete.
/// - `merge`: the replies of completed branches, joined by blank lines, equal ones once, then a line on the others.
/// - `template`: a minijinja template over the same `results` and `summary`, and the run's variables by their names. If it
///   fails, the text form with a note.
pub fn aggregate(kind: &Aggregate, results: &[BranchResult], vars: &BTreeMap<&str, &str>) -> String {
    match kind {
        Aggregate::Text => text(results),
        Aggregate::Json => serde_json::to_string_pretty(&Report::new(results)).unwrap_or_default(),
        Aggregate::Merge => merge(results),
        Aggregate::Template(template) => render(template, results, vars)
            .unwrap_or_else(|error| format!("{}(the group's template failed: {error})\n", text(results))),
    }
}

/// Tool results as the Go system writes them, each with the tool's name.
pub fn tool_results(results: &[(&str, &ToolResult)]) -> String {
    let mut block = String::from("\n[📊 TOOL EXECUTION RESULTS]\n\n");
    for (tool, result) in results {
        push_tool(&mut block, tool, result);
    }
    block.push_str("[END RESULTS]\n");
    block
}

fn push_tool(block: &mut String, tool: &str, result: &ToolResult) {
    let _ = write!(block, "{tool}:\n  Status: {}\n  Output: {}\n\n", status(result.status), result.output);
}

fn status(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Success => "success",
        ResultStatus::Error => "error",
    }
}

fn text(results: &[BranchResult]) -> String {
    let mut block = String::from("\n[📊 PARALLEL EXECUTION RESULTS]\n\n");
    for result in results {
        let _ = writeln!(block, "[{}]", result.agent);
        if let Some(status) = not_completed(result.end) {
            let _ = writeln!(block, "Status: {status}");
        }
        if !result.reply.is_empty() {
            let _ = writeln!(block, "{}", result.reply);
        }
        block.push('\n');
        for (tool, result) in result.tools {
            push_tool(&mut block, tool, result);
        }
    }
    block.push_str("[END PARALLEL RESULTS]\n");
    block
}

fn merge(results: &[BranchResult]) -> String {
    let mut seen = HashSet::new();
    let mut parts: Vec<String> = Vec::new();
    for result in results {
        let reply = result.reply.trim();
        if not_completed(result.end).is_none() && !reply.is_empty() && seen.insert(reply) {
            parts.push(reply.to_owned());
        }
    }
    let missing: Vec<String> = results
        .iter()
        .filter_map(|result| not_completed(result.end).map(|status| format!("{}: {status}", result.agent)))
        .collect();
    if !missing.is_empty() {
        parts.push(format!("(not completed: {})", missing.join("; ")));
    }
    parts.join("\n\n")
}

/// How a branch ended, for people; `None` if it completed.
fn not_completed(end: &BranchEnd) -> Option<String> {
    match end {
        BranchEnd::Completed {} => None,
        BranchEnd::Failed { error } => Some(format!("failed: {error}")),
        BranchEnd::LimitReached { limit } => Some(format!("limit_reached: {limit}")),
        BranchEnd::TimedOut {} => Some("timed_out".to_owned()),
        BranchEnd::Cancelled {} => Some("cancelled".to_owned()),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    results: Vec<ReportedBranch<'a>>,
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct ReportedBranch<'a> {
    agent: &'a AgentId,
    name: &'a str,
    #[serde(flatten)]
    end: &'a BranchEnd,
    reply: &'a str,
    tools: Vec<ReportedTool<'a>>,
}

#[derive(Serialize)]
struct ReportedTool<'a> {
    tool: &'a str,
    status: ResultStatus,
    output: &'a str,
}

#[derive(Serialize)]
struct Summary<'a> {
    total: usize,
    completed: usize,
    failed: Vec<&'a AgentId>,
}

impl<'a> Report<'a> {
    fn new(results: &'a [BranchResult<'a>]) -> Report<'a> {
        let failed: Vec<&AgentId> = results
            .iter()
            .filter(|result| not_completed(result.end).is_some())
            .map(|result| result.agent)
            .collect();
        Report {
            summary: Summary { total: results.len(), completed: results.len() - failed.len(), failed },
            results: results
                .iter()
                .map(|result| ReportedBranch {
                    agent: result.agent,
                    name: result.name,
                    end: result.end,
                    reply: result.reply,
                    tools: result
                        .tools
                        .iter()
                        .map(|(tool, result)| ReportedTool {
                            tool,
                            status: result.status,
                            output: &result.output,
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct TemplateContext<'a> {
    #[serde(flatten)]
    vars: &'a BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    report: Report<'a>,
}

fn render(
    template: &str,
    results: &[BranchResult],
    vars: &BTreeMap<&str, &str>,
) -> Result<String, minijinja::Error> {
    let mut environment = minijinja::Environment::new();
    environment.set_fuel(Some(TEMPLATE_FUEL));
    // A name that is not there is an error where it is printed, and false where it is asked for.
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::SemiStrict);
    let report = Report::new(results);
    environment.render_str(template, minijinja::value::Serde(TemplateContext { vars, report }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CallId;

    fn result(call: u64, status: ResultStatus, output: &str) -> ToolResult {
        ToolResult { call: CallId(call), status, output: output.to_owned() }
    }

    fn with_two(test: impl Fn(&[BranchResult])) {
        let tools = [("Search".to_owned(), result(3, ResultStatus::Success, "3 hits"))];
        let (lan, hoa, mai) = (AgentId::from("lan"), AgentId::from("hoa"), AgentId::from("mai"));
        let failed = BranchEnd::Failed { error: "no answer".to_owned() };
        test(&[
            BranchResult {
                agent: &lan,
                name: "Lan",
                reply: "It is blue.",
                tools: &tools,
                end: &BranchEnd::Completed {},
            },
            BranchResult { agent: &hoa, name: "Hoa", reply: "", tools: &[], end: &failed },
            BranchResult {
                agent: &mai,
                name: "Mai",
                reply: "It is blue.\n",
                tools: &[],
                end: &BranchEnd::Completed {},
            },
        ]);
    }

    #[test]
    fn tool_results_are_the_go_block() {
        let ok = result(1, ResultStatus::Success, "12 %");
        let bad = result(2, ResultStatus::Error, "Tool X not found");
        assert_eq!(
            tool_results(&[("GetCPUUsage", &ok), ("X", &bad)]),
            "\n[📊 TOOL EXECUTION RESULTS]\n\nGetCPUUsage:\n  Status: success\n  Output: 12 %\n\nX:\n  Status: error\n  \
             Output: Tool X not found\n\n[END RESULTS]\n"
        );
    }

    #[test]
    fn text_is_the_go_block_with_status_and_tools() {
        with_two(|results| {
            assert_eq!(
                aggregate(&Aggregate::Text, results, &BTreeMap::new()),
                "\n[📊 PARALLEL EXECUTION RESULTS]\n\n[lan]\nIt is blue.\n\nSearch:\n  Status: success\n  Output: 3 hits\n\n\
                 [hoa]\nStatus: failed: no answer\n\n[mai]\nIt is blue.\n\n\n[END PARALLEL RESULTS]\n"
            );
        });
    }

    #[test]
    fn json_has_results_and_a_summary() {
        with_two(|results| {
            let json: serde_json::Value =
                serde_json::from_str(&aggregate(&Aggregate::Json, results, &BTreeMap::new()))
                    .expect("it is JSON");
            assert_eq!(
                json,
                serde_json::json!({
                    "results": [
                        {"agent": "lan", "name": "Lan", "status": "completed", "reply": "It is blue.",
                         "tools": [{"tool": "Search", "status": "success", "output": "3 hits"}]},
                        {"agent": "hoa", "name": "Hoa", "status": "failed", "error": "no answer", "reply": "", "tools": []},
                        {"agent": "mai", "name": "Mai", "status": "completed", "reply": "It is blue.\n", "tools": []},
                    ],
                    "summary": {"total": 3, "completed": 2, "failed": ["hoa"]},
                })
            );
        });
    }

    #[test]
    fn merge_says_equal_things_once() {
        with_two(|results| {
            assert_eq!(
                aggregate(&Aggregate::Merge, results, &BTreeMap::new()),
                "It is blue.\n\n(not completed: hoa: failed: no answer)"
            );
        });
    }

    #[test]
    fn a_template_sees_results_summary_and_vars() {
        let vars = BTreeMap::from([("desk", "IT"), ("results", "nothing")]);
        let template = "{{ desk }} {{ summary.completed }}/{{ summary.total }}{% for r in results %} {{ r.name }}={{ r.status }}\
                        {% if r.error %}({{ r.error }}){% endif %}{% endfor %}";
        with_two(|results| {
            assert_eq!(
                aggregate(&Aggregate::Template(template.to_owned()), results, &vars),
                "IT 2/3 Lan=completed Hoa=failed(no answer) Mai=completed"
            );
        });
    }

    #[test]
    fn a_template_that_fails_gives_the_text_with_a_note() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        for template in ["{{ nobody }}", "{% for %}", endless] {
            with_two(|results| {
                let output = aggregate(&Aggregate::Template(template.to_owned()), results, &BTreeMap::new());
                assert!(output.starts_with(&text(results)), "{output}");
                assert!(output.contains("(the group's template failed: "), "{output}");
            });
        }
    }
}

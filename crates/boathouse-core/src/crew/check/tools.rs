//! Tools: those that the crew defines, and those that its agents name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::crew::file::{At, Said, View};
use crate::crew::problem::Code;
use crate::crew::yaml::{Entry, Node};
use crate::crew::{
    DEFAULT_OUTPUT_BYTES, Effect, OnUnknown, ToolDef, ToolIx, ToolKind, ToolSpec, positional_order,
};

use super::Check;

mod approval;
mod command;
mod http;
mod mcp;
mod places;

use mcp::Servers;

/// Names under which crews written for the Go system expect a tool that runs what a model writes, ends processes of
/// its choice, or removes programs.
const REFUSED: [&str; 11] = [
    "ExecuteCommand",
    "TerminateProcess",
    "UninstallApplication",
    "KillProcess",
    "RunCommand",
    "RunShell",
    "RunShellCommand",
    "ShellCommand",
    "ExecuteShell",
    "Shell",
    "Bash",
];

const WRITE_A_KIND: &str =
    "write `command: {argv: [...]}`, `http: {url: ...}`, or `mcp: {server: ..., tool: ...}`";

/// The tools that a crew defines, and those that its agents have taken.
pub(super) struct Shelf<'a> {
    /// `None` where the definition has an error.
    defined: BTreeMap<&'a str, (Option<ToolDef>, At<'a>)>,
    taken: BTreeMap<&'a str, ToolIx>,
    /// In the order in which agents first name them.
    pub(super) tools: Vec<ToolDef>,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(defined: BTreeMap<&'a str, (Option<ToolDef>, At<'a>)>) -> Shelf<'a> {
        Shelf { defined, taken: BTreeMap::new(), tools: Vec::new() }
    }
}

impl<'a> Check<'a> {
    /// The tools of an agent.
    pub(super) fn agent_tools(&mut self, agent: View<'a>, shelf: &mut Shelf<'a>) -> Vec<ToolIx> {
        let mut tools = Vec::new();
        for name in agent.texts("tools") {
            let Some(ix) = self.take_tool(name, shelf) else { continue };
            if tools.contains(&ix) {
                let message = format!("the tool `{}` is listed twice", name.value);
                self.problems.warn(
                    name.at,
                    Code::DuplicateTool,
                    message,
                    Some("remove one of them".to_owned()),
                );
            } else {
                tools.push(ix);
            }
        }
        tools
    }

    fn take_tool(&mut self, name: Said<'a, &'a str>, shelf: &mut Shelf<'a>) -> Option<ToolIx> {
        if let Some(ix) = shelf.taken.get(name.value) {
            return Some(*ix);
        }
        let tool = match shelf.defined.get(name.value) {
            // A definition with an error: that was said there.
            Some((defined, _)) => defined.clone()?,
            None => {
                let registered = self.catalog.tools.iter().find(|spec| spec.name == name.value);
                match registered {
                    Some(spec) => ToolDef { spec: spec.clone(), kind: ToolKind::Registered },
                    None => {
                        self.no_such_tool(name, shelf);
                        return None;
                    }
                }
            }
        };
        let ix = ToolIx(shelf.tools.len());
        shelf.tools.push(tool);
        shelf.taken.insert(name.value, ix);
        Some(ix)
    }

    fn no_such_tool(&mut self, name: Said<'a, &'a str>, shelf: &Shelf<'a>) {
        if REFUSED.contains(&name.value) {
            let message =
                format!("the tool `{}` is not offered: a model could do anything with it", name.value);
            let hint = format!(
                "define it under `tools:` of `{}` with the commands that it may run, or remove it",
                super::CREW_FILE
            );
            self.problems.warn(name.at, Code::RefusedTool, message, Some(hint));
            return;
        }
        let registered = self.catalog.tools.iter().map(|spec| spec.name.as_str());
        let hint = self.problems.similar(name.value, shelf.defined.keys().copied().chain(registered));
        let hint = hint.or_else(|| Some("define it in `crew.yaml` under `tools:`, or remove it".to_owned()));
        self.problems.error(name.at, Code::UnknownTool, format!("no tool named `{}`", name.value), hint);
    }

    /// Tools that no agent names.
    pub(super) fn unused_tools(&mut self, shelf: &Shelf<'a>) {
        for (name, (_, at)) in &shelf.defined {
            if !shelf.taken.contains_key(name) && shelf.defined[name].0.is_some() {
                let message = format!("no agent may call the tool `{name}`");
                self.problems.warn(
                    *at,
                    Code::UnusedTool,
                    message,
                    Some("list it under an agent's `tools`".to_owned()),
                );
            }
        }
    }

    /// The tools under `tools:` of `crew.yaml`, and the MCP servers that some are of.
    pub(super) fn defined_tools(
        &mut self,
        crew_file: View<'a>,
    ) -> BTreeMap<&'a str, (Option<ToolDef>, At<'a>)> {
        let mut defined = BTreeMap::new();
        let servers = self.mcp_servers(crew_file);
        self.idle_servers(crew_file);
        for (name, node) in crew_file.map("tools").iter().flat_map(View::entries) {
            let tool = self.defined_tool(name, View { file: crew_file.file, node }, &servers);
            defined.insert(name.value, (tool, name.at));
        }
        defined
    }

    fn defined_tool(
        &mut self,
        name: Said<'a, &'a str>,
        view: View<'a>,
        servers: &Servers<'a>,
    ) -> Option<ToolDef> {
        if !crate::crew::is_tool_name(name.value) {
            let message = format!("`{}` cannot be a tool's name", name.value);
            let hint =
                Some("at most 64 letters, digits, `_` and `-`, beginning with a letter or `_`".to_owned());
            self.problems.error(name.at, Code::InvalidName, message, hint);
            return None;
        }
        if view.node.is_null() {
            let message = format!("the tool `{}` is empty", name.value);
            self.problems.error(name.at, Code::MissingKey, message, Some(WRITE_A_KIND.to_owned()));
            return None;
        }
        let description = view.owned("description");
        if description.trim().is_empty() {
            let message =
                format!("the tool `{}` has no description: models do not know when to call it", name.value);
            let hint = Some("write a `description`: what it does, and when it is worth calling".to_owned());
            self.problems.warn(name.at, Code::NoDescription, message, hint);
        }
        let kind = self.kind_of_tool(name, view)?;
        let (kind, parameters) = match kind {
            "command" => {
                let (command, parameters) = self.command(view.map(kind)?, view)?;
                (ToolKind::Command(Arc::new(command)), parameters)
            }
            "http" => {
                let parameters = self.tool_parameters(view)?;
                let http = self.http(view.map(kind)?, view, &parameters)?;
                (ToolKind::Http(Arc::new(http)), parameters)
            }
            _ => {
                let mcp = self.mcp(view.map(kind)?, name, servers);
                let parameters = self.tool_parameters(view)?;
                (ToolKind::Mcp(Arc::new(mcp?)), parameters)
            }
        };
        let spec = self.tool_spec(name, view, description, parameters);
        Some(ToolDef { spec: Arc::new(spec), kind })
    }

    /// The one key that says how the tool is run.
    fn kind_of_tool(&mut self, name: Said<'a, &'a str>, view: View<'a>) -> Option<&'static str> {
        const KINDS: [&str; 3] = ["command", "http", "mcp"];
        let mut kinds = KINDS.into_iter().filter(|kind| view.key(kind).is_some());
        let Some(kind) = kinds.next() else {
            let message = format!("the tool `{}` does not say what it does", name.value);
            self.problems.error(view.at(), Code::MissingKey, message, Some(WRITE_A_KIND.to_owned()));
            return None;
        };
        if let Some((other, at)) = kinds.next().and_then(|other| Some((other, view.key(other)?))) {
            let message = format!("`{kind}` and `{other}` exclude each other");
            let hint = Some("make two tools of it".to_owned());
            self.problems.error(at, Code::Contradiction, message, hint);
            return None;
        }
        if kind != "command" {
            self.idle_keys(view, &["cwd", "env"], "command");
        }
        Some(kind)
    }

    /// Keys that do nothing without another one.
    fn idle_keys(&mut self, view: View<'a>, keys: &[&str], without: &str) {
        for (key, at) in keys.iter().filter_map(|key| Some((key, view.key(key)?))) {
            let message = format!("`{key}` does nothing without `{without}`");
            self.problems.warn(at, Code::NoEffect, message, Some("remove it".to_owned()));
        }
    }

    fn tool_spec(
        &mut self,
        name: Said<'a, &'a str>,
        view: View<'a>,
        description: String,
        parameters: Value,
    ) -> ToolSpec {
        let effect = match view.text("effect").map(|said| said.value) {
            Some("read") => Effect::Read,
            Some("idempotent") => Effect::Idempotent,
            _ => Effect::Once,
        };
        let retries: u32 = view.whole("retries").unwrap_or(0);
        if let (Effect::Once, Some(at), true) = (effect, view.key("retries"), retries > 0) {
            let message = "`retries` does nothing: a call with the effect `once` is never repeated by itself";
            let hint = Some("write `effect: read` or `effect: idempotent` if it may be repeated".to_owned());
            self.problems.warn(at, Code::NoEffect, message.to_owned(), hint);
        }
        if let (Effect::Read | Effect::Idempotent, Some(at)) = (effect, view.key("on_unknown")) {
            let message = "`on_unknown` does nothing: a call that may be repeated is made again";
            self.problems.warn(at, Code::NoEffect, message.to_owned(), Some("remove it".to_owned()));
        }
        ToolSpec {
            effect,
            on_unknown: match view.text("on_unknown").map(|said| said.value) {
                Some("fail") => OnUnknown::Fail,
                Some("assume_done") => OnUnknown::AssumeDone,
                Some("rerun") => OnUnknown::Rerun,
                _ => OnUnknown::Ask,
            },
            approval: self.approval(view, &parameters),
            approval_timeout_ms: view.millis("approval_timeout_seconds"),
            timeout_ms: view.millis("timeout_seconds"),
            retries,
            max_output_bytes: view.setting("max_output_bytes").unwrap_or(DEFAULT_OUTPUT_BYTES),
            positional: self.positional(view, &parameters),
            ..ToolSpec::new(name.value, description, parameters)
        }
    }

    /// Required parameters in their order, then the others as written in the file.
    fn positional(&self, view: View<'a>, parameters: &Value) -> Vec<String> {
        let written = view.map("parameters").and_then(|schema| schema.map("properties"));
        let Some(written) = written else { return positional_order(parameters) };
        let required = parameters.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut order: Vec<String> = required.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        let mut seen: BTreeSet<String> = order.iter().cloned().collect();
        for (name, _) in written.entries() {
            if seen.insert(name.value.to_owned()) {
                order.push(name.value.to_owned());
            }
        }
        order
    }

    /// The schema of a tool's arguments; an object without properties if none is written.
    fn tool_parameters(&mut self, view: View<'a>) -> Option<Value> {
        let Some(schema) = view.map("parameters") else {
            return Some(json!({"type": "object", "properties": {}, "additionalProperties": false}));
        };
        let at = schema.at();
        if schema.get("type").and_then(Node::text) != Some("object") {
            let message = "`parameters` must be a JSON Schema with `type: object`".to_owned();
            let hint =
                Some("write `parameters: {type: object, properties: {host: {type: string}}}`".to_owned());
            self.problems.error(at, Code::InvalidSchema, message, hint);
            return None;
        }
        let properties = match schema.get("properties").filter(|node| !node.is_null()) {
            Some(node) if node.entries().is_none() => {
                let at = At { file: view.file, place: node.at };
                let hint = Some("write `properties: {host: {type: string}}`".to_owned());
                self.problems.error(at, Code::InvalidSchema, "`properties` must be a map".to_owned(), hint);
                return None;
            }
            Some(node) => node.entries().unwrap_or_default(),
            None => &[],
        };
        let mut sound = self.properties_are_schemas(view.file, properties);
        for name in schema.texts("required") {
            if properties.iter().all(|property| property.key != name.value) {
                let message = format!("`required` names `{}`, which `properties` does not have", name.value);
                let hint = self.problems.suggest(name.value, properties.iter().map(|p| p.key.as_str()));
                let hint = hint.or_else(|| Some(format!("remove it, or describe `{}`", name.value)));
                self.problems.error(name.at, Code::InvalidSchema, message, hint);
                sound = false;
            }
        }
        sound.then(|| schema.node.to_json())
    }

    fn properties_are_schemas(&mut self, file: &'a str, properties: &'a [Entry]) -> bool {
        const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "null"];
        let mut sound = true;
        for property in properties {
            let kind = property.value.entries().map(|_| View { file, node: &property.value });
            let at = At { file, place: property.value.at };
            let Some(schema) = kind else {
                let message = format!("`{}` must be a schema", property.key);
                let hint = Some(format!("write `{}: {{type: string}}`", property.key));
                self.problems.error(at, Code::InvalidSchema, message, hint);
                sound = false;
                continue;
            };
            if let Some(kind) = schema.text("type").filter(|kind| !TYPES.contains(&kind.value)) {
                let hint = self.problems.suggest(kind.value, TYPES);
                let message = format!("`{}` is not a type of JSON Schema", kind.value);
                self.problems.error(kind.at, Code::InvalidSchema, message, hint);
                sound = false;
            }
        }
        sound
    }
}

/// Whether a path is relative and stays where it begins.
fn is_below(path: &str) -> bool {
    use std::path::{Component, Path};
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

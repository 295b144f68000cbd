//! The agents: who they are, which models answer for them, what they may call.

use std::collections::BTreeMap;

use crate::crew::file::{At, Said, View};
use crate::crew::problem::Code;
use crate::crew::yaml::{Node, Yaml};
use crate::crew::{Agent, AgentIx, Model, Parameters, Source, ToolCallStyle};
use crate::ids::AgentId;

use super::{AGENTS_DIR, CREW_FILE, Check, tools};

/// The model of an agent that names none, where the provider is `openai`.
const DEFAULT_MODEL: &str = "gpt-4o-mini";
/// The provider where none is named.
const DEFAULT_PROVIDER: &str = "openai";
/// Keys of a request that `parameters.extra` may not replace.
const RESERVED: [&str; 7] = ["model", "messages", "system", "tools", "tool_choice", "stream", "n"];

/// An agent as written.
pub(super) struct AgentFile<'a> {
    pub(super) id: Said<'a, &'a str>,
    pub(super) view: View<'a>,
}

impl<'a> Check<'a> {
    /// Collects the agents in the order of `crew.yaml`, and gives each its name.
    pub(super) fn roster(
        &mut self,
        source: &'a Source,
        crew_file: View<'a>,
        readable: bool,
        trees: &'a BTreeMap<&'a str, Node>,
    ) -> Vec<AgentFile<'a>> {
        let mut files = self.agent_files(source, trees);
        let mut roster: Vec<AgentFile<'a>> = Vec::new();
        for node in crew_file.items("agents") {
            let at = At { file: crew_file.file, place: node.at };
            let file = match &node.yaml {
                Yaml::Map(_) => {
                    let view = View { file: crew_file.file, node };
                    match self.agent_id(view) {
                        Some(id) => AgentFile { id, view },
                        None => continue,
                    }
                }
                Yaml::Scalar { .. } => {
                    let Some(id) = node.text() else { continue };
                    if self.names.agents.contains_key(id) {
                        self.listed_twice(Said { value: id, at });
                        continue;
                    }
                    match files.remove(id) {
                        Some(file) => file,
                        None if self.names.broken.contains(id) => continue,
                        // Whoever read the folder said that it could not.
                        None if source.contains_key(AGENTS_DIR) => {
                            self.names.broken.insert(id);
                            continue;
                        }
                        None => {
                            let known = files.keys().copied();
                            let hint = self
                                .problems
                                .similar(id, known)
                                .or_else(|| Some(format!("write `{AGENTS_DIR}{id}.yaml` with `id: {id}`")));
                            let message = format!("no file of `{AGENTS_DIR}` has the id `{id}`");
                            self.problems.error(at, Code::UnknownAgent, message, hint);
                            self.names.broken.insert(id);
                            continue;
                        }
                    }
                }
                Yaml::List(_) => continue,
            };
            if self.names.agents.contains_key(file.id.value) {
                self.listed_twice(file.id);
                continue;
            }
            if let Some(other) = files.get(file.id.value) {
                let message = format!("the agent `{}` is also in `{}`", file.id.value, other.view.file);
                self.problems.error(
                    file.id.at,
                    Code::DuplicateAgent,
                    message,
                    Some("remove one of them".to_owned()),
                );
                files.remove(file.id.value);
            }
            self.names.agents.insert(file.id.value, AgentIx(roster.len()));
            roster.push(file);
        }
        // Agents that are no list have been told.
        if !readable || crew_file.get("agents").is_some_and(|node| !node.is_null() && node.items().is_none())
        {
            return roster;
        }
        if crew_file.items("agents").next().is_none() {
            let ids: Vec<&str> = files.keys().copied().collect();
            let hint = if ids.is_empty() {
                "list them under `agents:`, as ids of files or as maps".to_owned()
            } else {
                format!("write `agents: [{}]`", ids.join(", "))
            };
            let at = crew_file.key("agents").unwrap_or(crew_file.at());
            self.problems.error(at, Code::EmptyCrew, "the crew has no agents".to_owned(), Some(hint));
        } else {
            for (id, file) in files {
                let message = format!(
                    "the agent `{id}` is not in the crew: `agents` of `{CREW_FILE}` does not list it"
                );
                let hint = Some("list it, or remove the file".to_owned());
                self.problems.warn(file.id.at, Code::UnlistedAgent, message, hint);
            }
        }
        roster
    }

    /// The agents' files by id.
    fn agent_files(
        &mut self,
        source: &'a Source,
        trees: &'a BTreeMap<&'a str, Node>,
    ) -> BTreeMap<&'a str, AgentFile<'a>> {
        let mut files: BTreeMap<&str, AgentFile<'_>> = BTreeMap::new();
        for file in source.keys().filter(|file| file.starts_with(AGENTS_DIR)) {
            let stem = file[AGENTS_DIR.len()..].trim_end_matches(".yaml");
            let view = trees.get(file.as_str()).map(|node| View { file, node });
            let Some((view, id)) = view.and_then(|view| Some((view, self.agent_id(view)?))) else {
                self.names.broken.insert(stem);
                continue;
            };
            if let Some(first) = files.get(id.value) {
                let message = format!("the agent `{}` is also in `{}`", id.value, first.view.file);
                let hint = Some("give one of them another id".to_owned());
                self.problems.error(id.at, Code::DuplicateAgent, message, hint);
            } else {
                files.insert(id.value, AgentFile { id, view });
            }
        }
        files
    }

    fn listed_twice(&mut self, id: Said<'a, &'a str>) {
        let message = format!("the agent `{}` is listed twice", id.value);
        self.problems.error(id.at, Code::DuplicateAgent, message, Some("remove one of them".to_owned()));
    }

    /// The id of an agent; `None` if it has none that can be used, which is reported.
    fn agent_id(&mut self, view: View<'a>) -> Option<Said<'a, &'a str>> {
        // A missing id was reported when the map was validated.
        let id = view.text("id")?;
        let fault = if id.value.is_empty() {
            "is empty"
        } else if id.value.chars().count() > 128 {
            "has more than 128 characters"
        } else if id.value.trim() != id.value || id.value.chars().any(char::is_control) {
            "begins or ends with a blank, or contains a control character"
        } else {
            return Some(id);
        };
        let hint = Some("write a short name, such as `id: triage`".to_owned());
        self.problems.error(id.at, Code::InvalidName, format!("the agent's id {fault}"), hint);
        None
    }

    /// Builds an agent; its routing comes later.
    pub(super) fn agent(&mut self, file: &AgentFile<'a>, shelf: &mut tools::Shelf<'a>) -> Agent {
        let view = file.view;
        let name = view.text("name").map_or(file.id.value, |said| said.value);
        let system_prompt = view.text("system_prompt").map(|said| said.value.to_owned());
        let handoff_targets = view
            .texts("handoff_targets")
            .into_iter()
            .filter_map(|target| self.find_agent(target, Code::UnknownAgent))
            .collect();
        Agent {
            id: AgentId::from(file.id.value),
            name: name.to_owned(),
            role: view.owned("role"),
            description: view.owned("description"),
            backstory: view.owned("backstory"),
            system_prompt: system_prompt.filter(|prompt| !prompt.trim().is_empty()),
            models: self.models(file),
            parameters: self.parameters(view),
            tool_calls: match view.text("tool_calls").map(|said| said.value) {
                Some("native") => ToolCallStyle::Native,
                Some("text") => ToolCallStyle::Text,
                _ => ToolCallStyle::Auto,
            },
            tools: self.agent_tools(view, shelf),
            signals: Vec::new(),
            wait_for_signal: false,
            answer_schema: None,
            terminal: view.flag("is_terminal").is_some_and(|said| said.value),
            default_route: None,
            handoff_targets,
        }
    }

    fn models(&mut self, file: &AgentFile<'a>) -> Vec<Model> {
        let view = file.view;
        let mut models = Vec::new();
        if let Some(primary) = view.map("primary") {
            models.extend(self.model(primary, primary.at()));
            for name in ["model", "provider", "provider_url"] {
                if let Some(at) = view.key(name) {
                    let message = format!("`{name}` does nothing here: `primary` says which model answers");
                    self.problems.warn(at, Code::NoEffect, message, Some("remove one of them".to_owned()));
                }
            }
        } else if view.get("primary").is_none_or(Node::is_null) {
            models.extend(self.model(view, file.id.at));
        }
        let backups = view.get("backup").map(|node| match node.items() {
            Some(items) => items.iter().collect(),
            None => vec![node],
        });
        for node in backups.into_iter().flatten().filter(|node| node.entries().is_some()) {
            let backup = View { file: view.file, node };
            models.extend(self.model(backup, backup.at()));
        }
        models
    }

    /// A model from a map with `model`, `provider` and `provider_url`.
    fn model(&mut self, view: View<'a>, at: At<'a>) -> Option<Model> {
        let named = view.text("provider").filter(|said| !said.value.is_empty());
        let provider = named.map_or(DEFAULT_PROVIDER, |said| said.value);
        if !self.catalog.providers.iter().any(|known| known == provider) {
            let hint = self.problems.suggest(provider, self.catalog.providers.iter().map(String::as_str));
            let message = match named {
                Some(_) => format!("no provider named `{provider}`"),
                None => format!("no provider is named, so `{provider}` is meant, and that is not there"),
            };
            self.problems.error(named.map_or(at, |said| said.at), Code::UnknownProvider, message, hint);
            return None;
        }
        let model = match view.text("model").filter(|said| !said.value.is_empty()) {
            Some(said) => said.value,
            None if provider == "scripted" => "scripted",
            None if provider == DEFAULT_PROVIDER => DEFAULT_MODEL,
            None => {
                let message = format!("no `model` is named for the provider `{provider}`");
                let at = named.map_or(at, |said| said.at);
                self.problems.error(at, Code::MissingKey, message, Some("write `model: ...`".to_owned()));
                return None;
            }
        };
        let base_url = match view.text("provider_url").filter(|said| !said.value.is_empty()) {
            Some(said) => Some(self.base_url(said)?),
            None => None,
        };
        Some(Model { provider: provider.to_owned(), model: model.to_owned(), base_url })
    }

    fn base_url(&mut self, url: Said<'a, &'a str>) -> Option<String> {
        let host = match url.value.split_once("://") {
            Some(("http" | "https", rest)) => Some(rest),
            Some(_) => None,
            None => Some(url.value),
        };
        let host = host.and_then(|rest| rest.split(['/', '?', '#']).next());
        let plain =
            |host: &&str| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control());
        match host.filter(plain) {
            None => {
                let message = "this is not an address of a provider".to_owned();
                let hint = Some("write it as `https://host/path` or `http://host:port`".to_owned());
                self.problems.error(url.at, Code::InvalidUrl, message, hint);
                None
            }
            Some(host) if host.contains('@') => {
                let message = "an address must not hold a user name or a password".to_owned();
                let hint =
                    Some("a crew's files are stored and shown: give the key to the program".to_owned());
                self.problems.error(url.at, Code::InvalidUrl, message, hint);
                None
            }
            Some(_) if url.value.contains("://") => Some(url.value.to_owned()),
            Some(_) => {
                let message = format!("`http://{}` is meant", url.value);
                self.problems.warn(
                    url.at,
                    Code::InvalidUrl,
                    message,
                    Some("write it with `http://`".to_owned()),
                );
                Some(format!("http://{}", url.value))
            }
        }
    }

    fn parameters(&mut self, view: View<'a>) -> Parameters {
        let empty = Node { at: view.node.at, yaml: Yaml::Map(Vec::new()) };
        let block = view.map("parameters");
        for name in ["temperature", "max_tokens", "top_p"] {
            if let (Some(at), Some(_)) = (view.key(name), block.and_then(|block| block.key(name))) {
                let message = format!("`{name}` is set here and under `parameters`");
                self.problems.error(at, Code::SetTwice, message, Some("remove one of them".to_owned()));
            }
        }
        let inner = block.unwrap_or(View { file: CREW_FILE, node: &empty });
        let stop = match inner.get("stop").map(|node| (node, node.text())) {
            Some((_, Some(text))) => vec![text.to_owned()],
            Some((_, None)) => inner.texts("stop").iter().map(|said| said.value.to_owned()).collect(),
            None => Vec::new(),
        };
        if let Some(extra) = block.and_then(|block| block.map("extra")) {
            for (name, _) in extra.entries().filter(|(name, _)| RESERVED.contains(&name.value)) {
                let message = format!("`{}` belongs to the request itself", name.value);
                let hint = Some("remove it: what the crew file says is sent".to_owned());
                self.problems.error(name.at, Code::ReservedParameter, message, hint);
            }
        }
        Parameters {
            temperature: inner.number("temperature").or_else(|| view.number("temperature")),
            max_tokens: inner.whole("max_tokens").or_else(|| view.whole("max_tokens")),
            top_p: inner.number("top_p").or_else(|| view.number("top_p")),
            stop,
            seed: inner.whole("seed"),
            reasoning_effort: inner.text("reasoning_effort").map(|said| said.value.to_owned()),
            extra: inner.json("extra").unwrap_or_default(),
        }
    }
}

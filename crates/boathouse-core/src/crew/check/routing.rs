//! Where agents lead: signals, defaults, behaviours and parallel groups.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization;

use crate::crew::file::{At, Said, View};
use crate::crew::problem::Code;
use crate::crew::{Agent, Aggregate, Group, GroupIx, Join, OnError, Route, Settings, Signal};

use super::Check;
use super::agents::AgentFile;

/// What every template can use, beside the crew's variables.
pub(super) const IN_TEMPLATES: [&str; 2] = ["results", "summary"];

impl<'a> Check<'a> {
    /// Gives each parallel group its place.
    pub(super) fn group_names(&mut self, crew_file: View<'a>) {
        let groups = crew_file.map("routing").and_then(|routing| routing.map("parallel_groups"));
        for (place, (name, _)) in groups.iter().flat_map(View::entries).enumerate() {
            if self.names.agents.contains_key(name.value) {
                let message = format!("`{}` is an agent and a parallel group", name.value);
                let hint = Some("a target must mean one of them: rename the group".to_owned());
                self.problems.error(name.at, Code::AmbiguousName, message, hint);
            }
            if name.value.is_empty()
                || name.value.chars().count() > 128
                || name.value.chars().any(char::is_control)
            {
                let message = "a group's name has 1 to 128 characters and no control character".to_owned();
                self.problems.error(
                    name.at,
                    Code::InvalidName,
                    message,
                    Some("write a short name".to_owned()),
                );
            }
            self.names.groups.insert(name.value, GroupIx(place));
        }
    }

    pub(super) fn groups(&mut self, crew_file: View<'a>, settings: &Settings) -> Vec<Group> {
        let groups = crew_file.map("routing").and_then(|routing| routing.map("parallel_groups"));
        let entries: Vec<_> = groups.iter().flat_map(View::entries).collect();
        entries
            .into_iter()
            .map(|(name, node)| self.group(name, View { file: crew_file.file, node }, settings))
            .collect()
    }

    fn group(&mut self, name: Said<'a, &'a str>, view: View<'a>, settings: &Settings) -> Group {
        if view.node.is_null() {
            let message = format!("the parallel group `{}` is empty", name.value);
            self.problems.error(name.at, Code::MissingKey, message, Some("list its `agents`".to_owned()));
        }
        let listed = view.texts("agents");
        let mut agents = Vec::new();
        let mut members = BTreeSet::new();
        for member in &listed {
            let Some(ix) = self.find_agent(*member, Code::UnknownAgent) else { continue };
            if !members.insert(ix) {
                let message = format!("the agent `{}` is in the group twice", member.value);
                let hint = Some("an agent works once in a group: remove one of them".to_owned());
                self.problems.error(member.at, Code::DuplicateAgent, message, hint);
            } else {
                agents.push(ix);
            }
        }
        if let (true, Some(at)) = (listed.is_empty(), view.key("agents")) {
            let message = format!("the parallel group `{}` has no agents", name.value);
            let hint = Some("list who works in it, or remove the group".to_owned());
            self.problems.error(at, Code::EmptyGroup, message, hint);
        }
        let join = match view.map("join").and_then(|join| Some((join, join.whole::<usize>("quorum")?))) {
            Some((join, quorum)) => {
                if quorum > listed.len() && !listed.is_empty() {
                    let at = join.text("quorum").map_or(join.at(), |said| said.at);
                    let message = format!(
                        "a quorum of {quorum} can never be met: the group has {}",
                        count(listed.len())
                    );
                    let hint = Some(format!("write at most `quorum: {}`", listed.len()));
                    self.problems.error(at, Code::QuorumTooLarge, message, hint);
                }
                Join::Quorum(quorum)
            }
            None if view.text("join").is_some_and(|said| said.value == "first") => Join::First,
            None => Join::All,
        };
        let next_agent = view.text("next_agent").filter(|said| !said.value.is_empty());
        Group {
            name: name.value.to_owned(),
            description: view.owned("description"),
            agents,
            join,
            on_error: match view.text("on_error").map(|said| said.value) {
                Some("fail_fast") => OnError::FailFast,
                _ => OnError::Continue,
            },
            timeout_ms: view.millis("timeout_seconds").unwrap_or(settings.parallel_timeout_ms),
            aggregate: self.aggregate(view),
            next_agent: next_agent.and_then(|said| self.find_agent(said, Code::UnknownAgent)),
        }
    }

    fn aggregate(&mut self, group: View<'a>) -> Aggregate {
        let template = group.map("aggregate").and_then(|aggregate| aggregate.text("template"));
        let Some(template) = template else {
            return match group.text("aggregate").map(|said| said.value) {
                Some("json") => Aggregate::Json,
                Some("merge") => Aggregate::Merge,
                _ => Aggregate::Text,
            };
        };
        self.template(template);
        Aggregate::Template(template.value.to_owned())
    }

    fn template(&mut self, template: Said<'a, &'a str>) {
        let environment = minijinja::Environment::new();
        match environment.template_from_str(template.value) {
            Err(error) => {
                let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                let message = format!("the template cannot be read: {what}");
                // Templates are mostly blocks, whose lines stand in the file as they are.
                let line = error.line().and_then(|line| template.value.lines().nth(line.checked_sub(1)?));
                let at = match line.map(str::trim).filter(|line| !line.is_empty()) {
                    Some(line) => self.problems.find(template.at, line),
                    None => template.at,
                };
                let hint = "values stand in `{{ ... }}`, statements in `{% ... %}`; write `{{ '{{' }}` for the text itself";
                self.problems.error(at, Code::BadTemplate, message, Some(hint.to_owned()));
            }
            Ok(compiled) => {
                let mut unknown: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
                unknown.retain(|name| !IN_TEMPLATES.contains(&name.as_str()));
                unknown.retain(|name| environment.globals().all(|(global, _)| global != name));
                unknown.sort();
                for name in unknown {
                    if self.names.vars.contains(name.as_str()) {
                        self.names.in_templates.insert(name);
                        continue;
                    }
                    let message = format!("the template has no value named `{name}`");
                    let known = IN_TEMPLATES.into_iter().chain(self.names.vars.iter().copied());
                    let hint = self.problems.similar(&name, known);
                    let hint =
                        hint.or_else(|| Some("it has `results`, `summary` and the crew's `vars`".to_owned()));
                    let at = self.problems.find(template.at, &name);
                    self.problems.warn(at, Code::UnknownPlaceholder, message, hint);
                }
            }
        }
    }

    /// Fills in the agents' routing. Returns where each agent's signals stand.
    pub(super) fn routing(
        &mut self,
        crew_file: View<'a>,
        roster: &[AgentFile<'a>],
        agents: &mut [Agent],
    ) -> Vec<Vec<At<'a>>> {
        let mut signals_at = vec![Vec::new(); agents.len()];
        let Some(routing) = crew_file.map("routing") else { return signals_at };
        for (name, node) in routing.map("signals").iter().flat_map(View::entries) {
            let agent = self.find_agent(name, Code::UnknownAgent);
            let (signals, places) = self.signals(View { file: crew_file.file, node });
            if let Some(ix) = agent {
                agents[ix.0].signals = signals;
                signals_at[ix.0] = places;
            }
        }
        for (name, node) in routing.map("defaults").iter().flat_map(View::entries) {
            let agent = self.find_agent(name, Code::UnknownAgent);
            let route = self.read_route(crew_file.file, node);
            if let Some(ix) = agent {
                agents[ix.0].default_route = route;
            }
        }
        for (name, node) in routing.map("agent_behaviors").iter().flat_map(View::entries) {
            let Some(ix) = self.find_agent(name, Code::UnknownAgent) else { continue };
            let behavior = View { file: crew_file.file, node };
            let agent = &mut agents[ix.0];
            agent.wait_for_signal = behavior.flag("wait_for_signal").is_some_and(|said| said.value);
            let auto_route = behavior.flag("auto_route").filter(|said| said.value && agent.wait_for_signal);
            if let Some(said) = auto_route {
                let message =
                    format!("`{}` cannot both wait for a person and route by itself: it waits", name.value);
                let hint = Some("remove `auto_route` or `wait_for_signal`".to_owned());
                self.problems.warn(said.at, Code::ConflictingBehaviors, message, hint);
            }
            agent.answer_schema = behavior.json("answer_schema").map(serde_json::Value::Object);
            if let (Some(at), false) = (behavior.key("answer_schema"), agent.wait_for_signal) {
                let message =
                    format!("`answer_schema` does nothing: `{}` never waits for an answer", name.value);
                let hint = Some("write `wait_for_signal: true` beside it".to_owned());
                self.problems.warn(at, Code::NoEffect, message, hint);
            }
            let Some(terminal) = behavior.flag("is_terminal") else { continue };
            let own = roster[ix.0].view.flag("is_terminal");
            if own.is_some_and(|own| own.value != terminal.value) {
                let message =
                    format!("`is_terminal` of `{}` is both true and false: true counts", name.value);
                let hint = Some("remove the other one".to_owned());
                self.problems.warn(terminal.at, Code::ConflictingBehaviors, message, hint);
            }
            agent.terminal |= terminal.value;
        }
        signals_at
    }

    fn signals(&mut self, list: View<'a>) -> (Vec<Signal>, Vec<At<'a>>) {
        let mut signals = Vec::new();
        let mut places = Vec::new();
        let mut exact: BTreeMap<String, At<'a>> = BTreeMap::new();
        let mut loose: BTreeMap<String, (At<'a>, Option<Route>)> = BTreeMap::new();
        for node in list.node.items().unwrap_or_default() {
            let view = View { file: list.file, node };
            let target = view.get("target");
            let route = match target {
                Some(target) => self.read_route(list.file, target),
                None => Some(Route::End),
            };
            let Some(said) = view.text("signal") else { continue };
            let text: String = said.value.trim().nfc().collect();
            let folded = fold(&text);
            if folded.is_empty() {
                let message = "a signal needs letters, digits or signs".to_owned();
                self.problems.error(said.at, Code::EmptySignal, message, Some("write `[DONE]`".to_owned()));
                continue;
            }
            if target.is_none() {
                let message = format!("the signal `{text}` has no target: it ends the run");
                let hint = Some("write `target: null` if that is meant".to_owned());
                self.problems.warn(said.at, Code::NoTarget, message, hint);
            }
            if let Some(first) = exact.get(&text) {
                let message = format!("the signal `{text}` is defined twice");
                let hint = Some(format!("the first one is in line {}", first.place.line));
                self.problems.error(said.at, Code::DuplicateSignal, message, hint);
                continue;
            }
            if let Some((first, other)) = loose.get(&folded)
                && *other != route
            {
                let message =
                    format!("the signal `{text}` differs from another only in case, spaces or underscores");
                let hint = Some(format!(
                    "a model that writes it carelessly may mean the one in line {}: choose another text",
                    first.place.line
                ));
                self.problems.warn(said.at, Code::SimilarSignals, message, hint);
            }
            exact.insert(text.clone(), said.at);
            loose.entry(folded).or_insert((said.at, route));
            signals.push(Signal {
                text,
                route: route.unwrap_or(Route::End),
                description: view.owned("description"),
            });
            places.push(said.at);
        }
        (signals, places)
    }
}

/// The text as careless readers see it: without case, white space and underscores.
fn fold(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect()
}

fn count(agents: usize) -> String {
    if agents == 1 { "1 agent".to_owned() } else { format!("{agents} agents") }
}

//! What can be said of a crew as a whole: keys that cancel each other, agents that nobody reaches, prompts that do
//! not tell their agent what it should write. Warnings only.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization;

use crate::crew::file::{At, Said, View};
use crate::crew::problem::Code;
use crate::crew::{Agent, AgentIx, Crew, GroupIx, HandoffStyle, Route, ToolCallStyle};
use crate::run::prompt;

use super::Check;
use super::agents::AgentFile;

/// Placeholders that every agent fills in itself.
pub(super) const BUILT_IN: [&str; 4] = ["name", "role", "description", "backstory"];
/// Keys of an agent in which placeholders are replaced.
const TEXT_KEYS: [&str; 5] = ["system_prompt", "backstory", "description", "role", "name"];

impl<'a> Check<'a> {
    pub(super) fn advise(
        &mut self,
        crew: &Crew,
        crew_file: View<'a>,
        roster: &[AgentFile<'a>],
        signals_at: &[Vec<At<'a>>],
    ) {
        let routing = crew_file.map("routing");
        for (place, (agent, file)) in crew.agents.iter().zip(roster).enumerate() {
            self.conflicts(crew, AgentIx(place), file, routing);
            self.forms_and_signals(crew, agent, file);
            self.unsaid_signals(crew, agent, file, &signals_at[place]);
        }
        self.unsaid_settings(crew, crew_file);
        self.placeholders(crew, crew_file, roster);
        self.idle_in_groups(crew, routing);
        self.unpriced(crew, crew_file, roster);
        // With a reference that leads nowhere, whatever it should lead to would look unreachable.
        if !self.names.lost {
            self.transfers(crew, roster);
            self.endless_loops(crew, roster, routing);
            self.unreachable(crew, crew_file, roster, routing);
        }
    }

    /// Where something of an agent is written in a section of `routing`, else where its id is.
    pub(super) fn routed_at(&self, routing: Option<View<'a>>, section: &str, file: &AgentFile<'a>) -> At<'a> {
        routing
            .and_then(|routing| routing.map(section))
            .and_then(|section| section.entries().find(|(name, _)| name.value == file.id.value))
            .map_or(file.id.at, |(name, _)| name.at)
    }

    /// Keys of one agent of which one keeps the other from acting.
    fn conflicts(&mut self, crew: &Crew, ix: AgentIx, file: &AgentFile<'a>, routing: Option<View<'a>>) {
        let agent = crew.agent(ix);
        let id = &agent.id;
        let leads_on = agent.default_route.is_some_and(|route| route != Route::End);
        if agent.wait_for_signal {
            let at = self.routed_at(routing, "agent_behaviors", file);
            if agent.terminal {
                let message =
                    format!("`is_terminal` of `{id}` never acts: `wait_for_signal` pauses the run first");
                let hint = Some("give it a signal with `target: null` that ends the run".to_owned());
                self.problems.warn(at, Code::ConflictingBehaviors, message, hint);
            }
            if agent.signals.is_empty() && crew.handoff == HandoffStyle::Signal {
                let message = format!("`{id}` waits after every reply, and has no signal to go on with");
                let hint = Some("give it a signal under `routing.signals`".to_owned());
                self.problems.warn(at, Code::EndlessWait, message, hint);
            }
        }
        let never = match (agent.wait_for_signal, agent.terminal) {
            (true, _) => Some("`wait_for_signal` pauses the run first"),
            (false, true) => Some("the agent is terminal"),
            (false, false) => None,
        };
        if let (Some(why), true) = (never, leads_on) {
            let at = self.routed_at(routing, "defaults", file);
            let message = format!("the default of `{id}` is never taken: {why}");
            self.problems.warn(
                at,
                Code::ConflictingBehaviors,
                message,
                Some("remove one of the two".to_owned()),
            );
        }
        if let (HandoffStyle::Signal, Some(first), Some(at)) =
            (crew.handoff, agent.handoff_targets.first(), file.view.key("handoff_targets"))
        {
            let default = agent.default_route;
            if let Some(why) = never {
                let message = format!("`handoff_targets` of `{id}` does nothing: {why}");
                self.problems.warn(
                    at,
                    Code::ConflictingBehaviors,
                    message,
                    Some("remove one of the two".to_owned()),
                );
            } else if default.is_some_and(|route| route != Route::Agent(*first)) {
                let message =
                    format!("`handoff_targets` of `{id}` does nothing: `routing.defaults` comes first");
                self.problems.warn(
                    at,
                    Code::ConflictingBehaviors,
                    message,
                    Some("remove one of the two".to_owned()),
                );
            }
        }
        let next = agent.default_route.or(agent.handoff_targets.first().map(|first| Route::Agent(*first)));
        if never.is_none() && next == Some(Route::Agent(ix)) {
            let at = match agent.default_route {
                Some(_) => self.routed_at(routing, "defaults", file),
                None => file.view.key("handoff_targets").unwrap_or(file.id.at),
            };
            let message = format!("`{id}` hands over to itself until `max_handoffs` ends the run");
            let hint = Some("name another agent, or `null` for the end of the run".to_owned());
            self.problems.warn(at, Code::HandsToItself, message, hint);
        }
    }

    /// Signals that the agent's own prompt never mentions.
    fn unsaid_signals(&mut self, crew: &Crew, agent: &Agent, file: &AgentFile<'a>, places: &[At<'a>]) {
        let Some(prompt) = &agent.system_prompt else { return };
        // Where hand-offs are tools, only signals that end the run are written.
        let written = |route| crew.handoff != HandoffStyle::Tool || route == Route::End;
        let mut said: String = prompt.nfc().collect();
        for text in [&agent.backstory, &agent.description, &agent.role] {
            said.extend(text.nfc());
        }
        for (signal, at) in agent.signals.iter().zip(places) {
            if written(signal.route) && !said.contains(&signal.text) {
                let message =
                    format!("the prompt of `{}` never mentions its signal `{}`", agent.id, signal.text);
                let hint = Some(format!("tell the agent in `{}` when to end with it", file.view.file));
                self.problems.warn(*at, Code::UnmentionedSignal, message, hint);
            }
        }
    }

    /// Settings that only the generic prompt tells, where no agent has it.
    fn unsaid_settings(&mut self, crew: &Crew, crew_file: View<'a>) {
        let Some(settings) = crew_file.map("settings") else { return };
        if crew.agents.is_empty() || crew.agents.iter().any(|agent| agent.system_prompt.is_none()) {
            return;
        }
        for name in ["language", "organization"] {
            if let Some(at) = settings.key(name) {
                let message = format!("`{name}` does nothing: every agent has its own `system_prompt`");
                self.problems.warn(at, Code::NoEffect, message, Some("say it in the prompts".to_owned()));
            }
        }
    }

    /// Placeholders that stand for nothing, and variables that no placeholder names.
    fn placeholders(&mut self, crew: &Crew, crew_file: View<'a>, roster: &[AgentFile<'a>]) {
        let mut texts: Vec<Said<'a, &'a str>> = Vec::new();
        for file in roster {
            texts.extend(TEXT_KEYS.iter().filter_map(|key| file.view.text(key)));
        }
        texts.extend(crew_file.map("settings").and_then(|settings| settings.text("organization")));
        let signals = crew_file.map("routing").and_then(|routing| routing.map("signals"));
        for (_, list) in signals.iter().flat_map(View::entries) {
            for node in list.items().unwrap_or_default() {
                texts.extend(View { file: crew_file.file, node }.text("description"));
            }
        }
        let mut used: BTreeSet<&str> = BTreeSet::new();
        // What these say goes to models too, in the descriptions of transfers.
        for text in crew.groups.iter().map(|group| &group.description).chain([&crew.description]) {
            used.extend(placeholders(text).map(|(_, name)| name));
        }
        for text in texts {
            let mut told = BTreeSet::new();
            for (written, name) in placeholders(text.value) {
                used.insert(name);
                if BUILT_IN.contains(&name) || crew.vars.contains_key(name) || !told.insert(name) {
                    continue;
                }
                let known = BUILT_IN.into_iter().chain(crew.vars.keys().map(String::as_str));
                let hint = self.problems.similar(name, known).or_else(|| {
                    Some(format!("declare it in `{}`: `vars: {{{name}: null}}`", super::CREW_FILE))
                });
                let at = self.problems.find(text.at, written);
                let message = format!("the placeholder `{written}` is not declared, and stays as it is");
                self.problems.warn(at, Code::UnknownPlaceholder, message, hint);
            }
        }
        for (name, _) in crew_file.map("vars").iter().flat_map(View::entries) {
            let in_use = used.contains(name.value) || self.names.in_templates.contains(name.value);
            if crew.vars.contains_key(name.value) && !in_use {
                let message = format!("no prompt uses `{{{{{}}}}}`", name.value);
                let hint = Some("write it in a prompt, or remove the variable".to_owned());
                self.problems.warn(name.at, Code::UnusedVar, message, hint);
            }
        }
    }

    /// Members of groups that have routing, which does not act inside a branch.
    fn idle_in_groups(&mut self, crew: &Crew, routing: Option<View<'a>>) {
        let groups = routing.and_then(|routing| routing.map("parallel_groups"));
        for (name, node) in groups.iter().flat_map(View::entries) {
            let Some(view) = groups.map(|groups| View { file: groups.file, node }) else { continue };
            let mut told = BTreeSet::new();
            for member in view.texts("agents").into_iter().filter(|member| told.insert(member.value)) {
                let Some(ix) = self.names.agents.get(member.value) else { continue };
                let agent = crew.agent(*ix);
                let idle: Vec<&str> = [
                    (!agent.signals.is_empty(), "signals"),
                    (agent.wait_for_signal, "`wait_for_signal`"),
                    (agent.terminal, "`is_terminal`"),
                    (agent.default_route.is_some(), "default"),
                    (!agent.handoff_targets.is_empty(), "`handoff_targets`"),
                ]
                .into_iter()
                .filter_map(|(given, what)| given.then_some(what))
                .collect();
                if idle.is_empty() {
                    continue;
                }
                let message = format!(
                    "inside the parallel group `{}`, these of `{}` do nothing: {}",
                    name.value,
                    member.value,
                    idle.join(", ")
                );
                let hint = "a branch ends with the agent's first reply without tool calls; `next_agent` of the group \
                            says where the run goes";
                self.problems.warn(member.at, Code::NoEffectInGroup, message, Some(hint.to_owned()));
            }
        }
    }

    /// Hand-offs by tool that are not offered, or not under the name that a prompt would use.
    fn transfers(&mut self, crew: &Crew, roster: &[AgentFile<'a>]) {
        for (place, (agent, file)) in crew.agents.iter().zip(roster).enumerate() {
            let transfers = prompt::transfers(crew, AgentIx(place));
            if agent.tool_calls == ToolCallStyle::Text {
                if let (Some(at), false) = (file.view.key("tool_calls"), transfers.is_empty()) {
                    let message =
                        format!("`{}` can never hand over: it cannot call tools that hand over", agent.id);
                    let hint = Some("write `handoff: auto` in `crew.yaml`: signals act then too".to_owned());
                    self.problems.warn(at, Code::NoTransfer, message, hint);
                }
                continue;
            }
            for (name, route, _) in transfers {
                let target = crew.route_name(route).unwrap_or_default();
                if name != format!("transfer_to_{target}") {
                    let message =
                        format!("`{}` hands over to `{target}` with a tool named `{name}`", agent.id);
                    let hint = "the plain name is taken, too long, or has letters that tools cannot have: say this one in \
                                prompts";
                    self.problems.warn(file.id.at, Code::TransferName, message, Some(hint.to_owned()));
                }
            }
        }
    }

    /// Agents and groups that no route leads to.
    fn unreachable(
        &mut self,
        crew: &Crew,
        crew_file: View<'a>,
        roster: &[AgentFile<'a>],
        routing: Option<View<'a>>,
    ) {
        if crew.agents.is_empty() {
            return;
        }
        let mut agents = vec![false; crew.agents.len()];
        let mut groups = vec![false; crew.groups.len()];
        let mut open = vec![Route::Agent(crew.entry)];
        // Members of a group are reached, but lead nowhere themselves.
        let mut leads_on = vec![false; crew.agents.len()];
        while let Some(route) = open.pop() {
            match route {
                Route::Agent(AgentIx(place)) => {
                    agents[place] = true;
                    if std::mem::replace(&mut leads_on[place], true) {
                        continue;
                    }
                    let agent = &crew.agents[place];
                    open.extend(agent.signals.iter().map(|signal| signal.route));
                    open.extend(agent.default_route);
                    open.extend(agent.handoff_targets.iter().map(|target| Route::Agent(*target)));
                }
                Route::Group(GroupIx(place)) => {
                    if std::mem::replace(&mut groups[place], true) {
                        continue;
                    }
                    let group = &crew.groups[place];
                    for AgentIx(member) in &group.agents {
                        agents[*member] = true;
                    }
                    open.extend(group.next_agent.map(Route::Agent));
                }
                Route::End => {}
            }
        }
        let listed: BTreeMap<&str, At<'a>> = crew_file
            .items("agents")
            .filter_map(|node| Some((node.text()?, At { file: crew_file.file, place: node.at })))
            .collect();
        for (file, _) in roster.iter().zip(agents).filter(|(_, reached)| !reached) {
            let message = format!(
                "nobody hands over to `{}`, and the crew begins at `{}`",
                file.id.value,
                crew.agent(crew.entry).id
            );
            let hint = Some("make it the target of a signal or a default, or remove it".to_owned());
            let at = listed.get(file.id.value).copied().unwrap_or(file.id.at);
            self.problems.warn(at, Code::UnreachableAgent, message, hint);
        }
        let names = routing.and_then(|routing| routing.map("parallel_groups"));
        for ((name, _), _) in names.iter().flat_map(View::entries).zip(groups).filter(|(_, reached)| !reached)
        {
            let message = format!("nothing leads to the parallel group `{}`", name.value);
            let hint = Some("make it the target of a signal or a default, or remove it".to_owned());
            self.problems.warn(name.at, Code::UnreachableGroup, message, hint);
        }
    }
}

/// Every `{{name}}` of a text: as written, and the name.
fn placeholders(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find("{{")?;
            let after = &rest[start + 2..];
            let Some(end) = after.find("}}") else {
                rest = "";
                return None;
            };
            // `{{ {{x}}`: the inner one counts.
            let inner = after[..end].rfind("{{").map_or(0, |at| at + 2);
            let name = after[inner..end].trim();
            let written = &rest[start + inner..start + 2 + end + 2];
            rest = &after[end + 2..];
            let sound = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
            if sound && !name.is_empty() {
                return Some((written, name));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::placeholders;

    #[test]
    fn placeholders_are_found_as_written() {
        let text = "{{name}} {{ role }} {{\"a\": 1}} {{}} {{ {{x}} {{y";
        assert_eq!(
            placeholders(text).collect::<Vec<_>>(),
            [("{{name}}", "name"), ("{{ role }}", "role"), ("{{x}}", "x")]
        );
    }
}

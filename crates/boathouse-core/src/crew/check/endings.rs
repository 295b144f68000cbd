//! Whether runs end: agents that hand the run round and round.

use crate::crew::file::View;
use crate::crew::problem::Code;
use crate::crew::{Agent, AgentIx, Crew, HandoffStyle, Route};

use super::Check;
use super::agents::AgentFile;

impl<'a> Check<'a> {
    /// Loops of agents that nothing but `max_handoffs` ends.
    pub(super) fn endless_loops(&mut self, crew: &Crew, roster: &[AgentFile<'a>], routing: Option<View<'a>>) {
        let routes: Vec<Vec<Route>> = (0..crew.agents.len()).map(|at| routes(crew, AgentIx(at))).collect();
        let ends = ends(crew, &routes);
        let mut told = vec![false; crew.agents.len()];
        for start in (0..crew.agents.len()).filter(|at| !ends[*at]) {
            let mut path: Vec<usize> = Vec::new();
            let mut next = Some(start);
            // Every route of an agent that cannot end leads to another that cannot.
            while let Some(at) = next.filter(|at| !told[*at]) {
                told[at] = true;
                path.push(at);
                next = routes[at].first().and_then(|route| leads_to(crew, *route));
            }
            let Some(first) = next.and_then(|next| path.iter().position(|at| *at == next)) else { continue };
            let round = &path[first..];
            let id = |at: usize| crew.agents[at].id.as_str();
            let head = round[0];
            // An agent that hands over to itself has been told.
            if round.len() == 1 && crew.agents[head].signals.is_empty() {
                continue;
            }
            let names: Vec<&str> = round.iter().chain([&head]).map(|at| id(*at)).collect();
            let message = format!("nothing but `max_handoffs` ends the loop {}", names.join(" -> "));
            let hint = "give one of them a signal with `target: null`, or `is_terminal: true`".to_owned();
            let section = if crew.agents[head].signals.is_empty() { "defaults" } else { "signals" };
            let at = self.routed_at(routing, section, &roster[head]);
            self.problems.warn(at, Code::EndlessLoop, message, Some(hint));
        }
    }
}

/// Every route that an agent may take after a reply.
fn routes(crew: &Crew, ix: AgentIx) -> Vec<Route> {
    let agent = crew.agent(ix);
    let mut routes: Vec<Route> = agent.signals.iter().map(|signal| signal.route).collect();
    if crew.handoff != HandoffStyle::Signal {
        routes.extend(agent.default_route);
        routes.extend(agent.handoff_targets.iter().map(|target| Route::Agent(*target)));
    }
    if let Some(route) = without_signal(agent) {
        routes.push(route);
    }
    routes
}

/// Where a reply without a signal leads; `None` where the agent waits for a person first.
fn without_signal(agent: &Agent) -> Option<Route> {
    if agent.wait_for_signal {
        // Without a signal it waits for ever, which is told elsewhere.
        return agent.signals.is_empty().then_some(Route::End);
    }
    if agent.terminal {
        return Some(Route::End);
    }
    let listed = agent.handoff_targets.first().map(|target| Route::Agent(*target));
    Some(agent.default_route.or(listed).unwrap_or(Route::End))
}

/// The agent that speaks next; `None` for the end. A group's own agents lead nowhere.
fn leads_to(crew: &Crew, route: Route) -> Option<usize> {
    match route {
        Route::Agent(AgentIx(at)) => Some(at),
        Route::Group(group) => crew.group(group).next_agent.map(|AgentIx(at)| at),
        Route::End => None,
    }
}

/// Which agents have some way to the end of the run.
fn ends(crew: &Crew, routes: &[Vec<Route>]) -> Vec<bool> {
    let mut before = vec![Vec::new(); routes.len()];
    let mut ends = vec![false; routes.len()];
    let mut open = Vec::new();
    for (at, routes) in routes.iter().enumerate() {
        for route in routes {
            match leads_to(crew, *route) {
                Some(next) => before[next].push(at),
                None if !ends[at] => {
                    ends[at] = true;
                    open.push(at);
                }
                None => {}
            }
        }
    }
    while let Some(at) = open.pop() {
        for &previous in &before[at] {
            if !std::mem::replace(&mut ends[previous], true) {
                open.push(previous);
            }
        }
    }
    ends
}

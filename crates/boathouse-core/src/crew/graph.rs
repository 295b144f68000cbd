//! A crew's routing as a drawing: nodes and edges, with texts that are safe to show.
//!
//! Only what can act is drawn: a default behind a `wait_for_signal` is not, nor are the routes of an agent inside a
//! group. [`mermaid`] and [`dot`] write the drawing for web pages and for Graphviz.

use std::collections::BTreeSet;

use super::{Agent, AgentIx, Crew, HandoffStyle, Join, Route};
use crate::run::prompt::transfers;

mod dot;
mod mermaid;
mod text;

pub use dot::dot;
pub use mermaid::mermaid;

use text::legible;

/// A drawing of a crew's routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The crew's name.
    pub name: String,
    /// The start first, then agents and groups in the order of the file, the end last if anything leads there.
    pub nodes: Vec<Node>,
    /// By the node they come from.
    pub edges: Vec<Edge>,
}

/// A place in the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// A name of ASCII letters and digits, different from all others': `start`, `a0`, `g0`, `finish`.
    pub id: String,
    /// What is drawn there.
    pub kind: NodeKind,
}

/// What a node stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Where a run begins.
    Start,
    /// An agent.
    Agent(Card),
    /// A parallel group.
    Group {
        /// Its name.
        name: String,
        /// When it is done: `joins all`.
        join: String,
        /// Its agents. Inside a group they neither wait nor route.
        members: Vec<Card>,
    },
    /// Where the run completes.
    End,
}

/// An agent as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The name that people see.
    pub name: String,
    /// Its id, if that is another text.
    pub id: Option<String>,
    /// A reply without a signal waits for a person.
    pub waits: bool,
    /// Its reply ends the run.
    pub terminal: bool,
}

/// An arrow in the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// A place in [`Graph::nodes`].
    pub from: usize,
    /// A place in [`Graph::nodes`].
    pub to: usize,
    /// Why the run goes that way.
    pub kind: EdgeKind,
    /// Lines of text: the signals, the transfer, or what kind it is. May be empty.
    pub label: Vec<String>,
}

/// Why a run goes some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeKind {
    /// It has to: from the start, from a terminal agent.
    Plain,
    /// The agent wrote a signal.
    Signal,
    /// The agent called a `transfer_to_...` tool.
    Transfer,
    /// The reply said nothing else, and `defaults` says where, or the run ends.
    Default,
    /// The reply said nothing else, and it is the first of the `handoff_targets`.
    HandoffTarget,
    /// A group's results go on.
    Joined,
}

impl Graph {
    /// Draws a crew.
    pub fn of(crew: &Crew) -> Graph {
        Drawing::new(crew).finish()
    }
}

/// Lines of text beside one arrow; further ones are left out.
const MOST_LINES: usize = 12;

/// A drawing in the making.
struct Drawing<'a> {
    crew: &'a Crew,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Where each agent is; `None` for one that only works in groups.
    agents: Vec<Option<usize>>,
    /// Where each group is.
    groups: Vec<usize>,
}

impl<'a> Drawing<'a> {
    fn new(crew: &'a Crew) -> Drawing<'a> {
        let mut nodes = vec![Node { id: "start".to_owned(), kind: NodeKind::Start }];
        let alone = alone(crew);
        let mut agents = Vec::with_capacity(crew.agents.len());
        for (ix, agent) in crew.agents.iter().enumerate() {
            agents.push(alone.contains(&ix).then_some(nodes.len()));
            if alone.contains(&ix) {
                nodes.push(Node { id: format!("a{ix}"), kind: NodeKind::Agent(card(agent)) });
            }
        }
        let mut groups = Vec::with_capacity(crew.groups.len());
        for (ix, group) in crew.groups.iter().enumerate() {
            groups.push(nodes.len());
            let member = |ix: &AgentIx| Card { waits: false, terminal: false, ..card(crew.agent(*ix)) };
            let join = match group.join {
                Join::All => "joins all".to_owned(),
                Join::First => "joins the first".to_owned(),
                Join::Quorum(quorum) => format!("joins {quorum} of {}", group.agents.len()),
            };
            let members = group.agents.iter().map(member).collect();
            let kind = NodeKind::Group { name: legible(&group.name), join, members };
            nodes.push(Node { id: format!("g{ix}"), kind });
        }
        Drawing { crew, nodes, edges: Vec::new(), agents, groups }
    }

    fn finish(mut self) -> Graph {
        self.draw(0, Route::Agent(self.crew.entry), EdgeKind::Plain, None);
        for (ix, agent) in self.crew.agents.iter().enumerate() {
            if let Some(from) = self.agents[ix] {
                self.routes(from, AgentIx(ix), agent);
            }
        }
        for (ix, group) in self.crew.groups.iter().enumerate() {
            let to = group.next_agent.map_or(Route::End, Route::Agent);
            self.draw(self.groups[ix], to, EdgeKind::Joined, None);
        }
        // Edges to the end were drawn to the place after all others.
        if self.edges.iter().any(|edge| edge.to == self.nodes.len()) {
            self.nodes.push(Node { id: "finish".to_owned(), kind: NodeKind::End });
        }
        Graph { name: legible(&self.crew.name), nodes: self.nodes, edges: self.edges }
    }

    /// The ways out of an agent, in the order in which the loop looks at them.
    fn routes(&mut self, from: usize, ix: AgentIx, agent: &Agent) {
        for signal in acting_signals(self.crew, agent) {
            self.draw(from, signal.route, EdgeKind::Signal, Some(&signal.text));
        }
        for (name, route, _) in transfers(self.crew, ix) {
            let is_signalled = acting_signals(self.crew, agent).any(|signal| signal.route == route);
            if !is_signalled {
                self.draw(from, route, EdgeKind::Transfer, Some(&name));
            }
        }
        if agent.wait_for_signal {
            return;
        }
        if agent.terminal {
            if !acting_signals(self.crew, agent).any(|signal| signal.route == Route::End) {
                self.draw(from, Route::End, EdgeKind::Plain, None);
            }
            return;
        }
        match (agent.default_route, agent.handoff_targets.first()) {
            (None, Some(target)) => {
                self.draw(from, Route::Agent(*target), EdgeKind::HandoffTarget, Some("hand-off target"));
            }
            (route, _) => {
                self.draw(from, route.unwrap_or(Route::End), EdgeKind::Default, Some("default"));
            }
        }
    }

    /// Adds an arrow, or a line of text to the one that is there.
    fn draw(&mut self, from: usize, route: Route, kind: EdgeKind, label: Option<&str>) {
        let to = match route {
            Route::Agent(ix) => self.agents[ix.0],
            Route::Group(ix) => Some(self.groups[ix.0]),
            Route::End => Some(self.nodes.len()),
        };
        // Whatever something leads to is drawn.
        let Some(to) = to else { return };
        let label = label.map(legible);
        let mut before = self.edges.iter_mut().rev().take_while(|edge| edge.from == from);
        match before.find(|edge| (edge.to, edge.kind) == (to, kind)) {
            Some(edge) if edge.label.len() < MOST_LINES => edge.label.extend(label),
            Some(edge) if edge.label.len() == MOST_LINES => edge.label.push("…".to_owned()),
            Some(_) => {}
            None => self.edges.push(Edge { from, to, kind, label: label.into_iter().collect() }),
        }
    }
}

/// The agents that are at work outside of groups: those that something leads to, and those of no group.
fn alone(crew: &Crew) -> BTreeSet<usize> {
    let members: BTreeSet<usize> =
        crew.groups.iter().flat_map(|group| &group.agents).map(|agent| agent.0).collect();
    let mut alone: BTreeSet<usize> = (0..crew.agents.len()).filter(|ix| !members.contains(ix)).collect();
    let mut led_to = vec![crew.entry.0];
    led_to.extend(crew.groups.iter().filter_map(|group| group.next_agent).map(|next| next.0));
    led_to.extend(alone.iter().flat_map(|ix| successors(crew, AgentIx(*ix))));
    while let Some(ix) = led_to.pop() {
        if alone.insert(ix) {
            led_to.extend(successors(crew, AgentIx(ix)));
        }
    }
    alone
}

/// The agents that an agent may hand over to.
fn successors(crew: &Crew, ix: AgentIx) -> Vec<usize> {
    let agent = crew.agent(ix);
    let signals = acting_signals(crew, agent).map(|signal| signal.route);
    let transfers = transfers(crew, ix).into_iter().map(|(_, route, _)| route);
    let first = agent.handoff_targets.first().map(|target| Route::Agent(*target));
    let next = agent.default_route.or(first).filter(|_| !agent.wait_for_signal && !agent.terminal);
    let agents = signals.chain(transfers).chain(next).filter_map(|route| match route {
        Route::Agent(ix) => Some(ix.0),
        Route::Group(_) | Route::End => None,
    });
    agents.collect()
}

/// Where hand-offs are tools, only signals that end the run are written.
fn acting_signals<'a>(crew: &Crew, agent: &'a Agent) -> impl Iterator<Item = &'a super::Signal> {
    let written = crew.handoff != HandoffStyle::Tool;
    agent.signals.iter().filter(move |signal| written || signal.route == Route::End)
}

fn card(agent: &Agent) -> Card {
    let name = legible(&agent.name);
    let id = Some(legible(agent.id.as_str())).filter(|id| *id != name);
    Card { name, id, waits: agent.wait_for_signal, terminal: agent.terminal && !agent.wait_for_signal }
}

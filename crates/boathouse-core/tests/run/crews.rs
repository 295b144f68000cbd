//! Crews made in code.

use std::collections::BTreeMap;
use std::sync::Arc;

use boathouse_core::crew::{
    Agent, AgentIx, Aggregate, Crew, Effect, Group, GroupIx, HandoffStyle, Join, Model, OnError, OnUnknown,
    Parameters, Route, Settings, Signal, ToolCallStyle, ToolDef, ToolIx, ToolKind, ToolSpec,
};
use boathouse_core::ids::AgentId;
use serde_json::json;

/// An agent without tools or routes.
pub fn agent(id: &str) -> Agent {
    Agent {
        id: AgentId::from(id),
        name: id.to_uppercase(),
        role: String::new(),
        description: String::new(),
        backstory: String::new(),
        system_prompt: None,
        models: vec![model("first")],
        parameters: Parameters::default(),
        tool_calls: ToolCallStyle::Auto,
        tools: Vec::new(),
        signals: Vec::new(),
        wait_for_signal: false,
        answer_schema: None,
        terminal: false,
        default_route: None,
        handoff_targets: Vec::new(),
    }
}

pub fn model(name: &str) -> Model {
    Model { provider: "scripted".to_owned(), model: name.to_owned(), base_url: None }
}

pub fn signal(text: &str, route: Route) -> Signal {
    Signal { text: text.to_owned(), route, description: String::new() }
}

pub fn to_agent(ix: usize) -> Route {
    Route::Agent(AgentIx(ix))
}

pub fn to_group(ix: usize) -> Route {
    Route::Group(GroupIx(ix))
}

pub fn group(name: &str, agents: &[usize]) -> Group {
    Group {
        name: name.to_owned(),
        description: String::new(),
        agents: agents.iter().map(|ix| AgentIx(*ix)).collect(),
        join: Join::All,
        on_error: OnError::Continue,
        timeout_ms: 60_000,
        aggregate: Aggregate::Text,
        next_agent: None,
    }
}

/// The tools that the crews here have: `Look` (read), `Put` (idempotent), `Send` (once).
pub const LOOK: ToolIx = ToolIx(0);
pub const PUT: ToolIx = ToolIx(1);
pub const SEND: ToolIx = ToolIx(2);

pub fn tool(name: &str, effect: Effect, on_unknown: OnUnknown) -> ToolDef {
    let parameters = json!({"type": "object", "properties": {"what": {"type": "string"}}});
    let mut spec = ToolSpec::new(name, "", parameters).effect(effect);
    spec.on_unknown = on_unknown;
    ToolDef { spec: Arc::new(spec), kind: ToolKind::Registered }
}

pub fn crew(agents: Vec<Agent>) -> Crew {
    Crew {
        name: "crew".to_owned(),
        description: String::new(),
        hash: "hash".into(),
        source: BTreeMap::new(),
        agents,
        entry: AgentIx(0),
        groups: Vec::new(),
        tools: vec![
            tool("Look", Effect::Read, OnUnknown::Ask),
            tool("Put", Effect::Idempotent, OnUnknown::Ask),
            tool("Send", Effect::Once, OnUnknown::Ask),
        ],
        handoff: HandoffStyle::Signal,
        settings: Settings::default(),
        vars: BTreeMap::new(),
    }
}

/// A front desk that opens a group of three branches with a tool round each, then a closer.
pub fn with_group() -> Crew {
    let mut desk = agent("desk");
    desk.signals = vec![signal("[ALL]", to_group(0)), signal("[DONE]", Route::End)];
    let mut branches: Vec<Agent> = ["a", "b", "c"].map(agent).into();
    for branch in &mut branches {
        branch.tools = vec![LOOK, PUT, SEND];
    }
    let mut closer = agent("closer");
    closer.terminal = true;
    let mut agents = vec![desk];
    agents.extend(branches);
    agents.push(closer);
    let mut crew = crew(agents);
    let mut group = group("all", &[1, 2, 3]);
    group.next_agent = Some(AgentIx(4));
    crew.groups = vec![group];
    crew
}

//! tmp
use super::Run;
use super::branch::CallPlace;
use super::event::PromptMark;
use super::request::*;
use crate::crew::{AgentIx, Crew, HandoffStyle, Route};
use crate::ids::CallId;
/// x
pub fn transfers(crew: &Crew, agent: AgentIx) -> Vec<(String, Route, String)> {
    if crew.handoff == HandoffStyle::Signal {
        return Vec::new();
    }
    let a = crew.agent(agent);
    let mut v: Vec<(String, Route, String)> = Vec::new();
    for r in a
        .signals
        .iter()
        .map(|s| s.route)
        .chain(a.default_route)
        .chain(a.handoff_targets.iter().map(|t| Route::Agent(*t)))
    {
        if let Some(n) = crew.route_name(r) {
            let n = format!("transfer_to_{n}");
            if !v.iter().any(|x| x.0 == n) {
                v.push((n, r, String::new()));
            }
        }
    }
    v
}
/// x
pub fn build(run: &Run, call: CallId) -> Option<ModelRequest> {
    let CallPlace::Model(b, m) = run.find_call(call)? else { return None };
    let a = run.crew.agent(b.agent);
    Some(ModelRequest {
        run: run.id.clone(),
        call,
        attempt: m.attempt,
        crew: run.crew.clone(),
        agent: a.id.clone(),
        agent_call: b.replies_of(b.agent) + 1,
        model: a.models[m.model].clone(),
        parameters: a.parameters.clone(),
        system: String::new(),
        messages: b.visible().map(|at| PromptMessage::User { text: b.history[at].content() }).collect(),
        tools: vec![],
    })
}
/// x
pub fn mark(_request: &ModelRequest) -> PromptMark {
    PromptMark::default()
}

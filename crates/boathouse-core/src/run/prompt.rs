//! What a model is asked: the request for a model call, rebuilt from the run.
//!
//! Prompts are never stored. The same run gives the same prompt, so its fingerprint in the log ([`mark`]) tells whether
//! a later version of this code would have asked something else.

use sha2::{Digest, Sha256};

use crate::crew::{Agent, Parameters, ToolCallStyle};
use crate::ids::CallId;

use super::Run;
use super::branch::{Branch, CallPlace, Step};
use super::event::{PromptMark, Purpose};
use super::request::{ModelRequest, PromptMessage, ToolOffer};

mod messages;
mod placeholders;
mod summary;
mod system;
#[cfg(test)]
mod tests;
mod transfers;

use placeholders::Placeholders;
pub use transfers::transfers;

/// The version of the code that builds prompts. It goes up whenever the same run gives another prompt.
pub const REVISION: u32 = 1;

/// The request for a model call that is wanted or in flight; `None` for any other call.
pub fn build(run: &Run, call: CallId) -> Option<ModelRequest> {
    let CallPlace::Model(branch, model_call) = run.find_call(call)? else { return None };
    let crew = run.crew();
    let agent = crew.agent(branch.agent);
    if let Step::Summarizing(summarizing) = &branch.step {
        return Some(ModelRequest {
            run: run.id().clone(),
            call,
            attempt: model_call.attempt,
            crew: crew.clone(),
            agent: agent.id.clone(),
            purpose: Purpose::Summary,
            agent_call: 0,
            model: agent.models.get(model_call.model)?.clone(),
            parameters: Parameters { stop: Vec::new(), ..agent.parameters.clone() },
            system: summary::system(crew),
            messages: vec![summary::message(crew, branch, summarizing.to)],
            tools: Vec::new(),
        });
    }
    let tools = offers(run, branch, agent);
    Some(ModelRequest {
        run: run.id().clone(),
        call,
        attempt: model_call.attempt,
        crew: crew.clone(),
        agent: agent.id.clone(),
        purpose: Purpose::Reply,
        agent_call: branch.replies_of(branch.agent) + 1,
        model: run.model(branch.agent, model_call.model)?.clone(),
        parameters: agent.parameters.clone(),
        system: system::prompt(run, branch, agent),
        messages: messages::build(crew, branch, agent, !tools.is_empty()),
        tools,
    })
}

/// Tools offered through the provider's interface: the agent's own, and on the main branch its transfers.
fn offers(run: &Run, branch: &Branch, agent: &Agent) -> Vec<ToolOffer> {
    let crew = run.crew();
    match agent.tool_calls {
        ToolCallStyle::Text => return Vec::new(),
        ToolCallStyle::Auto | ToolCallStyle::Native => {}
    }
    let own = agent.tools.iter().map(|tool| ToolOffer::Tool(crew.tool(*tool).spec.clone()));
    let transfers = if branch.parent.is_none() { transfers(crew, branch.agent) } else { Vec::new() };
    let placeholders = Placeholders::new(run, agent);
    let transfers = transfers.into_iter().map(|(name, _, description)| ToolOffer::Transfer {
        name,
        description: placeholders.fill(&description),
    });
    own.chain(transfers).collect()
}

/// The fingerprint of a prompt: its system prompt, messages and tools, not the model or its parameters.
pub fn mark(request: &ModelRequest) -> PromptMark {
    let mut mark = Marking { hasher: Sha256::new(), bytes: 0 };
    mark.add("system", &[&request.system]);
    for message in &request.messages {
        match message {
            PromptMessage::System { text } => mark.add("system", &[text]),
            PromptMessage::User { text } => mark.add("user", &[text]),
            PromptMessage::Assistant { text, calls } => {
                mark.add("assistant", &[text]);
                for call in calls {
                    mark.add("call", &[&call.id, &call.tool, &call.arguments.to_string()]);
                }
            }
            PromptMessage::Tool { id, tool, output, failed } => {
                mark.add(if *failed { "failed" } else { "result" }, &[id, tool, output]);
            }
        }
    }
    for tool in &request.tools {
        match tool {
            ToolOffer::Tool(spec) => {
                mark.add("tool", &[&spec.name, &spec.description, &spec.parameters.to_string()]);
            }
            ToolOffer::Transfer { name, description } => mark.add("transfer", &[name, description]),
        }
    }
    let digest = mark.hasher.finalize();
    let hash = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    PromptMark { hash, bytes: mark.bytes, revision: REVISION }
}

struct Marking {
    hasher: Sha256,
    bytes: usize,
}

impl Marking {
    /// Lengths go before the texts, so that no two lists of texts hash alike.
    fn add(&mut self, what: &str, texts: &[&str]) {
        self.hasher.update(what);
        for text in texts {
            self.hasher.update((text.len() as u64).to_be_bytes());
            self.hasher.update(text);
            self.bytes += text.len();
        }
    }
}

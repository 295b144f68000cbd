//! Messages for a model call, rebuilt from the run. To come.

use crate::crew::{AgentIx, Crew, Route};
use crate::ids::CallId;

use super::Run;
use super::event::PromptMark;
use super::request::ModelRequest;

/// The `transfer_to_...` tools of an agent: name, route, description.
pub fn transfers(_crew: &Crew, _agent: AgentIx) -> Vec<(String, Route, String)> {
    Vec::new()
}

/// What a model is asked.
pub fn build(_run: &Run, _call: CallId) -> Option<ModelRequest> {
    None
}

/// The fingerprint of a prompt.
pub fn mark(_request: &ModelRequest) -> PromptMark {
    PromptMark::default()
}

//! A call of a tool, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use boathouse::core::ids::CallId;
use boathouse::core::message::ResultStatus;
use boathouse::core::run::event::CallEnd;
use boathouse::tool::{ToolCx, ToolEnd};
use tokio_util::sync::CancellationToken;

/// The seventh call of a run named `run`.
pub(crate) fn context(crew_dir: Option<PathBuf>, cancelled: &CancellationToken) -> ToolCx {
    ToolCx {
        run: "run".into(),
        call: CallId(7),
        attempt: 1,
        agent: "agent".into(),
        idempotency_key: "run-7".to_owned(),
        crew_dir,
        history: rpds::VectorSync::new_sync(),
        cancelled: cancelled.clone(),
        grace: Duration::ZERO,
    }
}

pub(crate) fn success(output: &str) -> ToolEnd {
    ToolEnd::Returned { status: ResultStatus::Success, output: output.to_owned() }
}

/// The text of an error result.
#[track_caller]
pub(crate) fn error(end: ToolEnd) -> String {
    match end {
        ToolEnd::Returned { status: ResultStatus::Error, output } => output,
        other => panic!("{other:?}"),
    }
}

/// What is known of an unknown outcome.
#[track_caller]
pub(crate) fn unknown(end: ToolEnd) -> String {
    match end {
        ToolEnd::Unknown { end: CallEnd::Unknown, message } => message,
        other => panic!("{other:?}"),
    }
}

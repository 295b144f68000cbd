//! What a log folds to, in words that do not change when the code is put together differently.

use std::sync::Arc;

use boathouse::core::Run;
use boathouse::core::crew::check::Catalog;
use boathouse::core::run::branch::{Branch, Step};
use boathouse::core::run::event::RunState;
use boathouse::log_file::LogFile;
use boathouse::provider::Providers;
use boathouse::tool::Tools;
use serde_json::{Value, json};

/// What this program has: crews of frozen logs name nothing else.
pub fn catalog() -> Catalog {
    Catalog { tools: Tools::builtin().specs(), providers: Providers::from_env().names() }
}

/// The run that a log folds to.
pub fn fold(log: &LogFile) -> Run {
    let crew = log.head.compile(&catalog()).unwrap_or_else(|error| panic!("{error}"));
    let recorded = log.recorded();
    Run::replay(log.head.run.clone(), Arc::new(crew), &recorded).expect("the log folds")
}

/// The run's state as text.
pub fn golden(run: &Run) -> String {
    let waits: Vec<Value> = run
        .waits()
        .iter()
        .map(|wait| json!({"wait": wait.wait, "branch": wait.branch, "agent": wait.agent, "for": wait.what}))
        .collect();
    let state = json!({
        "state": run.state(),
        "seq": run.seq(),
        "created_at": run.created_at(),
        "last_at": run.last_at(),
        "outcome": run.outcome(),
        "usage": run.usage(),
        "handoffs": run.handoffs(),
        "active_ms": run.active_ms(),
        "waits": waits,
        "branches": run.branches().iter().map(|branch| of_branch(run, branch)).collect::<Vec<_>>(),
    });
    let mut text = serde_json::to_string_pretty(&state).expect("it is JSON");
    text.push('\n');
    text
}

fn of_branch(run: &Run, branch: &Branch) -> Value {
    json!({
        "branch": branch.id,
        "parent": branch.parent,
        "agent": run.crew().agent(branch.agent).id,
        "step": if run.state() == RunState::Paused { step(&branch.step) } else { "" },
        "rounds": branch.rounds,
        "trimmed": branch.trimmed,
        "kept": branch.kept,
        "end": branch.end(),
        "history": branch.history.iter().map(|message| json!(**message)).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> &'static str {
    match step {
        Step::Calling(_) => "calling",
        Step::Summarizing(_) => "summarizing",
        Step::Replied { .. } => "replied",
        Step::Round(_) => "round",
        Step::Transfer(_) => "transfer",
        Step::Group(_) => "group",
        Step::Joined { .. } => "joined",
        Step::Waiting(_) => "waiting",
        Step::Failed { .. } => "failed",
        Step::Limited(_) => "limited",
        Step::Ended(_) => "ended",
    }
}

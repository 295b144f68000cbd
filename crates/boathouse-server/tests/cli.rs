//! The `boathouse` binary as people and scripts use it: real processes, real signals, the examples of this repository.
#![expect(clippy::unwrap_used, reason = "a test that cannot start a process has failed")]

#[path = "cli/support.rs"]
mod support;

#[path = "cli/approvals.rs"]
mod approvals;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/examples.rs"]
mod examples;
#[path = "cli/faults.rs"]
mod faults;
#[path = "cli/graph.rs"]
mod graph;
#[path = "cli/new.rs"]
mod new;
#[path = "cli/reload.rs"]
mod reload;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/runs.rs"]
mod runs;
#[path = "cli/scenarios.rs"]
mod scenarios;
#[path = "cli/serve.rs"]
mod serve;
#[path = "cli/stop.rs"]
mod stop;
#[path = "cli/test.rs"]
mod test;
#[path = "cli/usage.rs"]
mod usage;

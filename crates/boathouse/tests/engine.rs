//! The engine and its driver, on a real SQLite file and in memory, with real subprocesses.

#![expect(unreachable_pub, reason = "the modules are one test program")]

#[path = "engine/support.rs"]
mod support;

#[path = "support/upstream.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod upstream;

#[path = "engine/approvals.rs"]
mod approvals;
#[path = "engine/cancel.rs"]
mod cancel;
#[path = "engine/commands.rs"]
mod commands;
#[path = "engine/durability.rs"]
mod durability;
#[path = "engine/forks.rs"]
mod forks;
#[path = "engine/isolation.rs"]
mod isolation;
#[path = "engine/journal_failures.rs"]
mod journal_failures;
#[path = "engine/keys.rs"]
mod keys;
#[path = "engine/runs.rs"]
mod runs;
#[path = "engine/threads.rs"]
mod threads;
#[path = "engine/webhooks.rs"]
mod webhooks;

//! Runs, in the core alone: given a crew and what models and tools answer, where a run goes; and that it goes there
//! from whatever place it is crashed, paused or cancelled at, in every order of answers.

#![expect(unreachable_pub, reason = "the modules are one test program")]

#[path = "run/crews.rs"]
mod crews;
#[path = "run/sim.rs"]
mod sim;

#[path = "run/approvals.rs"]
mod approvals;
#[path = "run/commands.rs"]
mod commands;
#[path = "run/enumeration.rs"]
mod enumeration;
#[path = "run/fork.rs"]
mod fork;
#[path = "run/groups.rs"]
mod groups;
#[path = "run/limits.rs"]
mod limits;
#[path = "run/order.rs"]
mod order;
#[path = "run/properties.rs"]
mod properties;
#[path = "run/summaries.rs"]
mod summaries;
#[path = "run/threads.rs"]
mod threads;
#[path = "run/verify.rs"]
mod verify;

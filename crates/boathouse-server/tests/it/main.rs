//! The server as its clients see it: a real listener on the loopback interface, real sockets, scripted models.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod approvals;
mod cancel;
mod console;
mod door;
mod forks;
#[path = "../support/gate.rs"]
mod gate;
mod go_endpoint;
mod idempotency;
mod runs;
mod schemas;
mod streams;
mod support;
mod threads;

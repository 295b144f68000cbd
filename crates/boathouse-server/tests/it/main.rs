//! The server as its clients see it: a real listener on the loopback interface, real sockets, scripted models.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod console;
mod door;
mod go_endpoint;
mod runs;
mod streams;
mod support;

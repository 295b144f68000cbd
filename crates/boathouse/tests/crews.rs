//! Crews as they lie on a disk: those that cannot be read, and those of the Go system, which run as they are.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its files fails")]

#[path = "crews/go.rs"]
mod go;
#[path = "crews/problems.rs"]
mod problems;

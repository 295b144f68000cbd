//! Tests of crews, as their authors write them: what is wrong with a file, what becomes of a run, and what is told of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its crew has failed")]
#![expect(unreachable_pub, reason = "the modules are one test program")]

#[path = "crew_test/support.rs"]
mod support;

#[path = "crew_test/approvals.rs"]
mod approvals;
#[path = "crew_test/files.rs"]
mod files;
#[path = "crew_test/runs.rs"]
mod runs;
#[path = "crew_test/verdicts.rs"]
mod verdicts;

//! Results for programs: one JSON object a line.

use std::io::{self, Write};

use boathouse::crew_test::{Facts, Miss, Report};
use serde::Serialize;

use super::{Chosen, Summary, millis};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Test {
        crew: &'a str,
        file: String,
        line: usize,
        name: &'a str,
        passed: bool,
        took_ms: u64,
        misses: &'a [Miss],
        #[serde(flatten)]
        facts: Option<&'a Facts>,
    },
    Summary {
        passed: usize,
        failed: usize,
        not_run: usize,
        took_ms: u64,
    },
}

/// A test.
pub(super) fn test(chosen: &Chosen<'_>, report: &Report) -> io::Result<()> {
    write(&Line::Test {
        crew: &report.crew.name,
        file: chosen.file(),
        line: chosen.test.line,
        name: &chosen.test.name,
        passed: report.passed(),
        took_ms: millis(report.took),
        misses: &report.misses,
        facts: report.facts.as_ref(),
    })
}

/// The last line.
pub(super) fn summary(summary: &Summary) -> io::Result<()> {
    let Summary { passed, failed, not_run, took_ms, begun_at: _ } = *summary;
    write(&Line::Summary { passed, failed, not_run, took_ms })
}

fn write(line: &Line<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    writeln!(out)
}

//! Results for people, as they come.

use std::io::{self, Write};

use boathouse::crew_test::Report;

use super::{Chosen, Summary, cut, millis};
use crate::cli::paint::{BAD, BOLD, DIM, GOOD, WARN, clean};
use crate::cli::run::duration;

/// Characters of what came that are shown.
const SHOWN: usize = 600;

/// A test; `new_crew` if it is the first one of its crew.
pub(super) fn test(chosen: &Chosen<'_>, report: &Report, new_crew: bool) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    if new_crew {
        writeln!(out, "{BOLD}{}{BOLD:#}", clean(&chosen.dir.to_string_lossy()))?;
    }
    let took = duration(millis(report.took));
    let name = clean(&chosen.test.name);
    if report.passed() {
        return writeln!(out, "  {GOOD}✓{GOOD:#} {name}  {DIM}{took}{DIM:#}");
    }
    writeln!(out, "  {BAD}✗ {name}{BAD:#}  {DIM}{took}  {}{DIM:#}", clean(&chosen.place()))?;
    for miss in &report.misses {
        writeln!(out, "      {}", clean(&miss.check))?;
        text(&mut out, "expected", &miss.expected)?;
        text(&mut out, "came", &cut(&miss.came, SHOWN))?;
    }
    Ok(())
}

/// A text with its label; further lines stand under the first.
fn text(out: &mut impl Write, label: &str, text: &str) -> io::Result<()> {
    let shown = if text.is_empty() { "nothing".into() } else { clean(text) };
    for (at, line) in shown.lines().enumerate() {
        match at {
            0 => writeln!(out, "        {DIM}{label:<9}{DIM:#} {line}")?,
            _ => writeln!(out, "                  {line}")?,
        }
    }
    Ok(())
}

/// The last line.
pub(super) fn summary(summary: &Summary) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let failed_style = if summary.failed > 0 { BAD } else { DIM };
    write!(
        out,
        "{GOOD}{} passed{GOOD:#}, {failed_style}{} failed{failed_style:#}",
        summary.passed, summary.failed
    )?;
    if summary.not_run > 0 {
        write!(out, ", {WARN}{} not run: stopped{WARN:#}", summary.not_run)?;
    }
    writeln!(out, " {DIM}in {}{DIM:#}", duration(summary.took_ms))
}

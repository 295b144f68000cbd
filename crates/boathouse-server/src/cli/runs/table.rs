//! Runs and receipts as columns.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::paint::{BAD, BOLD, DIM, GOOD, WARN, clean};

/// Prints runs as the API lists them.
pub(super) fn print(runs: &[Value]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    if runs.is_empty() {
        return writeln!(out, "no runs");
    }
    let crews = width(runs, "crew");
    let ids = width(runs, "id");
    writeln!(
        out,
        "{BOLD}{:ids$}  {:13}  {:crews$}  {:>6}  {:19}  LAST EVENT{BOLD:#}",
        "RUN", "STATE", "CREW", "EVENTS", "BEGAN"
    )?;
    for run in runs {
        let state = text(run, "state");
        let style = match state {
            "completed" => GOOD,
            "paused" | "queued" | "limit_reached" | "cancelled" => WARN,
            "failed" => BAD,
            _ => BOLD,
        };
        let (began, last) = (time(text(run, "created_at")), time(text(run, "updated_at")));
        let events = run["seq"].as_u64().unwrap_or(0);
        let (id, crew) = (clean(text(run, "id")), clean(text(run, "crew")));
        writeln!(
            out,
            "{id:ids$}  {style}{state:13}{style:#}  {crew:crews$}  {events:>6}  {DIM}{began:19}  {last}{DIM:#}"
        )?;
    }
    out.flush()
}

/// Prints what became of the calls of a cancelled run.
pub(super) fn print_receipt(receipt: &[Value]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{WARN}■ cancelled{WARN:#}")?;
    if receipt.is_empty() {
        writeln!(out, "  nothing was in flight")?;
    }
    for line in receipt {
        let what = line["tool"].as_str().unwrap_or("model call");
        let (agent, end) = (clean(text(line, "agent")), clean(text(line, "end")));
        writeln!(out, "  {} of {agent}: {end}", clean(what))?;
    }
    out.flush()
}

fn width(runs: &[Value], field: &str) -> usize {
    runs.iter().map(|run| text(run, field).chars().count()).max().unwrap_or(0).clamp(4, 40)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// `2026-11-25 18:00:06` of a time as the API writes it, in UTC.
pub(super) fn time(text: &str) -> String {
    text.get(..19).unwrap_or(text).replacen('T', " ", 1)
}

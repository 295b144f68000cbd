//! A report for the browser: one file that needs no other, no network and no script.
//!
//! Everything that a crew, a model or a tool wrote is text, see [`markup`]. As a second wall, the page's own policy
//! allows nothing but its one style sheet, named by its hash.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use boathouse::core::crew::Crew;
use boathouse::core::ids::AgentId;
use boathouse::crew_test::facts::{Needed, Step};
use boathouse::crew_test::{Facts, Report, path_text};
use sha2::{Digest, Sha256};

use super::{Shown, Summary, by_crew, millis};
use crate::cli::run::duration;
use markup::{Html, counted, grouped};

mod markup;
mod miss;
mod part;
mod story;

/// The check that the path is told by.
const PATH: &str = "path";

const STYLE: &str = concat!(include_str!("../../../console/palette.css"), include_str!("html/page.css"));

/// The page.
pub(super) fn page(shown: &[Shown<'_>], summary: &Summary) -> String {
    let mut html = Html::new();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        BASE64_STANDARD.encode(Sha256::digest(STYLE))
    );
    let headline = headline(shown.len(), summary);
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)])
        .raw("\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n")
        .raw("<title>")
        .text(&headline)
        .raw(" · Boathouse</title>\n<style>")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n");
    head(&mut html, &headline, shown, summary);
    html.raw("<main>\n");
    filter(&mut html, shown.len(), summary);
    failures(&mut html, shown);
    let mut number = 0;
    for (place, of_crew) in by_crew(shown).enumerate() {
        crew(&mut html, place, of_crew, &mut number);
    }
    html.raw("</main>\n</body>\n</html>\n");
    html.finish()
}

fn headline(all: usize, summary: &Summary) -> String {
    let tests = counted(all as u64, "test");
    match (summary.failed, summary.not_run) {
        (0, 0) if all == 1 => "The test passed".to_owned(),
        (0, 0) => format!("All {tests} passed"),
        (0, not_run) => format!("{} of {tests} did not run", grouped(not_run as u64)),
        (failed, _) => format!("{} of {tests} failed", grouped(failed as u64)),
    }
}

fn head(html: &mut Html, headline: &str, shown: &[Shown<'_>], summary: &Summary) {
    let state = match (summary.failed, summary.not_run) {
        (0, 0) => "passed",
        (0, _) => "not-run",
        _ => "failed",
    };
    html.open("header", &[("class", "top"), ("data-state", state)])
        .raw("\n<p class=\"brand\"><svg viewBox=\"0 0 32 32\" width=\"22\" height=\"22\" aria-hidden=\"true\">")
        .raw("<rect class=\"brand-ground\" width=\"32\" height=\"32\" rx=\"8\"/><path class=\"brand-line\" d=\"M6 16 16 7l10 9v9H6z\"/>")
        .raw("<path class=\"brand-line\" d=\"M10 20.5q3 2 6 0t6 0\"/></svg> Boathouse crew tests</p>\n<h1>")
        .text(headline)
        .raw("</h1>\n");
    bar(html, shown.len(), summary);
    let at = summary.begun_at.to_string();
    let day_and_time = at.get(..16).unwrap_or(&at).replace('T', " ");
    html.raw("<ul class=\"facts\">");
    let took = format!("{} in all", duration(summary.took_ms));
    let crews = counted(by_crew(shown).count() as u64, "crew");
    let version = format!("boathouse {}", env!("CARGO_PKG_VERSION"));
    for fact in [crews.as_str(), &took, &format!("{day_and_time} UTC"), &version] {
        html.raw("<li>").text(fact).raw("</li>");
    }
    html.raw("</ul>\n</header>\n");
}

/// How many passed, failed and did not run, as a picture.
fn bar(html: &mut Html, all: usize, summary: &Summary) {
    let parts = [("passed", summary.passed), ("failed", summary.failed), ("not run", summary.not_run)];
    let told: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{} {what}", grouped(*count as u64)))
        .collect();
    let width = all.max(1).to_string();
    html.open(
        "svg",
        &[
            ("class", "bar"),
            ("role", "img"),
            ("aria-label", &told.join(", ")),
            ("viewBox", &format!("0 0 {width} 1")),
            ("preserveAspectRatio", "none"),
        ],
    );
    let mut x = 0;
    for ((what, count), class) in parts.iter().zip(["passed", "failed", "not-run"]) {
        if *count > 0 {
            html.open(
                "rect",
                &[("class", class), ("x", &x.to_string()), ("width", &count.to_string()), ("height", "1")],
            );
            html.raw("<title>").text(&format!("{count} {what}")).raw("</title></rect>");
            x += count;
        }
    }
    html.raw("</svg>\n");
}

/// Chooses which tests are shown; the style sheet does the rest.
fn filter(html: &mut Html, all: usize, summary: &Summary) {
    html.raw("<fieldset class=\"filter\">\n<legend>Show</legend>\n");
    let choices = [
        ("all", "All", all),
        ("failed", "Failed", summary.failed),
        ("passed", "Passed", summary.passed),
        ("not-run", "Not run", summary.not_run),
    ];
    for (id, label, count) in choices {
        // What never comes up but by Ctrl-C is offered only then.
        if count == 0 && id == "not-run" {
            continue;
        }
        let id = format!("show-{id}");
        let mut attributes = vec![("type", "radio"), ("name", "show"), ("id", id.as_str())];
        if id == "show-all" {
            attributes.push(("checked", ""));
        }
        html.open("input", &attributes)
            .open("label", &[("for", &id)])
            .text(label)
            .raw(" <span class=\"count\">")
            .text(&grouped(count as u64))
            .raw("</span></label>\n");
    }
    html.raw("</fieldset>\n");
}

/// Links to the tests that failed.
fn failures(html: &mut Html, shown: &[Shown<'_>]) {
    let failed = || shown.iter().enumerate().filter(|(_, shown)| state(shown) == "failed");
    if failed().next().is_none() {
        return;
    }
    html.raw(
        "<nav class=\"failures\" aria-labelledby=\"failures\">\n<h2 id=\"failures\">What failed</h2>\n<ul>\n",
    );
    for (place, shown) in failed() {
        let checks: Vec<&str> =
            shown.report.iter().flat_map(|report| &report.misses).map(|miss| miss.check.as_str()).collect();
        html.raw("<li>")
            .open("a", &[("href", &format!("#test-{}", place + 1))])
            .text(&shown.chosen.test.name)
            .raw("</a> ")
            .span("muted", &checks.join(", "))
            .raw("</li>\n");
    }
    html.raw("</ul>\n</nav>\n");
}

/// `passed`, `failed` or `not-run`.
fn state(shown: &Shown<'_>) -> &'static str {
    match &shown.report {
        None => "not-run",
        Some(report) if report.passed() => "passed",
        Some(_) => "failed",
    }
}

fn crew(html: &mut Html, place: usize, shown: &[Shown<'_>], number: &mut usize) {
    let Some(first) = shown.first() else { return };
    let (crew, dir) = (&first.chosen.suite.crew.crew, first.chosen.dir);
    let id = format!("crew-{}", place + 1);
    html.open("section", &[("class", "crew"), ("aria-labelledby", &id)])
        .raw("\n<div class=\"crew-head\">")
        .open("h2", &[("id", &id)])
        .span("", &crew.name)
        .raw("</h2>");
    if !crew.description.is_empty() {
        html.raw("<p class=\"muted\">").text(&crew.description).raw("</p>");
    }
    let count = |wanted: &str| shown.iter().filter(|shown| state(shown) == wanted).count() as u64;
    let took = shown.iter().filter_map(|shown| shown.report.as_ref()).map(|report| millis(report.took)).sum();
    let mut facts = vec![dir.display().to_string()];
    for (what, told) in [("passed", "passed"), ("failed", "failed"), ("not-run", "not run")] {
        if count(what) > 0 {
            facts.push(format!("{} {told}", grouped(count(what))));
        }
    }
    facts.push(format!("{} of running", duration(took)));
    html.raw("<ul class=\"facts\">");
    for fact in &facts {
        html.raw("<li>").span("", fact).raw("</li>");
    }
    html.raw("</ul></div>\n<ol class=\"tests\">\n");
    for shown in shown {
        *number += 1;
        test(html, *number, shown);
    }
    html.raw("</ol>\n</section>\n");
}

fn test(html: &mut Html, number: usize, shown: &Shown<'_>) {
    let state = state(shown);
    let (mark, said) = match state {
        "passed" => ("✓", "passed: "),
        "failed" => ("✗", "failed: "),
        _ => ("–", "not run: "),
    };
    html.open("li", &[("class", "test"), ("data-state", state), ("id", &format!("test-{number}"))]);
    let summary = |html: &mut Html| {
        html.raw("<span class=\"mark\" aria-hidden=\"true\">")
            .text(mark)
            .raw("</span><span class=\"unseen\">")
            .text(said)
            .raw("</span>")
            .span("name", &shown.chosen.test.name);
    };
    let Some(report) = &shown.report else {
        html.raw("<div class=\"line\">");
        summary(html);
        html.raw("<span class=\"took\">stopped</span></div></li>\n");
        return;
    };
    html.raw(if report.passed() { "<details>" } else { "<details open>" }).raw("<summary class=\"line\">");
    summary(html);
    if let Some(facts) = &report.facts {
        html.span("route", &path_text(&facts.path));
    }
    html.span("took", &duration(millis(report.took))).raw("</summary>\n<div class=\"body\">\n");
    if let Some(facts) = &report.facts {
        paths(html, report, facts);
    }
    // The paths have told theirs.
    let misses = || report.misses.iter().filter(|miss| report.facts.is_none() || miss.check != PATH);
    if misses().next().is_some() {
        html.raw("<section class=\"misses\"><h3 class=\"unseen\">What was not as expected</h3>\n");
        for miss in misses() {
            miss::write(html, miss);
        }
        html.raw("</section>\n");
    }
    if let Some(facts) = &report.facts {
        html.raw("<section class=\"story\"><h3>What happened</h3>\n");
        part::story(html, &report.crew, &story::tell(&report.log, &facts.calls), facts);
        html.raw("</section>\n");
    }
    html.raw("<ul class=\"facts\">");
    for fact in report.facts.iter().flat_map(|facts| needed(&facts.needed)).chain([shown.chosen.place()]) {
        html.raw("<li>").span("", &fact).raw("</li>");
    }
    html.raw("</ul>\n</div></details></li>\n");
}

fn needed(needed: &Needed) -> Vec<String> {
    let mut facts = vec![counted(needed.model_calls, "reply")];
    for (count, what) in [
        (needed.tool_calls, "tool call"),
        (needed.rounds, "round"),
        (needed.handoffs, "hand-off"),
        (needed.tokens, "token"),
    ] {
        if count > 0 {
            facts.push(counted(count, what));
        }
    }
    facts.push(format!("{} active", duration(needed.active_ms)));
    facts
}

/// Who had the run, and who was to have it.
fn paths(html: &mut Html, report: &Report, facts: &Facts) {
    let expected = report.test.expect.path.as_deref();
    let missed = report.misses.iter().any(|miss| miss.check == PATH);
    html.raw("<dl class=\"paths\">");
    if let (Some(expected), true) = (expected, missed) {
        html.raw("<div><dt>Expected path</dt><dd>");
        path(html, &report.crew, expected);
        html.raw("</dd></div>");
    }
    html.raw("<div><dt>Path</dt><dd>");
    path(html, &report.crew, &facts.path);
    if expected.is_some() {
        html.raw(match missed {
            true => "<span class=\"remark bad\">not as expected</span>",
            false => "<span class=\"remark good\">as expected</span>",
        });
    }
    html.raw("</dd></div></dl>\n");
}

fn path(html: &mut Html, crew: &Crew, steps: &[Step]) {
    html.raw("<ol class=\"path\">");
    for step in steps {
        html.raw("<li>");
        match step {
            Step::Agent(agent) => chip(html, crew, agent),
            Step::Group(agents) => {
                html.raw("<span class=\"side-by-side\"><span class=\"unseen\">side by side: </span>");
                for agent in agents {
                    chip(html, crew, agent);
                }
                html.raw("</span>");
            }
        }
        html.raw("</li>");
    }
    html.raw("</ol>");
}

fn chip(html: &mut Html, crew: &Crew, agent: &AgentId) {
    html.open("span", &[("class", "chip"), ("data-voice", voice(crew, agent))])
        .span("", agent.as_str())
        .raw("</span>");
}

/// The colour of an agent.
fn voice(crew: &Crew, agent: &AgentId) -> &'static str {
    let place = crew.agents.iter().position(|found| found.id == *agent).unwrap_or(0);
    ["0", "1", "2", "3", "4", "5"][place % 6]
}

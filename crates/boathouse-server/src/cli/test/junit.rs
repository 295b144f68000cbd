//! A report for build servers, in the XML that JUnit made common.
//!
//! There is no one standard: the report keeps to what the schemas of Ant and of Jenkins have in common, so that both take
//! it. A crew is a suite, a test that fails has one `failure` with everything that was not as expected, and a
//! test that was stopped is `skipped`.

use std::fmt::Write;
use std::path::Path;

use boathouse::crew_test::Report;

use super::{Shown, Summary, by_crew, cut, millis};

/// Characters of a text that are written.
const WRITTEN: usize = 10_000;

/// The report.
pub(super) fn report(shown: &[Shown<'_>], summary: &Summary) -> String {
    let mut xml = Xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned());
    for (id, suite) in by_crew(shown).enumerate() {
        write_suite(&mut xml, id, suite, summary);
    }
    xml.0.push_str("</testsuites>\n");
    xml.0
}

fn write_suite(xml: &mut Xml, id: usize, suite: &[Shown<'_>], summary: &Summary) {
    let Some(Shown { chosen: first, .. }) = suite.first() else { return };
    let reports = || suite.iter().filter_map(|shown| shown.report.as_ref());
    let failed = reports().filter(|report| !report.passed()).count();
    let took = reports().map(|report| millis(report.took)).sum();
    let at = summary.begun_at.to_string();
    xml.open("  ", "testsuite");
    xml.attribute("name", &first.suite.crew.crew.name);
    xml.attribute("package", &first.dir.to_string_lossy());
    xml.attribute("id", &id.to_string());
    xml.attribute("timestamp", at.split('.').next().unwrap_or_default());
    // The schema asks for a name, and this is the one that stands for none.
    xml.attribute("hostname", "localhost");
    xml.attribute("tests", &suite.len().to_string());
    xml.attribute("failures", &failed.to_string());
    xml.attribute("errors", "0");
    xml.attribute("skipped", &(suite.len() - reports().count()).to_string());
    xml.attribute("time", &seconds(took));
    xml.0.push_str(">\n    <properties>\n");
    for (name, value) in [
        ("boathouse.version", env!("CARGO_PKG_VERSION")),
        ("boathouse.crew_hash", first.suite.crew.crew.hash.as_ref()),
    ] {
        xml.open("      ", "property");
        xml.attribute("name", name);
        xml.attribute("value", value);
        xml.0.push_str("/>\n");
    }
    xml.0.push_str("    </properties>\n");
    for shown in suite {
        write_case(xml, shown);
    }
    xml.0.push_str("    <system-out/>\n    <system-err/>\n  </testsuite>\n");
}

fn write_case(xml: &mut Xml, shown: &Shown<'_>) {
    let chosen = &shown.chosen;
    xml.open("    ", "testcase");
    xml.attribute("name", &chosen.test.name);
    xml.attribute("classname", &class(&chosen.suite.crew.crew.name, &chosen.test.file));
    xml.attribute("time", &seconds(shown.report.as_ref().map_or(0, |report| millis(report.took))));
    match &shown.report {
        None => xml.0.push_str(">\n      <skipped/>\n    </testcase>\n"),
        Some(report) if report.passed() => xml.0.push_str("/>\n"),
        Some(report) => {
            xml.0.push_str(">\n");
            let checks: Vec<&str> = report.misses.iter().map(|miss| miss.check.as_str()).collect();
            xml.open("      ", "failure");
            xml.attribute("message", &format!("not as expected: {}", checks.join(", ")));
            xml.attribute("type", checks.first().copied().unwrap_or_default());
            xml.0.push('>');
            xml.text(&failure(&chosen.place(), report), Breaks::Kept);
            xml.0.push_str("</failure>\n    </testcase>\n");
        }
    }
}

/// `it-support.scenarios`: build servers take what stands before the last point for a package.
fn class(crew: &str, file: &str) -> String {
    let file = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
    format!("{}.{}", crew.replace('.', "-"), file.replace('.', "-"))
}

fn failure(place: &str, report: &Report) -> String {
    let mut text = place.to_owned();
    for miss in &report.misses {
        text.push_str("\n\n");
        text.push_str(&miss.check);
        for (label, said) in [("expected", &miss.expected), ("came", &miss.came)] {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {label}: {}", cut(said, WRITTEN).replace('\n', "\n    "));
        }
    }
    text
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// How line ends and tabs are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    /// As they are.
    Kept,
    /// As numbers: in an attribute, readers would make spaces of them.
    Escaped,
}

/// XML under way.
struct Xml(String);

impl Xml {
    fn open(&mut self, indent: &str, name: &str) {
        self.0.push_str(indent);
        self.0.push('<');
        self.0.push_str(name);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.0.push(' ');
        self.0.push_str(name);
        self.0.push_str("=\"");
        self.text(value, Breaks::Escaped);
        self.0.push('"');
    }

    /// A text between tags or quotes. What XML does not take is replaced.
    fn text(&mut self, text: &str, breaks: Breaks) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\n' | '\t' if breaks == Breaks::Kept => self.0.push(c),
                '\n' | '\t' | '\r' => {
                    let _ = write!(self.0, "&#{};", u32::from(c));
                }
                c if is_refused(c) => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}

/// Characters that XML 1.0 takes in no form, and those that it advises against.
fn is_refused(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

//! `boathouse test`: what is printed, the reports, and how it ends.

use std::fs;

use regex::Regex;
use roxmltree::{Document, Node};
use rustix::process::Signal;

use crate::support::{Crew, Going, done};

const CREW: &str = "\
name: desk
agents: [{id: clerk, provider: scripted, tools: [Say]}]
routing: {agent_behaviors: {clerk: {wait_for_signal: true}}, signals: {clerk: [{signal: \"[END]\", target: null}]}}
tools:
  Say:
    description: Says it.
    effect: read
    command: {argv: [echo, \"{text}\"]}
    parameters: {type: object, properties: {text: {type: string}}, required: [text]}
";

const SCRIPT: &str = r#"
rules:
  - {input: slow, delay_ms: 3600000, reply: late}
  - {input: say, call: 1, tools: [{name: Say, arguments: {text: hello}}]}
  - {input: say, reply: "It says {{result.Say}}. [END]", usage: {input_tokens: 20, output_tokens: 5}}
  - {input: unclear, call: 1, reply: "Which one?"}
  - {input: "control", reply: "bell \u0007, null \0, <b>&\"quotes\"</b>, \uFFFF [END]"}
  - {reply: "Well. [END]"}
"#;

const TESTS: &str = "\
tests:
  - {name: it says, input: say it, expect: {tools: [{tool: Say, arguments: {text: hello}}], output: {contains: hello}}}
  - name: it asks
    input: unclear
    answers: [the left one]
    expect: {path: [clerk], pauses: 2, output: {equals: \"Well,\\nreally.\"}}
  - {name: it pauses, input: unclear, expect: {state: paused}}
";

fn desk(tests: &str) -> Crew {
    let crew = Crew::new(CREW, SCRIPT);
    crew.write("tests/a.yaml", tests);
    crew
}

/// What was printed, without times.
fn without_times(text: &str) -> String {
    let text = Regex::new(r"\d+ ms\b|\d+\.\d s\b").unwrap().replace_all(text, "[time]");
    Regex::new(r#""(took_ms|active_ms)":\d+"#).unwrap().replace_all(&text, "\"$1\":0").into_owned()
}

fn read(crew: &Crew, file: &str) -> String {
    fs::read_to_string(crew.dir.path().join(file)).unwrap()
}

#[test]
fn results_are_told_test_by_test() {
    let crew = desk(TESTS);
    let test = done(&mut crew.boathouse(&["test", "desk"]), "");
    assert_eq!((test.code, test.stderr.as_str()), (1, ""));
    insta::assert_snapshot!(without_times(&test.stdout));
}

#[test]
fn only_the_tests_that_are_wanted_run() {
    let crew = desk(TESTS);
    let test = done(&mut crew.boathouse(&["test", "desk", "--filter", "IT SAYS"]), "");
    assert_eq!((test.code, test.stderr.as_str()), (0, ""));
    assert_eq!(without_times(&test.stdout), "desk\n  ✓ it says  [time]\n1 passed, 0 failed in [time]\n");
    let all = done(&mut crew.boathouse(&["test", "desk", "--filter", "a.yaml", "--jobs", "1"]), "");
    assert!(all.stdout.contains("2 passed, 1 failed"), "{}", all.stdout);
}

#[test]
fn programs_get_json_line_by_line() {
    let crew = desk(TESTS);
    let test = done(&mut crew.boathouse(&["test", "desk", "--json"]), "");
    assert_eq!((test.code, test.stderr.as_str()), (1, ""));
    insta::assert_snapshot!(without_times(&test.stdout));
}

#[test]
fn what_cannot_run_is_told_before_anything_runs() {
    let crew = desk("tests: [{name: x, input: hello, expect: {outptu: {equals: x}}}]");
    let says = |code: i32, args: &[&str]| {
        let said = done(&mut crew.boathouse(args), "");
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{args:?}: {}", said.stderr);
        format!("$ boathouse {}\n{}\n", args.join(" "), said.stderr)
    };
    let mut told = vec![says(1, &["test", "desk"]), says(1, &["test", "nowhere"])];
    crew.write("tests/a.yaml", TESTS);
    told.push(says(2, &["test", "desk", "--filter", "nothing"]));
    told.push(says(2, &["test", "desk", "--junit", "x.xml", "--html", "x.xml"]));
    told.push(says(2, &["test", "desk", "--jobs", "0"]));
    fs::remove_file(crew.dir.path().join("desk/tests/a.yaml")).unwrap();
    told.push(says(1, &["test", "desk"]));
    insta::assert_snapshot!(told.concat());
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_runs() {
    let crew = desk(TESTS);
    let said = done(&mut crew.boathouse(&["test", "desk", "--junit", "no/where.xml"]), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert_eq!(said.stderr, "error: cannot write no/where.xml: No such file or directory (os error 2)\n");
}

#[test]
fn build_servers_get_junit() {
    let crew = desk(TESTS);
    let test = done(&mut crew.boathouse(&["test", "desk", "--junit", "report.xml"]), "");
    assert_eq!((test.code, test.stderr.as_str()), (1, ""));
    let xml = read(&crew, "report.xml");
    let redacted =
        [(r#"time="[\d.]+""#, "time=\"0.001\""), (r#"timestamp="[-\dT:]{19}""#, "timestamp=\"[now]\"")]
            .iter()
            .fold(xml, |xml, (pattern, with)| {
                Regex::new(pattern).unwrap().replace_all(&xml, *with).into_owned()
            });
    insta::assert_snapshot!(redacted);
}

#[test]
fn junit_is_xml_whatever_was_said() {
    let name = r#"tests: [{name: "<b> & \"quotes\" 'n \ttabs\nlines\uFFFE]]>", input: control, expect: {path: [clerk, clerk], output: {equals: x}}}]"#;
    let crew = desk(name);
    let test = done(&mut crew.boathouse(&["test", "desk", "--junit", "report.xml"]), "");
    assert_eq!(test.code, 1, "{}", test.stderr);
    let xml = read(&crew, "report.xml");
    let document = Document::parse(&xml).unwrap();
    let [case] = &all(&document, "testcase")[..] else { panic!("{xml}") };
    assert_eq!(case.attribute("name"), Some("<b> & \"quotes\" 'n \ttabs\nlines\u{fffd}]]>"));
    assert_eq!(case.attribute("classname"), Some("desk.a"));
    let failure = case.first_element_child().unwrap();
    assert_eq!(failure.attribute("message"), Some("not as expected: path, output"));
    let text = failure.text().unwrap();
    assert!(
        text.starts_with("desk/tests/a.yaml:1\n\npath\n  expected: clerk → clerk\n  came: clerk\n"),
        "{text}"
    );
    assert!(text.ends_with("came: bell \u{fffd}, null \u{fffd}, <b>&\"quotes\"</b>, \u{fffd}"), "{text}");
}

#[test]
fn a_page_shows_all_of_it_and_needs_nothing_else() {
    let crew = desk(TESTS);
    let test = done(&mut crew.boathouse(&["test", "desk", "--html", "report.html", "--json"]), "");
    assert_eq!((test.code, test.stderr.as_str()), (1, ""));
    let page = read(&crew, "report.html");
    for shown in [
        "<title>1 of 3 tests failed · Boathouse</title>",
        "desk/tests/a.yaml:3",
        "text: &quot;hello&quot;",
        "It says hello",
        "Well<del>,\nreally</del>.",
        "the left one",
        "boathouse 0.1.0",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    let elsewhere =
        Regex::new(r#"(?i)<script|\bsrc=|url\(|@import|href="[^#]|<link|<iframe|<form|\son\w+="#).unwrap();
    assert_eq!(elsewhere.find(&page).map(|found| found.as_str()), None);
}

#[test]
fn a_page_tells_what_prompts_went_without() {
    let crew = desk(
        "tests: [{name: long, input: now, history: [{role: user, content: one}, {role: assistant, content: two}, \
         {role: user, content: three}, {role: assistant, content: four}], expect: {}}]",
    );
    let settings = |settings: &str| {
        crew.write("crew.yaml", &format!("{CREW}settings: {{keep_recent: 2, {settings}}}\n"));
        done(&mut crew.boathouse(&["test", "desk", "--html", "report.html"]), "");
        read(&crew, "report.html")
    };
    let page = settings("summarize: true");
    let told =
        "a summary stands for 4 older messages in prompts</summary><pre dir=\"auto\">Well. [END]</pre>";
    assert!(page.contains(told), "{page}");
    let page = settings("summarize: false");
    assert!(page.contains("older messages left out of prompts</p>"), "{page}");
}

#[test]
fn ctrl_c_stops_the_tests_and_the_reports_say_so() {
    let crew = desk(
        "tests: [{name: quick, input: say it, expect: {}}, {name: slow, input: slow, timeout_seconds: 7200, expect: {}}]",
    );
    let mut going = Going::start(&mut crew.boathouse(&[
        "test",
        "desk",
        "--jobs",
        "1",
        "--junit",
        "report.xml",
        "--html",
        "report.html",
    ]));
    going.line_with("✓ quick");
    going.signal(Signal::INT);
    let end = going.end();
    assert_eq!((end.code, end.stderr.as_str()), (130, ""));
    assert_eq!(without_times(&end.stdout), "1 passed, 0 failed, 1 not run: stopped in [time]\n");
    let xml = read(&crew, "report.xml");
    let document = Document::parse(&xml).unwrap();
    let [suite] = &all(&document, "testsuite")[..] else { panic!("{xml}") };
    let counts = ["tests", "failures", "errors", "skipped"].map(|name| suite.attribute(name).unwrap());
    assert_eq!(counts, ["2", "0", "0", "1"]);
    let skipped: Vec<Option<&str>> =
        all(&document, "skipped").iter().map(|node| node.parent().unwrap().attribute("name")).collect();
    assert_eq!(skipped, [Some("slow")]);
    assert!(read(&crew, "report.html").contains("1 of 2 tests did not run"));
}

fn all<'a>(document: &'a Document<'_>, name: &str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

//! Files of tests: everything that is wrong in them is told at once, with its place.

use std::time::Duration;

use crate::support::Desk;

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let desk = Desk::with(
        r#"
tests:
  - name: one
    input: hello
    expect:
      path: [triage, writter]
      stat: completed
      tools: [Sya, {tool: Say, arguments: {a: 1}, exact_arguments: {}}, {tool: Say, status: good}]
      output: {}
      pauses: many
  - name: one
    input: " "
    start_at: nobody
    history: [{role: robot, content: x}]
    answers: ["", {do: done}, {do: fail, output: x}, {do: wait}]
    timeout_seconds: -1
    expect:
      state: completed
      limit: max_rounds
      output: {regex: "(", contains: [a, 1]}
      json: {at: {items.0: x}, schema: {type: [7]}}
      at_most: {model_calls: -1, seconds: 3}
  - input: hello
    path: [triage]
timeout: 3
"#,
    );
    insta::assert_snapshot!(desk.refused());
}

#[test]
fn a_script_is_checked_wherever_it_stands() {
    let desk = Desk::with_files(&[
        (
            "a.yaml",
            br#"
script: scripts/missing.yaml
tests:
  - {name: one, input: hello, script: scripts/wrong.yaml, expect: {}}
  - {name: two, input: hello, script: {rules: [{replay: hello}]}, expect: {}}
"#,
        ),
        ("scripts/wrong.yaml", b"rules:\n  - {reply: \"{{nothing}}\"}\n"),
    ]);
    insta::assert_snapshot!(desk.refused());
}

#[test]
fn files_that_hold_no_tests_are_told() {
    let desk = Desk::with_files(&[
        ("empty.yaml", b""),
        ("latin.yaml", b"tests: [{name: \xe9}]"),
        ("none.yaml", b"tests: []"),
        ("syntax.yaml", b"tests: [\n"),
        ("other.yml", b"tests: []"),
        ("notes.txt", b"not read"),
    ]);
    insta::assert_snapshot!(desk.refused());
}

#[test]
fn a_crew_may_have_no_tests() {
    assert!(Desk::with_files(&[]).load().unwrap().tests.is_empty());
}

#[test]
fn a_test_has_what_its_file_says_unless_it_says_otherwise() {
    let desk = Desk::with_files(&[
        (
            "a.yaml",
            br#"
script: {rules: [{reply: "the file's"}]}
timeout_seconds: 5
tests:
  - {name: one, input: hello, expect: {}}
  - {name: two, input: hello, script: scripts/own.yaml, timeout_seconds: 0.5, expect: {}}
"#,
        ),
        ("b.yaml", b"tests: [{name: one, input: hello, expect: {}}]"),
        ("scripts/own.yaml", b"rules: [{reply: its own}]"),
    ]);
    let suite = desk.load().unwrap();
    let read: Vec<(&str, &str, usize, Option<bool>, Duration)> = suite
        .tests
        .iter()
        .map(|test| {
            let own = test.script.as_deref().map(|script| script.contains("its own"));
            (test.name.as_str(), test.file.as_str(), test.line, own, test.timeout)
        })
        .collect();
    assert_eq!(
        read,
        [
            ("one", "tests/a.yaml", 5, Some(false), Duration::from_secs(5)),
            ("two", "tests/a.yaml", 6, Some(true), Duration::from_millis(500)),
            ("one", "tests/b.yaml", 1, None, Duration::from_secs(60)),
        ]
    );
}

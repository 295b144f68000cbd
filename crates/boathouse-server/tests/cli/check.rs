//! `boathouse check`.

use crate::support::{Crew, boathouse, done};

const BAD: &str = "\
name: desk
entry_point: triag
agents:
  - {id: triage, model: any, system_prompt: \"[GO]\"}
  - {id: doer, model: any, tools: [GetCPUUsag], is_terminal: true}
settings:
  max_handofs: 3
routing:
  signals:
    triage: [{signal: \"[GO]\", target: doer}]
";

#[test]
fn the_examples_have_no_problems() {
    let examples: Vec<String> = std::fs::read_dir(crate::support::root().join("examples"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| format!("examples/{}", entry.file_name().into_string().unwrap()))
        .collect();
    let args: Vec<&str> = std::iter::once("check").chain(examples.iter().map(String::as_str)).collect();
    let check = done(&mut boathouse(&args), "");
    assert_eq!((check.code, check.stderr.as_str()), (0, ""));
    assert_eq!(check.stdout.lines().count(), examples.len());
    assert!(check.stdout.contains("ok examples/it-support: 3 agents, no problems\n"), "{}", check.stdout);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let crew = Crew::new(BAD, "");
    let check = done(&mut crew.boathouse(&["check", "desk"]), "");
    assert_eq!((check.code, check.stdout.as_str()), (1, ""));
    insta::assert_snapshot!(check.stderr);
}

#[test]
fn editors_get_json() {
    let crew = Crew::new(BAD, "");
    let check = done(&mut crew.boathouse(&["check", "desk", "--format", "json"]), "");
    assert_eq!((check.code, check.stderr.as_str()), (1, ""));
    insta::assert_snapshot!(check.stdout);
}

#[test]
fn a_script_that_cannot_be_read_is_a_problem() {
    let crew = "name: desk\nagents: [{id: a, model: any, provider: scripted, is_terminal: true}]\n";
    let crew = Crew::new(crew, "rules:\n  - {agent: a, reply: \"{{wrong}}\"}\n");
    let check = done(&mut crew.boathouse(&["check", "desk"]), "");
    assert_eq!(check.code, 1, "{}{}", check.stdout, check.stderr);
    insta::assert_snapshot!(check.stderr);
}

#[test]
fn warnings_alone_are_no_failure() {
    let crew = "name: desk\nagents: [{id: a, model: any, is_terminal: true, top_k: 3}]\n";
    let crew = Crew::new(crew, "");
    let check = done(&mut crew.boathouse(&["check", "desk"]), "");
    assert_eq!((check.code, check.stdout.as_str()), (0, "ok desk: 1 agent, 1 warning\n"), "{}", check.stderr);
    assert!(check.stderr.contains("desk/crew.yaml:2:"), "{}", check.stderr);
}

#[test]
fn a_folder_that_is_none_is_said_in_one_line() {
    let crew = Crew::new(BAD, "");
    let check = done(&mut crew.boathouse(&["check", "nowhere"]), "");
    assert_eq!(check.code, 1);
    insta::assert_snapshot!(check.stderr);
}

#[test]
fn a_crews_tests_are_checked_too() {
    let crew = "name: desk\nagents: [{id: clerk, provider: scripted, is_terminal: true}]\n";
    let crew = Crew::new(crew, "rules: [{reply: Hello}]\n");
    std::fs::create_dir(crew.dir.path().join("desk/tests")).unwrap();
    let tests = |text: &str| std::fs::write(crew.dir.path().join("desk/tests/all.yaml"), text).unwrap();
    tests("tests: [{name: one, input: hello, expect: {path: [clerk]}}]\n");
    let check = done(&mut crew.boathouse(&["check", "desk"]), "");
    assert_eq!(
        (check.code, check.stdout.as_str()),
        (0, "ok desk: 1 agent, no problems\n"),
        "{}",
        check.stderr
    );

    tests("tests: [{name: one, input: hello, expect: {path: [clerc]}}]\n");
    let check = done(&mut crew.boathouse(&["check", "desk"]), "");
    assert_eq!((check.code, check.stdout.as_str()), (1, ""));
    insta::assert_snapshot!(check.stderr);
    // Runs do not care.
    assert_eq!(done(&mut crew.boathouse(&["graph", "desk"]), "").code, 0);
}

#[test]
fn a_file_is_given_for_its_folder() {
    let crew = Crew::new(BAD, "");
    let check = done(&mut crew.boathouse(&["check", "desk/crew.yaml"]), "");
    assert_eq!((check.code, check.stdout.as_str()), (1, ""));
    insta::assert_snapshot!(check.stderr);
}

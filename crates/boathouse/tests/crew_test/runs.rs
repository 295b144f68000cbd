//! Tests that run: what passes, what fails, and what is told of it.

use boathouse::core::ids::AgentId;
use boathouse::core::run::event::RunState;
use boathouse::crew_test::{Runner, Test, path_text};

use crate::support::{Desk, tools};

#[tokio::test]
async fn a_test_passes_if_all_that_it_expects_holds() {
    let desk = Desk::with(
        r#"
tests:
  - name: a path through a group, in any order of its members
    input: everyone
    expect:
      path: [triage, [hoa, lan], writer]
      tools: [{tool: Say, arguments: {text: lan}, agent: lan, result: {equals: lan}}]
      output: {equals: "In sum: fine."}
      at_most: {model_calls: 5, tool_calls: 1, rounds: 1, handoffs: 2, active_seconds: 50}

  - name: calls, also those that were refused
    input: work
    expect:
      path: [triage, worker]
      tools:
        - {tool: Say, exact_arguments: {}, status: error, result: {contains: text}}
        - {tool: Shout, status: error}
        - {tool: Say, exact_arguments: {text: a b, times: 2.0}, status: success}
      output: {contains: [Done, "a b"], not_contains: Shout, regex: '(?i)^done: a\sb'}

  - name: an output that is JSON
    input: json
    expect:
      path: [triage]
      tools: []
      pauses: 0
      json:
        at: {/ok: true, /items/0/size: 1}
        schema: {type: object, required: [ok], properties: {items: {type: array, maxItems: 1}}}

  - name: an answer that leads on
    input: vague
    answers: [no idea, the left one]
    expect:
      path: [triage, asker, worker]
      pauses: [{agent: asker, question: {equals: "Which one?"}}, {question: {contains: guess}}]

  - name: a pause without an answer
    input: vague
    expect: {state: paused, path: [triage, asker], pauses: 1, output: {equals: "Which one?"}}

  - name: a limit
    input: rounds
    expect: {limit: max_rounds, at_most: {rounds: 3}}

  - name: another limit
    input: loop
    expect: {limit: max_handoffs, path: [triage, triage, triage, triage]}

  - name: an error
    input: broken
    expect: {error: {contains: said no}}

  - name: what a run is started with
    input: anything
    history: [{role: user, content: earlier}, {role: assistant, content: yes}]
    vars: {topic: cats}
    start_at: hoa
    script: {rules: [{agent: hoa, when: anything, reply: "{{input}} it is"}]}
    expect: {path: [hoa], output: {equals: anything it is}, at_most: {tokens: 0}}

  - name: tokens
    input: hello
    expect: {at_most: {tokens: 42}}
"#,
    );
    let reports = desk.passes().await;
    let first = reports[0].facts.as_ref().unwrap();
    assert_eq!(path_text(&first.path), "triage → [lan, hoa] → writer");
    assert_eq!(reports[4].facts.as_ref().unwrap().state, RunState::Paused);
    let history = &reports[8].log[0].to_json();
    assert!(history.contains("earlier") && history.contains("cats"), "{history}");
}

#[tokio::test]
async fn everything_that_is_not_as_expected_is_told() {
    let desk = Desk::with(
        r#"
tests:
  - name: nothing is as expected
    input: vague
    answers: [the left one]
    expect:
      state: paused
      path: [triage, worker, [lan, hoa]]
      tools: [{tool: Say, exact_arguments: {text: a b}}, Pay]
      output: {equals: "Done: nothing", contains: [well, Done], not_contains: a b, regex: '^\d+$'}
      json: {at: {/a: 1}}
      pauses: [{agent: triage, question: {contains: Who}}, {}]
      at_most: {model_calls: 1, tool_calls: 0, rounds: 0, handoffs: 0}
  - name: other ways to look at calls
    input: work
    expect:
      tools:
        in_order: [Say, {tool: Say, arguments: {text: a b}}, Say]
        any_order: [{tool: Say, arguments: {text: a b}}, {tool: Say, arguments: {text: a b}}]
        never: [{tool: Say, status: error}]
  - name: values in JSON
    input: json
    expect:
      json:
        at: {/ok: false, /items/1: x, "": {}}
        schema: {required: [missing], properties: {items: {items: {type: string}}}}
  - name: a state with its reason
    input: broken
    expect: {}
  - name: another limit
    input: loop
    expect: {limit: max_rounds}
  - name: another error
    input: broken
    expect: {error: {contains: [no, yes]}}
  - name: tokens
    input: hello
    expect: {at_most: {tokens: 41}}
  - name: no tools at all
    input: work
    expect: {tools: []}
"#,
    );
    insta::assert_snapshot!(desk.fails().await);
}

#[tokio::test]
async fn a_person_says_what_became_of_a_call() {
    let desk = Desk::with(
        r#"
tests:
  - name: done
    input: pay
    answers: [{do: done, output: receipt 17}]
    expect:
      pauses: [{agent: worker}]
      tools: [{tool: Pay, arguments: {amount: 3}, status: success, result: {equals: receipt 17}}]
      output: {equals: "It gave: receipt 17"}
  - name: made again, and then it failed
    input: pay
    answers: [{do: rerun}, {do: fail}]
    expect: {pauses: 2, tools: [{tool: Pay, status: error}]}
"#,
    );
    desk.passes().await;
}

#[tokio::test]
async fn answers_that_nobody_asked_for_and_answers_that_do_not_fit_fail_the_test() {
    let desk = Desk::with(
        r#"
tests:
  - {name: too many, input: vague, answers: [one, two, three], expect: {}}
  - {name: of the wrong kind, input: vague, answers: [{do: rerun}], expect: {state: paused}}
  - {name: words where a decision is needed, input: pay, answers: [yes please], expect: {state: paused}}
"#,
    );
    insta::assert_snapshot!(desk.fails().await);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_takes_too_long_fails_and_says_only_that() {
    let desk = Desk::with(
        "tests: [{name: slow, input: slow, timeout_seconds: 1.5, expect: {path: [worker], output: {contains: x}}}]",
    );
    insta::assert_snapshot!(desk.fails().await, @r"
    tests/tests.yaml:1: slow: failed
      timeout
        expected: the test ends within 1.5 s
        came:     it was still running
    ");
}

#[tokio::test]
async fn a_run_that_cannot_begin_fails_its_test() {
    let desk = Desk::with("tests: [{name: hello, input: hello, expect: {}}]");
    let suite = desk.load().unwrap();
    // A program may make a test of its own; no file may name such an agent.
    let test = Test { start_at: Some(AgentId::from("nobody")), ..suite.tests[0].clone() };
    let report = Runner::new(tools()).run(&suite, &test).await.unwrap();
    let told = report.to_string();
    assert!(told.contains("\n  start\n    expected: the run begins\n") && told.contains("nobody"), "{told}");
    assert_eq!((report.facts, report.log.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn tests_that_are_stopped_give_no_report() {
    let desk = Desk::with("tests: [{name: slow, input: slow, timeout_seconds: 7200, expect: {}}]");
    let suite = desk.load().unwrap();
    let runner = Runner::new(tools());
    let (report, ()) = tokio::join!(runner.run(&suite, &suite.tests[0]), async {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        runner.stop();
    });
    assert!(report.is_none());
    assert!(runner.run(&suite, &suite.tests[0]).await.is_none(), "no test begins after that");
}

#[tokio::test]
async fn several_at_once_give_what_they_give_one_by_one() {
    let desk = Desk::with(
        r#"
tests:
  - {name: a, input: everyone, expect: {path: [triage, [lan, hoa], writer]}}
  - {name: b, input: vague, answers: [the left one], expect: {pauses: 1}}
  - {name: c, input: hello, expect: {output: {equals: Good evening.}}}
  - {name: d, input: work, expect: {tools: {never: [Pay]}}}
"#,
    );
    let one_by_one: Vec<String> = desk.run().await.iter().map(ToString::to_string).collect();
    let suite = desk.load().unwrap();
    let runner = Runner::new(tools());
    let many = suite.tests.iter().cycle().take(40).map(|test| runner.run(&suite, test));
    let at_once = futures_util::future::join_all(many).await;
    for (place, report) in at_once.into_iter().enumerate() {
        assert_eq!(report.unwrap().to_string(), one_by_one[place % one_by_one.len()]);
    }
    assert_eq!(one_by_one.iter().filter(|told| told.ends_with("failed")).count(), 0);
    assert!(one_by_one[2].contains("came:     Good day."), "{}", one_by_one[2]);
}

//! Tests of crews whose calls wait for a person.

use std::fs;

use boathouse::core::run::event::{CallKind, Event};
use boathouse::crew_test::Report;

use crate::support::Desk;

const TILL: &str = r#"
name: till
agents:
  - {id: clerk, provider: scripted, tools: [Refund, Look], is_terminal: true}
tools:
  Refund:
    description: Pays money back.
    command: {argv: [echo, "{amount} paid back"]}
    parameters:
      type: object
      properties: {amount: {type: integer, minimum: 1}}
      required: [amount]
    approval: args.amount > 2
  Look:
    description: Looks.
    command: {argv: [echo, "seen"]}
    effect: read
"#;

const SCRIPT: &str = r#"
rules:
  - {agent: clerk, input: two, call: 1, reply: "", tools: [{name: Refund, arguments: {amount: 5}}, {name: Look}, {name: Refund, arguments: {amount: 7}}]}
  - {agent: clerk, input: wrong, call: 1, reply: "", tools: [{name: Refund, arguments: {amount: 7.5}}, {name: Refund, arguments: {order: 3}}]}
  - {agent: clerk, input: little, call: 1, reply: "", tools: [{name: Refund, arguments: {amount: 2}}]}
  - {agent: clerk, call: 1, reply: "", tools: [{name: Refund, arguments: {amount: 5}}]}
  - {agent: clerk, reply: "It gave: {{result.Refund}}"}
"#;

fn till(tests: &str) -> Desk {
    let desk = Desk::with(tests);
    fs::write(desk.dir().join("crew.yaml"), TILL).unwrap();
    fs::write(desk.dir().join("scripted.yaml"), SCRIPT).unwrap();
    desk
}

#[tokio::test]
async fn each_decision_does_what_it_says() {
    let desk = till(
        r#"
tests:
  - name: approved
    input: back
    answers: [{do: approve}]
    expect:
      pauses: [{agent: clerk}]
      tools: [{tool: Refund, arguments: {amount: 5}, status: success, result: {equals: 5 paid back}}]
      output: {equals: "It gave: 5 paid back"}
  - name: edited
    input: back
    answers: [{do: edit, arguments: {amount: 3}}]
    expect: {pauses: 1, tools: [{tool: Refund, status: success, result: {contains: 3 paid back}}]}
  - name: rejected
    input: back
    answers: [{do: reject, reason: not today}]
    expect: {tools: [{tool: Refund, status: error, result: {contains: not today}}], output: {contains: rejected}}
  - name: answered in the tool's place
    input: back
    answers: [{do: respond, output: by hand}]
    expect: {tools: [{tool: Refund, status: success, result: {equals: by hand}}], output: {equals: "It gave: by hand"}}
  - name: two, one after the other
    input: two
    answers: [{do: reject, reason: first}, {do: approve}]
    expect:
      pauses: 2
      tools: [{tool: Refund, status: error}, {tool: Look, status: success}, {tool: Refund, result: {equals: 7 paid back}}]
  - name: nobody is asked
    input: little
    expect: {pauses: 0, output: {equals: "It gave: 2 paid back"}}
  - name: nobody is asked about arguments that do not fit
    input: wrong
    expect:
      pauses: 0
      tools:
        - {tool: Refund, status: error, result: {contains: "/amount: 7.5 is not of type"}}
        - {tool: Refund, status: error, result: {contains: '"amount" is a required property'}}
  - name: nobody decides
    input: back
    expect: {state: paused, pauses: 1, output: {not_contains: paid}}
"#,
    );
    desk.passes().await;
}

#[tokio::test]
async fn decisions_that_do_not_fit_fail_the_test_and_nothing_is_made() {
    let desk = till(
        r#"
tests:
  - {name: arguments that do not fit, input: back, answers: [{do: edit, arguments: {amount: 0}}], expect: {state: paused}}
  - {name: a word, input: back, answers: [yes please], expect: {state: paused}}
  - {name: of another kind, input: back, answers: [{do: done, output: x}], expect: {state: paused}}
  - {name: one too many, input: back, answers: [{do: approve}, {do: approve}], expect: {}}
"#,
    );
    let reports = desk.run().await;
    let told: Vec<String> = reports.iter().map(Report::to_string).collect();
    let expected =
        ["/amount", "approve, edit, reject or respond", "approve, edit, reject or respond", "asked for 1"];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains("failed") && told.contains(expected), "no {expected:?} in {told}");
    }
    for report in &reports[..3] {
        let made = |event: &Event| matches!(event, Event::CallStarted { kind: CallKind::Tool { .. }, .. });
        assert!(!report.log.iter().any(|recorded| made(&recorded.event)), "{:?}", report.log);
    }
}

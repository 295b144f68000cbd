//! The order of the crew loop: tools, termination, routing, wait, terminal, defaults, hand-off targets.

use boathouse_core::crew::{AgentIx, HandoffStyle, Route, ToolCallStyle};
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::{Answer, Event, RunState, Via};

use super::crews::*;
use super::sim::*;

fn text_answer(text: &str) -> Command {
    Command::Answer { wait: None, answer: Answer::Text { text: text.to_owned() } }
}

#[test]
fn a_run_of_one_agent_completes_with_its_reply() {
    let sim = Sim::new(crew(vec![agent("a")]), script([("a", vec![text("hi")])])).go();
    assert_eq!(sim.output(), "hi");
    assert_eq!(sim.types(), ["run_started", "call_started", "model_replied", "run_ended"]);
}

#[test]
fn tool_calls_come_before_a_signal_in_the_same_reply() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    a.signals = vec![signal("[B]", to_agent(1))];
    let sim = Sim::new(
        crew(vec![a, agent("b")]),
        script([("a", vec![tools("looking [B]", &[("Look", r#"{"what":"x"}"#)]), text("stay")])]),
    )
    .go();
    assert_eq!(sim.path(), ["a"]);
    assert_eq!(sim.output(), "stay");
}

#[test]
fn results_come_in_the_order_of_the_calls_whatever_the_order_of_the_returns() {
    let mut a = agent("a");
    a.tools = vec![LOOK, PUT];
    let said = vec![tools("", &[("Look", r#"{"what":"1"}"#), ("Put", r#"{"what":"2"}"#)]), text("end")];
    let mut sim = Sim::new(crew(vec![a]), script([("a", said)]));
    sim.answer_call(sim.open()[0]);
    let open = sim.open();
    assert_eq!(open.len(), 2, "both run at once");
    sim.answer_call(open[1]);
    sim.answer_call(open[0]);
    let results = &sim.run.history()[2].results;
    assert!(results[0].output.starts_with("Look") && results[1].output.starts_with("Put"), "{results:?}");
}

#[test]
fn a_termination_signal_beats_a_routing_signal_and_is_not_in_the_output() {
    let mut a = agent("a");
    a.signals = vec![signal("[B]", to_agent(1)), signal("[END]", Route::End)];
    let sim = Sim::new(crew(vec![a, agent("b")]), script([("a", vec![text("all well [B] [END]")])])).go();
    assert_eq!(sim.path(), ["a"]);
    assert_eq!(sim.output(), "all well [B]");
}

#[test]
fn a_routing_signal_beats_wait_terminal_and_defaults() {
    let mut a = agent("a");
    a.signals = vec![signal("[B]", to_agent(1))];
    a.wait_for_signal = true;
    a.terminal = true;
    a.default_route = Some(to_agent(2));
    let script = script([("a", vec![text("over to [B]")]), ("b", vec![text("b's")])]);
    let sim = Sim::new(crew(vec![a, agent("b"), agent("c")]), script).go();
    assert_eq!(sim.path(), ["a", "b"]);
    assert_eq!(sim.output(), "b's");
}

#[test]
fn wait_for_signal_beats_terminal_and_the_answer_goes_to_the_same_agent() {
    let mut a = agent("a");
    a.signals = vec![signal("[END]", Route::End)];
    a.wait_for_signal = true;
    a.terminal = true;
    let mut sim =
        Sim::new(crew(vec![a]), script([("a", vec![text("which one?"), text("that one [END]")])])).go();
    assert_eq!(sim.run.state(), RunState::Paused);
    assert_eq!(sim.run.waits().len(), 1);
    sim.command(text_answer("the second")).expect("it waits");
    let sim = sim.go();
    assert_eq!(sim.output(), "that one");
    assert_eq!(
        sim.history(),
        ["user: hello[][]", "a: which one?[][]", "user: the second[][]", "a: that one [END][][]"]
    );
}

#[test]
fn terminal_beats_defaults_and_defaults_beat_handoff_targets() {
    let mut a = agent("a");
    a.default_route = Some(to_agent(1));
    a.handoff_targets = vec![AgentIx(2)];
    let mut b = agent("b");
    b.terminal = true;
    b.default_route = Some(to_agent(2));
    let sim = Sim::new(crew(vec![a, b, agent("c")]), script([("b", vec![text("b's")])])).go();
    assert_eq!(sim.path(), ["a", "b"]);
    assert!(matches!(&sim.log[3].event, Event::HandedOff { via: Via::Default, .. }));
    assert_eq!(sim.output(), "b's");
}

#[test]
fn a_null_default_ends_the_run_although_there_are_handoff_targets() {
    let mut a = agent("a");
    a.default_route = Some(Route::End);
    a.handoff_targets = vec![AgentIx(1)];
    let sim = Sim::new(crew(vec![a, agent("b")]), script([("a", vec![text("fin")])])).go();
    assert_eq!((sim.path(), sim.output()), (vec!["a".to_owned()], "fin"));
}

#[test]
fn without_any_route_the_run_completes_and_nobody_else_is_called() {
    let sim = Sim::new(crew(vec![agent("a"), agent("b")]), script([("a", vec![text("mine")])])).go();
    assert_eq!((sim.path(), sim.output()), (vec!["a".to_owned()], "mine"));
}

#[test]
fn an_unknown_tool_and_unreadable_arguments_are_results_that_say_what_to_do() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let said =
        vec![tools("", &[("Lock", "{}"), ("Look", "{nonsense"), ("Look", "[1]"), ("Look", "")]), text("ok")];
    let sim = Sim::new(crew(vec![a]), script([("a", said)])).go();
    let outputs: Vec<&str> =
        sim.run.history()[2].results.iter().map(|result| result.output.as_str()).collect();
    assert_eq!(outputs[0], "Tool Lock not found; the tools are Look");
    assert!(outputs[1].starts_with("the arguments are not valid JSON"), "{}", outputs[1]);
    assert_eq!(outputs[2], "the arguments must be one JSON object");
    assert!(outputs[3].starts_with("Look of"), "no arguments are an empty object: {}", outputs[3]);
}

#[test]
fn calls_written_in_text_count_only_without_native_ones_and_unless_the_agent_is_native() {
    let written = "Look(x)";
    for (style, called) in
        [(ToolCallStyle::Auto, true), (ToolCallStyle::Text, true), (ToolCallStyle::Native, false)]
    {
        let mut a = agent("a");
        a.tools = vec![LOOK];
        a.tool_calls = style;
        let sim = Sim::new(crew(vec![a]), script([("a", vec![text(written), text("end")])])).go();
        assert_eq!(sim.types().contains(&"round_started".to_owned()), called, "{style:?}");
    }
}

#[test]
fn a_transfer_runs_the_ordinary_calls_of_its_reply_first_and_only_the_first_transfer_counts() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    a.signals = vec![signal("[B]", to_agent(1))];
    a.handoff_targets = vec![AgentIx(2)];
    let mut crew = crew(vec![a, agent("b"), agent("c")]);
    crew.handoff = HandoffStyle::Tool;
    let calls = [("transfer_to_c", "{}"), ("Look", "{}"), ("transfer_to_b", "{}")];
    let sim = Sim::new(crew, script([("a", vec![tools("", &calls)]), ("c", vec![text("c's")])])).go();
    assert_eq!(sim.path(), ["a", "c"]);
    let outputs: Vec<&str> =
        sim.run.history()[2].results.iter().map(|result| result.output.as_str()).collect();
    assert_eq!(outputs[0], "transferred to c");
    assert!(outputs[1].starts_with("Look of"), "{}", outputs[1]);
    assert!(outputs[2].starts_with("not transferred"), "{}", outputs[2]);
    assert_eq!(sim.output(), "c's");
}

#[test]
fn with_handoff_tool_a_routing_signal_is_only_text() {
    let mut a = agent("a");
    a.signals = vec![signal("[B]", to_agent(1))];
    let mut tool_crew = crew(vec![a.clone(), agent("b")]);
    tool_crew.handoff = HandoffStyle::Tool;
    let mut auto_crew = crew(vec![a, agent("b")]);
    auto_crew.handoff = HandoffStyle::Auto;
    let said = script([("a", vec![text("to [B]")])]);
    assert_eq!(Sim::new(tool_crew, said.clone()).go().path(), ["a"]);
    assert_eq!(Sim::new(auto_crew, said).go().path(), ["a", "b"]);
}

#[test]
fn a_run_may_name_where_it_starts() {
    let sim = Sim::with(crew(vec![agent("a"), agent("b")]), Script::default(), |started| {
        started.start_at = Some("b".into());
    })
    .go();
    assert_eq!(sim.path(), ["b"]);
}

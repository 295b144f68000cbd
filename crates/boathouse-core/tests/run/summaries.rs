//! Histories that outgrow their prompts: summarised, or left out, and never a call without its result.

use boathouse_core::crew::Crew;
use boathouse_core::message::Usage;
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::{CallErrorKind, CancelReason, Event, Purpose};
use boathouse_core::run::request::PromptMessage;

use super::crews::*;
use super::sim::*;

/// One agent that looks four times, and whose prompts have room for few messages.
fn looking() -> Crew {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let mut crew = crew(vec![a]);
    crew.settings.keep_recent = Some(4);
    crew.settings.summarize = true;
    crew
}

fn replies(summary: Vec<Said>) -> Script {
    script([("a", vec![look(), look(), look(), look(), text("end")]), ("summary", summary)])
}

fn trims(sim: &Sim) -> Vec<(usize, bool, Option<String>)> {
    let trims = sim.log.iter().filter_map(|recorded| match &recorded.event {
        Event::HistoryTrimmed { dropped, summary, failed, .. } => {
            Some((*dropped, summary.is_some(), failed.clone()))
        }
        _ => None,
    });
    trims.collect()
}

#[test]
fn old_messages_give_way_to_a_summary_that_the_agents_model_makes() {
    let sim = Sim::new(looking(), replies(vec![tools("they looked", &[]), text("they looked more")])).go();
    assert_eq!(sim.output(), "end");
    assert_eq!(trims(&sim), [(3, true, None), (7, true, None)]);
    let summaries: Vec<_> = sim.prompts.iter().filter(|prompt| prompt.purpose == Purpose::Summary).collect();
    assert_eq!(summaries.len(), 2, "half of what fits goes at once, so that one call serves for many");
    assert!(summaries.iter().all(|prompt| prompt.tools.is_empty() && prompt.agent_call == 0));
    let [PromptMessage::User { text }] = &summaries[1].messages[..] else {
        panic!("one message: {summaries:?}")
    };
    insta::assert_snapshot!(text);
    let last = sim.prompts.last().expect("the model was asked");
    let user = |said: &str| PromptMessage::User { text: said.to_owned() };
    assert_eq!(last.messages[0], user("hello"), "the first message of the user stays");
    assert_eq!(last.messages[1], user("[summary of earlier messages]\nthey looked more"));
    assert_eq!(last.agent_call, 5, "summaries are none of the agent's replies");
    assert_eq!(sim.run.main().last_reply, "end");
    let rounds = Usage { input_tokens: 10, output_tokens: 2 };
    let mut expected = Usage::default();
    (0..5).for_each(|_| expected += rounds);
    assert_eq!(sim.run.usage(), expected, "four rounds and one summary told what they used");
}

#[test]
fn without_a_summary_the_messages_are_left_out_all_the_same() {
    for (failing, why) in [(fails(CallErrorKind::Auth), "no"), (text(" \n"), "the summary is empty")] {
        let sim = Sim::new(looking(), replies(vec![failing.clone(), failing])).go();
        assert_eq!(sim.output(), "end");
        let failed = Some(why.to_owned());
        assert_eq!(trims(&sim), [(3, false, failed.clone()), (7, false, failed)]);
        let last = &sim.prompts.last().expect("the model was asked").messages;
        let shown = format!("{last:?}");
        assert!(shown.contains("hello") && !shown.contains("summary"), "{shown}");
    }
}

#[test]
fn a_summary_that_fails_later_leaves_the_earlier_one() {
    let sim = Sim::new(looking(), replies(vec![text("they looked"), fails(CallErrorKind::Auth)])).go();
    let last = sim.prompts.last().expect("the model was asked");
    let summary = PromptMessage::User { text: "[summary of earlier messages]\nthey looked".to_owned() };
    assert_eq!(last.messages[1], summary);
}

#[test]
fn a_crash_or_a_cancel_at_every_event_of_summaries_is_like_any_other() {
    let whole = Sim::new(looking(), replies(vec![text("one"), text("two")])).go();
    for events in 1..whole.log.len() {
        let again = whole.crashed_after(events).go();
        assert_eq!(again.history(), whole.history(), "after event {events}");
        assert_eq!(again.run.summary(), whole.run.summary(), "after event {events}");
        let mut cancelled = whole.crashed_after(events);
        cancelled.command(Command::Cancel { reason: CancelReason::Requested }).expect("it can be cancelled");
        assert!(cancelled.run.outcome().is_some() && cancelled.open().is_empty());
    }
}

#[test]
fn the_run_hands_its_summary_on() {
    let sim = Sim::new(looking(), replies(vec![text("one"), text("two")])).go();
    let summary = sim.run.summary().expect("it has one");
    assert_eq!((summary.messages, summary.text.as_str()), (7, "two"));
}

#[test]
fn prompts_are_trimmed_to_the_context_window_by_estimated_tokens() {
    let mut a = agent("a");
    a.tools = vec![LOOK];
    let mut crew = crew(vec![a]);
    crew.settings.context_window = Some(200);
    let long = |at: usize| tools(&format!("{at}: {}", "word ".repeat(40)), &[("Look", "{}")]);
    let said = (0..6).map(long).chain([text("end")]).collect();
    let sim = Sim::new(crew, script([("a", said)])).go();
    assert_eq!(sim.output(), "end");
    let trims = trims(&sim);
    assert!(trims.len() >= 2 && trims.is_sorted(), "{trims:?}");
    for prompt in &sim.prompts {
        let bytes: usize = prompt.messages.iter().map(|message| format!("{message:?}").len()).sum();
        assert!(bytes < 1_600, "a prompt of about 200 tokens: {bytes} bytes");
        assert!(format!("{:?}", prompt.messages[0]).contains("hello"));
    }
}

//! Every log that was written is what would be written again; one that was changed, or met another crew, is told apart
//! at the first place.

use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq};
use boathouse_core::run::event::Event;
use boathouse_core::run::verify::{Difference, Now, first_difference, request_at};

use super::enumeration::{answered, group_crew, line_crew};
use super::sim::*;

fn difference(sim: &Sim) -> Option<Difference> {
    first_difference(sim.run.id(), sim.run.crew(), &sim.log).expect("the log can be read")
}

#[test]
fn what_was_written_is_what_would_be_written_also_after_crashes() {
    for (crew, said) in [group_crew(), line_crew()] {
        let ended = answered(Sim::new(crew, said));
        assert_eq!(difference(&ended), None);
        for events in 1..=ended.log.len() {
            let again = answered(ended.crashed_after(events));
            assert_eq!(difference(&again), None, "after event {events}");
        }
    }
}

#[test]
fn a_decision_that_was_not_taken_is_the_first_difference() {
    let (crew, said) = line_crew();
    let mut ended = answered(Sim::new(crew, said));
    let at = ended.types().iter().position(|kind| kind == "handed_off").expect("it hands over");
    let Event::HandedOff { from, to, .. } = &mut ended.log[at].event else { panic!("it is one") };
    std::mem::swap(from, to);
    let found = difference(&ended).expect("b does not hand over to a");
    assert_eq!(found.seq, ended.log[at].seq);
    assert_eq!(found.recorded.as_ref(), Some(&ended.log[at].event));
    let Now::Event(now) = &found.now else { panic!("{found:?}") };
    assert!(matches!(&**now, Event::HandedOff { to, .. } if to.as_str() == "b"), "{now:?}");
}

#[test]
fn every_event_that_is_left_out_is_missed() {
    for (crew, said) in [group_crew(), line_crew()] {
        let ended = answered(Sim::new(crew, said));
        for left_out in 1..ended.log.len() - 1 {
            let mut log = ended.log.clone();
            log.remove(left_out);
            for (seq, recorded) in (1..).zip(&mut log) {
                recorded.seq = Seq(seq);
            }
            let found = first_difference(ended.run.id(), ended.run.crew(), &log);
            assert!(
                !matches!(found, Ok(None)),
                "nobody misses event {} of {:?}",
                left_out + 1,
                ended.types()
            );
        }
    }
}

#[test]
fn another_crew_differs_where_it_first_asks_or_decides_otherwise() {
    let (crew, said) = line_crew();
    let ended = answered(Sim::new(crew.clone(), said));

    let mut renamed = crew.clone();
    renamed.hash = "other".into();
    let none = first_difference(ended.run.id(), &Arc::new(renamed.clone()), &ended.log);
    assert_eq!(none, Ok(None), "the hash alone is no difference");

    renamed.agents[1].backstory = "one who never sends twice".to_owned();
    let renamed = Arc::new(renamed);
    let found =
        first_difference(ended.run.id(), &renamed, &ended.log).expect("it folds").expect("b is asked");
    let Some(Event::CallStarted { agent, .. }) = &found.recorded else { panic!("{found:?}") };
    assert_eq!(agent.as_str(), "b", "the first prompt of the agent that has changed");
    let text = |crew| {
        let request = request_at(&RunId::from("run"), crew, &ended.log, found.seq).expect("it folds");
        request.expect("the event starts a model call").system
    };
    assert!(text(&renamed).contains("never sends twice"));
    assert!(!text(ended.run.crew()).contains("never sends twice"));

    let mut stricter = crew;
    stricter.settings.max_rounds = 0;
    let found = first_difference(ended.run.id(), &Arc::new(stricter), &ended.log).expect("it folds");
    let Some(Difference {
        recorded: Some(Event::RoundStarted { limit: None, .. }),
        now: Now::Event(now),
        ..
    }) = found
    else {
        panic!("{found:?}")
    };
    assert!(
        matches!(&*now, Event::RoundStarted { limit: Some(limit), .. } if limit == "max_rounds"),
        "{now:?}"
    );
}

#[test]
fn a_log_that_ends_before_a_decision_lacks_it() {
    let (crew, said) = line_crew();
    let mut ended = answered(Sim::new(crew, said));
    ended.log.pop();
    let found = difference(&ended).expect("the end is missing");
    assert_eq!(found.recorded, None);
    assert!(matches!(found.now, Now::Event(now) if matches!(*now, Event::RunEnded { .. })));
}

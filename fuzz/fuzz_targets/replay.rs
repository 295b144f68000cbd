//! The log of a run: a line for each event, as the journal keeps it.
//!
//! It is refused, or it gives a run. Then every prompt of the run has one result for each call, what is decided next can
//! be recorded, and each event reads the same when it is written and read again.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use boathouse::core::Run;
use boathouse::core::crew::Crew;
use boathouse::core::crew::check::Catalog;
use boathouse::core::ids::{CallId, RunId, Seq};
use boathouse::core::run::decide::{Decision, decide};
use boathouse::core::run::event::{Event, Recorded};
use boathouse::core::run::prompt;
use boathouse::core::run::request::PromptMessage;
use boathouse::crew_dir;
use boathouse::tool::Tools;
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Decisions that are followed; a run that rests or waits for a call needs far fewer.
const FOLLOWED: usize = 200;

/// Crews by name.
static CREWS: LazyLock<BTreeMap<String, Crew>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let catalog = Catalog {
        tools: Tools::builtin().specs(),
        providers: ["openai", "ollama", "scripted"].map(str::to_owned).into(),
    };
    let dirs = ["examples/it-support", "fuzz/crews/everything"];
    let load = |dir: &str| crew_dir::load(&root.join(dir), &catalog).expect("a crew of the repository").crew;
    dirs.iter().map(|dir| load(dir)).map(|crew| (crew.name.clone(), crew)).collect()
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let text = String::from_utf8_lossy(data);
    let mut log = Vec::new();
    for line in text.lines() {
        let Ok(recorded) = Recorded::from_json(line) else { return Corpus::Reject };
        let again = Recorded::from_json(&recorded.to_json()).expect("what was written can be read");
        assert_eq!(recorded, again);
        // Numbers are checked by one comparison; it is the rest that is of interest.
        log.push(Recorded { seq: Seq(log.len() as u64 + 1), ..recorded });
    }
    let Some(Recorded { event: Event::RunStarted(started), .. }) = log.first() else { return Corpus::Reject };
    let Some(crew) = CREWS.get(&started.crew) else { return Corpus::Reject };
    let crew = Arc::new(Crew { hash: started.crew_hash.as_str().into(), ..crew.clone() });
    let Ok(run) = Run::replay(RunId::from("run"), crew.clone(), &log) else { return Corpus::Keep };
    let again = Run::replay(RunId::from("run"), crew, &log).expect("the same log");
    assert_eq!(decide(&run), decide(&again));
    go_on(run);
    Corpus::Keep
});

/// Records what is decided until calls are wanted or the run rests, as the driver does.
fn go_on(mut run: Run) {
    for _ in 0..FOLLOWED {
        check_prompts(&run);
        let Decision::Record(event) = decide(&run) else { return };
        let recorded = Recorded { seq: run.seq().next(), at: run.last_at(), event };
        if let Err(error) = run.apply(&recorded) {
            panic!("what was decided cannot be recorded: {error}: {recorded:?}");
        }
    }
    panic!("a run that never rests");
}

/// Every prompt that a call in the run would send.
fn check_prompts(run: &Run) {
    let wanted: Vec<CallId> = match decide(run) {
        Decision::Await { calls, .. } => calls.iter().map(|wanted| wanted.call).collect(),
        Decision::Record(_) | Decision::Rest { .. } => run.open_calls().map(|(call, _)| call).collect(),
    };
    for request in wanted.into_iter().filter_map(|call| prompt::build(run, call)) {
        let mut open: Vec<&str> = Vec::new();
        for message in &request.messages {
            match message {
                PromptMessage::Tool { id, .. } => {
                    let place = open.iter().position(|call| call == id);
                    open.remove(place.expect("a result of a call that is open"));
                }
                PromptMessage::Assistant { calls, .. } => {
                    assert!(open.is_empty(), "calls without a result: {open:?}");
                    open = calls.iter().map(|call| call.id.as_str()).collect();
                }
                PromptMessage::System { .. } | PromptMessage::User { .. } => {
                    assert!(open.is_empty(), "calls without a result: {open:?}");
                }
            }
        }
        assert!(open.is_empty(), "calls without a result: {open:?}");
    }
}

// Lines are left out, doubled and moved as often as bytes are changed: so logs stay logs.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut lines: Vec<&[u8]> = data[..size].split(|byte| *byte == b'\n').collect();
    if seed % 2 == 0 || lines.len() < 2 {
        return fuzzer_mutate(data, size, max_size);
    }
    let place = |number: u32| number as usize % lines.len();
    let (one, other) = (place(seed / 8), place(seed / 8192));
    match seed / 2 % 4 {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one]),
        2 => lines.swap(one, other),
        _ => lines.truncate(one + 1),
    }
    let mutated = lines.join(&b'\n');
    let kept = mutated.len().min(max_size);
    data[..kept].copy_from_slice(&mutated[..kept]);
    kept
});

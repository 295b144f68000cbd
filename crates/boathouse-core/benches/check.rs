//! What the check of a crew costs, from its text to its problems: 200 agents in files of their own, sound, and with a
//! mistake in each.
//!
//! Run with `cargo bench -p boathouse-core --bench check`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use boathouse_core::crew::check::{Catalog, check};
use boathouse_core::crew::{Source, ToolSpec};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;

const AGENTS: usize = 200;

fn catalog() -> Catalog {
    let spec =
        |n| Arc::new(ToolSpec::new(format!("Tool{n}"), "Looks at something.", json!({"type": "object"})));
    Catalog {
        tools: (0..20).map(spec).collect(),
        providers: vec!["openai".to_owned(), "scripted".to_owned()],
    }
}

/// A chain of agents with three signals each, every tenth a group; `mistake` is added to each agent's file.
fn crew(mistake: &str) -> Source {
    let mut source = Source::new();
    let ids: Vec<String> = (0..AGENTS).map(|n| format!("agent-{n}")).collect();
    let (mut signals, mut groups) = (String::new(), String::new());
    for (n, id) in ids.iter().enumerate() {
        let next = &ids[(n + 1) % AGENTS];
        let target = if n % 10 == 0 { format!("group-{n}") } else { next.clone() };
        let _ = write!(
            signals,
            "    {id}:\n      - {{signal: \"[NEXT_{n}]\", target: {target}, description: Goes on}}\n      \
             - {{signal: \"[BACK_{n}]\", target: {}}}\n      - {{signal: \"[DONE_{n}]\", target: null}}\n",
            ids[n.saturating_sub(1)]
        );
        if n % 10 == 0 {
            let _ = writeln!(
                groups,
                "    group-{n}: {{agents: [{}], next_agent: {next}}}",
                ids[(n + 7) % AGENTS]
            );
        }
        let rules = "  Look before you speak, say what you saw, and do not guess.\n".repeat(15);
        let text = format!(
            "id: {id}\nname: Agent {n}\nrole: Takes step {n}\nmodel: gpt-4o\ntemperature: 0.2\ntools: [Tool{}, Tool{}]\n\
             system_prompt: |\n  You are {{{{name}}}}. {{{{role}}}}.\n{rules}  \
             End with [NEXT_{n}], [BACK_{n}] or [DONE_{n}].\n{mistake}",
            n % 20,
            (n + 1) % 20
        );
        source.insert(format!("agents/{id}.yaml"), text);
    }
    let text = format!(
        "name: large\nagents: [{}]\nsettings: {{max_handoffs: 500}}\nrouting:\n  signals:\n{signals}  parallel_groups:\n{groups}",
        ids.join(", ")
    );
    source.insert("crew.yaml".to_owned(), text);
    source
}

fn benches(criterion: &mut Criterion) {
    let catalog = catalog();
    let sound = crew("");
    assert!(check(&sound, "large", &catalog).crew.is_some(), "the crew is sound");
    criterion.bench_function("check/200 agents", |bench| {
        bench.iter(|| check(black_box(&sound), "large", &catalog));
    });
    let broken = crew("handoff_target: [agent-1]\n");
    assert_eq!(
        check(&broken, "large", &catalog).problems.iter().filter(|problem| problem.is_error()).count(),
        AGENTS
    );
    criterion.bench_function("check/200 agents with a mistake each", |bench| {
        bench.iter(|| check(black_box(&broken), "large", &catalog));
    });
}

criterion_group!(check_of_crews, benches);
criterion_main!(check_of_crews);

//! Given what became of a run, whether its calls are those that were expected.

use boathouse::core::ids::{AgentId, CallId};
use boathouse::core::message::ResultStatus;
use boathouse::core::run::event::RunState;
use boathouse::crew_test::expect::{Among, CallCheck, Expect, ToolsCheck};
use boathouse::crew_test::facts::{Call, Facts, Needed};
use boathouse::crew_test::verdict;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A call of a tool with some of the arguments `x` and `y`.
type Made = (u8, Option<u8>, Option<u8>);

fn arguments((_, x, y): Made) -> Map<String, Value> {
    let named = [("x", x), ("y", y)];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
}

fn tool((tool, ..): Made) -> String {
    format!("T{tool}")
}

/// Whether calls pass the check of these calls.
fn holds(how: Among, expected: &[Made], made: &[Made]) -> bool {
    let calls: Vec<Call> = made
        .iter()
        .enumerate()
        .map(|(place, made)| Call {
            call: CallId(place as u64 + 1),
            tool: tool(*made),
            arguments: Value::Object(arguments(*made)),
            agent: AgentId::from("a"),
            status: Some(ResultStatus::Success),
            result: String::new(),
        })
        .collect();
    let facts = Facts {
        state: RunState::Completed,
        limit: None,
        error: None,
        path: Vec::new(),
        calls,
        output: String::new(),
        pauses: Vec::new(),
        needed: Needed::default(),
    };
    let expected = expected.iter().map(|made| CallCheck {
        tool: tool(*made),
        arguments: arguments(*made),
        exact: false,
        agent: None,
        status: None,
        result: None,
    });
    let expect = Expect { tools: vec![ToolsCheck { how, calls: expected.collect() }], ..Expect::default() };
    verdict(&expect, &facts).is_empty()
}

/// Whether a made call is one that was expected: its tool, and its arguments among others.
fn fits(expected: Made, made: Made) -> bool {
    let among = |expected: Option<u8>, made: Option<u8>| expected.is_none() || expected == made;
    expected.0 == made.0 && among(expected.1, made.1) && among(expected.2, made.2)
}

/// Every way to give each expected call a made one of its own.
fn assignments(expected: &[Made], made: &[Made]) -> Vec<Vec<usize>> {
    let Some((last, rest)) = expected.split_last() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for assignment in assignments(rest, made) {
        for (place, call) in made.iter().enumerate() {
            if fits(*last, *call) && !assignment.contains(&place) {
                all.push(assignment.iter().copied().chain([place]).collect());
            }
        }
    }
    all
}

fn calls() -> impl Strategy<Value = Vec<Made>> {
    let value = || prop::option::of(0..2u8);
    prop::collection::vec((0..2u8, value(), value()), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The four ways are what their names say, stated by trying every assignment.
    #[test]
    fn calls_are_found_if_there_is_a_way_to_find_them(expected in calls(), made in calls()) {
        let ways = assignments(&expected, &made);
        let in_order = ways.iter().any(|way| way.is_sorted());
        prop_assert_eq!(holds(Among::AnyOrder, &expected, &made), !ways.is_empty());
        prop_assert_eq!(holds(Among::InOrder, &expected, &made), in_order);
        prop_assert_eq!(holds(Among::Exactly, &expected, &made), in_order && expected.len() == made.len());
        let none = !expected.iter().any(|expected| made.iter().any(|made| fits(*expected, *made)));
        prop_assert_eq!(holds(Among::Never, &expected, &made), none);
    }
}

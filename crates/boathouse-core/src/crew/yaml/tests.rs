use super::*;
use proptest::prelude::*;

fn tree(text: &str) -> Node {
    let (node, faults) = parse(text);
    assert_eq!(faults, []);
    node.expect("a text without faults gives a tree")
}

#[test]
fn every_value_knows_its_place() {
    let root = tree("a:\n  - x\n  - \"y z\"\n");
    let entry = &root.entries().expect("a map")[0];
    assert_eq!(entry.key_at, Place { line: 1, column: 1, length: 1 });
    let items = entry.value.items().expect("a list");
    assert_eq!(items[1].at, Place { line: 3, column: 5, length: 5 });
}

#[test]
fn only_plain_scalars_are_numbers_flags_and_null() {
    let json = tree("[5, '5', 0.5, 1_000, 0x1f, true, 'true', null, ~, yes, .5, 1e3, 0b1]").to_json();
    let expected =
        serde_json::json!([5, "5", 0.5, 1000, 31, true, "true", null, null, "yes", 0.5, 1000.0, "0b1"]);
    assert_eq!(json, expected);
}

#[test]
fn a_key_written_twice_is_a_fault_and_the_first_counts() {
    let (root, faults) = parse("a: 1\nb: 2\na: 3\n");
    assert_eq!(root.expect("still a tree").to_json(), serde_json::json!({"a": 1, "b": 2}));
    assert_eq!((faults[0].code, faults[0].at.line), (Code::DuplicateKey, 3));
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let root = tree("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n");
    assert_eq!(root.to_json(), serde_json::json!({"base": {"a": 1, "b": 2}, "more": {"b": 3, "a": 1}}));
}

#[test]
fn bombs_are_refused_at_once() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert_eq!(parse(&bomb).1[0].code, Code::YamlSize);
    let long = format!("long: &long {}\nlists: [{}]\n", "x".repeat(100_000), "*long, ".repeat(1_000));
    assert_eq!(parse(&long).1[0].code, Code::YamlSize);
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        let (root, faults) = parse(&deep);
        assert!(root.is_none() && !faults.is_empty());
    }
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..100 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert_eq!(parse(&chain).1[0].code, Code::YamlDepth);
}

proptest! {
    #[test]
    fn any_text_gives_a_tree_or_a_fault(text in any::<String>()) {
        let (root, faults) = parse(&text);
        prop_assert!(root.is_some() || !faults.is_empty());
    }

    #[test]
    fn yaml_like_text_gives_a_tree_or_a_fault(text in "([-?:,{}&*!|>'\"%@ #a\n]|\\[|\\]|&a|\\*a|<<: |\r\n|\t){0,60}") {
        let (root, faults) = parse(&text);
        prop_assert!(root.is_some() || !faults.is_empty());
    }
}

#[test]
fn a_tab_that_indents_is_shown_where_it_is() {
    let cases = [
        ("a:\n  - b: x\n    c: d\n\te: f\n", (4, 1)),
        ("a:\n  b: größer\n  \tc: d\n", (3, 3)),
        ("a:\n\t- b\n", (2, 1)),
        ("a: x\rb:\r\t- c\n", (3, 1)),
    ];
    for (text, place) in cases {
        let (_, faults) = parse(text);
        let [fault] = &faults[..] else { panic!("{text:?}: {faults:?}") };
        assert!(fault.message.contains("tab"), "{text:?}: {}", fault.message);
        assert_eq!((fault.at.line, fault.at.column), place, "{text:?}");
    }
}

//! `boathouse graph`.

use crate::support::{boathouse, done};

#[test]
fn the_routing_is_drawn_for_markdown() {
    let graph = done(&mut boathouse(&["graph", "examples/it-support"]), "");
    assert_eq!((graph.code, graph.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(graph.stdout);
}

#[test]
fn the_routing_is_drawn_for_graphviz() {
    let graph = done(&mut boathouse(&["graph", "examples/it-support-vi", "--format", "dot"]), "");
    assert_eq!((graph.code, graph.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(graph.stdout);
}

//! The drawing in Graphviz's DOT language.

use std::fmt::Write as _;

use super::{Card, EdgeKind, Graph, Node, NodeKind};

/// The drawing in Graphviz's DOT language.
pub fn dot(graph: &Graph) -> String {
    let mut text = format!("digraph \"{}\" {{\n", escaped(&graph.name));
    text.push_str("  compound=true;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    text.push_str("  edge [fontname=\"sans-serif\", fontsize=11];\n");
    for node in &graph.nodes {
        let id = &node.id;
        let _ = match &node.kind {
            NodeKind::Start => writeln!(text, "  {id} [shape=circle, label=\"start\"];"),
            NodeKind::End => writeln!(text, "  {id} [shape=doublecircle, label=\"end\"];"),
            NodeKind::Agent(card) => writeln!(text, "  {id} [{}];", look(card)),
            NodeKind::Group { name, join, members } => {
                let _ = writeln!(text, "  subgraph cluster_{id} {{");
                let _ = writeln!(
                    text,
                    "    label=\"{}: {join}\"; fontname=\"sans-serif\"; style=rounded;",
                    escaped(name)
                );
                for (place, member) in members.iter().enumerate() {
                    let _ = writeln!(text, "    {id}m{place} [{}];", look(member));
                }
                writeln!(text, "  }}")
            }
        };
    }
    for edge in &graph.edges {
        let (from, from_box) = end(&graph.nodes[edge.from]);
        let (to, to_box) = end(&graph.nodes[edge.to]);
        let label: Vec<String> = edge.label.iter().map(|line| escaped(line)).collect();
        let mut look = format!("label=\"{}\"", label.join("\\n"));
        look.push_str(match edge.kind {
            EdgeKind::Plain | EdgeKind::Signal | EdgeKind::Transfer => "",
            EdgeKind::Default => ", style=dashed",
            EdgeKind::HandoffTarget => ", style=dotted",
            EdgeKind::Joined => ", style=bold",
        });
        for (key, cluster) in [("ltail", from_box), ("lhead", to_box)] {
            if let Some(cluster) = cluster {
                let _ = write!(look, ", {key}=cluster_{cluster}");
            }
        }
        let _ = writeln!(text, "  {from} -> {to} [{look}];");
    }
    text.push_str("}\n");
    text
}

/// What an arrow is tied to: a node, and for a group its middle member and the group's box.
fn end(node: &Node) -> (String, Option<&str>) {
    match &node.kind {
        NodeKind::Group { members, .. } => (format!("{}m{}", node.id, members.len() / 2), Some(&node.id)),
        NodeKind::Start | NodeKind::Agent(_) | NodeKind::End => (node.id.clone(), None),
    }
}

fn look(card: &Card) -> String {
    let mut label = escaped(&card.name);
    if let Some(id) = &card.id {
        let _ = write!(label, "\\n{}", escaped(id));
    }
    if card.waits {
        label.push_str("\\n(waits for an answer)");
    }
    let style = if card.terminal { ", style=rounded" } else { "" };
    format!("label=\"{label}\"{style}")
}

/// A text between double quotes. Graphviz reads `&...;` as HTML does, and the backslash as the beginning of something.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\"")
}

//! The drawing as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Card, EdgeKind, Graph, NodeKind};

/// The drawing as a Mermaid flowchart.
pub fn mermaid(graph: &Graph) -> String {
    let mut text = String::from("flowchart TD\n");
    for node in &graph.nodes {
        let id = &node.id;
        let _ = match &node.kind {
            NodeKind::Start => writeln!(text, "  {id}((\"start\"))"),
            NodeKind::End => writeln!(text, "  {id}(((\"end\")))"),
            NodeKind::Agent(card) => writeln!(text, "  {id}{}", shape(card)),
            NodeKind::Group { name, join, members } => {
                let _ = writeln!(text, "  subgraph {id}[\"{}: {join}\"]\n    direction LR", escaped(name));
                for (place, member) in members.iter().enumerate() {
                    let _ = writeln!(text, "    {id}m{place}{}", shape(member));
                }
                writeln!(text, "  end")
            }
        };
    }
    for (place, edge) in graph.edges.iter().enumerate() {
        let arrow = match edge.kind {
            EdgeKind::Plain | EdgeKind::Signal | EdgeKind::Transfer => "-->",
            EdgeKind::Default | EdgeKind::HandoffTarget => "-.->",
            EdgeKind::Joined => "==>",
        };
        let label = match edge.label.as_slice() {
            [] => String::new(),
            lines => {
                format!("|\"{}\"|", lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br/>"))
            }
        };
        let (from, to) = (&graph.nodes[edge.from].id, &graph.nodes[edge.to].id);
        let _ = writeln!(text, "  {from} {arrow}{label} {to}");
        if edge.kind == EdgeKind::HandoffTarget {
            let _ = writeln!(text, "  linkStyle {place} stroke-dasharray:2 6");
        }
    }
    text
}

/// A box with an agent's name. Round if its reply ends the run.
fn shape(card: &Card) -> String {
    let mut label = escaped(&card.name);
    if let Some(id) = &card.id {
        let _ = write!(label, "<br/>{}", escaped(id));
    }
    if card.waits {
        label.push_str("<br/>(waits for an answer)");
    }
    let (open, close) = if card.terminal { ("([", "])") } else { ("[", "]") };
    format!("{open}\"{label}\"{close}")
}

/// A text between double quotes, where `#code;` stands for a character. Whatever Mermaid could read as markup, as
/// Markdown or as an icon is written so.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let is_plain = !c.is_ascii()
            || c.is_ascii_alphanumeric()
            || matches!(c, ' ' | '_' | '-' | '[' | ']' | '(' | ')');
        if is_plain {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
        // Two in a row would begin a formula.
        if c == '$' {
            escaped.push_str("#8203;");
        }
    }
    escaped
}

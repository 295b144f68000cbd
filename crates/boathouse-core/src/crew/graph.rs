//! A crew's routing as a drawing: Mermaid for web pages, DOT for Graphviz.

use std::fmt::Write as _;

use super::{Crew, HandoffStyle, Join, Route};

/// How an edge came to be, for its look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a signal, or the start.
    Said,
    /// By default.
    Default,
    /// Into a group's branches, and out of it.
    Group,
}

/// A node of the drawing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Agent(usize),
    Group(usize),
    End,
}

struct Edge {
    from: Place,
    to: Place,
    label: String,
    way: Way,
}

/// The routing as a Mermaid flowchart.
pub fn mermaid(crew: &Crew) -> String {
    let mut text = String::from("flowchart TD\n");
    let edges = edges(crew);
    text.push_str("  start((\"start\"))\n");
    for (place, agent) in crew.agents.iter().enumerate() {
        let label = label(&agent.name, agent.id.as_str(), agent.wait_for_signal, "<br/>", mermaid_text);
        let (open, close) = if agent.terminal { ("([", "])") } else { ("[", "]") };
        let _ = writeln!(text, "  a{place}{open}\"{label}\"{close}");
    }
    for (place, group) in crew.groups.iter().enumerate() {
        let _ = writeln!(text, "  g{place}{{{{\"{}\"}}}}", mermaid_text(&group.name));
    }
    if edges.iter().any(|edge| edge.to == Place::End) {
        text.push_str("  finish(((\"end\")))\n");
    }
    for edge in edges {
        let arrow = match edge.way {
            Way::Said => "-->",
            Way::Default => "-.->",
            Way::Group => "==>",
        };
        let label = match edge.label.as_str() {
            "" => String::new(),
            label => format!("|\"{}\"|", mermaid_text(label)),
        };
        let _ = writeln!(text, "  {} {arrow}{label} {}", node(edge.from), node(edge.to));
    }
    text
}

/// The routing in Graphviz's DOT language.
pub fn dot(crew: &Crew) -> String {
    let mut text = format!("digraph \"{}\" {{\n  node [shape=box];\n", dot_text(&crew.name));
    let edges = edges(crew);
    text.push_str("  start [shape=circle];\n");
    for (place, agent) in crew.agents.iter().enumerate() {
        let label = label(&agent.name, agent.id.as_str(), agent.wait_for_signal, "\\n", dot_text);
        let style = if agent.terminal { ", style=rounded" } else { "" };
        let _ = writeln!(text, "  a{place} [label=\"{label}\"{style}];");
    }
    for (place, group) in crew.groups.iter().enumerate() {
        let _ = writeln!(text, "  g{place} [shape=hexagon, label=\"{}\"];", dot_text(&group.name));
    }
    if edges.iter().any(|edge| edge.to == Place::End) {
        text.push_str("  finish [shape=doublecircle, label=\"end\"];\n");
    }
    for edge in edges {
        let style = match edge.way {
            Way::Said => "",
            Way::Default => ", style=dashed",
            Way::Group => ", style=bold",
        };
        let (from, to) = (node(edge.from), node(edge.to));
        let _ = writeln!(text, "  {from} -> {to} [label=\"{}\"{style}];", dot_text(&edge.label));
    }
    text.push_str("}\n");
    text
}

fn edges(crew: &Crew) -> Vec<Edge> {
    let place = |route: Route| match route {
        Route::Agent(ix) => Place::Agent(ix.0),
        Route::Group(ix) => Place::Group(ix.0),
        Route::End => Place::End,
    };
    let mut edges = vec![Edge {
        from: Place::Start,
        to: Place::Agent(crew.entry.0),
        label: String::new(),
        way: Way::Said,
    }];
    for (ix, agent) in crew.agents.iter().enumerate() {
        let from = Place::Agent(ix);
        for signal in &agent.signals {
            edges.push(Edge { from, to: place(signal.route), label: signal.text.clone(), way: Way::Said });
        }
        if agent.terminal && !agent.wait_for_signal {
            edges.push(Edge { from, to: Place::End, label: String::new(), way: Way::Default });
            continue;
        }
        if crew.handoff != HandoffStyle::Signal {
            for target in &agent.handoff_targets {
                edges.push(Edge {
                    from,
                    to: Place::Agent(target.0),
                    label: "transfer".to_owned(),
                    way: Way::Said,
                });
            }
        }
        if agent.wait_for_signal {
            continue;
        }
        let next = agent.default_route.or(agent.handoff_targets.first().map(|first| Route::Agent(*first)));
        if let Some(route) = next {
            edges.push(Edge { from, to: place(route), label: "default".to_owned(), way: Way::Default });
        }
    }
    for (ix, group) in crew.groups.iter().enumerate() {
        let from = Place::Group(ix);
        for member in &group.agents {
            edges.push(Edge { from, to: Place::Agent(member.0), label: String::new(), way: Way::Group });
        }
        let to = group.next_agent.map_or(Place::End, |next| Place::Agent(next.0));
        let label = match group.join {
            Join::All => "all".to_owned(),
            Join::First => "first".to_owned(),
            Join::Quorum(quorum) => format!("{quorum} of {}", group.agents.len()),
        };
        edges.push(Edge { from, to, label, way: Way::Group });
    }
    edges
}

fn node(place: Place) -> String {
    match place {
        Place::Start => "start".to_owned(),
        Place::Agent(ix) => format!("a{ix}"),
        Place::Group(ix) => format!("g{ix}"),
        Place::End => "finish".to_owned(),
    }
}

fn label(name: &str, id: &str, waits: bool, line: &str, escape: fn(&str) -> String) -> String {
    let mut label = escape(name);
    if name != id {
        let _ = write!(label, "{line}{}", escape(id));
    }
    if waits {
        let _ = write!(label, "{line}(waits for an answer)");
    }
    label
}

/// A text between double quotes in Mermaid, which reads `#code;` as that character.
fn mermaid_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text between double quotes in DOT.
fn dot_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

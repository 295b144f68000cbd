//! A crew's drawing as an SVG picture, legible on light and dark pages.
//!
//! `dugong` says where boxes and arrows go; this module knows how large they are and what they look like. Texts are
//! measured by estimate, since nothing here knows the reader's fonts.

use std::fmt::{self, Write as _};

use boathouse::core::crew::graph::{Card, Edge, EdgeKind, Graph, Node, NodeKind};

mod layout;
mod text;

use layout::{Layout, Point};
use text::{MONO, NAME, SMALL, escaped, number, width};

/// The crew has more agents and routes than a picture can show.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the crew has too many agents and routes for one picture")
    }
}

impl std::error::Error for TooLarge {}

const STYLE: &str = "\
.page{fill:#fff}.box{fill:#f6f8fa;stroke:#6e7781}.waits{fill:#fff8e6;stroke:#9a6700}.last{fill:#eefaf1;stroke:#1a7f37}
.group{fill:#f7f4fe;stroke:#8250df}.ink{fill:#1f2328}.soft{fill:#59636e}.amber{fill:#7d5300}.green{fill:#116329}
.violet{fill:#6639ba}.line{fill:none;stroke:#59636e;stroke-width:1.4}.joined{stroke:#8250df;stroke-width:2.4}
.default{stroke-dasharray:7 4}.handoff{stroke-dasharray:1.5 4;stroke-linecap:round;stroke-width:2}
.head{fill:#59636e}.vhead{fill:#8250df}.pill{fill:#fff}.signal{fill:#0550ae}
text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"DejaVu Sans\",sans-serif;text-anchor:middle}
.name{font-size:14px;font-weight:600}.small{font-size:11.5px}
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;font-size:11.5px}
@media (prefers-color-scheme:dark){.page{fill:#12181a}.box{fill:#1c2527;stroke:#8b979a}
.waits{fill:#2e2610;stroke:#d4a72c}.last{fill:#132b1c;stroke:#4ac26b}.group{fill:#211c33;stroke:#a98eea}
.ink{fill:#e6edf3}.soft{fill:#a3b0b3}.amber{fill:#eac54f}.green{fill:#7ee2a0}.violet{fill:#cbb8fa}
.line{stroke:#a3b0b3}.joined{stroke:#a98eea}.head{fill:#a3b0b3}.vhead{fill:#a98eea}.pill{fill:#12181a}.signal{fill:#8cc4ff}}
";

/// Space around the drawing, in pixels.
const MARGIN: f64 = 20.0;

/// The drawing as a whole SVG document. Every text in it is inert.
///
/// Takes up to some tenths of a second for the largest drawings that are not refused as [`TooLarge`].
pub fn svg(graph: &Graph) -> Result<String, TooLarge> {
    let sizes: Vec<(f64, f64)> = graph.nodes.iter().map(size).collect();
    let labels: Vec<(f64, f64)> = graph.edges.iter().map(label_size).collect();
    let Layout { width, height, nodes, edges } = layout::layout(graph, &sizes, &labels)?;
    let (width, height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let (w, h) = (number(width), number(height));
    let title = escaped(&graph.name);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\">\n\
         <title>How runs of {title} go</title>\n<style>\n{STYLE}</style>\n<defs>\n"
    );
    for (id, class) in [("head", "head"), ("vhead", "vhead")] {
        let _ = writeln!(
            out,
            "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"{class}\" d=\"M0 1L10 5L0 9z\"/></marker>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect class=\"page\" width=\"{w}\" height=\"{h}\" rx=\"10\"/>");
    let _ = writeln!(out, "<g transform=\"translate({m} {m})\">", m = number(MARGIN));
    for (edge, route) in graph.edges.iter().zip(&edges) {
        arrow(&mut out, edge, &route.points);
    }
    for (edge, (route, size)) in graph.edges.iter().zip(edges.iter().zip(&labels)) {
        label(&mut out, edge, route.label, *size);
    }
    for (node, (at, size)) in graph.nodes.iter().zip(nodes.iter().zip(&sizes)) {
        draw(&mut out, node, *at, *size);
    }
    out.push_str("</g>\n</svg>\n");
    Ok(out)
}

/// Radius of the start and of the end.
const DOT: f64 = 10.0;
/// Between the rows of a box.
const ROW: f64 = 17.0;
/// Between the members of a group.
const GAP: f64 = 12.0;
/// The title of a group.
const TITLE: f64 = 28.0;
/// Members of a group side by side.
const ABREAST: usize = 4;

/// What an agent's box says under its name: class and text.
fn rows(card: &Card) -> Vec<(&'static str, &str)> {
    let id = card.id.as_deref().map(|id| ("mono soft", id));
    let waits = card.waits.then_some(("small amber", "waits for an answer"));
    let last = card.terminal.then_some(("small green", "ends the run"));
    [id, waits, last].into_iter().flatten().collect()
}

fn card_size(card: &Card) -> (f64, f64) {
    let rows = rows(card);
    let widths = rows.iter().map(|(class, row)| {
        let mark = if class.starts_with("small") { 14.0 } else { 0.0 };
        mark + width(row, if class.starts_with("mono") { MONO } else { SMALL })
    });
    let widest = widths.fold(width(&card.name, NAME), f64::max);
    ((widest + 28.0).max(72.0), 20.0 + ROW * (rows.len() + 1) as f64)
}

/// Columns and the size of a cell that holds any of the members.
fn cells(members: &[Card]) -> (usize, f64, f64) {
    let count = members.len().max(1);
    // As even as can be: five are three and two, not four and one.
    let columns = count.div_ceil(count.div_ceil(ABREAST));
    let (wide, high) = members
        .iter()
        .map(card_size)
        .fold((0.0, 0.0), |(w, h): (f64, f64), size| (w.max(size.0), h.max(size.1)));
    (columns, wide, high)
}

fn size(node: &Node) -> (f64, f64) {
    match &node.kind {
        NodeKind::Start | NodeKind::End => (2.0 * DOT, 2.0 * DOT),
        NodeKind::Agent(card) => card_size(card),
        NodeKind::Group { name, join, members } => {
            let (columns, wide, high) = cells(members);
            let rows = members.len().div_ceil(columns) as f64;
            let inside = columns as f64 * (wide + GAP) + GAP;
            let title = width(name, NAME) + 8.0 + width(join, SMALL) + 2.0 * GAP;
            (inside.max(title), TITLE + rows * (high + GAP))
        }
    }
}

/// The height of one line beside an arrow.
const LINE: f64 = 16.0;

fn label_size(edge: &Edge) -> (f64, f64) {
    let style = if is_quoted(edge.kind) { MONO } else { SMALL };
    let widest = edge.label.iter().map(|line| width(line, style)).fold(0.0, f64::max);
    if edge.label.is_empty() { (0.0, 0.0) } else { (widest + 10.0, LINE * edge.label.len() as f64 + 4.0) }
}

/// Whether the label is the crew's own text.
fn is_quoted(kind: EdgeKind) -> bool {
    matches!(kind, EdgeKind::Signal | EdgeKind::Transfer)
}

fn arrow(out: &mut String, edge: &Edge, points: &[Point]) {
    let (class, head) = match edge.kind {
        EdgeKind::Plain | EdgeKind::Signal | EdgeKind::Transfer => ("line", "head"),
        EdgeKind::Default => ("line default", "head"),
        EdgeKind::HandoffTarget => ("line handoff", "head"),
        EdgeKind::Joined => ("line joined", "vhead"),
    };
    let path = layout::curve(points);
    let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#{head})\"/>");
}

fn label(out: &mut String, edge: &Edge, at: Point, (wide, high): (f64, f64)) {
    if edge.label.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<rect class=\"pill\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\"/>",
        number(at.x - wide / 2.0),
        number(at.y - high / 2.0),
        number(wide),
        number(high)
    );
    let class = if is_quoted(edge.kind) { "mono signal" } else { "small soft" };
    for (row, line) in edge.label.iter().enumerate() {
        let y = at.y - high / 2.0 + 2.0 + LINE * row as f64 + 12.0;
        write_text(out, class, at.x, y, line);
    }
}

fn draw(out: &mut String, node: &Node, at: Point, (wide, high): (f64, f64)) {
    let (x, y) = (number(at.x), number(at.y));
    match &node.kind {
        NodeKind::Start => {
            let _ = writeln!(
                out,
                "<circle class=\"soft\" cx=\"{x}\" cy=\"{y}\" r=\"{DOT}\"><title>start</title></circle>"
            );
        }
        NodeKind::End => {
            let _ = writeln!(
                out,
                "<g><title>end</title><circle class=\"line\" cx=\"{x}\" cy=\"{y}\" r=\"{}\"/>\
                 <circle class=\"soft\" cx=\"{x}\" cy=\"{y}\" r=\"{}\"/></g>",
                DOT - 1.0,
                DOT - 5.0
            );
        }
        NodeKind::Agent(card) => draw_card(out, card, at, (wide, high)),
        NodeKind::Group { name, join, members } => {
            draw_box(out, "group", at, (wide, high), 10);
            let top = at.y - high / 2.0;
            let (name_width, join_width) = (width(name, NAME), width(join, SMALL));
            let left = at.x - (name_width + 8.0 + join_width) / 2.0;
            write_text(out, "name ink", left + name_width / 2.0, top + 19.0, name);
            write_text(out, "small violet", left + name_width + 8.0 + join_width / 2.0, top + 19.0, join);
            let (columns, cell_wide, cell_high) = cells(members);
            for (row, line) in members.chunks(columns).enumerate() {
                let y = top + TITLE + cell_high / 2.0 + row as f64 * (cell_high + GAP);
                let first = at.x - (line.len() as f64 - 1.0) * (cell_wide + GAP) / 2.0;
                for (column, card) in line.iter().enumerate() {
                    let x = first + column as f64 * (cell_wide + GAP);
                    draw_card(out, card, Point { x, y }, (cell_wide, cell_high));
                }
            }
        }
    }
}

fn draw_box(out: &mut String, class: &str, at: Point, (wide, high): (f64, f64), round: u32) {
    let (x, y) = (number(at.x - wide / 2.0), number(at.y - high / 2.0));
    let (wide, high) = (number(wide), number(high));
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" rx=\"{round}\"/>"
    );
}

fn draw_card(out: &mut String, card: &Card, at: Point, size: (f64, f64)) {
    let (class, round) = match card {
        Card { waits: true, .. } => ("waits", 6),
        Card { terminal: true, .. } => ("last", 16),
        Card { .. } => ("box", 6),
    };
    draw_box(out, class, at, size, round);
    let rows = rows(card);
    let mut y = at.y - ROW * rows.len() as f64 / 2.0 + 5.0;
    write_text(out, "name ink", at.x, y, &card.name);
    for (class, row) in rows {
        y += ROW;
        if !class.starts_with("small") {
            write_text(out, class, at.x, y, row);
            continue;
        }
        // Two bars for a pause, one block for a stop.
        let left = at.x - (width(row, SMALL) + 14.0) / 2.0;
        let mark = if card.waits { "h3v9h-3zm5 0h3v9h-3z" } else { "h8v8h-8z" };
        let colour = class.trim_start_matches("small ");
        let _ = writeln!(out, "<path class=\"{colour}\" d=\"M{} {}{mark}\"/>", number(left), number(y - 8.5));
        write_text(out, class, at.x + 7.0, y, row);
    }
}

fn write_text(out: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let (x, y, text) = (number(x), number(y), escaped(text));
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
}

//! Where boxes and arrows go.

use std::fmt::Write as _;

use boathouse::core::crew::graph::Graph;
use dugong::graphlib::{Graph as LayoutGraph, GraphOptions};
use dugong::{EdgeLabel, GraphLabel, NodeLabel, WorkControl, WorkError, layout_controlled};

use super::TooLarge;
use super::text::number;

/// A place in the picture, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Where everything is.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The centres of the nodes, in their order.
    pub(super) nodes: Vec<Point>,
    /// The edges, in their order.
    pub(super) edges: Vec<Route>,
}

/// Where an arrow goes along.
pub(super) struct Route {
    /// At least two.
    pub(super) points: Vec<Point>,
    /// The centre of its text.
    pub(super) label: Point,
}

/// Steps of the algorithm that one picture may take.
struct Budget(usize);

/// Enough for some hundred agents.
const BUDGET: usize = 20_000_000;

impl WorkControl for Budget {
    fn charge(&mut self, units: usize) -> Result<(), WorkError> {
        self.0 = self.0.checked_sub(units).ok_or(WorkError::Interrupted)?;
        Ok(())
    }
}

/// Lays a graph out from top to bottom. Sizes are width and height, of nodes and of the texts of edges.
pub(super) fn layout(graph: &Graph, nodes: &[(f64, f64)], edges: &[(f64, f64)]) -> Result<Layout, TooLarge> {
    let options = GraphOptions { multigraph: true, ..GraphOptions::default() };
    let mut laid: LayoutGraph<NodeLabel, EdgeLabel, GraphLabel> = LayoutGraph::new(options);
    laid.set_graph(GraphLabel { nodesep: 40.0, edgesep: 24.0, ranksep: 40.0, ..GraphLabel::default() });
    for (node, (width, height)) in graph.nodes.iter().zip(nodes) {
        laid.set_node(&*node.id, NodeLabel { width: *width, height: *height, ..NodeLabel::default() });
    }
    let id = |place: usize| graph.nodes[place].id.as_str();
    for (place, (edge, (width, height))) in graph.edges.iter().zip(edges).enumerate() {
        let label = EdgeLabel { width: *width, height: *height, weight: 1.0, ..EdgeLabel::default() };
        laid.set_edge_named(id(edge.from), id(edge.to), Some(place.to_string()), Some(label));
    }
    layout_controlled(&mut laid, &mut Budget(BUDGET)).map_err(|_| TooLarge)?;

    let centre = |x: Option<f64>, y: Option<f64>| Some(Point { x: x?, y: y? });
    let placed = graph.nodes.iter().map(|node| laid.node(&node.id).and_then(|node| centre(node.x, node.y)));
    let placed: Vec<Point> = placed.collect::<Option<_>>().ok_or(TooLarge)?;
    let mut routes = Vec::with_capacity(graph.edges.len());
    for (place, edge) in graph.edges.iter().enumerate() {
        let found = laid.edge(id(edge.from), id(edge.to), Some(&place.to_string())).ok_or(TooLarge)?;
        let points: Vec<Point> = found.points.iter().map(|point| Point { x: point.x, y: point.y }).collect();
        let middle = points.get(points.len() / 2).copied().ok_or(TooLarge)?;
        routes.push(Route { points, label: centre(found.x, found.y).unwrap_or(middle) });
    }
    Ok(fit(placed, routes, nodes, edges))
}

/// Moves everything so that the picture begins at zero, and measures it.
fn fit(
    mut nodes: Vec<Point>,
    mut routes: Vec<Route>,
    node_sizes: &[(f64, f64)],
    label_sizes: &[(f64, f64)],
) -> Layout {
    let boxes = nodes.iter().zip(node_sizes);
    let labels = routes.iter().map(|route| &route.label).zip(label_sizes);
    let points = routes.iter().flat_map(|route| &route.points).map(|point| (point, &(0.0, 0.0)));
    let (mut low, mut high) = (Point { x: f64::MAX, y: f64::MAX }, Point { x: f64::MIN, y: f64::MIN });
    for (at, (width, height)) in boxes.chain(labels).chain(points) {
        low = Point { x: low.x.min(at.x - width / 2.0), y: low.y.min(at.y - height / 2.0) };
        high = Point { x: high.x.max(at.x + width / 2.0), y: high.y.max(at.y + height / 2.0) };
    }
    let routed = routes.iter_mut().flat_map(|route| route.points.iter_mut().chain([&mut route.label]));
    for point in nodes.iter_mut().chain(routed) {
        *point = Point { x: point.x - low.x, y: point.y - low.y };
    }
    Layout { width: high.x - low.x, height: high.y - low.y, nodes, edges: routes }
}

/// A smooth path through the points, which go down or up: between two of them it never turns back.
///
/// Source: M. Steffen, "A simple method for monotonic interpolation in one dimension", 1990.
pub(super) fn curve(points: &[Point]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let mut path = format!("M{} {}", number(first.x), number(first.y));
    let slopes: Vec<f64> = points.windows(2).map(|pair| slope(pair[0], pair[1])).collect();
    let leaning = |place: usize| -> f64 {
        let (before, after) = (slopes.get(place.wrapping_sub(1)), slopes.get(place));
        match (before, after) {
            (Some(before), Some(after)) => {
                let (up, down) =
                    (points[place].y - points[place - 1].y, points[place + 1].y - points[place].y);
                let mean = (before * down + after * up) / (up + down);
                let least = before.abs().min(after.abs()).min(0.5 * mean.abs());
                if before * after > 0.0 && least.is_finite() { least.copysign(*before) } else { 0.0 }
            }
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => 0.0,
        }
    };
    for (place, pair) in points.windows(2).enumerate() {
        let (a, b) = (pair[0], pair[1]);
        let third = (b.y - a.y) / 3.0;
        let (one, two) = (leaning(place), leaning(place + 1));
        let _ = write!(
            path,
            "C{} {} {} {} {} {}",
            number(a.x + one * third),
            number(a.y + third),
            number(b.x - two * third),
            number(b.y - third),
            number(b.x),
            number(b.y)
        );
    }
    path
}

/// How far a line goes to the right on each pixel down; 0 for a level one, which is drawn straight all the same.
fn slope(a: Point, b: Point) -> f64 {
    let down = b.y - a.y;
    if down.abs() < 0.5 { 0.0 } else { (b.x - a.x) / down }
}

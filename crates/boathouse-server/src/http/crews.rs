//! Crews: what is served, and how each is made.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request;
use axum::response::IntoResponse;
use boathouse::core::crew::{
    Aggregate, Crew, Join, OnError, Route,
    graph::{self, Graph},
};
use serde_json::{Value, json};

use tokio::task::spawn_blocking;

use super::App;
use super::error::{Code, Problem};
use crate::svg::{TooLarge, svg};
use crate::versions::Files;

/// The crew's name in the path.
pub(crate) struct CrewName(pub(crate) String);

impl FromRequestParts<App> for CrewName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, app: &App) -> Result<CrewName, Problem> {
        match Path::<String>::from_request_parts(parts, app).await {
            Ok(Path(name)) => Ok(CrewName(name)),
            Err(error) => Err(Problem::new(Code::BadRequest, error.body_text()).field("crew")),
        }
    }
}

/// `GET /v1/crews`: the crews that are served, in the order in which they were added.
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    let crews: Vec<Value> = app
        .engine()
        .crews()
        .iter()
        .map(|crew| {
            json!({
                "name": crew.name,
                "description": crew.description,
                "hash": crew.hash,
                "entry": crew.agent(crew.entry).id,
                "agents": crew.agents.len(),
            })
        })
        .collect();
    Json(json!({ "crews": crews }))
}

/// `GET /v1/crews/{crew}`: its agents, groups, tools, limits and graph, its versions, and the problems of its files.
pub(crate) async fn show(State(app): State<App>, CrewName(name): CrewName) -> Result<Json<Value>, Problem> {
    match app.engine().crew(&name) {
        Some(crew) => {
            let mut shown = definition(&crew);
            let Files { versions, problems } = app.config().versions.of(&name);
            shown["versions"] = json!(versions);
            shown["problems"] = json!(problems);
            Ok(Json(shown))
        }
        None => Err(unknown_crew(&name)),
    }
}

/// The picture may use its own styles and nothing else, also where it is opened by itself.
const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// `GET /v1/crews/{crew}/graph.svg`: its routing as a picture.
pub(crate) async fn picture(
    State(app): State<App>,
    CrewName(name): CrewName,
) -> Result<impl IntoResponse, Problem> {
    let crew = app.engine().crew(&name).ok_or_else(|| unknown_crew(&name))?;
    // A large crew takes a while. If the client leaves, the rest is done for nobody, which the budget bounds.
    let drawn = spawn_blocking(move || svg(&Graph::of(&crew))).await;
    let picture = drawn
        .map_err(|error| {
            tracing::error!(%error, crew = name, "a crew could not be drawn");
            Problem::new(Code::Internal, "the crew could not be drawn")
        })?
        .map_err(|error: TooLarge| {
            Problem::new(Code::GraphTooLarge, error.to_string())
                .hint("`graph.mermaid` of GET /v1/crews/{crew} has it as text")
        })?;
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CONTENT_SECURITY_POLICY, PICTURE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, picture))
}

pub(crate) fn unknown_crew(name: &str) -> Problem {
    let name: String = name.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Problem::new(Code::UnknownCrew, format!("no crew named `{name}`"))
        .hint("GET /v1/crews lists the crews that are served")
}

fn definition(crew: &Crew) -> Value {
    let to = |route: Route| crew.route_name(route);
    let id = |ix| crew.agent(ix).id.as_str();
    let agents: Vec<Value> = crew
        .agents
        .iter()
        .map(|agent| {
            let signals: Vec<Value> = agent
                .signals
                .iter()
                .map(|signal| json!({"signal": signal.text, "to": to(signal.route), "description": signal.description}))
                .collect();
            json!({
                "id": agent.id,
                "name": agent.name,
                "role": agent.role,
                "description": agent.description,
                "models": agent.models,
                "parameters": agent.parameters,
                "tools": agent.tools.iter().map(|tool| &crew.tool(*tool).spec.name).collect::<Vec<_>>(),
                "signals": signals,
                "wait_for_signal": agent.wait_for_signal,
                "terminal": agent.terminal,
                "default": agent.default_route.map(|route| json!({ "to": to(route) })),
                "handoff_targets": agent.handoff_targets.iter().map(|ix| id(*ix)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let groups: Vec<Value> = crew
        .groups
        .iter()
        .map(|group| {
            json!({
                "name": group.name,
                "description": group.description,
                "agents": group.agents.iter().map(|ix| id(*ix)).collect::<Vec<_>>(),
                "join": match group.join {
                    Join::All => json!("all"),
                    Join::First => json!("first"),
                    Join::Quorum(count) => json!({ "quorum": count }),
                },
                "on_error": match group.on_error {
                    OnError::Continue => "continue",
                    OnError::FailFast => "fail_fast",
                },
                "timeout_seconds": seconds(group.timeout_ms),
                "aggregate": match &group.aggregate {
                    Aggregate::Text => "text",
                    Aggregate::Json => "json",
                    Aggregate::Merge => "merge",
                    Aggregate::Template(_) => "template",
                },
                "next_agent": group.next_agent.map(id),
            })
        })
        .collect();
    let tools: Vec<&boathouse::core::crew::ToolSpec> = crew.tools.iter().map(|tool| &*tool.spec).collect();
    json!({
        "name": crew.name,
        "description": crew.description,
        "hash": crew.hash,
        "entry": id(crew.entry),
        "handoff": crew.handoff,
        "agents": agents,
        "groups": groups,
        "tools": tools,
        "graph": { "mermaid": graph::mermaid(&Graph::of(crew)) },
        "limits": {
            "max_handoffs": crew.settings.max_handoffs,
            "max_rounds": crew.settings.max_rounds,
            "timeout_seconds": seconds(crew.settings.timeout_ms),
            "parallel_timeout_seconds": seconds(crew.settings.parallel_timeout_ms),
            "tool_execution_timeout_seconds": seconds(crew.settings.tool_timeout_ms),
        },
    })
}

/// Whole seconds as a whole number, parts of a second as a fraction.
fn seconds(millis: u64) -> Value {
    if millis.is_multiple_of(1000) { json!(millis / 1000) } else { json!(millis as f64 / 1000.0) }
}

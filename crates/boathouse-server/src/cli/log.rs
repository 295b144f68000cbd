//! What is logged to stderr.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use super::exit::Failure;

/// Starts logging: `BOATHOUSE_LOG` decides what (`default` if it is not set), `BOATHOUSE_LOG_FORMAT=json` writes one
/// object a line.
pub(crate) fn start(default: &str) -> Result<(), Failure> {
    let wanted = std::env::var("BOATHOUSE_LOG").unwrap_or_default();
    let wanted = if wanted.trim().is_empty() { default } else { wanted.trim() };
    let filter: Targets = wanted.parse().map_err(|error| {
        Failure::usage(format!("BOATHOUSE_LOG=`{wanted}` is not a log filter: {error}"))
            .hint("write a level such as `info`, or `boathouse=debug,warn`")
    })?;
    // What it has to say of MCP servers is told by us; its own lines quote messages.
    let filter = if wanted.contains("rmcp") { filter } else { filter.with_target("rmcp", LevelFilter::OFF) };
    let log = fmt::layer().with_writer(std::io::stderr);
    let format = std::env::var("BOATHOUSE_LOG_FORMAT").unwrap_or_default();
    match format.as_str() {
        "json" => registry().with(log.json().flatten_event(true).with_filter(filter)).init(),
        "" | "text" => {
            let color =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            registry().with(log.with_ansi(color).with_target(false).with_filter(filter)).init();
        }
        _ => {
            return Err(Failure::usage(format!("BOATHOUSE_LOG_FORMAT=`{format}` is not a log format"))
                .hint("write `text` or `json`"));
        }
    }
    Ok(())
}

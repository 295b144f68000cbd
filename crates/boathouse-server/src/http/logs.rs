//! A run's whole log as a file that can be read anywhere.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use boathouse::core::ids::Seq;
use boathouse::journal::JournalError;
use boathouse::log_file::{Head, alone};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::App;
use super::error::Problem;
use super::input::Query;
use super::runs::{RunPath, unknown_run};

/// Events that are written at once.
const PAGE: usize = 500;

/// `GET /v1/runs/{run}/log`: JSON Lines, first the crew's files, then the events as they are now.
pub(crate) async fn show(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    Query::parse_strict(request.uri().query(), &[])?;
    let journal = app.engine().journal().clone();
    let row = journal.run(&run).await?.ok_or_else(|| unknown_run(&run))?;
    let head = Bytes::from(Head::of(&*journal, &row).await?.to_line());
    let pages = stream::try_unfold(Seq(0), move |after| {
        let (journal, run) = (journal.clone(), run.clone());
        async move {
            let left = usize::try_from(row.seq.0.saturating_sub(after.0)).unwrap_or(usize::MAX).min(PAGE);
            let page = alone(&*journal, &run, journal.read(&run, after, left).await?).await?;
            let Some(last) = page.last() else { return Ok(None) };
            let mut lines = BytesMut::new();
            for event in &page {
                lines.extend_from_slice(&event.json);
                lines.extend_from_slice(b"\n");
            }
            Ok::<_, JournalError>(Some((lines.freeze(), last.recorded.seq)))
        }
    });
    let body = Body::from_stream(stream::iter([Ok(head)]).chain(pages));
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(response)
}

//! The JSON Schemas of a crew's files, for editors.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use boathouse::schema;

use super::error::{Code, Problem};

/// `GET /v1/schema/{file}`: `crew.json`, `agent.json` and so on.
pub(crate) async fn show(
    file: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Problem> {
    let named = file.ok().and_then(|Path(file)| schema::named(file.strip_suffix(".json")?));
    match named {
        Some(schema) => {
            let headers = [
                (header::CONTENT_TYPE, "application/schema+json"),
                (header::CACHE_CONTROL, "no-cache"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            Ok((headers, schema.text()).into_response())
        }
        None => {
            let known: Vec<String> =
                schema::ALL.iter().map(|schema| format!("/v1/schema/{}.json", schema.name)).collect();
            Err(Problem::new(Code::NotFound, "there is no such schema")
                .hint(format!("there are {}", known.join(", "))))
        }
    }
}

//! Streams of server-sent events: what a run's watcher is given, written as it comes.
//!
//! This is the hot path of the server. An event's and a delta's JSON is encoded once, by the feed, for all readers; a
//! stream adds its few bytes around it, and everything that is ready goes out as one chunk.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use boathouse::core::ids::{RunId, Seq};
use boathouse::feed::{Item, Watch};
use boathouse::journal::{JournalError, Stored};
use bytes::BytesMut;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::App;
use super::error::Problem;
use super::input::{Query, invalid};
use super::runs::{RunPath, accepts, unknown_run, wants_stream};

/// Events on one page of JSON.
const MAX_PAGE: u64 = 10_000;
const DEFAULT_PAGE: u64 = 1000;

/// What follows a chunk within this time goes out as one: a reply, say, the tool that it calls and what that gives. The
/// first thing after a pause goes out at once, and so does the last of all.
const BURST: Duration = Duration::from_millis(2);
/// Bytes from which on a chunk takes no more.
const CHUNK_BYTES: usize = 64 * 1024;

/// `GET /v1/runs/{run}/events`: the stream from `Last-Event-ID` or `?after=`, or one page of events as JSON.
pub(crate) async fn events(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse_strict(request.uri().query(), &["after", "deltas", "limit"])?;
    let deltas = query.flag("deltas", true)?;
    let limit = query.number("limit", 1..=MAX_PAGE)?;
    // A browser reconnects to the address it began with; the header is newer.
    let after = match last_event_id(request.headers())? {
        Some(seq) => seq,
        None => Seq(query.number("after", 0..=u64::MAX)?.unwrap_or(0)),
    };
    let row = app.engine().journal().run(&run).await?.ok_or_else(|| unknown_run(&run))?;
    if accepts(request.headers(), "application/json") && !wants_stream(request.headers()) {
        return page(&app, &run, after, limit.unwrap_or(DEFAULT_PAGE) as usize).await;
    }
    if row.state.is_ended() && after >= row.seq {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // Whoever has seen more than there is has seen it before the journal was set back: what comes now is new.
    follow(&app, &run, after.min(row.seq), deltas).await
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let wrong = || invalid("last-event-id", "must be the `id` of an event of this stream, a whole number");
    read_event_id(value.as_bytes()).map(Some).ok_or_else(wrong)
}

/// Reads the id of an event of this stream.
pub fn read_event_id(id: &[u8]) -> Option<Seq> {
    Some(Seq(std::str::from_utf8(id.trim_ascii()).ok()?.parse().ok()?))
}

/// `{"events":[...],"more":false}`.
async fn page(app: &App, run: &RunId, after: Seq, limit: usize) -> Result<Response, Problem> {
    let events = app.engine().journal().read(run, after, limit + 1).await?;
    let shown = &events[..events.len().min(limit)];
    let mut body = Vec::with_capacity(shown.iter().map(|event| event.json.len() + 1).sum::<usize>() + 40);
    body.extend_from_slice(b"{\"events\":[");
    for (place, event) in shown.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&event.json);
    }
    body.extend_from_slice(b"],\"more\":");
    body.extend_from_slice(if events.len() > limit { b"true}" } else { b"false}" });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, body).into_response())
}

/// Streams a run until it is at rest, to a reader that has everything up to `after`.
async fn follow(app: &App, run: &RunId, after: Seq, deltas: bool) -> Result<Response, Problem> {
    let watch = app.engine().watch(run, after, deltas).await?;
    let watch = watch.ok_or_else(|| unknown_run(run))?;
    Ok(native(app, watch))
}

/// Streams what `watch` gives as `/v1` clients expect it.
pub(crate) fn native(app: &App, watch: Watch) -> Response {
    event_stream(app, watch, app.config().heartbeat, Native)
}

/// How a stream writes what it is given.
pub(crate) trait Script: Send + 'static {
    /// Writes the frame that opens the stream.
    fn open(&mut self, out: &mut BytesMut);
    /// Writes what was watched.
    fn write(&mut self, items: &[Item], out: &mut BytesMut);
    /// Writes a sign of life.
    fn heartbeat(&mut self, out: &mut BytesMut);
    /// The run is at rest and everything of it has been written; the script may have a last word.
    fn rested(&mut self, out: &mut BytesMut);
}

/// The response that writes what `watch` gives until the run is at rest or the server shuts down.
pub(crate) fn event_stream(
    app: &App,
    watch: Watch,
    heartbeat: Duration,
    mut script: impl Script,
) -> Response {
    let mut buffer = BytesMut::new();
    script.open(&mut buffer);
    let now = Instant::now();
    let reader = Reader {
        script,
        watch,
        buffer,
        heartbeat,
        timer: Box::pin(sleep_until(now + heartbeat)),
        due: now,
        // A token of its own: it is looked at with each chunk, and readers need not share a lock.
        closing: Box::pin(app.closing().child_token().cancelled_owned()),
        at_end: false,
    };
    let chunks = futures_util::stream::unfold(reader, async |mut reader| {
        let chunk = reader.chunk().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), reader))
    });
    let mut response = Body::new(StreamBody::new(chunks)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Reader<S> {
    script: S,
    watch: Watch,
    buffer: BytesMut,
    heartbeat: Duration,
    timer: Pin<Box<Sleep>>,
    /// The next chunk is not written before, unless it is the last, or large.
    due: Instant,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    at_end: bool,
}

impl<S: Script> Reader<S> {
    /// What is written next; `None` at the stream's end.
    async fn chunk(&mut self) -> Option<Bytes> {
        while !self.at_end {
            let waits = !self.buffer.is_empty();
            tokio::select! {
                biased;
                items = self.watch.next() => self.take(items),
                () = self.closing.as_mut() => self.at_end = true,
                () = sleep_until(self.due), if waits => {}
                () = self.timer.as_mut() => self.tick(),
            }
            let is_due = !self.buffer.is_empty() && self.due <= Instant::now();
            if is_due || self.buffer.len() >= CHUNK_BYTES {
                break;
            }
        }
        self.due = Instant::now() + BURST;
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }

    /// Writes what was watched into the buffer.
    fn take(&mut self, items: Result<Option<Vec<Item>>, JournalError>) {
        match items {
            Ok(Some(items)) => {
                self.script.write(&items, &mut self.buffer);
                self.at_end = self.watch.at_rest();
            }
            Ok(None) => self.at_end = true,
            Err(error) => {
                tracing::warn!(%error, "a stream ends early; its reader may come back for the rest");
                self.at_end = true;
                return;
            }
        }
        if self.at_end {
            self.script.rested(&mut self.buffer);
        }
    }

    /// The timer runs on while chunks are written, so that they need not set it anew.
    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.due + self.heartbeat {
            self.script.heartbeat(&mut self.buffer);
            self.due = now;
        }
        self.timer.as_mut().reset(self.due + self.heartbeat);
    }
}

/// The `/v1` stream: events with their number as id, deltas without one.
struct Native;

impl Script for Native {
    fn open(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b"retry: 1000\n\n");
    }

    fn write(&mut self, items: &[Item], out: &mut BytesMut) {
        out.reserve(items.iter().map(room_for).sum());
        for item in items {
            match item {
                Item::Event(stored) => write_event(stored, out),
                Item::Delta(json) => write_data(json, out),
                Item::Snapshot { call, attempt, text } => {
                    // A text always serializes.
                    let text = serde_json::to_string(text).unwrap_or_default();
                    let head = format_args!(
                        r#"data: {{"type":"reply_snapshot","call":{call},"attempt":{attempt},"text":"#
                    )
                    .to_string();
                    out.extend_from_slice(head.as_bytes());
                    out.extend_from_slice(text.as_bytes());
                    out.extend_from_slice(b"}\n\n");
                }
                Item::Gap => out.extend_from_slice(b"data: {\"type\":\"gap\"}\n\n"),
            }
        }
    }

    fn heartbeat(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b":\n\n");
    }

    fn rested(&mut self, _out: &mut BytesMut) {}
}

/// Bytes that an item takes, about.
fn room_for(item: &Item) -> usize {
    match item {
        Item::Event(stored) => stored.json.len() + 40,
        Item::Delta(json) => json.len() + 8,
        Item::Snapshot { text, .. } => text.len() + 80,
        Item::Gap => 24,
    }
}

fn write_event(stored: &Stored, out: &mut BytesMut) {
    // Writing to a growing buffer cannot fail.
    let _ = writeln!(out, "id: {}", stored.recorded.seq);
    write_data(&stored.json, out);
}

fn write_data(json: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use boathouse::core::ids::{CallId, Timestamp};
    use boathouse::core::run::event::{Event, Recorded};
    use boathouse::feed::Feed;
    use boathouse::journal::MemoryJournal;
    use futures_util::future::join;
    use tokio::time::sleep;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn event(seq: u64) -> Arc<Stored> {
        Arc::new(Stored::new(Recorded { seq: Seq(seq), at: Timestamp(0), event: Event::Paused {} }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_out_as_one_chunk_and_neither_its_first_nor_the_last_of_all_waits() {
        let feed = Arc::new(Feed::new(Seq(0)));
        let watch =
            Watch::live(feed.clone(), Arc::new(MemoryJournal::default()), RunId::from("r"), Seq(0), true);
        let heartbeat = Duration::from_secs(15);
        let began = Instant::now();
        let mut reader = Reader {
            script: Native,
            watch,
            buffer: BytesMut::new(),
            heartbeat,
            timer: Box::pin(sleep_until(began + heartbeat)),
            due: began,
            closing: Box::pin(CancellationToken::new().cancelled_owned()),
            at_end: false,
        };
        let ids = |chunk: Option<Bytes>| {
            let text = String::from_utf8(chunk.expect("a chunk").to_vec()).expect("UTF-8");
            text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect::<Vec<_>>()
        };

        feed.publish(&[event(1)]);
        assert_eq!(ids(reader.chunk().await), ["1"]);
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing came before it");

        let more = async {
            feed.publish(&[event(2)]);
            sleep(BURST / 2).await;
            feed.publish(&[event(3)]);
        };
        let (chunk, ()) = join(reader.chunk(), more).await;
        assert_eq!(ids(chunk), ["2", "3"]);
        assert_eq!(began.elapsed(), BURST);

        feed.publish(&[event(4)]);
        feed.close();
        assert_eq!(ids(reader.chunk().await), ["4"]);
        assert_eq!(began.elapsed(), BURST, "nothing comes after it");
        assert_eq!(reader.chunk().await, None);
    }

    #[test]
    fn frames_carry_stored_json_untouched_and_only_events_have_ids() {
        let items = [
            Item::Event(event(7)),
            Item::Delta(Bytes::from_static(
                br#"{"type":"delta","call":3,"attempt":1,"offset":0,"text":"a"}"#,
            )),
            Item::Snapshot { call: CallId(3), attempt: 2, text: "two\nlines \"x\"".into() },
            Item::Gap,
        ];
        let mut out = BytesMut::new();
        Native.write(&items, &mut out);
        insta::assert_snapshot!(String::from_utf8_lossy(&out), @r#"
        id: 7
        data: {"seq":7,"at":"1970-01-01T00:00:00.000Z","type":"paused"}

        data: {"type":"delta","call":3,"attempt":1,"offset":0,"text":"a"}

        data: {"type":"reply_snapshot","call":3,"attempt":2,"text":"two\nlines \"x\""}

        data: {"type":"gap"}
        "#);
    }

    #[test]
    fn a_last_event_id_is_a_number() {
        let header = |value: &'static str| {
            HeaderMap::from_iter([(
                "last-event-id".parse().expect("a name"),
                HeaderValue::from_static(value),
            )])
        };
        assert_eq!(last_event_id(&header("12")).ok().flatten(), Some(Seq(12)));
        for wrong in ["", "-1", "run/12", "99999999999999999999999"] {
            assert!(last_event_id(&header(wrong)).is_err(), "{wrong}");
        }
    }
}

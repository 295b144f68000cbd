//! A model server of our own, on 127.0.0.1, that does to its clients what servers do: answer, stall, break, close.
//!
//! Raw sockets, so that every byte and its time are ours. It serves one queue of answers, in order, to whoever asks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The server. Dropping it closes everything.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    seen: mpsc::UnboundedSender<Seen>,
    connections: AtomicUsize,
    /// Requests being answered.
    open: watch::Sender<usize>,
    /// Clients that went while they were being answered.
    gone: watch::Sender<usize>,
}

/// A request as it came.
pub(crate) struct Seen {
    /// Method, target and version.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What to do with one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Bytes, sent as one write each.
    Write(Vec<u8>),
    /// Nothing, until the client goes.
    Stall,
    /// Nothing, until the gate opens.
    Wait(watch::Receiver<bool>),
    /// The connection is closed, though the answer may not be over.
    Close,
}

/// Holds an answer back until it is opened.
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

impl Answer {
    /// The beginning of a stream; pieces follow.
    pub(crate) fn stream() -> Answer {
        Answer::default().bytes(STREAM_HEAD)
    }

    /// A whole stream in HTTP chunks of at most `size` bytes, each in a write of its own.
    pub(crate) fn stream_by(body: &[u8], size: usize) -> Answer {
        let answer = body.chunks(size.max(1)).fold(Answer::stream(), Answer::chunk);
        answer.end()
    }

    /// A whole stream in one HTTP chunk, the bytes on the wire cut at any place, each cut in a write of its own.
    pub(crate) fn raw_by(body: &[u8], size: usize) -> Answer {
        let whole = [STREAM_HEAD.as_bytes(), &chunk(body), b"0\r\n\r\n"].concat();
        whole.chunks(size).fold(Answer::default(), |answer, bytes| answer.bytes(bytes))
    }

    /// One HTTP chunk.
    pub(crate) fn chunk(self, body: &[u8]) -> Answer {
        self.bytes(chunk(body))
    }

    /// Several HTTP chunks in one write.
    pub(crate) fn chunks_at_once(self, bodies: &[&[u8]]) -> Answer {
        self.bytes(bodies.iter().flat_map(|body| chunk(body)).collect::<Vec<u8>>())
    }

    /// The end of the body.
    pub(crate) fn end(self) -> Answer {
        self.bytes("0\r\n\r\n")
    }

    /// Any bytes.
    pub(crate) fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.steps.push(Step::Write(bytes.as_ref().to_vec()));
        self
    }

    /// A whole answer with a status, further headers (each ended by CRLF) and a body.
    pub(crate) fn status(status: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        Answer::default()
            .bytes(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}"))
    }

    /// Nothing more, until the client goes.
    pub(crate) fn stall(mut self) -> Answer {
        self.steps.push(Step::Stall);
        self
    }

    /// Nothing more, until the gate opens.
    pub(crate) fn gate(mut self) -> (Answer, Gate) {
        let (open, opened) = watch::channel(false);
        self.steps.push(Step::Wait(opened));
        (self, Gate(open))
    }

    /// The connection is closed.
    pub(crate) fn close(mut self) -> Answer {
        self.steps.push(Step::Close);
        self
    }
}

fn chunk(body: &[u8]) -> Vec<u8> {
    if body.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

impl Upstream {
    /// Listens on a free port.
    pub(crate) async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (tell, seen) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            seen: tell,
            connections: AtomicUsize::new(0),
            open: watch::channel(0).0,
            gone: watch::channel(0).0,
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("it listens");
                serving.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, serving.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Upstream { address, shared, seen, task }
    }

    /// The base URL of its Chat Completions.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Adds an answer to the queue.
    pub(crate) fn answer(&self, answer: Answer) {
        self.shared.answers.lock().expect("not poisoned").push_back(answer);
    }

    /// The next request, when it has come whole.
    pub(crate) async fn request(&mut self) -> Seen {
        self.seen.recv().await.expect("the server is there")
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests are being answered.
    pub(crate) async fn open_is(&self, count: usize) {
        let mut open = self.shared.open.subscribe();
        open.wait_for(|open| *open == count).await.expect("the server is there");
    }

    /// Waits until so many clients have gone while they were being answered.
    pub(crate) async fn gone_is(&self, count: usize) {
        let mut gone = self.shared.gone.subscribe();
        gone.wait_for(|gone| *gone == count).await.expect("the server is there");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection until either side closes it.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).expect("it is a socket");
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer).await {
        let answer = shared.answers.lock().expect("not poisoned").pop_front();
        let answer =
            answer.unwrap_or_else(|| Answer::status("500 Internal Server Error", "", "no answer queued"));
        shared.open.send_modify(|open| *open += 1);
        // Nobody may listen for requests any more.
        let _ = shared.seen.send(seen);
        let served = play(&mut stream, answer).await;
        if served == Served::ClientGone {
            shared.gone.send_modify(|gone| *gone += 1);
        }
        shared.open.send_modify(|open| *open -= 1);
        if served != Served::Whole {
            return;
        }
    }
}

#[derive(PartialEq)]
enum Served {
    Whole,
    Closed,
    ClientGone,
}

async fn play(stream: &mut TcpStream, answer: Answer) -> Served {
    for step in answer.steps {
        match step {
            Step::Write(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return Served::ClientGone;
                }
                tokio::task::yield_now().await;
            }
            Step::Stall => {
                wait_for_the_end(stream).await;
                return Served::ClientGone;
            }
            Step::Wait(mut gate) => tokio::select! {
                opened = gate.wait_for(|open| *open) => drop(opened.expect("the gate is held")),
                () = wait_for_the_end(stream) => return Served::ClientGone,
            },
            Step::Close => return Served::Closed,
        }
    }
    Served::Whole
}

/// Returns when the client has closed its side. A client sends nothing while it is being answered.
async fn wait_for_the_end(stream: &mut TcpStream) {
    let mut byte = [0];
    while let Ok(1..) = stream.read(&mut byte).await {}
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).expect("heads are ASCII");
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a number"));
    let body_at = head_end + 4;
    while buffer.len() < body_at + length {
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&buffer[body_at..body_at + length]).unwrap_or(Value::Null);
    buffer.drain(..body_at + length);
    Some(Seen { line, headers, body })
}

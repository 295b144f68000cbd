//! Webhooks, with a receiver of our own that fails, stalls and comes back.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use boathouse::core::ids::RunId;
use boathouse::core::run::event::CancelReason;
use boathouse::engine::Engine;
use boathouse::provider::Providers;
use boathouse::provider::scripted::Scripted;
use boathouse::webhook::{WebhookSecret, Webhooks};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::support::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the receiver does with a notice; the last of these again and again.
#[derive(Clone, Copy)]
enum Does {
    Answer(&'static str),
    Stall,
    Close,
}

const TAKES: Does = Does::Answer("200 OK");

/// A notice as it came.
struct Seen {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a notice is JSON")
    }

    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Whether the signature is that of the secret, as the specification makes it.
    fn is_signed(&self) -> bool {
        let secret =
            BASE64_STANDARD.decode(SECRET.strip_prefix("whsec_").expect("a prefix")).expect("Base64");
        let signed = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        self.headers["webhook-signature"] == format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

struct Receiver {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    async fn that(does: &[Does]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, seen) = mpsc::unbounded_channel();
        let does = Arc::new(Mutex::new(VecDeque::from(does.to_vec())));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("it accepts");
                connections.spawn(receive(socket, told.clone(), does.clone()));
            }
        });
        Receiver { address, seen, _task: AbortOnDropHandle::new(task) }
    }

    async fn next(&mut self) -> Seen {
        let seen = tokio::time::timeout(Duration::from_secs(20), self.seen.recv()).await;
        seen.expect("a notice comes").expect("the receiver works")
    }
}

async fn receive(mut socket: TcpStream, told: mpsc::UnboundedSender<Seen>, does: Arc<Mutex<VecDeque<Does>>>) {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8(read[..end].to_vec()).expect("a head is text");
        let headers: BTreeMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().expect("a length");
        while read.len() < end + 4 + length {
            assert!(socket.read_buf(&mut read).await.expect("it reads") > 0, "the body is whole");
        }
        let body = String::from_utf8(read[end + 4..end + 4 + length].to_vec()).expect("a body is text");
        read.drain(..end + 4 + length);
        let next = {
            let mut does = does.lock().expect("no test panics in here");
            if does.len() > 1 { does.pop_front() } else { does.front().copied() }
        };
        // The test may be over.
        let _ = told.send(Seen { headers, body });
        match next.unwrap_or(TAKES) {
            Does::Answer(status) => {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.expect("it writes");
            }
            Does::Stall => std::future::pending().await,
            Does::Close => return,
        }
    }
}

fn hooks(receiver: &Receiver) -> Webhooks {
    let secret = WebhookSecret::parse(SECRET).expect("a secret");
    Webhooks::new(secret)
        .tell(&format!("http://{}/hook/?token=t", receiver.address))
        .expect("an address")
        .allow_private(true)
        .timeout(Duration::from_millis(200))
        .retry(Duration::from_millis(1), Duration::from_secs(600))
}

async fn engine(world: &World, webhooks: Webhooks, crew: &str, script: &str) -> Engine {
    Engine::builder()
        .journal(world.sqlite().await)
        .providers(Providers::new().with("scripted", Arc::new(Scripted::new())))
        .tools(world.tools())
        .webhooks(webhooks)
        .crew(load(crew, script, &world.catalog()))
        .start()
        .await
        .expect("the engine starts")
}

async fn outbox(engine: &Engine) -> usize {
    engine.journal().outbox(&[], 99).await.expect("it works").len()
}

#[tokio::test]
async fn what_waits_and_what_ends_is_told_and_signed() {
    let world = World::new();
    let mut receiver = Receiver::that(&[TAKES]).await;
    let engine = engine(&world, hooks(&receiver), LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    let waiting = receiver.next().await;
    assert!(waiting.is_signed());
    assert_eq!(waiting.headers["content-type"], "application/json");
    let told = waiting.json();
    assert_eq!(
        (told["type"].as_str(), told["data"]["state"].as_str()),
        (Some("run.waiting"), Some("paused"))
    );
    assert_eq!(told["data"]["run"], run.as_str());
    assert_eq!(told["data"]["waits"][0]["question"], "which one?");
    finish(&engine, &run).await;
    let ended = receiver.next().await;
    assert!(ended.is_signed() && ended.id() != waiting.id());
    let told = ended.json();
    assert_eq!(
        (told["type"].as_str(), told["data"]["state"].as_str()),
        (Some("run.ended"), Some("completed"))
    );
    assert_eq!(told["data"]["waits"], serde_json::json!([]));
    until("the outbox is empty", async || outbox(&engine).await == 0).await;
    engine.shutdown(Duration::from_secs(5)).await;
    assert!(receiver.seen.try_recv().is_err(), "each is told once");
}

#[tokio::test]
async fn a_receiver_that_fails_stalls_and_comes_back_gets_the_notice_in_the_end() {
    let world = World::new();
    let does = [Does::Answer("500 No"), Does::Close, Does::Stall, Does::Answer("302 Elsewhere"), TAKES];
    let mut receiver = Receiver::that(&does).await;
    let engine = engine(&world, hooks(&receiver), ONE, "rules: [{ reply: hi }]").await;
    engine.start(start("one")).await.expect("it starts");
    let first = receiver.next().await;
    for _ in 1..does.len() {
        let again = receiver.next().await;
        assert_eq!((again.id(), &again.body), (first.id(), &first.body), "the same notice");
        assert!(again.is_signed());
    }
    until("the outbox is empty", async || outbox(&engine).await == 0).await;
    assert!(receiver.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_notice_outlives_the_process_that_could_not_deliver_it() {
    let world = World::new();
    let mut receiver = Receiver::that(&[Does::Stall, TAKES]).await;
    let url = format!("http://{}/hook/?token=t", receiver.address);
    let patient = || {
        let secret = WebhookSecret::parse(SECRET).expect("a secret");
        Webhooks::new(secret).tell(&url).expect("an address").allow_private(true)
    };
    let dying = engine(&world, patient(), ONE, "rules: [{ reply: hi }]").await;
    let run = dying.start(start("one")).await.expect("it starts");
    let first = receiver.next().await;
    // As by a crash, in the middle of the delivery.
    drop(dying);
    world.nobody_was_heard().await;
    let _engine = engine(&world, patient(), ONE, "rules: [{ reply: hi }]").await;
    let again = receiver.next().await;
    assert_eq!((again.id(), again.json()["data"]["run"].as_str()), (first.id(), Some(run.as_str())));
}

#[tokio::test]
async fn private_addresses_are_not_told_unless_it_is_allowed() {
    let world = World::new();
    let mut receiver = Receiver::that(&[TAKES]).await;
    let port = receiver.address.port();
    let secret = || WebhookSecret::parse(SECRET).expect("a secret");
    let mut webhooks = Webhooks::new(secret()).retry(Duration::from_millis(1), Duration::ZERO);
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"] {
        webhooks = webhooks.tell(&format!("http://{host}:{port}/")).expect("an address");
    }
    let engine = engine(&world, webhooks, ONE, "rules: [{ reply: hi }]").await;
    let run = engine.start(start("one")).await.expect("it starts");
    engine.wait(&run).await.expect("it ends");
    until("all are given up", async || outbox(&engine).await == 0).await;
    assert!(receiver.seen.try_recv().is_err(), "nobody was connected to");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_gone_is_gone() {
    let world = World::new();
    let mut elsewhere = Receiver::that(&[TAKES]).await;
    let moved: &'static str = format!("307 Moved\r\nlocation: http://{}/", elsewhere.address).leak();
    let mut receiver = Receiver::that(&[Does::Answer(moved), Does::Answer("410 Gone")]).await;
    let engine = engine(&world, hooks(&receiver), ONE, "rules: [{ reply: hi }]").await;
    engine.start(start("one")).await.expect("it starts");
    let first = receiver.next().await;
    assert_eq!(receiver.next().await.id(), first.id());
    until("it is given up", async || outbox(&engine).await == 0).await;
    assert!(elsewhere.seen.try_recv().is_err());
    assert!(receiver.seen.try_recv().is_err(), "410 ends it");
}

#[tokio::test]
async fn a_stalled_receiver_does_not_hold_up_the_others_nor_the_runs() {
    let world = World::new();
    let mut stalled = Receiver::that(&[Does::Stall]).await;
    let mut receiver = Receiver::that(&[TAKES]).await;
    let webhooks = hooks(&stalled).tell(&format!("http://{}/", receiver.address)).expect("an address");
    let engine = engine(&world, webhooks, ONE, "rules: [{ reply: hi }]").await;
    let mut runs: Vec<RunId> = Vec::new();
    for _ in 0..20 {
        runs.push(engine.start(start("one")).await.expect("it starts"));
    }
    let mut told: Vec<String> = Vec::new();
    for _ in 0..20 {
        told.push(receiver.next().await.json()["data"]["run"].as_str().expect("a run").to_owned());
    }
    told.sort();
    runs.sort();
    assert_eq!(told, runs.iter().map(ToString::to_string).collect::<Vec<_>>());
    stalled.next().await;
    for run in &runs {
        engine.cancel(run, CancelReason::Requested, true).await.expect("it has ended");
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

//! One batch: servers, their clients, and what is left when it is quiet again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::chaos::{self, Addresses};
use crate::client::{Ask, ask, follow};
use crate::dice::Dice;
use crate::server::Recipe;
use crate::tally::Tally;
use crate::{Failure, check, crews, file};

/// How long the runs of a batch may take to end once nothing is done to the servers any more.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

/// What a batch does.
pub(crate) struct Plan {
    pub(crate) boathouse: PathBuf,
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) runs: usize,
    pub(crate) chaos: Duration,
    pub(crate) lease: Duration,
}

/// What the client of one run was told, and did.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) run: String,
    /// By number, as the streams gave them.
    pub(crate) events: BTreeMap<u64, Value>,
    /// Answers that were acknowledged, by wait.
    pub(crate) answers: BTreeMap<u64, Value>,
    /// A cancel was asked for, and acknowledged.
    pub(crate) asked_to_cancel: bool,
    pub(crate) cancelled: bool,
    pub(crate) wrong: Vec<String>,
}

/// Runs a batch in a folder: what happened, and what is wrong.
pub(crate) async fn run(plan: Plan, dir: &Path) -> Result<(Tally, Vec<String>), Failure> {
    let recipe = Recipe {
        boathouse: plan.boathouse,
        dir: dir.to_owned(),
        crews: crews::write(dir)?,
        lease: plan.lease,
    };
    let addresses = Addresses::of(plan.servers);
    let until = Instant::now() + plan.chaos;
    let mut haunted = JoinSet::new();
    for place in 0..plan.servers {
        let dice = Dice::new(plan.seed, 1 + place as u64);
        haunted.spawn(chaos::haunt(recipe.clone(), addresses.clone(), place, dice, until));
    }
    let mut clients = JoinSet::new();
    for number in 0..plan.runs {
        let dice = Dice::new(plan.seed, 1000 + number as u64);
        let client = Client { addresses: addresses.clone(), number, dice, deadline: until + SETTLES_WITHIN };
        clients.spawn(client.live(plan.chaos));
    }
    let mut tally = Tally::default();
    let mut servers = Vec::new();
    while let Some(done) = haunted.join_next().await {
        let (server, its) = done??;
        tally.add(&its);
        servers.push(server);
    }
    let told = clients.join_all().await;

    let mut wrong: Vec<String> = told.iter().flat_map(|told| told.wrong.clone()).collect();
    let ledger = check::Ledger::read(&dir.join("ledger"))?;
    let server = servers.first().ok_or("no server is left")?;
    for told in told.iter().filter(|told| !told.run.is_empty()) {
        match log(server.address, &told.run).await {
            Some(log) => check::run(told, &log, &ledger, &mut wrong, &mut tally),
            None => wrong.push(format!("run {}: its log cannot be read", told.run)),
        }
    }
    ledger.check_runs(&told, &mut wrong);
    file::check(&recipe.journal(), plan.runs, &mut wrong).await?;
    for place in 0..plan.servers {
        let log = std::fs::read_to_string(recipe.log(place))?;
        wrong.extend(log.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
    }
    tally.count("runs", told.len() as u64);
    Ok((tally, wrong))
}

/// All events of a run, as a page of JSON gives them.
async fn log(address: std::net::SocketAddr, run: &str) -> Option<Vec<Value>> {
    let path = format!("/v1/runs/{run}/events?limit=10000");
    let answer = ask(address, &Ask { method: "GET", path, key: None, body: None }).await?;
    answer.body["events"].as_array().cloned()
}

/// Who starts a run, watches it, answers it, maybe cancels it, and never gives up.
struct Client {
    addresses: Addresses,
    number: usize,
    dice: Dice,
    deadline: Instant,
}

impl Client {
    async fn live(mut self, chaos: Duration) -> Told {
        sleep(self.dice.between(Duration::ZERO, chaos.mul_f64(0.6))).await;
        let mut told = Told::default();
        let Some(run) = self.start(&mut told).await else { return told };
        told.run = run;
        let ended = AtomicBool::new(false);
        let mut watcher = Client {
            addresses: self.addresses.clone(),
            number: self.number,
            dice: self.dice.clone(),
            deadline: self.deadline,
        };
        let run = told.run.clone();
        let watched = watcher.watch(&run, &ended);
        let ((), (events, wrong)) = tokio::join!(
            async {
                self.tend(&mut told).await;
                ended.store(true, Ordering::Release);
            },
            watched
        );
        told.events = events;
        told.wrong.extend(wrong);
        told
    }

    /// A server that was up a moment ago.
    async fn server(&mut self) -> std::net::SocketAddr {
        loop {
            if let Some(address) = self.dice.pick(&self.addresses.up()) {
                return *address;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn breathe(&mut self) {
        sleep(self.dice.between(Duration::from_millis(20), Duration::from_millis(150))).await;
    }

    /// Starts the run, with one key for all tries.
    async fn start(&mut self, told: &mut Told) -> Option<String> {
        let crew = crews::NAMES[self.number % crews::NAMES.len()];
        let start = Ask {
            method: "POST",
            path: format!("/v1/crews/{crew}/runs"),
            key: Some(format!("start-{}", self.number)),
            body: Some(json!({"input": "hello", "metadata": {"number": self.number}})),
        };
        while Instant::now() < self.deadline {
            match ask(self.server().await, &start).await {
                Some(answer) if answer.is_good() => return answer.body["id"].as_str().map(str::to_owned),
                Some(answer) if !comes_back(&answer) => {
                    told.wrong.push(format!("start {}: {} {}", self.number, answer.status, answer.body));
                    return None;
                }
                _ => self.breathe().await,
            }
        }
        told.wrong.push(format!("start {}: never acknowledged", self.number));
        None
    }

    /// Reads the stream, from one server after the other, to the end of the run.
    async fn watch(&mut self, run: &str, ended: &AtomicBool) -> (BTreeMap<u64, Value>, Vec<String>) {
        let (mut events, mut wrong) = (BTreeMap::new(), Vec::new());
        let mut last_look = false;
        loop {
            let mut last = events.last_key_value().map_or(0, |(seq, _)| *seq);
            follow(self.server().await, run, last, |seq, event: Value| {
                if seq != last + 1 {
                    wrong.push(format!("run {run}: a stream gave event {seq} after {last}"));
                }
                last = seq;
                events.insert(seq, event);
            })
            .await;
            let over = events.last_key_value().is_some_and(|(_, event)| event["type"] == "run_ended");
            if over || last_look {
                return (events, wrong);
            }
            last_look = ended.load(Ordering::Acquire) && Instant::now() > self.deadline;
            self.breathe().await;
        }
    }

    /// Answers what the run asks, until it has ended.
    async fn tend(&mut self, told: &mut Told) {
        let cancel_at = self
            .dice
            .percent(15)
            .then(|| Instant::now() + self.dice.between(Duration::ZERO, Duration::from_secs(3)));
        let mut verdicts: BTreeMap<u64, Value> = BTreeMap::new();
        let run = told.run.clone();
        let mut shown = Value::Null;
        while Instant::now() < self.deadline {
            let look = Ask { method: "GET", path: format!("/v1/runs/{run}"), key: None, body: None };
            match ask(self.server().await, &look).await {
                Some(answer) if answer.is_good() => shown = answer.body,
                Some(answer) if comes_back(&answer) => {}
                Some(answer) => {
                    told.wrong.push(format!("run {run} was acknowledged: {} {}", answer.status, answer.body));
                    return;
                }
                None => {}
            }
            if matches!(shown["state"].as_str(), Some("completed" | "cancelled" | "failed" | "limit_reached"))
            {
                return;
            }
            if !told.cancelled && cancel_at.is_some_and(|at| Instant::now() > at) {
                told.asked_to_cancel = true;
                let path = format!("/v1/runs/{run}/cancel");
                let cancel = Ask { method: "POST", path, key: None, body: None };
                let answer = ask(self.server().await, &cancel).await;
                told.cancelled = answer.is_some_and(|answer| answer.is_good());
            }
            for wait in shown["waits"].as_array().cloned().unwrap_or_default() {
                let Some(number) = wait["wait"].as_u64() else { continue };
                let verdict = verdicts.entry(number).or_insert_with(|| self.verdict(&wait)).clone();
                self.answer(told, number, verdict).await;
            }
            self.breathe().await;
        }
        told.wrong.push(format!("run {run} did not end: {shown}"));
    }

    fn verdict(&mut self, wait: &Value) -> Value {
        match (wait["for"]["kind"].as_str(), self.dice.below(3)) {
            (Some("answer"), _) => json!({"wait": wait["wait"], "text": "the second"}),
            (_, 0) => json!({"wait": wait["wait"], "rerun": true}),
            (_, 1) => json!({"wait": wait["wait"], "done": "it was done"}),
            (_, _) => json!({"wait": wait["wait"], "fail": true}),
        }
    }

    async fn answer(&mut self, told: &mut Told, wait: u64, verdict: Value) {
        let request = Ask {
            method: "POST",
            path: format!("/v1/runs/{}/answer", told.run),
            key: Some(format!("answer-{wait}")),
            body: Some(verdict.clone()),
        };
        match ask(self.server().await, &request).await {
            Some(answer) if answer.is_good() => drop(told.answers.insert(wait, verdict)),
            Some(answer) if comes_back(&answer) || (told.asked_to_cancel && answer.code() == "run_ended") => {
            }
            Some(answer) => {
                told.wrong
                    .push(format!("run {}: answer to {wait}: {} {}", told.run, answer.status, answer.body));
            }
            None => {}
        }
    }
}

/// Whether the same request may be sent again: another server has the run, or this one cannot write.
fn comes_back(answer: &crate::client::Answer) -> bool {
    answer.status == 503 || matches!(answer.code(), "run_conflict" | "idempotency_key_in_progress")
}

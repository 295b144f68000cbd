//! Disks and clocks that fail under `boathouse serve`: a clear error, nothing corrupt, and it works again when it can.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::serve::{address, get, post};
use crate::support::{Crew, Going, done, http};

/// A run takes up a pen, waits until it is given leave, and writes one line.
const CREW: &str = "\
name: desk
agents:
  - {id: clerk, model: any, system_prompt: x, tools: [Write], is_terminal: true}
tools:
  Write:
    description: Writes.
    command: {argv: [sh, -c, \"echo > taken; cat leave; echo line >> written\"]}
settings: {timeout_seconds: 60}
";
const SCRIPT: &str = "\
rules:
  - {input: quick, reply: done}
  - {call: 1, reply: I write., tools: [{name: Write}]}
  - {reply: written}
";

/// Says that a test cannot be made here. With `CI=true` that is a failure.
fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "a fault cannot be made: {why}");
    println!("skipped: {why}");
}

/// The crew, its fifos, and what its runs leave.
struct Desk(Crew);

impl Desk {
    fn new() -> Desk {
        let crew = Crew::new(CREW, SCRIPT);
        for fifo in ["taken", "leave"] {
            let made = Command::new("mkfifo").arg(crew.dir.path().join("desk").join(fifo)).status().unwrap();
            assert!(made.success());
        }
        Desk(crew)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.dir.path().join("desk").join(name)
    }

    /// `boathouse serve`, as another program's arguments start it.
    fn serve(&self, prefix: &[String], journal: &Path) -> Command {
        let plain = self.0.boathouse(&[]);
        let mut command = match prefix.split_first() {
            None => self.0.boathouse(&[]),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(plain.get_program()).current_dir(self.0.dir.path());
                command
            }
        };
        command.args(["serve", "desk", "--model", "scripted", "--port", "0", "--journal"]).arg(journal);
        command
    }

    /// Starts a run and waits until its tool is at work.
    fn at_work(&self, address: &str) -> String {
        let id = started(address, "write");
        fs::read(self.file("taken")).unwrap();
        id
    }

    fn give_leave(&self) {
        fs::write(self.file("leave"), "").unwrap();
    }

    fn lines_written(&self) -> usize {
        fs::read_to_string(self.file("written")).map_or(0, |text| text.lines().count())
    }
}

fn start(address: &str, input: &str) -> (u16, Value) {
    let (status, body) = post(address, "/v1/crews/desk/runs", &json!({ "input": input }).to_string());
    (status, serde_json::from_str(&body).unwrap())
}

fn started(address: &str, input: &str) -> String {
    let (status, run) = start(address, input);
    assert_eq!(status, 202, "{run}");
    run["id"].as_str().unwrap().to_owned()
}

/// The run once it rests: its stream ends then.
fn rested(address: &str, run: &str) -> Value {
    let head = format!(
        "GET /v1/runs/{run}/events?deltas=false HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(http(address, &head).0, 200);
    shown(address, run)
}

fn shown(address: &str, run: &str) -> Value {
    let (status, body) = get(address, &format!("/v1/runs/{run}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Starts runs until one is refused, which must be said clearly.
fn refused(address: &str, why: &str) -> Value {
    for _ in 0..200 {
        let (status, problem) = start(address, &format!("quick {}", "x".repeat(100_000)));
        if status == 202 {
            continue;
        }
        assert_eq!((status, problem["code"].as_str()), (503, Some("journal_unavailable")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        return problem;
    }
    panic!("nothing is ever refused");
}

fn readiness(address: &str) -> u16 {
    get(address, "/readyz").0
}

/// A small file system of its own, which only those who enter it see.
struct Disk {
    holder: Child,
    place: PathBuf,
}

impl Disk {
    /// `None` where file systems cannot be mounted.
    fn new(at: &Path, size: &str) -> Option<Disk> {
        let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$1\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(Disk::own_names().0)
            .args(["sh", "-c", &mount, "sh"])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut said).ok()?;
        if said.trim() == "mounted" { Some(Disk { holder, place: at.to_owned() }) } else { None }
    }

    /// How to have mounts of one's own, and how to enter those: root needs no more, others become it in a world of theirs.
    fn own_names() -> (&'static [&'static str], &'static [&'static str]) {
        if rustix::process::geteuid().is_root() {
            (&["-m"], &["-m"])
        } else {
            (&["-rm"], &["-U", "-m", "--preserve-credentials"])
        }
    }

    /// What starts a program inside.
    fn enter(&self) -> Vec<String> {
        let mut words = vec!["nsenter".to_owned(), "-t".to_owned(), self.holder.id().to_string()];
        words.extend(Disk::own_names().1.iter().map(|word| (*word).to_owned()));
        words.push(format!("--wd={}", self.place.parent().unwrap().display()));
        words
    }

    /// A file on it, as seen from outside.
    fn file(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.place.strip_prefix("/").unwrap()).join(name)
    }

    fn fill(&self) {
        let mut filler = File::create(self.file("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.file("filler")).unwrap();
    }

    fn remount(&self, how: &str) {
        let words = self.enter();
        let mount = ["mount", "-o", &format!("remount,{how}")].map(str::to_owned);
        let done = Command::new(&words[0]).args(&words[1..]).args(mount).arg(&self.place).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_is_told_and_runs_go_on_when_there_is_room_again() {
    let desk = Desk::new();
    let mount = desk.0.dir.path().join("disk");
    fs::create_dir(&mount).unwrap();
    let Some(disk) = Disk::new(&mount, "12m") else { return skip("no file system can be mounted") };
    let journal = mount.join("runs.db");
    let mut going = Going::start(&mut desk.serve(&disk.enter(), &journal));
    let server = address(&going.line_with("Boathouse serves"));
    let before = started(&server, "quick");
    assert_eq!(rested(&server, &before)["state"], "completed");
    let run = desk.at_work(&server);

    disk.fill();
    refused(&server, "full");
    assert_eq!(readiness(&server), 503);
    desk.give_leave();
    assert_eq!(shown(&server, &before)["state"], "completed", "reading goes on");

    disk.free();
    assert_eq!(rested(&server, &run)["output"], "written");
    assert_eq!(readiness(&server), 200);
    let after = started(&server, "quick");
    assert_eq!(rested(&server, &after)["state"], "completed");
    assert_eq!(desk.lines_written(), 1);

    going.signal(Signal::KILL);
    going.end();
    let mut going = Going::start(&mut desk.serve(&disk.enter(), &journal));
    let server = address(&going.line_with("Boathouse serves"));
    for run in [before, run, after] {
        assert_eq!(shown(&server, &run)["state"], "completed");
    }
}

#[test]
fn a_disk_that_may_only_be_read_is_told_at_the_start_and_left_alone() {
    let desk = Desk::new();
    let mount = desk.0.dir.path().join("disk");
    fs::create_dir(&mount).unwrap();
    let Some(disk) = Disk::new(&mount, "12m") else { return skip("no file system can be mounted") };
    let journal = mount.join("runs.db");
    let run = {
        let mut going = Going::start(&mut desk.serve(&disk.enter(), &journal));
        let server = address(&going.line_with("Boathouse serves"));
        let run = started(&server, "quick");
        assert_eq!(rested(&server, &run)["state"], "completed");
        going.signal(Signal::KILL);
        going.end();
        run
    };
    disk.remount("ro");
    let said = done(&mut desk.serve(&disk.enter(), &journal), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(
        said.stderr.contains("runs.db")
            && said.stderr.contains("Read-only")
            && said.stderr.contains("hint: "),
        "{}",
        said.stderr
    );
    disk.remount("rw");
    let mut going = Going::start(&mut desk.serve(&disk.enter(), &journal));
    let server = address(&going.line_with("Boathouse serves"));
    assert_eq!(shown(&server, &run)["state"], "completed");
}

/// Makes a system call of a process fail, until it is let go.
struct Strace {
    child: Child,
}

impl Strace {
    /// `None` where processes may not be traced.
    fn failing(calls: &str, error: &str, pid: u32) -> Option<Strace> {
        let mut child = Command::new("strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error={error}")])
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(child.stderr.take()?).lines();
        let attached = lines.find_map(|line| line.ok().filter(|line| line.contains("ttach")));
        if attached.is_none_or(|line| !line.contains("attached")) {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        // It must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Strace { child })
    }

    fn let_go(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_disk_that_cannot_keep_what_was_written_acknowledges_nothing() {
    let desk = Desk::new();
    let journal = desk.0.dir.path().join("runs.db");
    let mut going = Going::start(&mut desk.serve(&[], &journal));
    let server = address(&going.line_with("Boathouse serves"));
    let before = started(&server, "quick");
    assert_eq!(rested(&server, &before)["state"], "completed");
    let run = desk.at_work(&server);

    let Some(strace) = Strace::failing("fsync,fdatasync", "EIO", going.id()) else {
        return skip("strace is missing, or may not trace");
    };
    refused(&server, "disk I/O error");
    assert_eq!(readiness(&server), 503);
    desk.give_leave();
    let failed: Vec<(u16, Value)> = (0..5).map(|_| start(&server, "quick")).collect();
    assert!(failed.iter().all(|(status, _)| *status == 503), "{failed:?}");
    assert_eq!(shown(&server, &before)["state"], "completed", "reading goes on");
    strace.let_go();

    assert_eq!(rested(&server, &run)["output"], "written");
    assert_eq!(readiness(&server), 200);
    let after = started(&server, "quick");
    assert_eq!(rested(&server, &after)["state"], "completed");
    going.signal(Signal::KILL);
    going.end();
    let mut going = Going::start(&mut desk.serve(&[], &journal));
    let server = address(&going.line_with("Boathouse serves"));
    for run in [before, run, after] {
        assert_eq!(shown(&server, &run)["state"], "completed");
    }
    assert_eq!(desk.lines_written(), 1);
}

#[test]
fn a_write_that_a_crash_cut_off_takes_nothing_with_it() {
    let desk = Desk::new();
    let journal = desk.0.dir.path().join("runs.db");
    let mut going = Going::start(&mut desk.serve(&[], &journal));
    let server = address(&going.line_with("Boathouse serves"));
    let runs: Vec<String> = (0..5).map(|_| started(&server, "quick")).collect();
    for run in &runs {
        assert_eq!(rested(&server, run)["state"], "completed");
    }
    going.signal(Signal::KILL);
    going.end();
    let log = desk.0.dir.path().join("runs.db-wal");
    let sound = fs::read(&log).unwrap();
    // The head of the next frame, half a frame, and pages of nonsense.
    for torn in [&sound[32..56], &sound[32..2080], &[0xA5; 12_288][..]] {
        fs::write(&log, [&sound[..], torn].concat()).unwrap();
        let _ = fs::remove_file(desk.0.dir.path().join("runs.db-shm"));
        let mut going = Going::start(&mut desk.serve(&[], &journal));
        let server = address(&going.line_with("Boathouse serves"));
        for run in &runs {
            assert_eq!(shown(&server, run)["output"], "done");
        }
        going.signal(Signal::KILL);
        going.end();
    }
}

/// Where libfaketime is, which makes a program see another time.
fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let places = libraries.chain([PathBuf::from("/usr/lib")]);
    places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists())
}

#[test]
fn a_clock_that_jumps_neither_ends_a_run_nor_turns_its_log_round() {
    let Some(library) = faketime() else { return skip("libfaketime is missing") };
    let desk = Desk::new();
    let (journal, clock) = (desk.0.dir.path().join("runs.db"), desk.0.dir.path().join("clock"));
    let set = |offset: &str| {
        // As a whole: it is read at any moment.
        let next = clock.with_extension("next");
        fs::write(&next, offset).unwrap();
        fs::rename(next, &clock).unwrap();
    };
    set("+0");
    let mut command = desk.serve(&[], &journal);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let mut going = Going::start(&mut command);
    let server = address(&going.line_with("Boathouse serves"));
    for jump in ["+2d", "-2d", "+0"] {
        let run = desk.at_work(&server);
        set(jump);
        desk.give_leave();
        let ended = rested(&server, &run);
        assert_eq!(ended["output"], "written", "{jump}: {ended}");
        let (_, page) = get_json(&server, &format!("/v1/runs/{run}/events"));
        let times: Vec<&str> =
            page["events"].as_array().unwrap().iter().map(|event| event["at"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "{jump}: {times:?}");
        let quick = started(&server, "quick");
        assert_eq!(rested(&server, &quick)["state"], "completed", "{jump}");
    }
    assert_eq!(desk.lines_written(), 3);
}

fn get_json(address: &str, path: &str) -> (u16, Value) {
    let (status, body) = http(
        address,
        &format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nconnection: close\r\n\r\n"
        ),
    );
    (status, serde_json::from_str(&body).unwrap())
}

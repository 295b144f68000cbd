//! Starting the binary and reading what it says.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The repository's root, where examples are.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The binary in the repository's root, with nothing in the environment that it listens to.
pub(crate) fn boathouse(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
    command.current_dir(root()).args(args);
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("BOATHOUSE_"));
        if is_ours {
            command.env_remove(&name);
        }
    }
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "OPENAI_API_KEY", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// What a command said and how it ended.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The objects of `--json`.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

/// Runs a command to its end; `stdin` is all that it can read.
pub(crate) fn done(command: &mut Command, stdin: &str) -> Done {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command that goes on while the test looks at it. Killed when dropped.
pub(crate) struct Going {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Going {
    pub(crate) fn start(command: &mut Command) -> Going {
        Going::start_with(command, Stdio::null())
    }

    pub(crate) fn start_with(command: &mut Command, stdin: Stdio) -> Going {
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Going { child, stdout, stderr }
    }

    /// Waits for a line of stdout that contains a text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        for line in self.stdout.by_ref().map(Result::unwrap) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        let stderr: Vec<String> = self.stderr.by_ref().map(Result::unwrap).collect();
        panic!("no line with {text:?} in {seen:#?}; stderr: {stderr:#?}");
    }

    /// Waits for a line of stderr that contains a text.
    pub(crate) fn error_with(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        for line in self.stderr.by_ref().map(Result::unwrap) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with {text:?} in {seen:#?}");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end: the exit code and what is left to read.
    pub(crate) fn end(mut self) -> Done {
        let stdout: String = self.stdout.by_ref().map(|line| line.unwrap() + "\n").collect();
        let stderr: String = self.stderr.by_ref().map(|line| line.unwrap() + "\n").collect();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Done { code, stdout, stderr }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a crew `desk` in it, for commands that run in the folder.
pub(crate) struct Crew {
    pub(crate) dir: TempDir,
}

impl Crew {
    pub(crate) fn new(crew: &str, scripted: &str) -> Crew {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("desk")).unwrap();
        fs::write(dir.path().join("desk/crew.yaml"), crew).unwrap();
        if !scripted.is_empty() {
            fs::write(dir.path().join("desk/scripted.yaml"), scripted).unwrap();
        }
        Crew { dir }
    }

    /// Writes a file into the crew's folder.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let file = self.dir.path().join("desk").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// The binary in the folder that holds `desk`.
    pub(crate) fn boathouse(&self, args: &[&str]) -> Command {
        let mut command = boathouse(args);
        command.current_dir(self.dir.path());
        command
    }
}

/// One HTTP request to a server on this machine; status and body.
pub(crate) fn http(address: &str, request: &str) -> (u16, String) {
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

/// The transcript without what differs between machines and moments: times, what tools gave and in which order they
/// came back, and what the diagnosis quotes of it.
pub(crate) fn without_numbers(transcript: &str) -> String {
    const TIME: &str = r"(\d+ ms|\d+\.\d s|\d+ min \d+ s)";
    let regex = |pattern: &str| regex::Regex::new(pattern).unwrap();
    let text =
        regex(r"(?s)(🔍 Diagnosis[^\n]*:\n).*?(✅)").replace_all(transcript, "$1\n[measurements]\n\n$2");
    let text = regex(&format!("(?m)  {TIME}$")).replace_all(&text, "  [time]");
    let text = regex(&format!("(?m) in {TIME} ·")).replace_all(&text, " in [time] ·");
    // A tool's line, and the line with the beginning of its output.
    let tool = regex(r"(?m)^  [✓✗] (.*)\n(    .*\n)?");
    let rounds = regex(r"(?m)(^  [✓✗] .*\n(    .*\n)?)+");
    let sorted = rounds.replace_all(&text, |round: &regex::Captures<'_>| {
        let mut lines: Vec<String> =
            tool.captures_iter(&round[0]).map(|line| format!("  • {}\n", &line[1])).collect();
        lines.sort();
        lines.concat()
    });
    sorted.into_owned()
}

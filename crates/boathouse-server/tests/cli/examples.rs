//! What the examples promise beyond their own tests: the files that an exam leaves behind, and the list of all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Done, boathouse, done, root};

/// A copy of the quiz, so that its reports are this test's alone.
struct Exam {
    dir: TempDir,
}

impl Exam {
    fn new() -> Exam {
        let dir = TempDir::new().unwrap();
        let from = root().join("examples/quiz-exam");
        fs::create_dir(dir.path().join("agents")).unwrap();
        for name in ["crew.yaml", "scripted.yaml", "exam.awk"] {
            fs::copy(from.join(name), dir.path().join(name)).unwrap();
        }
        for entry in fs::read_dir(from.join("agents")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join("agents").join(path.file_name().unwrap())).unwrap();
        }
        Exam { dir }
    }

    fn of(&self, input: &str) -> Done {
        let dir = self.dir.path().to_str().unwrap();
        done(&mut boathouse(&["run", dir, input, "--model", "scripted", "--quiet"]), "")
    }

    /// What a tool of the quiz prints, called as the crew does: for a call with this key.
    fn tool(&self, key: &str, arguments: &[&str]) -> serde_json::Value {
        let mut awk = Command::new("awk");
        awk.current_dir(self.dir.path()).args(["-f", "exam.awk", "--"]).args(arguments);
        let called = done(awk.env("BOATHOUSE_IDEMPOTENCY_KEY", key), "");
        serde_json::from_str(&called.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", called.stdout, called.stderr))
    }

    fn report_of(&self, run: &Done) -> PathBuf {
        let name = run.stdout.split_whitespace().find_map(|word| word.strip_suffix(".md."));
        self.dir.path().join(format!("{}.md", name.expect("the output names the report")))
    }
}

#[test]
fn an_exam_leaves_its_report() {
    let exam = Exam::new();
    let run = exam.of("Examine Sam about boats");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let report = fs::read_to_string(exam.report_of(&run)).unwrap();
    let date = regex::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d").unwrap();
    insta::assert_snapshot!(date.replace(&report, "[date]"));
}

#[test]
fn exams_at_the_same_time_have_a_report_each() {
    let exam = Exam::new();
    let reports = std::thread::scope(|scope| {
        let runs: Vec<_> = ["Ann", "Ben", "Cem", "Dao"]
            .map(|name| {
                let exam = &exam;
                let of = move || (name, exam.of(&format!("Examine {name}, who has not studied")));
                scope.spawn(of)
            })
            .into_iter()
            .map(|run| run.join().unwrap())
            .collect();
        runs.into_iter()
            .map(|(name, run)| {
                let path = exam.report_of(&run);
                let report = fs::read_to_string(&path).unwrap();
                assert!(report.contains(&format!("| Student | {name} |")), "{}: {report}", path.display());
                assert!(report.contains("**3 of 10 points (30.0%): not passed.**"), "{report}");
                path
            })
            .collect::<BTreeSet<PathBuf>>()
    });
    assert_eq!(reports.len(), 4, "{reports:?}");
}

#[test]
fn an_answer_whose_call_is_repeated_is_recorded_once() {
    let exam = Exam::new();
    let answer = ["record", "question=Port?", "student_answer=Left", "is_correct=true"];
    let first = exam.tool("run-1", &answer);
    assert_eq!(exam.tool("run-1", &answer), first);
    assert_eq!(exam.tool("run-2", &answer)["question_number"], 2);
    assert_eq!(exam.tool("run-1", &answer), first, "also after others");
    assert_eq!(exam.tool("run-3", &["status"])["questions_asked"], 2);
    assert_eq!(exam.tool("other-1", &["status"])["questions_asked"], 0, "another run is another exam");
}

#[test]
fn texts_of_any_kind_come_back_from_an_exam_as_they_were() {
    let exam = Exam::new();
    let text = "a\\b \"c\"\n\t\r\u{1}\u{1f} d|e % &amp; ü ⛵ \\n \\u0041";
    let question = format!("question={text}");
    let told = exam.tool("run-1", &["record", &question, "student_answer=x=y", "is_correct=false"]);
    assert_eq!((&told["question"], &told["student_answer"]), (&text.into(), &"x=y".into()));
    for number in 2..=10 {
        exam.tool(&format!("run-{number}"), &["record", "question=q", "student_answer=a", "is_correct=true"]);
    }
    let result = exam.tool("run-11", &["result"]);
    assert_eq!(result["question_history"][0]["question"], text);
}

#[test]
fn every_example_is_on_the_list_and_has_tests() {
    let list = fs::read_to_string(root().join("examples/README.md")).unwrap();
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| path.is_dir()) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap();
        assert!(list.contains(&format!("[{name}]({name})")), "examples/README.md does not list {name}");
        assert!(has_yaml(&folder.join("tests")), "{name} has no tests");
    }
}

fn has_yaml(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| entry.unwrap().path().extension().is_some_and(|extension| extension == "yaml"))
    })
}

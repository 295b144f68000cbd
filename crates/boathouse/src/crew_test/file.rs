//! From a test file to its tests, with everything that is wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::crew::Crew;
use boathouse_core::crew::file::{At, Kind, Problems, Said, View, validate};
use boathouse_core::crew::problem::{Code, Problem};
use boathouse_core::crew::yaml::{self, Node, Yaml};
use boathouse_core::ids::AgentId;
use boathouse_core::message::{Author, Message, ResultStatus};
use boathouse_core::run::event::{Answer, RunState};
use serde_json::Value;

use super::expect::{Among, AtMost, CallCheck, Expect, PauseCheck, PausesCheck, TextCheck, ToolsCheck};
use super::facts::Step;
use super::{TESTS_DIR, Test, keys};
use crate::crew_dir::{self, Unread};
use crate::provider::script::{self, Patterns};
use crate::tool::arguments;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Reads one test file. Scripts are looked for from `dir`, its folder.
pub(super) fn read<'a>(
    crew: &Crew,
    dir: &Path,
    file: &'a str,
    text: &str,
    problems: &mut Problems<'a>,
    in_scripts: &mut Vec<Problem>,
) -> Vec<Test> {
    let (tree, faults) = yaml::parse(text);
    for fault in faults {
        problems.fault(file, fault);
    }
    let Some(tree) = tree else { return Vec::new() };
    validate(&tree, &Kind::Map(&keys::FILE), file, "the file", problems);
    if tree.is_null() {
        let at = At { file, place: tree.at };
        let hint = Some("write a list `tests`, or remove the file".to_owned());
        problems.error(at, Code::EmptyFile, "the file is empty".to_owned(), hint);
    }
    let view = View { file, node: &tree };
    let patterns = Patterns::new();
    let mut reader = Reader { crew, dir, file, patterns, problems, in_scripts };
    let script = reader.script(view);
    let timeout = view.millis("timeout_seconds").map_or(TIMEOUT, Duration::from_millis);
    let mut names = BTreeSet::new();
    let mut tests = Vec::new();
    for node in view.items("tests") {
        let test = View { file, node };
        if let Some(name) = test.text("name")
            && !names.insert(name.value)
        {
            let message = format!("two tests are called `{}`", name.value);
            reader.problems.error(
                name.at,
                Code::DuplicateTest,
                message,
                Some("give one of them another name".to_owned()),
            );
        }
        tests.push(reader.test(test, script.as_ref(), timeout));
    }
    if view.get("tests").and_then(Node::items).is_some_and(<[Node]>::is_empty) {
        let hint = Some(
            "write a test: `- {name: it greets, input: hello, expect: {output: {contains: hello}}}`"
                .to_owned(),
        );
        reader.problems.error(view.at(), Code::EmptyCheck, "the list `tests` is empty".to_owned(), hint);
    }
    tests
}

struct Reader<'p, 'a, 'c> {
    crew: &'c Crew,
    dir: &'c Path,
    file: &'a str,
    patterns: Patterns,
    problems: &'p mut Problems<'a>,
    /// What is wrong in the scripts of tests.
    in_scripts: &'p mut Vec<Problem>,
}

impl<'a> Reader<'_, 'a, '_> {
    fn at(&self, node: &Node) -> At<'a> {
        At { file: self.file, place: node.at }
    }

    fn test(&mut self, test: View<'_>, script: Option<&Arc<str>>, timeout: Duration) -> Test {
        let input = test.owned("input");
        if let Some(said) = test.text("input").filter(|said| said.value.trim().is_empty()) {
            self.error(
                said.at,
                Code::EmptyCheck,
                "`input` is empty".to_owned(),
                Some("write what the run is asked".to_owned()),
            );
        }
        let expect = match test.map("expect") {
            Some(expect) => self.expect(expect),
            None => Expect::default(),
        };
        Test {
            name: test.owned("name"),
            file: self.file.to_owned(),
            line: test.node.at.line,
            input,
            history: test
                .items("history")
                .filter_map(|node| message(View { file: self.file, node }))
                .collect(),
            vars: test.map("vars").map(vars).unwrap_or_default(),
            start_at: test.text("start_at").map(|said| self.agent(said)),
            answers: test.items("answers").filter_map(|node| self.answer(node)).collect(),
            script: self.script(test).or_else(|| script.cloned()),
            timeout: test.millis("timeout_seconds").map_or(timeout, Duration::from_millis),
            expect,
        }
    }

    fn error(&mut self, at: At<'_>, code: Code, message: String, hint: Option<String>) {
        self.problems.error(at, code, message, hint);
    }

    /// An agent of the crew.
    fn agent(&mut self, said: Said<'_, &str>) -> AgentId {
        if self.crew.find_agent(said.value).is_none() {
            let hint =
                self.problems.suggest(said.value, self.crew.agents.iter().map(|agent| agent.id.as_str()));
            let message = format!("the crew has no agent `{}`", said.value);
            self.error(said.at, Code::UnknownAgent, message, hint);
        }
        AgentId::from(said.value)
    }

    fn answer(&mut self, node: &Node) -> Option<Answer> {
        let at = self.at(node);
        let answer = View { file: self.file, node };
        match &node.yaml {
            Yaml::Map(_) => {
                let what = answer.text("do")?.value;
                let (output, reason) = (answer.text("output"), answer.text("reason"));
                let arguments = answer.json("arguments");
                for (key, belongs, to) in [
                    ("output", matches!(what, "done" | "respond"), "`do: done` and `do: respond`"),
                    ("reason", what == "reject", "`do: reject`"),
                    ("arguments", what == "edit", "`do: edit`"),
                ] {
                    if let (Some(at), false) = (answer.key(key), belongs) {
                        let message = format!("`{key}` belongs to {to} only");
                        self.error(at, Code::Contradiction, message, Some("remove it".to_owned()));
                        return None;
                    }
                }
                let output = output.map(|said| said.value.to_owned());
                let found = match what {
                    "done" => output.map(|output| Answer::Done { output }).ok_or("output"),
                    "respond" => output.map(|output| Answer::Respond { output }).ok_or("output"),
                    "edit" => arguments.map(|map| Answer::edit(Value::Object(map))).ok_or("arguments"),
                    "approve" => Ok(Answer::Approve {}),
                    "reject" => Ok(Answer::Reject { reason: reason.map(|said| said.value.to_owned()) }),
                    "rerun" => Ok(Answer::Rerun {}),
                    _ => Ok(Answer::Fail {}),
                };
                match found {
                    Ok(answer) => Some(answer),
                    Err(missing) => {
                        let hint = Some(format!("write `{{do: {what}, {missing}: ...}}`"));
                        let message = format!("`do: {what}` needs `{missing}`");
                        self.error(at, Code::MissingKey, message, hint);
                        None
                    }
                }
            }
            Yaml::Scalar { .. } | Yaml::List(_) => {
                let text = node.text()?;
                if text.trim().is_empty() {
                    self.error(
                        at,
                        Code::EmptyCheck,
                        "the answer is empty".to_owned(),
                        Some("write what is answered".to_owned()),
                    );
                }
                Some(Answer::Text { text: text.to_owned() })
            }
        }
    }

    /// What `scripted` answers from: the text of a file, or the rules as written.
    fn script(&mut self, view: View<'_>) -> Option<Arc<str>> {
        let node = view.get("script")?;
        let at = self.at(node);
        let text = match &node.yaml {
            Yaml::Map(_) => {
                let text = node.to_json().to_string();
                // Places are those in the rules as JSON, which nobody wrote.
                for fault in script::check(&text) {
                    let hint = Some("docs/scripted.md explains the keys".to_owned());
                    self.error(at, Code::InvalidScript, format!("the script: {}", fault.message), hint);
                }
                text
            }
            Yaml::Scalar { .. } | Yaml::List(_) => {
                let path = node.text()?;
                match crew_dir::read_file(&self.dir.join(path)) {
                    Ok(text) => {
                        let file = Path::new(TESTS_DIR).join(path);
                        self.in_scripts.extend(crew_dir::script_problems(&file.to_string_lossy(), &text));
                        text
                    }
                    Err(unread) => {
                        let missing = matches!(unread, Unread::Missing);
                        let problem = unread.problem(path);
                        let hint = match missing {
                            true => Some("the path begins at the folder of the test file".to_owned()),
                            false => problem.hint,
                        };
                        let message = format!("the script {path}: {}", problem.message);
                        self.error(at, Code::UnreadableFile, message, hint);
                        return None;
                    }
                }
            }
        };
        Some(text.into())
    }

    fn expect(&mut self, expect: View<'_>) -> Expect {
        let limit = expect.text("limit").map(|said| said.value.to_owned());
        let error = self.text(expect, "error");
        let implied = match (&limit, &error) {
            (Some(_), _) => RunState::LimitReached,
            (None, Some(_)) => RunState::Failed,
            (None, None) => RunState::Completed,
        };
        let state = expect.text("state").map(|said| (state(said.value), said.at));
        if let Some((state, at)) = state
            && (limit.is_some() || error.is_some())
            && state != implied
        {
            let (key, implied) = (if limit.is_some() { "limit" } else { "error" }, implied.as_str());
            let message = format!("`{key}` is for runs with `state: {implied}`");
            self.error(at, Code::Contradiction, message, Some(format!("remove `state`, or remove `{key}`")));
        }
        let json = expect.map("json");
        Expect {
            state: state.map_or(implied, |(state, _)| state),
            limit,
            error,
            path: expect.get("path").and_then(Node::items).map(|steps| self.path(steps)),
            tools: expect.get("tools").map(|node| self.tools(node)).unwrap_or_default(),
            output: self.text(expect, "output"),
            json_at: json.map(|json| self.pointers(json)).unwrap_or_default(),
            json_schema: json.and_then(|json| self.schema(json)),
            pauses: expect.get("pauses").and_then(|node| self.pauses(node)),
            at_most: expect.map("at_most").map(at_most).unwrap_or_default(),
        }
    }

    fn text(&mut self, view: View<'_>, key: &str) -> Option<TextCheck> {
        let check = view.map(key)?;
        if check.entries().next().is_none() {
            let hint = Some(format!("write `{key}: {{contains: ...}}`"));
            self.error(check.at(), Code::EmptyCheck, format!("`{key}` checks nothing"), hint);
        }
        let mut regexes = Vec::new();
        for said in one_or_more(check, "regex") {
            match self.patterns.compile(said.value) {
                Ok(regex) => regexes.push(regex),
                Err(why) => {
                    let message = format!("`regex` {why}");
                    let hint =
                        Some("a special character that is meant as itself needs a `\\` before it".to_owned());
                    self.error(said.at, Code::InvalidRegex, message, hint);
                }
            }
        }
        let texts = |key| one_or_more(check, key).into_iter().map(|said| said.value.to_owned()).collect();
        Some(TextCheck {
            equals: check.text("equals").map(|said| said.value.to_owned()),
            contains: texts("contains"),
            not_contains: texts("not_contains"),
            regex: regexes,
        })
    }

    fn path(&mut self, steps: &[Node]) -> Vec<Step> {
        let mut path = Vec::new();
        for node in steps {
            let mut agent = |node: &Node| {
                let at = self.at(node);
                node.text().map(|value| self.agent(Said { value, at }))
            };
            match node.items() {
                Some(items) => path.push(Step::Group(items.iter().filter_map(agent).collect())),
                None => path.extend(agent(node).map(Step::Agent)),
            }
        }
        path
    }

    fn tools(&mut self, node: &Node) -> Vec<ToolsCheck> {
        if let Some(items) = node.items() {
            let calls = items.iter().filter_map(|node| self.call(node)).collect();
            return vec![ToolsCheck { how: Among::Exactly, calls }];
        }
        let view = View { file: self.file, node };
        let mut checks = Vec::new();
        for how in [Among::Exactly, Among::InOrder, Among::AnyOrder, Among::Never] {
            if let Some(items) = view.get(how.key()).and_then(Node::items) {
                let calls = items.iter().filter_map(|node| self.call(node)).collect();
                checks.push(ToolsCheck { how, calls });
            }
        }
        checks
    }

    fn call(&mut self, node: &Node) -> Option<CallCheck> {
        let view = View { file: self.file, node };
        let said = match node.text() {
            Some(value) => Said { value, at: self.at(node) },
            None => view.text("tool")?,
        };
        let status = view.text("status").map(|said| match said.value {
            "error" => ResultStatus::Error,
            _ => ResultStatus::Success,
        });
        let known = || self.crew.tools.iter().map(|def| def.spec.name.as_str());
        // A model may call a tool that there is not: then the call is refused.
        if status != Some(ResultStatus::Error) && !known().any(|name| name == said.value) {
            let hint = self.problems.suggest(said.value, known());
            let hint = hint.or_else(|| Some("a test can only name what the crew offers".to_owned()));
            let message = format!("no agent of the crew has a tool `{}`", said.value);
            self.error(said.at, Code::UnknownTool, message, hint);
        }
        let (some, all) = (view.json("arguments"), view.json("exact_arguments"));
        if let (Some(_), Some(at)) = (&some, view.key("exact_arguments")) {
            let message = "`arguments` and `exact_arguments` exclude each other".to_owned();
            if all.is_some() {
                self.error(at, Code::Contradiction, message, Some("remove one of them".to_owned()));
            }
        }
        Some(CallCheck {
            tool: said.value.to_owned(),
            exact: all.is_some(),
            arguments: all.or(some).unwrap_or_default(),
            agent: view.text("agent").map(|said| self.agent(said)),
            status,
            result: self.text(view, "result"),
        })
    }

    fn pointers(&mut self, json: View<'_>) -> Vec<(String, Value)> {
        let Some(at) = json.map("at") else { return Vec::new() };
        let mut pointers = Vec::new();
        for (pointer, value) in at.entries() {
            if !pointer.value.is_empty() && !pointer.value.starts_with('/') {
                let hint =
                    Some(format!("write `/{}`", pointer.value.trim_start_matches("$.").replace('.', "/")));
                let message = format!("`{}` is no JSON pointer: it begins with `/`", pointer.value);
                self.error(pointer.at, Code::InvalidPointer, message, hint);
            }
            pointers.push((pointer.value.to_owned(), value.to_json()));
        }
        pointers
    }

    fn schema(&mut self, json: View<'_>) -> Option<Arc<jsonschema::Validator>> {
        let schema = json.map("schema")?;
        match arguments::validator(&schema.node.to_json()) {
            Ok(validator) => Some(Arc::new(validator)),
            Err(why) => {
                self.error(
                    schema.at(),
                    Code::InvalidSchema,
                    format!("`schema` is no JSON Schema: {why}"),
                    Some("write one such as `{type: object, required: [id]}`".to_owned()),
                );
                None
            }
        }
    }

    fn pauses(&mut self, node: &Node) -> Option<PausesCheck> {
        let Some(items) = node.items() else {
            return node.whole().and_then(|count| usize::try_from(count).ok()).map(PausesCheck::Count);
        };
        let mut each = Vec::new();
        for node in items {
            let view = View { file: self.file, node };
            let agent = view.text("agent").map(|said| self.agent(said));
            each.push(PauseCheck { agent, question: self.text(view, "question") });
        }
        Some(PausesCheck::Each(each))
    }
}

/// The text or the texts under a key.
fn one_or_more<'n>(view: View<'n>, key: &str) -> Vec<Said<'n, &'n str>> {
    match view.text(key) {
        Some(said) => vec![said],
        None => view.texts(key),
    }
}

fn message(said: View<'_>) -> Option<Message> {
    let from = match said.text("role")?.value {
        "user" => Author::User,
        "system" => Author::System,
        _ => Author::Agent(None),
    };
    Some(Message::text(from, said.owned("content")))
}

fn vars(vars: View<'_>) -> BTreeMap<String, String> {
    let texts =
        vars.entries().filter_map(|(name, node)| Some((name.value.to_owned(), node.text()?.to_owned())));
    texts.collect()
}

fn state(word: &str) -> RunState {
    match word {
        "paused" => RunState::Paused,
        "failed" => RunState::Failed,
        "limit_reached" => RunState::LimitReached,
        _ => RunState::Completed,
    }
}

fn at_most(view: View<'_>) -> AtMost {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 30 days")]
    let active_ms = view.number("active_seconds").map(|seconds| (seconds * 1000.0).max(0.0) as u64);
    AtMost {
        model_calls: view.whole("model_calls"),
        tool_calls: view.whole("tool_calls"),
        rounds: view.whole("rounds"),
        handoffs: view.whole("handoffs"),
        tokens: view.whole("tokens"),
        active_ms,
    }
}

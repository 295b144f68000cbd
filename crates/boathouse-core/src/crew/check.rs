//! From files to a crew: every reference resolved, or every problem told.
//!
//! Nothing here reads a disk: the files come as a [`Source`], so that a stored source compiles to the same crew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::file::{At, Problems, Said, View, keys, validate};
use super::problem::{Code, Problem, Severity};
use super::yaml::{self, Node, Place, Yaml};
use super::{AgentIx, Crew, GroupIx, HandoffStyle, Route, Settings, Source, ToolSpec};

mod advice;
mod agents;
mod endings;
mod limits;
mod routing;
mod tools;

/// The file that says which agents a crew has and where they lead.
pub const CREW_FILE: &str = "crew.yaml";
/// The folder of the agents' files.
pub const AGENTS_DIR: &str = "agents/";
/// The file with the replies of the provider `scripted`.
pub const SCRIPT_FILE: &str = "scripted.yaml";

/// What people write for the end of the run.
const ENDS: [&str; 9] = ["end", "done", "stop", "finish", "exit", "none", "terminate", "complete", "__end__"];

/// What the program has registered, beside what a crew defines itself.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Tools that agents may name.
    pub tools: Vec<Arc<ToolSpec>>,
    /// Providers that models may name.
    pub providers: Vec<String>,
}

/// What a check gave.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The crew; `None` if any problem is an error.
    pub crew: Option<Crew>,
    /// Everything found, `crew.yaml` first, in the order of the text.
    pub problems: Vec<Problem>,
}

/// Compiles a crew, and tells every problem at once.
///
/// `fallback_name` names a crew that does not name itself. The same arguments always give the same result. Never
/// panics, whatever the files hold.
pub fn check(source: &Source, fallback_name: &str, catalog: &Catalog) -> Checked {
    let mut problems = Problems::new(source);
    let trees = read(source, &mut problems);
    let nothing = Node { at: Place::default(), yaml: Yaml::Map(Vec::new()) };
    let root = trees.get(CREW_FILE);
    if root.is_none() && !source.contains_key(CREW_FILE) {
        let message = "the file is missing".to_owned();
        let hint = Some("a crew needs a `crew.yaml` that lists its agents".to_owned());
        problems.of_file(Severity::Error, Code::MissingFile, CREW_FILE, message, hint);
    }
    // Where the file says nothing that can be read, nothing is missing in it.
    let readable = root.is_some_and(|root| root.entries().is_some());
    let crew_file = View { file: CREW_FILE, node: root.unwrap_or(&nothing) };
    let mut check = Check { problems, catalog, names: Names::default() };
    let crew = check.compile(source, fallback_name, crew_file, readable, &trees);
    let crew = if check.problems.any_error() { None } else { crew };
    Checked { crew, problems: check.problems.finish() }
}

/// The content hash of a crew's files: SHA-256 in hexadecimal over a version, then each path and text with its length,
/// in the order of the paths.
pub fn hash(source: &Source) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"boathouse crew 1\n");
    for (path, text) in source {
        for piece in [path, text] {
            hasher.update((piece.len() as u64).to_be_bytes());
            hasher.update(piece);
        }
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Reads all files and holds them against their tables.
fn read<'a>(source: &'a Source, problems: &mut Problems<'a>) -> BTreeMap<&'a str, Node> {
    let mut trees = BTreeMap::new();
    for (file, text) in source {
        let table = match file.as_str() {
            CREW_FILE => Some(&keys::CREW),
            file if file.starts_with(AGENTS_DIR) => Some(&keys::AGENT),
            // The provider that reads it knows what it means; here only its syntax and its agents are checked.
            SCRIPT_FILE => None,
            _ => continue,
        };
        let (tree, faults) = yaml::parse(text);
        for fault in faults {
            problems.fault(file, fault);
        }
        let Some(tree) = tree else { continue };
        let Some(table) = table else {
            trees.insert(file.as_str(), tree);
            continue;
        };
        if tree.is_null() {
            let hint = Some(format!("it describes {}: write its keys, or remove the file", table.what));
            problems.of_file(Severity::Error, Code::EmptyFile, file, "the file is empty".to_owned(), hint);
            continue;
        }
        validate(&tree, &super::file::Kind::Map(table), file, file, problems);
        trees.insert(file.as_str(), tree);
    }
    trees
}

/// A check under way.
struct Check<'a> {
    problems: Problems<'a>,
    catalog: &'a Catalog,
    names: Names<'a>,
}

/// What names stand for.
#[derive(Default)]
struct Names<'a> {
    agents: BTreeMap<&'a str, AgentIx>,
    groups: BTreeMap<&'a str, GroupIx>,
    vars: BTreeSet<&'a str>,
    /// Variables that some template uses.
    in_templates: BTreeSet<String>,
    /// Whether something that could be a route leads nowhere: then nobody can say what is reached.
    lost: bool,
    /// Agents whose file is there but cannot be used: that has been said, and no more is said about them.
    broken: BTreeSet<&'a str>,
}

impl<'a> Check<'a> {
    fn compile(
        &mut self,
        source: &'a Source,
        fallback_name: &str,
        crew_file: View<'a>,
        readable: bool,
        trees: &'a BTreeMap<&'a str, Node>,
    ) -> Option<Crew> {
        let roster = self.roster(source, crew_file, readable, trees);
        self.group_names(crew_file);
        self.names.lost |= self.problems.any_error();
        let settings = self.settings(crew_file);
        let vars = self.vars(crew_file);
        let defined = self.defined_tools(crew_file);
        let handoff = match crew_file.text("handoff").map(|said| said.value) {
            Some("tool") => HandoffStyle::Tool,
            Some("auto") => HandoffStyle::Auto,
            _ => HandoffStyle::Signal,
        };
        let mut shelf = tools::Shelf::new(defined);
        let mut agents: Vec<_> = roster.iter().map(|file| self.agent(file, &mut shelf)).collect();
        let groups = self.groups(crew_file, &settings);
        let signals_at = self.routing(crew_file, &roster, &mut agents);
        self.unused_tools(&shelf);
        let entry = match crew_file.text("entry_point").filter(|said| !said.value.is_empty()) {
            Some(said) => self.find_agent(said, Code::UnknownAgent),
            None => agents
                .iter()
                .position(|agent| !agent.terminal)
                .or((!agents.is_empty()).then_some(0))
                .map(AgentIx),
        };
        let name = self.crew_name(crew_file, fallback_name);
        let crew = Crew {
            name,
            description: crew_file.owned("description"),
            hash: hash(source).into(),
            source: source.clone(),
            agents,
            entry: entry.unwrap_or(AgentIx(0)),
            groups,
            tools: shelf.tools,
            handoff,
            settings,
            vars,
        };
        if readable {
            self.script(trees.get(SCRIPT_FILE));
        }
        self.advise(&crew, crew_file, &roster, &signals_at);
        (!crew.agents.is_empty()).then_some(crew)
    }

    fn crew_name(&mut self, crew_file: View<'a>, fallback: &str) -> String {
        let said = crew_file.text("name");
        let name = said.map_or(fallback, |said| said.value).trim();
        let fault = if name.is_empty() {
            "is empty"
        } else if name.chars().count() > 128 {
            "has more than 128 characters"
        } else if name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | '%')) {
            "contains `/`, `\\`, `?`, `#`, `%` or a control character"
        } else {
            return name.to_owned();
        };
        let message = format!("the crew's name {fault}");
        let hint = Some("write a `name:` that can stand in an address".to_owned());
        match said {
            Some(said) => self.problems.error(said.at, Code::InvalidName, message, hint),
            None => self.problems.of_file(Severity::Error, Code::InvalidName, CREW_FILE, message, hint),
        }
        name.to_owned()
    }

    fn settings(&mut self, crew_file: View<'a>) -> Settings {
        let Some(view) = crew_file.map("settings") else { return Settings::default() };
        let default = Settings::default();
        let min = view.setting("retry_backoff_min_millis");
        let max = view.millis("retry_backoff_max_seconds");
        let backoff = (min.unwrap_or(default.retry_backoff_ms.0), max.unwrap_or(default.retry_backoff_ms.1));
        if backoff.0 > backoff.1 {
            let key = if min.is_some() { "retry_backoff_min_millis" } else { "retry_backoff_max_seconds" };
            let at = view.key(key).unwrap_or(view.at());
            let message = format!(
                "the shortest pause between attempts, {} ms, exceeds the longest, {} ms",
                backoff.0, backoff.1
            );
            let hint = Some("lower the one, or raise the other".to_owned());
            self.problems.error(at, Code::OutOfRange, message, hint);
        }
        let text = |name| view.text(name).map(|said| said.value.to_owned()).filter(|text| !text.is_empty());
        Settings {
            max_handoffs: view.setting("max_handoffs").unwrap_or(default.max_handoffs),
            max_rounds: view.setting("max_rounds").unwrap_or(default.max_rounds),
            timeout_ms: view.millis("timeout_seconds").unwrap_or(default.timeout_ms),
            parallel_timeout_ms: view
                .millis("parallel_timeout_seconds")
                .unwrap_or(default.parallel_timeout_ms),
            tool_timeout_ms: view.millis("tool_execution_timeout_seconds").unwrap_or(default.tool_timeout_ms),
            tool_concurrency: view.setting("tool_concurrency").unwrap_or(default.tool_concurrency),
            approval_timeout_ms: view.millis("approval_timeout_seconds"),
            model_attempts: view.setting("model_attempts").unwrap_or(default.model_attempts),
            retry_backoff_ms: backoff,
            keep_recent: view.setting("keep_recent"),
            context_window: view.setting("max_context_window"),
            context_trim_percent: view
                .number("context_trim_percent")
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map_or(default.context_trim_percent, percent),
            summarize: self.summarize(view),
            max_tool_output: view.setting("max_tool_output_chars"),
            max_total_tool_output: view.setting("max_total_tool_output_chars"),
            language: text("language"),
            organization: text("organization"),
        }
    }

    /// Whether what no longer fits is summarised. Where everything fits, nothing is.
    fn summarize(&mut self, view: View<'a>) -> bool {
        let Some(said) = view.flag("summarize") else { return false };
        let bounds = ["keep_recent", "max_context_window"];
        if said.value && bounds.iter().all(|bound| view.setting::<usize>(bound).is_none()) {
            let message = "`summarize` does nothing: no setting says how much of the history fits".to_owned();
            let hint = Some("write `keep_recent: 50`, for example".to_owned());
            self.problems.warn(said.at, Code::NoEffect, message, hint);
        }
        said.value
    }

    fn vars(&mut self, crew_file: View<'a>) -> BTreeMap<String, Option<String>> {
        let mut vars = BTreeMap::new();
        let Some(view) = crew_file.map("vars") else { return vars };
        for (name, value) in view.entries() {
            if advice::BUILT_IN.contains(&name.value) || routing::IN_TEMPLATES.contains(&name.value) {
                let message = format!("`{}` means something else in prompts or templates", name.value);
                self.problems.error(
                    name.at,
                    Code::InvalidName,
                    message,
                    Some("choose another name".to_owned()),
                );
            } else if !is_identifier(name.value) {
                let message = format!("`{}` cannot be a placeholder's name", name.value);
                let hint = Some("letters, digits and `_`, beginning with a letter or `_`".to_owned());
                self.problems.error(name.at, Code::InvalidName, message, hint);
            } else {
                self.names.vars.insert(name.value);
                vars.insert(name.value.to_owned(), value.text().map(str::to_owned));
            }
        }
        vars
    }

    /// Rules of the script for agents that the crew does not have.
    fn script(&mut self, script: Option<&'a Node>) {
        let Some(node) = script else { return };
        for node in (View { file: SCRIPT_FILE, node }).items("rules") {
            let Some(agent) = (View { file: SCRIPT_FILE, node }).text("agent") else { continue };
            if self.names.agents.contains_key(agent.value) || self.names.broken.contains(agent.value) {
                continue;
            }
            let hint = self.problems.suggest(agent.value, self.names.agents.keys().copied());
            let message = format!("no agent is named `{}`: this rule never answers", agent.value);
            self.problems.warn(agent.at, Code::UnknownAgent, message, hint);
        }
    }

    /// The agent that a name stands for; reports an unknown one.
    fn find_agent(&mut self, name: Said<'a, &'a str>, code: Code) -> Option<AgentIx> {
        if let Some(ix) = self.names.agents.get(name.value) {
            return Some(*ix);
        }
        self.names.lost = true;
        if !self.names.broken.contains(name.value) {
            let hint = if self.names.groups.contains_key(name.value) {
                Some("that is a parallel group; only an agent can stand here".to_owned())
            } else {
                self.problems.suggest(name.value, self.names.agents.keys().copied())
            };
            self.problems.error(name.at, code, format!("no agent named `{}`", name.value), hint);
        }
        None
    }

    /// The agent or group that a name stands for; reports an unknown one.
    fn find_route(&mut self, name: Said<'a, &'a str>) -> Option<Route> {
        if let Some(ix) = self.names.agents.get(name.value) {
            return Some(Route::Agent(*ix));
        }
        if let Some(ix) = self.names.groups.get(name.value) {
            return Some(Route::Group(*ix));
        }
        self.names.lost = true;
        if !self.names.broken.contains(name.value) {
            let known = self.names.agents.keys().chain(self.names.groups.keys()).copied();
            let means_end = ENDS.contains(&name.value.to_lowercase().as_str());
            let hint = match means_end {
                true => Some("write `null` to end the run".to_owned()),
                false => self.problems.suggest(name.value, known),
            };
            let message = format!("no agent or parallel group named `{}`", name.value);
            self.problems.error(name.at, Code::UnknownTarget, message, hint);
        }
        None
    }

    /// A route as it may be written: a name, or null for the end.
    fn read_route(&mut self, file: &'a str, node: &'a Node) -> Option<Route> {
        match node.text() {
            Some("") => Some(Route::End),
            Some(name) => self.find_route(Said { value: name, at: At { file, place: node.at } }),
            None => node.is_null().then_some(Route::End),
        }
    }
}

/// Whether a text is letters, digits and `_`, not beginning with a digit.
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A percentage between 0 and 100 as a whole number.
fn percent(number: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
    let whole = number.round() as u32;
    whole
}

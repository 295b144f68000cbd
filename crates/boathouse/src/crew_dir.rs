//! Crews from folders: reads the files, and hands them to the core's check.
//!
//! A folder holds `crew.yaml`, `agents/*.yaml`, and `scripted.yaml` where the provider `scripted` answers. Nothing
//! else is read, and nothing is followed into subfolders.

mod files;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use boathouse_core::crew::check::{CREW_FILE, Catalog, Checked, SCRIPT_FILE, check};
use boathouse_core::crew::file::{Kind, Problems, validate};
use boathouse_core::crew::problem::{Code, Problem, Severity, count, lines, render, sort};
use boathouse_core::crew::yaml::{self, Node, Place};
use boathouse_core::crew::{Agent, Crew, Source};

pub use self::files::{MAX_CREW_BYTES, MAX_FILE_BYTES, MAX_FOLDER_FILES, read};
pub(crate) use self::files::{Unread, read_file, read_folder};
use crate::provider::script::{self, PROVIDER as SCRIPTED};
use crate::tool::arguments::validator;
use crate::tool::registry;

/// A crew, and the folder that it came from.
#[derive(Clone, Debug)]
pub struct CrewDir {
    /// The crew.
    pub crew: Crew,
    /// Where it was read from; `None` for a crew that came from elsewhere. Command tools run there.
    pub dir: Option<PathBuf>,
}

/// A crew that can run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The crew.
    pub crew: Crew,
    /// Where it was read from; `None` for a crew that came from elsewhere. Its command tools run there.
    pub dir: Option<PathBuf>,
    /// What does not do what the files say; the crew runs all the same.
    pub warnings: Vec<Problem>,
}

/// A crew, or its tests, that cannot run, with everything that is wrong with it.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// What it is, and where it was read: `the crew in examples/hello`.
    pub what: String,
    /// Errors and warnings, `crew.yaml` first, in the order of the text. At least one is an error.
    pub problems: Vec<Problem>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot run: {}\n\n", self.what, count(&self.problems))?;
        f.write_str(render(&self.problems).trim_end())
    }
}

impl std::error::Error for LoadError {}

/// Loads the crew in a folder. Blocks while it reads.
///
/// The folder's name is the crew's, unless `crew.yaml` has a `name`. Files are at most [`MAX_FILE_BYTES`] long and in
/// UTF-8; one that is not, or cannot be read, is a problem beside the others.
pub fn load(dir: &Path, catalog: &Catalog) -> Result<Loaded, LoadError> {
    load_files(dir, read(dir), catalog)
}

/// Loads the crew whose files [`read`] has read from a folder: the folder itself is not looked at again.
pub fn load_files(
    dir: &Path,
    (mut source, found): (Source, Vec<Problem>),
    catalog: &Catalog,
) -> Result<Loaded, LoadError> {
    // What is there but could not be read counts as there: what names its agent is not wrong, too.
    for problem in found.iter().filter(|problem| problem.is_error()) {
        source.entry(problem.file.clone()).or_default();
    }
    let mut checked = check(&source, &folder_name(dir), catalog);
    checked.problems.extend(checked.crew.iter().flat_map(broken_tools));
    checked.problems.extend(checked.crew.iter().flat_map(broken_answers));
    let broken = |problem: &Problem| problem.is_error() && problem.file == SCRIPT_FILE;
    checked.problems.extend(checked.crew.as_ref().and_then(|crew| missing_script(crew, &source)));
    if let Some(text) = source.get(SCRIPT_FILE)
        && !checked.problems.iter().chain(&found).any(broken)
    {
        checked.problems.extend(script_problems(SCRIPT_FILE, text));
    }
    finish(format!("the crew in {}", dir.display()), Some(dir.to_owned()), found, checked)
}

/// Compiles a crew from its source, as the journal keeps it: the same crew, whatever has become of its folder.
///
/// `name` is the name that it had. Fails where the program no longer has a tool or a provider that the crew names.
pub fn compile(source: Source, name: &str, catalog: &Catalog) -> Result<Crew, LoadError> {
    let loaded =
        finish(format!("the stored source of `{name}`"), None, Vec::new(), check(&source, name, catalog))?;
    Ok(loaded.crew)
}

fn finish(
    what: String,
    dir: Option<PathBuf>,
    found: Vec<Problem>,
    checked: Checked,
) -> Result<Loaded, LoadError> {
    let mut problems = checked.problems;
    // What could not be read is not empty, too.
    let unread = |file: &str| found.iter().any(|problem| problem.is_error() && problem.file == file);
    problems.retain(|problem| !(problem.code == Code::EmptyFile && unread(&problem.file)));
    problems.extend(found);
    sort(&mut problems);
    match checked.crew {
        Some(crew) if !problems.iter().any(Problem::is_error) => Ok(Loaded { crew, dir, warnings: problems }),
        _ => Err(LoadError { what, problems }),
    }
}

/// Agents that could never speak: their words would be in a file that is not there.
fn missing_script(crew: &Crew, source: &Source) -> Option<Problem> {
    let scripted = |agent: &&Agent| agent.models.iter().any(|model| model.provider == SCRIPTED);
    let agent = crew.agents.iter().find(scripted).filter(|_| !source.contains_key(SCRIPT_FILE))?;
    let message = format!(
        "`{}` asks the provider `{SCRIPTED}`, and there is no `{SCRIPT_FILE}` to answer from",
        agent.id
    );
    let hint =
        "write it (docs/scripted.md), or run with another model: `--model openai/gpt-4o-mini`".to_owned();
    Some(Problem::of_file(Severity::Warning, Code::MissingScript, CREW_FILE, message, Some(hint)))
}

/// What is wrong with the rules of a script whose YAML is sound: with its keys, or else with what they say.
pub(crate) fn script_problems(file: &str, text: &str) -> Vec<Problem> {
    let source = Source::from([(file.to_owned(), text.to_owned())]);
    let mut problems = Problems::new(&source);
    if let (Some(tree), _) = yaml::parse(text)
        && !tree.is_null()
    {
        validate(&tree, &Kind::Map(&script::keys::FILE), file, "the file", &mut problems);
    }
    if problems.any_error() {
        return problems.finish();
    }
    let lines = lines(text);
    let faults = script::check(text).into_iter();
    faults
        .map(|fault| {
            let hint = Some("docs/scripted.md explains the keys".to_owned());
            let problem = Problem::of_file(Severity::Error, Code::InvalidScript, file, fault.message, hint);
            if fault.line == 0 {
                return problem;
            }
            let place = Place { line: fault.line, column: fault.column, length: 1 };
            problem.at(place, lines.get(fault.line - 1).copied().unwrap_or_default())
        })
        .collect()
}

/// Commands that would refuse every call: only the compiler of schemas knows all that can be wrong with one.
fn broken_tools(crew: &Crew) -> Vec<Problem> {
    let broken = crew.tools.iter().filter_map(|def| Some((&def.spec.name, registry::fault(def)?)));
    broken
        .map(|(name, fault)| {
            let message = format!("the tool `{name}` cannot be called: {fault}");
            broken_schema(crew, &["tools", name, "parameters"], message)
        })
        .collect()
}

/// Schemas of answers that no answer could fit.
fn broken_answers(crew: &Crew) -> Vec<Problem> {
    let schemas = crew.agents.iter().filter_map(|agent| Some((&agent.id, agent.answer_schema.as_ref()?)));
    let broken = schemas.filter_map(|(id, schema)| Some((id, validator(schema).err()?)));
    broken
        .map(|(id, fault)| {
            let message = format!("no answer can be given to `{id}`: {fault}");
            broken_schema(crew, &["routing", "agent_behaviors", id.as_str(), "answer_schema"], message)
        })
        .collect()
}

/// A problem with the schema at a path of `crew.yaml`, or as near to it as the file goes.
fn broken_schema(crew: &Crew, path: &[&str], message: String) -> Problem {
    let text = crew.source.get(CREW_FILE).map_or("", String::as_str);
    let hint =
        Some("write a JSON Schema, such as `{type: object, properties: {host: {type: string}}}`".to_owned());
    let problem = Problem::of_file(Severity::Error, Code::InvalidSchema, CREW_FILE, message, hint);
    let (root, _) = yaml::parse(text);
    let mut node = root.as_ref();
    let mut place = None;
    for key in path {
        let entry = node.and_then(Node::entries).and_then(|all| all.iter().find(|entry| entry.key == *key));
        let Some(entry) = entry else { break };
        (node, place) = (Some(&entry.value), Some(entry.key_at));
    }
    match place {
        Some(at) => problem.at(at, lines(text).get(at.line.wrapping_sub(1)).copied().unwrap_or_default()),
        None => problem,
    }
}

/// The name of a folder, also where the path is `.` or ends in `..`.
fn folder_name(dir: &Path) -> String {
    let own = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    own.or_else(|| Some(fs::canonicalize(dir).ok()?.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

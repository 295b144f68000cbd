//! Crews from folders: reads the files, and hands them to the core's check.
//!
//! A folder holds `crew.yaml`, `agents/*.yaml`, and `scripted.yaml` where the provider `scripted` answers. Nothing
//! else is read, and nothing is followed into subfolders.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use boathouse_core::crew::check::{AGENTS_DIR, CREW_FILE, Catalog, Checked, SCRIPT_FILE, check};
use boathouse_core::crew::file::{Kind, Problems, validate};
use boathouse_core::crew::problem::{Code, Problem, Severity, count, lines, render, sort};
use boathouse_core::crew::yaml::{self, Node, Place};
use boathouse_core::crew::{Agent, Crew, Source};

use crate::provider::script::{self, PROVIDER as SCRIPTED};
use crate::tool::arguments::validator;
use crate::tool::registry;

/// A file of a crew that is larger is refused.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// A crew whose files are larger together is refused; its tests count for themselves.
pub const MAX_CREW_BYTES: usize = 8 * 1024 * 1024;
/// A crew with more files under `agents/`, or under `tests/`, is refused.
pub const MAX_FOLDER_FILES: usize = 1000;

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

/// Reads the files of a crew's folder, and says what could not be read.
pub fn read(dir: &Path) -> (Source, Vec<Problem>) {
    let mut source = Source::new();
    let mut problems = Vec::new();
    if fs::metadata(dir).is_ok_and(|kind| !kind.is_dir()) {
        return (source, vec![missing(dir)]);
    }
    match read_file(&dir.join(CREW_FILE)) {
        Ok(text) => {
            source.insert(CREW_FILE.to_owned(), text);
        }
        Err(Unread::Missing) => problems.push(missing(dir)),
        Err(unread) => problems.push(unread.problem(CREW_FILE)),
    }
    match read_file(&dir.join(SCRIPT_FILE)) {
        Ok(text) => {
            source.insert(SCRIPT_FILE.to_owned(), text);
        }
        Err(Unread::Missing) => {}
        Err(unread) => problems.push(unread.problem(SCRIPT_FILE)),
    }
    read_folder(dir, AGENTS_DIR, &mut source, &mut problems);
    (source, problems)
}

fn missing(dir: &Path) -> Problem {
    let (message, hint) = if dir.join("crew.yml").is_file() {
        ("the file is missing", "rename `crew.yml` to `crew.yaml`".to_owned())
    } else if dir.is_dir() {
        ("the file is missing", "a crew needs a `crew.yaml` that lists its agents".to_owned())
    } else if dir.exists() {
        ("a crew is a folder, and this is a file", folder_of(dir))
    } else {
        ("there is no such folder", format!("`{}` does not exist", dir.display()))
    };
    Problem::of_file(Severity::Error, Code::MissingFile, CREW_FILE, message, Some(hint))
}

/// What to give instead of a file.
fn folder_of(file: &Path) -> String {
    if !file.ends_with(CREW_FILE) {
        return "give the folder that holds `crew.yaml`".to_owned();
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    format!("give its folder, `{}`", dir.display())
}

/// Reads the YAML files of a folder of the crew's folder, by their names from there; `folder` ends with `/`.
pub(crate) fn read_folder(dir: &Path, folder: &str, source: &mut Source, problems: &mut Vec<Problem>) {
    let entries = match fs::read_dir(dir.join(folder)) {
        Ok(entries) => entries,
        // A crew with inline agents has no folder of agents.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let message = "this is a file, and a folder is meant";
            let hint = Some(format!("remove it, or make a folder `{folder}` with the files in it"));
            let problem = Problem::of_file(Severity::Error, Code::UnreadableFile, folder, message, hint);
            return problems.push(problem);
        }
        Err(error) => return problems.push(Unread::Failed(error).problem(folder)),
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name()),
            Err(error) => problems.push(Unread::Failed(error).problem(folder)),
        }
    }
    names.sort();
    names.retain(|name| Path::new(name).extension().is_some_and(|end| end == "yaml" || end == "yml"));
    if names.len() > MAX_FOLDER_FILES {
        let message = format!("more than {MAX_FOLDER_FILES} files");
        let hint = Some("remove what does not belong there, or make several crews of it".to_owned());
        problems.push(Problem::of_file(Severity::Error, Code::TooManyFiles, folder, message, hint));
        return;
    }
    let mut bytes: usize = source.values().map(String::len).sum();
    for name in names {
        // Editors keep copies and locks beside a file, under names that begin with a dot.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let file = format!("{folder}{}", name.to_string_lossy());
        if name.to_str().is_none() {
            let message = "the file's name is not UTF-8".to_owned();
            let hint = Some("rename it".to_owned());
            problems.push(Problem::of_file(Severity::Error, Code::InvalidUtf8, file, message, hint));
        } else if file.ends_with(".yml") {
            let hint = Some(format!("rename it to `{}`", file.replace(".yml", ".yaml")));
            let message = "the file is not read: its name does not end in `.yaml`";
            problems.push(Problem::of_file(Severity::Warning, Code::WrongExtension, file, message, hint));
        } else {
            match read_file(&dir.join(folder).join(&name)) {
                Ok(text) => {
                    bytes += text.len();
                    if bytes > MAX_CREW_BYTES {
                        // Nobody waits for what cannot be served anyway.
                        source.retain(|file, _| !file.starts_with(folder));
                        let mib = MAX_CREW_BYTES / 1024 / 1024;
                        let message = format!("the files are larger than {mib} MiB together");
                        let hint = Some("make several crews of them".to_owned());
                        problems.push(Problem::of_file(
                            Severity::Error,
                            Code::TooLarge,
                            folder,
                            message,
                            hint,
                        ));
                        return;
                    }
                    source.insert(file, text);
                }
                Err(unread) => problems.push(unread.problem(&file)),
            }
        }
    }
}

/// Why a file could not be read.
pub(crate) enum Unread {
    Missing,
    TooLarge,
    NotUtf8(usize),
    Utf16,
    AFolder,
    NotAFile,
    Failed(io::Error),
}

impl Unread {
    pub(crate) fn problem(self, file: &str) -> Problem {
        const SAVE: &str = "save it as UTF-8";
        let (code, message, hint) = match self {
            Unread::Missing => {
                (Code::MissingFile, "the file is missing".to_owned(), "write it, or correct its name")
            }
            Unread::TooLarge => (
                Code::TooLarge,
                format!("the file is larger than {} MiB", MAX_FILE_BYTES / 1024 / 1024),
                "agents can have files of their own in `agents/`, and long texts can be read by a tool",
            ),
            Unread::NotUtf8(line) => {
                let message = format!("the file is not UTF-8 text: line {line} holds other bytes");
                (Code::InvalidUtf8, message, SAVE)
            }
            Unread::Utf16 => (Code::InvalidUtf8, "the file is UTF-16, not UTF-8".to_owned(), SAVE),
            Unread::AFolder => (
                Code::UnreadableFile,
                "this is a folder, and a file is meant".to_owned(),
                "rename the folder, or remove it",
            ),
            Unread::NotAFile => (
                Code::UnreadableFile,
                "this is a pipe or a device, and a file is meant".to_owned(),
                "put a file in its place, or remove it",
            ),
            Unread::Failed(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::PermissionDenied => "let yourself read it, as with `chmod u+r`",
                    _ => "if it is a link, make it lead to a file",
                };
                (Code::UnreadableFile, format!("the file cannot be read: {error}"), hint)
            }
        };
        Problem::of_file(Severity::Error, code, file, message, Some(hint.to_owned()))
    }
}

/// The text of a file of a crew.
pub(crate) fn read_file(path: &Path) -> Result<String, Unread> {
    // Opening a pipe would block until someone writes to it.
    let kind = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Failed(error),
    })?;
    if kind.is_dir() {
        return Err(Unread::AFolder);
    }
    if !kind.is_file() {
        return Err(Unread::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(Unread::Failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Unread::TooLarge);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Unread::Utf16);
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Unread::NotUtf8(sound.iter().filter(|byte| **byte == b'\n').count() + 1)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot write its files fails")]

    use super::*;

    const CREW: &str = "name: pair\nagents: [one]\n";
    const ONE: &[u8] = b"id: one\nprovider: scripted\n";

    fn catalog() -> Catalog {
        Catalog { tools: Vec::new(), providers: vec!["scripted".to_owned()] }
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("agents")).unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        dir
    }

    /// Severity, code and file of each problem.
    fn problems(files: &[(&str, &[u8])]) -> Vec<(bool, Code, String)> {
        let dir = folder(files);
        let problems = match load(dir.path(), &catalog()) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.problems,
        };
        problems.into_iter().map(|problem| (problem.is_error(), problem.code, problem.file)).collect()
    }

    #[test]
    fn a_folder_becomes_a_crew_and_its_stored_source_the_same_crew() {
        let dir = folder(&[
            ("crew.yaml", CREW.as_bytes()),
            ("agents/one.yaml", ONE),
            ("scripted.yaml", b"rules: []\n"),
        ]);
        let loaded = load(dir.path(), &catalog()).unwrap();
        assert_eq!((loaded.crew.name.as_str(), loaded.warnings), ("pair", Vec::new()));
        assert_eq!(
            loaded.crew.source.keys().collect::<Vec<_>>(),
            ["agents/one.yaml", "crew.yaml", "scripted.yaml"]
        );
        let again = compile(loaded.crew.source, "other", &catalog()).unwrap();
        assert_eq!((again.hash, again.name), (loaded.crew.hash, loaded.crew.name));
    }

    #[test]
    fn a_crew_without_a_name_is_called_like_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("quiz-exam");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("crew.yaml"), "agents: [{id: one, provider: scripted}]\n").unwrap();
        assert_eq!(load(&inside, &catalog()).unwrap().crew.name, "quiz-exam");
        assert_eq!(load(&inside.join("."), &catalog()).unwrap().crew.name, "quiz-exam");
    }

    #[test]
    fn everything_that_cannot_be_read_is_said_at_once() {
        let large = vec![b'#'; usize::try_from(MAX_FILE_BYTES).unwrap() + 1];
        assert_eq!(
            problems(&[
                ("crew.yaml", CREW.as_bytes()),
                ("agents/one.yaml", &large),
                ("agents/two.yaml", b"id: two\nname: \xff\n"),
                ("agents/three.yml", ONE),
            ]),
            [
                (true, Code::TooLarge, "agents/one.yaml".to_owned()),
                (false, Code::WrongExtension, "agents/three.yml".to_owned()),
                (true, Code::InvalidUtf8, "agents/two.yaml".to_owned()),
            ]
        );
    }

    #[test]
    fn a_schema_that_cannot_be_compiled_is_an_error_at_its_place() {
        let text = "agents: [{id: one, provider: scripted, tools: [Find]}]
tools:
  Find:
    description: Finds.
    command: {argv: [grep, '{text}']}
    parameters: {type: object, properties: {text: {type: string, pattern: '('}}}
";
        let dir = folder(&[("crew.yaml", text.as_bytes()), ("scripted.yaml", b"rules: []\n")]);
        let error = load(dir.path(), &catalog()).unwrap_err();
        let places: Vec<_> = error.problems.iter().map(|p| (p.code, p.line, p.column)).collect();
        assert_eq!(places, [(Code::InvalidSchema, 6, 5)], "{error}");
    }

    #[test]
    fn a_file_of_the_largest_size_is_read() {
        let mut text = ONE.to_vec();
        text.resize(usize::try_from(MAX_FILE_BYTES).unwrap(), b'#');
        let files: [(&str, &[u8]); 3] =
            [("crew.yaml", CREW.as_bytes()), ("agents/one.yaml", &text), ("scripted.yaml", b"rules: []\n")];
        assert_eq!(problems(&files), []);
        assert_eq!(problems(&files[..2]), [(false, Code::MissingScript, "crew.yaml".to_owned())]);
    }

    #[test]
    fn a_missing_crew_file_says_what_to_do() {
        for (files, hint) in [
            (&[("crew.yml", CREW.as_bytes())][..], "rename `crew.yml` to `crew.yaml`"),
            (&[], "a crew needs a `crew.yaml` that lists its agents"),
        ] {
            let dir = folder(files);
            let error = load(dir.path(), &catalog()).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{error}");
            assert!(error.to_string().contains(hint), "{error}");
        }
        let error = load(Path::new("/nowhere/at/all"), &catalog()).unwrap_err();
        assert!(error.to_string().contains("`/nowhere/at/all` does not exist"), "{error}");
    }

    #[test]
    fn a_stored_source_whose_tool_is_gone_does_not_compile() {
        let text = "agents: [{id: one, provider: scripted, tools: [Gone]}]\n";
        let source = Source::from([("crew.yaml".to_owned(), text.to_owned())]);
        let error = compile(source, "old", &catalog()).unwrap_err();
        assert_eq!(error.problems[0].code, Code::UnknownTool);
        assert!(error.to_string().starts_with("the stored source of `old` cannot run: 1 error"));
    }
}

//! A crew's files on disk: which of them are read, and why one could not be.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use boathouse_core::crew::Source;
use boathouse_core::crew::check::{AGENTS_DIR, CREW_FILE, SCRIPT_FILE};
use boathouse_core::crew::problem::{Code, Problem, Severity};

/// A file of a crew that is larger is refused.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// A crew whose files are larger together is refused; its tests count for themselves.
pub const MAX_CREW_BYTES: usize = 8 * 1024 * 1024;
/// A crew with more files under `agents/`, or under `tests/`, is refused.
pub const MAX_FOLDER_FILES: usize = 1000;

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

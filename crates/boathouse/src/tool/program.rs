//! A program that a crew names: where it is found, and which environment it gets.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::ToolError;

/// Environment variables that every program gets, where they are set.
const HANDED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
/// Where programs are looked for if `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command that starts a program under its own name, with no environment but what is handed on.
pub(super) fn command(program: &str, env: &[String], crew_dir: Option<&Path>) -> Result<Command, ToolError> {
    let mut command = Command::new(locate(program, crew_dir)?);
    let names = HANDED_ON.into_iter().chain(env.iter().map(String::as_str));
    command.arg0(program).env_clear().env("PATH", DEFAULT_PATH);
    command.envs(names.filter_map(|name| Some((name, std::env::var_os(name)?))));
    Ok(command)
}

/// A program written as a path is found from the crew's folder; a bare name is looked for in `PATH`.
///
/// It is looked for here: whoever sets `PATH` for a program and leaves the looking to the child has this process copied
/// with all its memory for each call (`fork`), instead of a child that borrows it until it starts (`posix_spawn`).
fn locate(program: &str, crew_dir: Option<&Path>) -> Result<PathBuf, ToolError> {
    match crew_dir {
        Some(dir) if program.contains('/') => {
            let path = dir.join(program);
            Ok(std::path::absolute(&path).unwrap_or(path))
        }
        // Not from wherever this process was started: there may be another program.
        None if program.contains('/') && !program.starts_with('/') => {
            Err(ToolError::Refused(format!("`{program}` is in the crew's folder, but the crew has none")))
        }
        Some(_) | None if program.contains('/') => Ok(PathBuf::from(program)),
        // Whatever is wrong with it is told when it is started.
        Some(_) | None => Ok(find(program).unwrap_or_else(|| PathBuf::from(program))),
    }
}

/// The first file of this name that may be executed in the folders of `PATH`; relative ones do not count.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let is_program = |file: &PathBuf| {
        file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(is_program)
}

//! What a command tool may start: argument lists that no shell reads and no model can turn into another program.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::crew::check::{Check, is_identifier};
use crate::crew::file::{Said, View};
use crate::crew::problem::Code;
use crate::crew::{CommandLine, CommandSpec};

use super::is_below;
use super::places::{Places, placeholders};

/// Programs that read an argument as a program of its own.
const SHELLS: [&str; 12] =
    ["sh", "bash", "zsh", "dash", "ash", "ksh", "fish", "csh", "tcsh", "cmd", "powershell", "pwsh"];

impl<'a> Check<'a> {
    /// A command, and the schema of its arguments.
    pub(super) fn command(&mut self, command: View<'a>, tool: View<'a>) -> Option<(CommandSpec, Value)> {
        let (run, parameters) = match (command.get("argv"), command.get("allow")) {
            (Some(_), None) => {
                let parameters = self.tool_parameters(tool)?;
                (self.argv(command, tool, &parameters)?, parameters)
            }
            (None, Some(_)) => {
                if let Some(at) = tool.key("parameters") {
                    let message =
                        "`parameters` does nothing here: a tool with an allow-list takes only `command`";
                    let hint = Some("remove it".to_owned());
                    self.problems.warn(at, Code::NoEffect, message.to_owned(), hint);
                }
                self.allow_list(command)?
            }
            (argv, _) => {
                let message = match argv {
                    Some(_) => "`command` has both `argv` and `allow`",
                    None => "`command` needs `argv` or `allow`",
                };
                let hint = "write `argv: [PROGRAM, ARGUMENT]` for one command, or `allow` with all that the model may choose from";
                self.problems.error(
                    command.at(),
                    Code::InvalidCommand,
                    message.to_owned(),
                    Some(hint.to_owned()),
                );
                return None;
            }
        };
        let cwd = tool.text("cwd").filter(|cwd| !cwd.value.is_empty());
        let env = self.env(tool);
        if let Some(cwd) = cwd.filter(|cwd| !is_below(cwd.value)) {
            let message = format!("`{}` is not below the crew's folder", cwd.value);
            let hint = Some("write a relative path without `..`".to_owned());
            self.problems.error(cwd.at, Code::InvalidPath, message, hint);
        }
        Some((CommandSpec { run, cwd: cwd.map(|cwd| cwd.value.to_owned()), env }, parameters))
    }

    /// Names of environment variables that a program gets.
    pub(super) fn env(&mut self, view: View<'a>) -> Vec<String> {
        let env = view.texts("env");
        for variable in env.iter().filter(|said| !is_identifier(said.value)) {
            let message = format!("`{}` is not the name of an environment variable", variable.value);
            let hint = match variable.value.contains('=') {
                true => "only names are listed; the values come from the environment of the program",
                false => "a name has letters, digits and `_`, and begins with no digit",
            };
            self.problems.error(variable.at, Code::InvalidName, message, Some(hint.to_owned()));
        }
        env.iter().map(|said| said.value.to_owned()).collect()
    }

    fn argv(&mut self, command: View<'a>, tool: View<'a>, parameters: &Value) -> Option<CommandLine> {
        let argv = command.texts("argv");
        let errors_before = self.problems.error_count();
        let Some(program) = argv.first() else {
            let at = command.key("argv").unwrap_or(command.at());
            let message = "`argv` is empty: it needs the program, then its arguments".to_owned();
            self.problems.error(
                at,
                Code::InvalidCommand,
                message,
                Some("write `argv: [PROGRAM, ARGUMENT]`".to_owned()),
            );
            return None;
        };
        self.program(*program);
        let mut places = Places::new(parameters);
        for (place, element) in argv.iter().enumerate().skip(1) {
            self.places_in(*element, &mut places);
            if reads_program(program.value, argv[1..place].iter().map(|said| said.value)) {
                for name in placeholders(element.value) {
                    let message =
                        format!("`{}` would read the argument `{name}` as a program", program.value);
                    let hint = Some("name the program itself, or list what may run under `allow`".to_owned());
                    self.problems.error(element.at, Code::FreeShell, message, hint);
                }
            }
        }
        self.idle_parameters(tool, &places, "argv", "command");
        let sound = self.problems.error_count() == errors_before;
        sound.then(|| CommandLine::Argv(argv.iter().map(|said| said.value.to_owned()).collect()))
    }

    fn allow_list(&mut self, command: View<'a>) -> Option<(CommandLine, Value)> {
        let errors_before = self.problems.error_count();
        let list = command.map("allow");
        let mut allowed = BTreeMap::new();
        for (name, _) in list.iter().flat_map(View::entries) {
            let argv = list.map(|list| list.texts(name.value)).unwrap_or_default();
            for element in argv.iter().skip(1).filter(|element| !placeholders(element.value).is_empty()) {
                let message =
                    "an allow-list has no parameters: its commands run as they are written".to_owned();
                let hint = Some("define a tool with `argv` and `parameters` for this one".to_owned());
                self.problems.error(element.at, Code::InvalidCommand, message, hint);
            }
            match argv.first() {
                Some(program) => self.program(*program),
                None => {
                    let message = format!("`{}` has no program to run", name.value);
                    let hint = Some(format!("write `{}: [program, argument]`", name.value));
                    self.problems.error(name.at, Code::InvalidCommand, message, hint);
                }
            }
            allowed.insert(name.value.to_owned(), argv.iter().map(|said| said.value.to_owned()).collect());
        }
        if allowed.is_empty() {
            let at = command.key("allow").unwrap_or(command.at());
            let message = "`allow` lists no command".to_owned();
            self.problems.error(
                at,
                Code::InvalidCommand,
                message,
                Some("write `name: [program, argument]`".to_owned()),
            );
        }
        if self.problems.error_count() > errors_before {
            return None;
        }
        let names: Vec<&String> = allowed.keys().collect();
        let lines: Vec<String> = allowed
            .iter()
            .map(|(name, argv): (&String, &Vec<String>)| format!("{name}: {}", argv.join(" ")))
            .collect();
        let schema = json!({
            "type": "object",
            "properties": {
                "command": {
                    "type": "string",
                    "enum": names,
                    "description": format!("which command to run. {}", lines.join("; ")),
                },
            },
            "required": ["command"],
            "additionalProperties": false,
        });
        Some((CommandLine::Allow(allowed), schema))
    }

    pub(super) fn program(&mut self, program: Said<'a, &'a str>) {
        let fault = if program.value.is_empty() {
            "the program's name is empty"
        } else if !placeholders(program.value).is_empty() {
            "a model must not choose the program"
        } else if program.value.contains(char::is_whitespace) && !program.value.contains('/') {
            "this is a line for a shell, and no shell reads it: write each argument as an element"
        } else {
            return;
        };
        let hint = Some("write `[df, -h]`".to_owned());
        self.problems.error(program.at, Code::InvalidCommand, fault.to_owned(), hint);
    }
}

/// Whether a program reads an argument that comes after `before` as a program: a shell, with `-c` or as its script.
fn reads_program<'e>(program: &str, before: impl Iterator<Item = &'e str>) -> bool {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_ascii_lowercase();
    if !SHELLS.contains(&name.strip_suffix(".exe").unwrap_or(&name)) {
        return false;
    }
    let mut script = false;
    for element in before {
        let letters = element.strip_prefix('-').filter(|rest| rest.chars().all(|c| c.is_ascii_alphabetic()));
        if letters.is_some_and(|letters| letters.contains(['c', 'C'])) || element.eq_ignore_ascii_case("/c") {
            return true;
        }
        script |= letters.is_none();
    }
    !script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_may_take_arguments_for_a_script_but_no_script() {
        let reads = |argv: &[&'static str]| reads_program(argv[0], argv[1..].iter().copied());
        for argv in [
            &["sh", "-c"][..],
            &["/bin/bash", "-lc"],
            &["bash"],
            &["pwsh", "-Command"],
            &["cmd.exe", "/c"],
            &["sh", "-c", "echo"],
        ] {
            assert!(reads(argv), "{argv:?}");
        }
        for argv in [&["sh", "report.sh"][..], &["bash", "-x", "report.sh"], &["df"], &["wash"]] {
            assert!(!reads(argv), "{argv:?}");
        }
    }
}

//! What a command tool may start: argument lists that no shell reads and no model can turn into another program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::crew::CommandLine;
use crate::crew::argv::{self, Piece};
use crate::crew::check::Check;
use crate::crew::file::{Said, View};
use crate::crew::problem::Code;

/// Programs that read an argument as a program of its own.
const SHELLS: [&str; 12] =
    ["sh", "bash", "zsh", "dash", "ash", "ksh", "fish", "csh", "tcsh", "cmd", "powershell", "pwsh"];

impl<'a> Check<'a> {
    pub(super) fn argv(
        &mut self,
        command: View<'a>,
        tool: View<'a>,
        parameters: &Value,
    ) -> Option<CommandLine> {
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
        let declared: BTreeSet<&str> = parameters
            .get("properties")
            .and_then(Value::as_object)
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let mut used = BTreeSet::new();
        for (place, element) in argv.iter().enumerate().skip(1) {
            for name in placeholders(element.value) {
                if !declared.contains(name.as_str()) {
                    let message = format!("`{{{name}}}` is not a parameter of this tool");
                    let hint = self.problems.similar(&name, declared.iter().copied());
                    let hint = hint.unwrap_or_else(|| {
                        format!(
                            "declare it under `parameters`, or write `{{{{{name}}}}}` for the text itself"
                        )
                    });
                    self.problems.error(element.at, Code::UnknownPlaceholder, message, Some(hint));
                }
                if reads_program(program.value, argv[1..place].iter().map(|said| said.value)) {
                    let message =
                        format!("`{}` would read the argument `{name}` as a program", program.value);
                    let hint = Some("name the program itself, or list what may run under `allow`".to_owned());
                    self.problems.error(element.at, Code::FreeShell, message, hint);
                }
                used.insert(name);
            }
        }
        for name in declared.iter().filter(|name| !used.contains(**name)) {
            let at = tool.key("parameters").unwrap_or(tool.at());
            let message = format!("the parameter `{name}` does nothing: `argv` has no `{{{name}}}`");
            let hint =
                Some(format!("write `{{{name}}}` where the command needs it, or remove the parameter"));
            self.problems.warn(at, Code::NoEffect, message, hint);
        }
        let sound = self.problems.error_count() == errors_before;
        sound.then(|| CommandLine::Argv(argv.iter().map(|said| said.value.to_owned()).collect()))
    }

    pub(super) fn allow_list(&mut self, command: View<'a>) -> Option<(CommandLine, Value)> {
        let errors_before = self.problems.error_count();
        let list = command.map("allow");
        let mut allowed = BTreeMap::new();
        for (name, _) in list.iter().flat_map(View::entries) {
            let argv = list.map(|list| list.texts(name.value)).unwrap_or_default();
            for element in argv.iter().skip(1).filter(|element| placeholders(element.value).next().is_some())
            {
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

    fn program(&mut self, program: Said<'a, &'a str>) {
        let fault = if program.value.is_empty() {
            "the program's name is empty"
        } else if placeholders(program.value).next().is_some() {
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

/// The names of the arguments that have a place in an element.
fn placeholders(element: &str) -> impl Iterator<Item = String> {
    argv::pieces(element).into_iter().filter_map(|piece| match piece {
        Piece::Argument(name) => Some(name),
        Piece::Text(_) => None,
    })
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

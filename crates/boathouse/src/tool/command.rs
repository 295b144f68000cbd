//! Tools of kind `command`: a program with an argument list. No shell ever reads anything that a model wrote.
//!
//! What a model gives fills placeholders and nothing else: the program and the number of its arguments are the
//! crew's, a value stays one piece, and a value cannot become an option of the program (see `Template::fill`).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use boathouse_core::crew::argv::{Piece, pieces};
use boathouse_core::crew::{CommandLine, CommandSpec, ToolSpec};
use serde_json::Value;

use super::arguments::{argument, as_text};
use super::{Stop, Tool, ToolCx, ToolError, process, program};

/// Holds [`ToolCx::idempotency_key`] for the program.
const KEY_VARIABLE: &str = "BOATHOUSE_IDEMPOTENCY_KEY";
/// The argument that names an entry of an allow-list.
const CHOICE: &str = "command";

/// A tool that starts a program.
pub struct CommandTool {
    spec: Arc<ToolSpec>,
    run: Templates,
    cwd: Option<PathBuf>,
    env: Vec<String>,
}

enum Templates {
    One(Template),
    Allowed(BTreeMap<String, Template>),
}

impl CommandTool {
    /// Reads a definition. The error says what is wrong with it.
    pub fn new(spec: Arc<ToolSpec>, command: &CommandSpec) -> Result<CommandTool, String> {
        let properties = spec.parameters.get("properties");
        let template = |argv: &[String]| Template::parse(argv, properties);
        let run = match &command.run {
            CommandLine::Argv(argv) => Templates::One(template(argv)?),
            CommandLine::Allow(entries) => Templates::Allowed(
                entries
                    .iter()
                    .map(|(name, argv)| match template(argv) {
                        Ok(template) => Ok((name.clone(), template)),
                        Err(problem) => Err(format!("entry `{name}`: {problem}")),
                    })
                    .collect::<Result<_, String>>()?,
            ),
        };
        let cwd = command.cwd.as_deref().map(PathBuf::from);
        if let Some(cwd) = &cwd
            && !cwd.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(format!(
                "the working directory `{}` is not below the crew's folder; write a relative path without `..`",
                cwd.display()
            ));
        }
        if let Some(name) = command.env.iter().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(format!("`{name}` is no name of an environment variable"));
        }
        Ok(CommandTool { spec, run, cwd, env: command.env.clone() })
    }

    fn template(&self, arguments: &Value) -> Result<&Template, ToolError> {
        match &self.run {
            Templates::One(template) => Ok(template),
            Templates::Allowed(entries) => {
                let choice = arguments.get(CHOICE).and_then(Value::as_str).unwrap_or_default();
                entries.get(choice).ok_or_else(|| {
                    let names: Vec<&str> = entries.keys().map(String::as_str).collect();
                    ToolError::Refused(format!(
                        "`{choice}` is not allowed; `{CHOICE}` is one of: {}",
                        names.join(", ")
                    ))
                })
            }
        }
    }

    /// The crew's folder, or the folder in it that the definition names.
    async fn working_directory(&self, cx: &ToolCx) -> Result<Option<PathBuf>, ToolError> {
        let refused = |why: String| ToolError::Refused(format!("tool {}: {why}", self.spec.name));
        let (base, cwd) = match (&cx.crew_dir, &self.cwd) {
            (base, None) => return Ok(base.clone()),
            (None, Some(_)) => {
                return Err(refused("it has a working directory, but the crew has no folder".into()));
            }
            (Some(base), Some(cwd)) => (base, base.join(cwd)),
        };
        let resolve = async |path: &Path| {
            let found = tokio::fs::canonicalize(path).await;
            found.map_err(|error| refused(format!("working directory {}: {error}", path.display())))
        };
        let (base, cwd) = (resolve(base).await?, resolve(&cwd).await?);
        if cwd.starts_with(&base) {
            Ok(Some(cwd))
        } else {
            Err(refused(format!(
                "its working directory leads out of the crew's folder, to {}",
                cwd.display()
            )))
        }
    }
}

#[async_trait]
impl Tool for CommandTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, arguments: &Value, cx: &ToolCx) -> Result<String, ToolError> {
        let template = self.template(arguments)?;
        let defaults = self.spec.parameters.get("properties");
        let filled = template.fill(arguments, defaults).map_err(ToolError::Refused)?;
        let mut command = program::command(&template.program, &self.env, cx.crew_dir.as_deref())?;
        command.args(filled);
        if let Some(directory) = self.working_directory(cx).await? {
            command.current_dir(directory);
        }
        command.env(KEY_VARIABLE, &cx.idempotency_key);
        let ended = process::run(command, self.spec.max_output_bytes, cx).await?;
        told(&template.program, ended)
    }

    fn stop(&self) -> Stop {
        Stop::Cooperate
    }
}

/// What the model is told of a program that ended by itself.
fn told(program: &str, ended: process::Ended) -> Result<String, ToolError> {
    let part = |name: &str, text: &str| match text.trim_end() {
        "" => String::new(),
        text => format!("\n[{name}]\n{text}"),
    };
    let stderr = part("stderr", &ended.stderr);
    if ended.status.success() {
        return Ok(match (ended.stdout.trim_end(), &*stderr) {
            ("", "") => "done, without output".to_owned(),
            ("", _) => stderr.trim_start().to_owned(),
            (stdout, _) => format!("{stdout}{stderr}"),
        });
    }
    let rest = format!("{stderr}{}", part("stdout", &ended.stdout));
    match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => Err(ToolError::Failed(format!("`{program}` ended with exit code {code}{rest}"))),
        (None, Some(signal)) => {
            Err(ToolError::Unknown(format!("`{program}` was ended by signal {signal}{rest}")))
        }
        (None, None) => Err(ToolError::Unknown(format!("`{program}` ended in an unknown way{rest}"))),
    }
}

/// A program and its arguments with places to fill.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    program: String,
    elements: Vec<Vec<Piece>>,
}

impl Template {
    fn parse(argv: &[String], properties: Option<&Value>) -> Result<Template, String> {
        let Some((program, elements)) = argv.split_first() else {
            return Err("there is no program to run".to_owned());
        };
        if program.is_empty() || pieces(program).iter().any(|piece| matches!(piece, Piece::Argument(_))) {
            return Err(format!("the program `{program}` has to be fixed, and not empty"));
        }
        let elements: Vec<Vec<Piece>> = elements.iter().map(|element| pieces(element)).collect();
        for piece in elements.iter().flatten() {
            if let Piece::Argument(name) = piece
                && properties.is_none_or(|properties| properties.get(name).is_none())
            {
                return Err(format!(
                    "`{{{name}}}` is no parameter of the tool; declare it, or write `{{{{{name}}}}}` for the text"
                ));
            }
        }
        Ok(Template { program: program.clone(), elements })
    }

    /// The arguments for a call.
    ///
    /// A value stays within its element, whatever is in it. An element whose argument is missing or null, and has no
    /// default, is left out. A value that would begin its element with `-` is refused, because the program would
    /// take it for an option; after an element `--`, where programs expect no options, it is not.
    fn fill(&self, arguments: &Value, properties: Option<&Value>) -> Result<Vec<String>, String> {
        let mut filled = Vec::with_capacity(self.elements.len());
        let mut operands = false;
        'elements: for element in &self.elements {
            let mut text = String::new();
            for piece in element {
                match piece {
                    Piece::Text(fixed) => text.push_str(fixed),
                    Piece::Argument(name) => match argument(name, arguments, properties) {
                        Some(value) => text.push_str(&as_text(value)),
                        None => continue 'elements,
                    },
                }
            }
            if text.contains('\0') {
                return Err("an argument holds a zero byte, which no program can take".to_owned());
            }
            if let Some(Piece::Argument(name)) = element.first()
                && text.starts_with('-')
                && !operands
            {
                return Err(format!(
                    "`{name}` may not begin with `-` here: the program would take it for an option"
                ));
            }
            operands |= matches!(element.as_slice(), [Piece::Text(fixed)] if fixed == "--");
            filled.push(text);
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests;

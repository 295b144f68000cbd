//! Which calls of a tool a person must approve.

use serde_json::Value;

use crate::crew::Approval;
use crate::crew::check::Check;
use crate::crew::file::{At, Said, View};
use crate::crew::problem::Code;

impl<'a> Check<'a> {
    /// `approval` of a tool; an error counts as `always`.
    pub(super) fn approval(&mut self, tool: View<'a>, parameters: &Value) -> Approval {
        let said = tool.text("approval");
        let approval = match said {
            None => Approval::Never,
            Some(said) => match Approval::parse(said.value) {
                Ok(approval) => approval,
                Err(error) => {
                    let at = match (&error.unknown, error.line) {
                        (Some(name), _) => self.problems.find(said.at, name),
                        (None, line) => self.line_of(said, line),
                    };
                    let hint = match &error.unknown {
                        Some(name) => format!("the arguments are under `args`: write `args.{name}`"),
                        None => {
                            "write `never`, `always`, or an expression such as `args.amount > 100`".to_owned()
                        }
                    };
                    let message = format!("the expression of `approval` cannot be read: {error}");
                    self.problems.error(at, Code::BadExpression, message, Some(hint));
                    return Approval::Always;
                }
            },
        };
        if let (Approval::Never, Some(at)) = (&approval, tool.key("approval_timeout_seconds")) {
            let message = "`approval_timeout_seconds` does nothing: no call of this tool needs an approval";
            let hint = Some("write `approval: always`, or an expression over `args`".to_owned());
            self.problems.warn(at, Code::NoEffect, message.to_owned(), hint);
        }
        if let Some(said) = said {
            self.unknown_arguments(said, &approval, parameters);
        }
        approval
    }

    /// Arguments that the expression looks at and the tool does not have: it would ask about every call.
    fn unknown_arguments(&mut self, said: Said<'a, &'a str>, approval: &Approval, parameters: &Value) {
        let properties = parameters.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for name in approval.arguments().iter().filter(|name| !known.contains(&name.as_str())) {
            let at = self.problems.find(said.at, name);
            let message = format!(
                "`args.{name}` is not a parameter of this tool: without it a person is asked each time"
            );
            let hint = self.problems.similar(name, known.iter().copied());
            let hint = hint.unwrap_or_else(|| "declare it under `parameters`".to_owned());
            self.problems.warn(at, Code::BadExpression, message, Some(hint));
        }
    }

    /// Where a line of a text stands in the file, as far as that can be told.
    fn line_of(&self, said: Said<'a, &'a str>, line: Option<usize>) -> At<'a> {
        let line = line.and_then(|line| said.value.lines().nth(line.checked_sub(1)?)).map(str::trim);
        match line.filter(|line| !line.is_empty()) {
            Some(line) => self.problems.find(said.at, line),
            None => said.at,
        }
    }
}

//! Which calls of a tool need a person's approval.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Instructions that an expression may execute.
const FUEL: u64 = 100_000;

/// Which calls of a tool need a person's approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// None.
    #[default]
    Never,
    /// Each.
    Always,
    /// Those for which a minijinja expression over `args` is true, or fails.
    When(String),
}

impl Approval {
    /// Reads `never`, `always` or an expression. The error says what is wrong with it, and in which of its lines.
    pub fn parse(text: &str) -> Result<Approval, ApprovalError> {
        match text.trim() {
            "never" => return Ok(Approval::Never),
            "always" => return Ok(Approval::Always),
            "" => return Err(ApprovalError::new("it is empty")),
            _ => {}
        }
        let environment = environment();
        let expression = environment.compile_expression(text).map_err(|error| {
            let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            ApprovalError { message: what, line: error.line(), unknown: None }
        })?;
        let mut unknown: Vec<String> = expression.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| name != "args" && environment.globals().all(|(global, _)| global != name));
        unknown.sort();
        match unknown.into_iter().next() {
            None => Ok(Approval::When(text.to_owned())),
            Some(name) => Err(ApprovalError {
                message: format!("there is no `{name}`"),
                line: None,
                unknown: Some(name),
            }),
        }
    }

    /// Whether a call with these arguments needs an approval. An expression that fails says yes.
    pub fn is_needed(&self, arguments: &Value) -> bool {
        match self {
            Approval::Never => false,
            Approval::Always => true,
            Approval::When(expression) => evaluate(expression, arguments).unwrap_or(true),
        }
    }

    /// The names under `args` that the expression looks at, such as `amount` of `args.amount`.
    pub fn arguments(&self) -> Vec<String> {
        let Approval::When(expression) = self else { return Vec::new() };
        let environment = environment();
        let Ok(compiled) = environment.compile_expression(expression) else { return Vec::new() };
        let nested = compiled.undeclared_variables(true).into_iter();
        let mut names: Vec<String> = nested
            .filter_map(|path| {
                let name = path.strip_prefix("args.")?;
                Some(name.split('.').next().unwrap_or(name).to_owned())
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// An expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApprovalError {
    /// What is wrong.
    pub message: String,
    /// The line of the expression, from 1, where it is known.
    pub line: Option<usize>,
    /// A name that the expression uses and that means nothing.
    pub unknown: Option<String>,
}

impl ApprovalError {
    fn new(message: &str) -> ApprovalError {
        ApprovalError { message: message.to_owned(), line: None, unknown: None }
    }
}

/// A name that is not there is an error, and so asks a person: what was forgotten must not pass.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

fn evaluate(expression: &str, arguments: &Value) -> Result<bool, minijinja::Error> {
    let environment = environment();
    let result = environment.compile_expression(expression)?.eval(Serde(json!({"args": arguments})))?;
    if result.is_undefined() {
        return Ok(true);
    }
    Ok(result.is_true())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(expression: &str) -> Approval {
        Approval::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    #[test]
    fn an_expression_looks_at_the_arguments() {
        let large = when("args.amount > 100 or args.currency != 'EUR'");
        assert!(!large.is_needed(&json!({"amount": 99.5, "currency": "EUR"})));
        assert!(large.is_needed(&json!({"amount": 101, "currency": "EUR"})));
        assert!(large.is_needed(&json!({"amount": 1, "currency": "USD"})));
        assert_eq!(large.arguments(), ["amount", "currency"]);
        assert!(!when("never").is_needed(&json!({})) && when("always").is_needed(&json!({})));
    }

    #[test]
    fn what_cannot_be_evaluated_needs_an_approval() {
        let missing = when("args.amount > 100");
        assert!(missing.is_needed(&json!({})), "an argument that is not there");
        assert!(missing.is_needed(&json!("nonsense")));
        assert!(when("args.amount").is_needed(&json!({})), "nothing is no `no`");
        assert!(when("args.a + args.b > 3").is_needed(&json!({"a": [1], "b": 2})), "no such sum");
        let endless =
            when("range(99999)|map('upper')|list|length + range(99999)|map('upper')|list|length < 0");
        assert!(endless.is_needed(&json!({})), "the fuel is used up");
        let optional = when("args.amount is defined and args.amount > 100");
        assert!(!optional.is_needed(&json!({})));
    }

    #[test]
    fn nonsense_is_told_at_load() {
        assert!(Approval::parse("args.amount >").is_err());
        assert_eq!(
            Approval::parse("amount > 100").map_err(|error| error.unknown),
            Err(Some("amount".to_owned()))
        );
        assert!(Approval::parse("  ").is_err());
    }
}

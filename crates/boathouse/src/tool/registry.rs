//! The tools that a program registered, and the way from a crew's definition to the tool it means.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use boathouse_core::crew::{ToolDef, ToolKind, ToolSpec, is_tool_name};
use serde_json::Value;

use super::arguments::Arguments;
use super::builtin;
use super::command::CommandTool;
use super::http::HttpTool;
use super::mcp::{McpTool, Servers};
use super::{Stop, Tool, ToolCx, ToolError};

/// Registered tools. Cheap to clone; what was handed out never changes.
#[derive(Clone, Default)]
pub struct Tools {
    by_name: Arc<BTreeMap<String, Arc<Checked>>>,
    /// The MCP servers that tools of crews are of.
    servers: Servers,
}

/// A tool that was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Models could not call it.
    #[error(
        "`{0}` is no name for a tool: it takes a letter or `_`, then up to 63 letters, digits, `_` or `-`"
    )]
    Name(String),
    /// The name is taken.
    #[error("a tool named `{0}` is registered already; take it away first with `without`")]
    Duplicate(String),
    /// Its schema is broken.
    #[error("the schema of tool `{tool}` is broken: {problem}")]
    Schema {
        /// The tool.
        tool: String,
        /// What is wrong.
        problem: String,
    },
}

impl Tools {
    /// No tools.
    pub fn new() -> Tools {
        Tools::default()
    }

    /// The built-in tools: diagnostics of the machine that this runs on, the conversation, the time.
    pub fn builtin() -> Tools {
        // Their names are distinct and their schemas compile: see the tests of `builtin`.
        let by_name = builtin::all().into_iter().map(|tool| {
            let spec = tool.spec().clone();
            (spec.name.clone(), Arc::new(Checked::new(spec, Arc::new(tool))))
        });
        Tools { by_name: Arc::new(by_name.collect()), servers: Servers::default() }
    }

    /// These tools and one more. Its schema is compiled here, once.
    pub fn with(self, tool: impl Tool) -> Result<Tools, RegisterError> {
        self.with_shared(Arc::new(tool))
    }

    /// The same for a tool that is shared already.
    pub fn with_shared(mut self, tool: Arc<dyn Tool>) -> Result<Tools, RegisterError> {
        let name = tool.spec().name.clone();
        if !is_tool_name(&name) {
            return Err(RegisterError::Name(name));
        }
        if self.by_name.contains_key(&name) {
            return Err(RegisterError::Duplicate(name));
        }
        let arguments = Arguments::compile(&tool.spec().parameters)
            .map_err(|problem| RegisterError::Schema { tool: name.clone(), problem })?;
        let checked = Checked::new(tool.spec().clone(), tool);
        // It was made a line above, and nobody else has it.
        let _ = checked.arguments.set(Ok(arguments));
        Arc::make_mut(&mut self.by_name).insert(name, Arc::new(checked));
        Ok(self)
    }

    /// These tools but the named one; the same if there is none of that name.
    pub fn without(mut self, name: &str) -> Tools {
        if self.by_name.contains_key(name) {
            Arc::make_mut(&mut self.by_name).remove(name);
        }
        self
    }

    /// The same tools, with connections to MCP servers of their own: whoever closes these closes nobody else's.
    pub(crate) fn apart(self) -> Tools {
        Tools { servers: Servers::default(), ..self }
    }

    /// Ends the MCP servers that were started for tools of crews, and the connections to others. An engine closes its own when
    /// it shuts down. Nothing is started after this.
    pub async fn close(&self) {
        self.servers.close().await;
    }

    /// What crews may refer to, by name.
    pub fn specs(&self) -> Vec<Arc<ToolSpec>> {
        self.by_name.values().map(|tool| tool.spec.clone()).collect()
    }

    /// Finds a tool. It checks its arguments before each call.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.by_name.get(name).map(|tool| tool.clone() as Arc<dyn Tool>)
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// The tool that a crew's definition means, with the definition's spec: its timeout, effect and schema hold.
///
/// `None` if it should be registered and is not. A definition that cannot work gives a tool that refuses every call
/// and says why. A schema that is not yet compiled is compiled
/// by the first call.
pub fn tool_for(tools: &Tools, def: &ToolDef) -> Option<Arc<dyn Tool>> {
    match &def.kind {
        ToolKind::Registered => {
            let registered = tools.by_name.get(&def.spec.name)?;
            if registered.spec == def.spec {
                return Some(registered.clone());
            }
            let same_schema = registered.spec.parameters == def.spec.parameters;
            Some(if same_schema {
                Arc::new(Checked {
                    spec: def.spec.clone(),
                    tool: registered.tool.clone(),
                    arguments: registered.arguments.clone(),
                })
            } else {
                Arc::new(Checked::new(def.spec.clone(), registered.tool.clone()))
            })
        }
        ToolKind::Command(_) | ToolKind::Http(_) | ToolKind::Mcp(_) => Some(match defined(tools, def) {
            Ok(tool) => Arc::new(Checked::new(def.spec.clone(), tool)),
            Err(problem) => refusing(def.spec.clone(), &problem),
        }),
    }
}

/// A tool that a crew defines. The error says what is wrong with the definition.
fn defined(tools: &Tools, def: &ToolDef) -> Result<Arc<dyn Tool>, String> {
    Ok(match &def.kind {
        ToolKind::Registered => return Err("it is not registered".to_owned()),
        ToolKind::Command(command) => Arc::new(CommandTool::new(def.spec.clone(), command)?),
        ToolKind::Http(http) => Arc::new(HttpTool::new(def.spec.clone(), http)?),
        ToolKind::Mcp(mcp) => Arc::new(McpTool::new(def.spec.clone(), mcp.clone(), tools.servers.clone())),
    })
}

/// Why a tool that a crew defines would refuse every call; `None` if it would not, or is registered.
pub(crate) fn fault(def: &ToolDef) -> Option<String> {
    if def.kind == ToolKind::Registered {
        return None;
    }
    let schema = || {
        Arguments::compile(&def.spec.parameters).map_err(|problem| format!("its schema is broken: {problem}"))
    };
    defined(&Tools::new(), def).and_then(|_| schema().map(drop)).err()
}

fn refusing(spec: Arc<ToolSpec>, problem: &str) -> Arc<dyn Tool> {
    let why = cannot_be_called(&spec.name, problem);
    Arc::new(Refusing { spec, why })
}

fn cannot_be_called(tool: &str, problem: &str) -> String {
    format!("the tool `{tool}` cannot be called: {problem}")
}

/// A tool behind its schema.
struct Checked {
    spec: Arc<ToolSpec>,
    tool: Arc<dyn Tool>,
    /// Compiled by the first call: most tools of most processes are never called.
    arguments: Arc<OnceLock<Result<Arguments, String>>>,
}

impl Checked {
    fn new(spec: Arc<ToolSpec>, tool: Arc<dyn Tool>) -> Checked {
        Checked { spec, tool, arguments: Arc::default() }
    }
}

#[async_trait]
impl Tool for Checked {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, arguments: &Value, cx: &ToolCx) -> Result<String, ToolError> {
        let schema = self.arguments.get_or_init(|| Arguments::compile(&self.spec.parameters));
        match schema {
            Ok(schema) => schema.check(&self.spec.name, arguments).map_err(ToolError::Refused)?,
            Err(problem) => {
                let problem = format!("its schema is broken: {problem}");
                return Err(ToolError::Refused(cannot_be_called(&self.spec.name, &problem)));
            }
        }
        self.tool.call(arguments, cx).await
    }

    fn stop(&self) -> Stop {
        self.tool.stop()
    }
}

/// A tool that cannot be called, and says why.
struct Refusing {
    spec: Arc<ToolSpec>,
    why: String,
}

#[async_trait]
impl Tool for Refusing {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, _arguments: &Value, _cx: &ToolCx) -> Result<String, ToolError> {
        Err(ToolError::Refused(self.why.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    struct Named(Arc<ToolSpec>);

    #[async_trait]
    impl Tool for Named {
        fn spec(&self) -> &Arc<ToolSpec> {
            &self.0
        }

        async fn call(&self, _: &Value, _: &ToolCx) -> Result<String, ToolError> {
            Ok(self.0.name.clone())
        }
    }

    fn named(name: &str) -> Named {
        Named(Arc::new(ToolSpec::new(name, "", json!({"type": "object"}))))
    }

    #[test]
    fn a_clone_does_not_see_later_tools() {
        let one = Tools::new().with(named("One")).unwrap();
        let two = one.clone().with(named("Two")).unwrap();
        assert!(one.get("Two").is_none() && two.get("One").is_some() && two.get("Two").is_some());
        assert_eq!(two.specs().iter().map(|spec| &*spec.name).collect::<Vec<_>>(), ["One", "Two"]);
        assert!(two.clone().without("One").get("One").is_none() && two.get("One").is_some());
    }

    #[test]
    fn what_no_model_could_call_is_not_registered() {
        for name in ["", "1st", "two words", "é", &"x".repeat(65)] {
            assert_eq!(Tools::new().with(named(name)).unwrap_err(), RegisterError::Name(name.to_owned()));
        }
        let twice = Tools::new().with(named("One")).unwrap().with(named("One"));
        assert_eq!(twice.unwrap_err(), RegisterError::Duplicate("One".to_owned()));
        let broken = Named(Arc::new(ToolSpec::new("Broken", "", json!({"type": "object", "required": "a"}))));
        let told = Tools::new().with(broken).unwrap_err().to_string();
        assert!(told.starts_with("the schema of tool `Broken` is broken: /required: "), "{told}");
    }

    #[test]
    fn the_crews_definition_holds_over_the_registered_one() {
        let tools = Tools::new().with(named("One")).unwrap();
        let registered = tools.get("One").unwrap();
        let def = |spec: ToolSpec| ToolDef { spec: Arc::new(spec), kind: ToolKind::Registered };
        let same = tool_for(&tools, &def((**registered.spec()).clone())).unwrap();
        assert!(Arc::ptr_eq(same.spec(), registered.spec()));
        let slower = ToolSpec { timeout_ms: Some(90_000), ..(**registered.spec()).clone() };
        assert_eq!(tool_for(&tools, &def(slower.clone())).unwrap().spec().timeout_ms, Some(90_000));
        assert!(tool_for(&tools, &def(ToolSpec { name: "Two".to_owned(), ..slower })).is_none());
    }
}

//! Rust functions as tools: the schema is derived from the type of the arguments.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::crew::{Approval, Effect, OnUnknown, ToolSpec};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Stop, Tool, ToolCx, ToolError};

mod fields;

/// Makes a tool of an async function.
///
/// `Args` is a struct; its fields are the tool's parameters, and their doc comments say what they mean to the model.
/// A field with `#[serde(default)]` or of type `Option` may be left out; `#[serde(deny_unknown_fields)]` refuses
/// what is not a parameter. The effect is `once` until [`FunctionTool::effect`] says otherwise.
///
/// ```
/// use boathouse::core::crew::Effect;
/// use boathouse::tool::{Tools, function};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Stock {
///     /// The article's number, like `A-1042`.
///     article: String,
/// }
///
/// let stock = function("GetStock", "Tells how many of an article are in stock.", |args: Stock, _cx| async move {
///     match &*args.article {
///         "A-1042" => Ok("17".to_string()),
///         other => Err(format!("there is no article {other}").into()),
///     }
/// });
/// let tools = Tools::builtin().with(stock.effect(Effect::Read))?;
/// # Ok::<(), boathouse::tool::RegisterError>(())
/// ```
pub fn function<Args, F, Fut>(
    name: impl Into<String>,
    description: impl Into<String>,
    body: F,
) -> FunctionTool
where
    Args: DeserializeOwned + JsonSchema,
    F: Fn(Args, ToolCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, ToolError>> + Send + 'static,
{
    let mut spec = ToolSpec::new(name, description, schema_of::<Args>());
    fields::in_order_of::<Args>(&mut spec.positional, &spec.parameters);
    FunctionTool {
        spec: Arc::new(spec),
        stop: Stop::Drop,
        body: Box::new(move |arguments, cx| match Args::deserialize(arguments) {
            Ok(args) => Box::pin(body(args, cx)),
            Err(error) => {
                let why = format!("the arguments cannot be used: {error}");
                Box::pin(std::future::ready(Err(ToolError::Refused(why))))
            }
        }),
    }
}

type Body = dyn Fn(&Value, ToolCx) -> BoxFuture<'static, Result<String, ToolError>> + Send + Sync;

/// A Rust function as a tool; see [`function()`].
pub struct FunctionTool {
    spec: Arc<ToolSpec>,
    stop: Stop,
    body: Box<Body>,
}

impl FunctionTool {
    /// Whether a call may be made again. `once` if nothing is said.
    pub fn effect(self, effect: Effect) -> Self {
        self.change(|spec| spec.effect = effect)
    }

    /// What happens when the outcome of a `once` call is not known. `ask` if nothing is said.
    pub fn on_unknown(self, on_unknown: OnUnknown) -> Self {
        self.change(|spec| spec.on_unknown = on_unknown)
    }

    /// Which calls a person must approve. None if nothing is said.
    pub fn approval(self, approval: Approval) -> Self {
        self.change(|spec| spec.approval = approval)
    }

    /// How long one attempt may take, in whole milliseconds. The crew's timeout if nothing is said.
    pub fn timeout(self, timeout: Duration) -> Self {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.change(|spec| spec.timeout_ms = Some(millis))
    }

    /// Further attempts after a failed one, for `read` and `idempotent` tools. None if nothing is said.
    pub fn retries(self, retries: u32) -> Self {
        self.change(|spec| spec.retries = retries)
    }

    /// Bytes of output that are kept. 32 KiB if nothing is said.
    pub fn max_output_bytes(self, bytes: usize) -> Self {
        self.change(|spec| spec.max_output_bytes = bytes)
    }

    /// The function watches [`ToolCx::cancelled`] and returns [`ToolError::Stopped`], instead of being dropped.
    pub fn cooperative(mut self) -> Self {
        self.stop = Stop::Cooperate;
        self
    }

    fn change(mut self, change: impl FnOnce(&mut ToolSpec)) -> Self {
        change(Arc::make_mut(&mut self.spec));
        self
    }
}

impl fmt::Debug for FunctionTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTool")
            .field("spec", &self.spec)
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Tool for FunctionTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, arguments: &Value, cx: &ToolCx) -> Result<String, ToolError> {
        (self.body)(arguments, cx.clone()).await
    }

    fn stop(&self) -> Stop {
        self.stop
    }
}

/// A schema that models and providers take: nothing about the Rust type, no formats that only Rust knows.
fn schema_of<Args: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Args>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.remove("title");
        root.remove("description");
        if root.get("type").and_then(Value::as_str) == Some("object") {
            root.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        }
    }
    drop_number_formats(&mut schema);
    schema
}

fn drop_number_formats(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let of_rust = |format: &str| {
                ["int", "uint", "float", "double"].iter().any(|prefix| {
                    format.strip_prefix(prefix).is_some_and(|bits| bits.bytes().all(|b| b.is_ascii_digit()))
                })
            };
            if map.get("format").and_then(Value::as_str).is_some_and(of_rust) {
                map.remove("format");
            }
            map.values_mut().for_each(drop_number_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_number_formats),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "for most fields only the shape counts")]
    struct Search {
        /// What to look for.
        query: String,
        sort: Option<String>,
        /// At most so many.
        #[serde(default = "five")]
        #[schemars(range(min = 1, max = 50))]
        limit: u32,
        #[serde(rename = "in")]
        place: String,
        exact: Option<bool>,
    }

    fn five() -> u32 {
        5
    }

    #[test]
    fn the_schema_says_what_the_type_says() {
        let tool = function("Search", "Finds.", |_: Search, _| async { Ok(String::new()) });
        assert_eq!(
            tool.spec().parameters,
            json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for."},
                    "sort": {"type": ["string", "null"]},
                    "limit": {"type": "integer", "description": "At most so many.", "default": 5, "minimum": 1, "maximum": 50},
                    "in": {"type": "string"},
                    "exact": {"type": ["boolean", "null"]},
                },
                "required": ["query", "in"],
                "additionalProperties": false,
            })
        );
    }

    #[test]
    fn positional_arguments_follow_the_fields() {
        let tool = function("Search", "Finds.", |_: Search, _| async { Ok(String::new()) });
        assert_eq!(tool.spec().positional, ["query", "in", "sort", "limit", "exact"]);
    }

    #[test]
    fn what_is_not_said_is_careful() {
        let tool = function("T", "", |_: Search, _| async { Ok(String::new()) });
        assert_eq!((tool.spec().effect, tool.stop()), (Effect::Once, Stop::Drop));
        let tool = tool.effect(Effect::Read).timeout(Duration::from_secs(2)).retries(1).cooperative();
        let spec = tool.spec();
        assert_eq!((spec.effect, spec.timeout_ms, spec.retries), (Effect::Read, Some(2000), 1));
        assert_eq!(tool.stop(), Stop::Cooperate);
    }

    #[tokio::test]
    async fn a_call_gets_its_arguments_and_its_place() {
        let tool = function("Search", "Finds.", |args: Search, cx: ToolCx| async move {
            match &*args.query {
                "nothing" => Err("there is nothing".into()),
                query => {
                    Ok(format!("{query} up to {} for {} of {}", args.limit, cx.agent, cx.idempotency_key))
                }
            }
        });
        let cx = ToolCx {
            run: "r".into(),
            call: boathouse_core::ids::CallId(1),
            attempt: 1,
            agent: "clerk".into(),
            idempotency_key: "r-1".to_owned(),
            crew_dir: None,
            history: rpds::VectorSync::new_sync(),
            cancelled: tokio_util::sync::CancellationToken::new(),
            grace: Duration::ZERO,
        };
        let told = tool.call(&json!({"query": "boats", "in": "town"}), &cx).await.unwrap();
        assert_eq!(told, "boats up to 5 for clerk of r-1");
        let failed = tool.call(&json!({"query": "nothing", "in": "town"}), &cx).await.unwrap_err();
        assert!(matches!(failed, ToolError::Failed(why) if why == "there is nothing"));
        // 5.0 is an integer for JSON Schema, and none for Rust.
        let refused = tool.call(&json!({"query": "x", "in": "y", "limit": 5.0}), &cx).await.unwrap_err();
        assert!(matches!(refused, ToolError::Refused(why) if why.contains("floating point `5.0`")));
    }

    #[test]
    fn a_type_that_is_no_object_cannot_be_registered() {
        let tool = function("T", "", |_: String, _| async { Ok(String::new()) });
        let told = super::super::Tools::new().with(tool).unwrap_err().to_string();
        assert!(told.contains("`type: object`"), "{told}");
    }
}

//! A tool that waits for the test.

use std::sync::Arc;

use async_trait::async_trait;
use boathouse::core::crew::{Effect, ToolSpec};
use boathouse::tool::{Tool, ToolCx, ToolError};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Returns when the test says so.
pub struct Gate {
    spec: Arc<ToolSpec>,
    permits: Arc<Semaphore>,
}

impl Gate {
    /// Each permit lets one call return.
    pub fn new(permits: Arc<Semaphore>) -> Gate {
        let spec = ToolSpec::new("Gate", "Waits.", json!({"type": "object"})).effect(Effect::Read);
        Gate { spec: Arc::new(spec), permits }
    }
}

#[async_trait]
impl Tool for Gate {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, _arguments: &Value, _cx: &ToolCx) -> Result<String, ToolError> {
        self.permits.acquire().await.map_err(|error| ToolError::Failed(error.to_string()))?.forget();
        Ok("open".to_owned())
    }
}

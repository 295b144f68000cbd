//! The built-in tools: diagnostics of the machine that this runs on, the conversation, the time. All of them only read.
//!
//! What this machine cannot tell (no `ping` program, no service manager) is said in so many words; no value is made
//! up. Command lines, environments and users of other processes are never shown, for they hold secrets.

use schemars::JsonSchema;
use serde::Deserialize;

use super::function::FunctionTool;

mod conversation;
mod disk;
mod memory;
mod network;
mod processes;
mod service;
mod system;
mod time;

/// All of them.
pub(super) fn all() -> Vec<FunctionTool> {
    vec![
        system::cpu_usage(),
        memory::memory_usage(),
        disk::disk_space(),
        system::system_info(),
        processes::running_processes(),
        network::ping_host(),
        service::service_status(),
        network::resolve_dns(),
        memory::memory_status(),
        disk::disk_status(),
        network::network_status(),
        system::diagnostics(),
        conversation::message_count(),
        conversation::conversation_summary(),
        conversation::search_messages(),
        conversation::count_messages_by(),
        time::current_time(),
    ]
}

/// The arguments of a tool that takes none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Bytes for people: `3.2 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A part of a whole: `37.5%`; 0 of a whole that is 0.
fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    format!("{share:.1}%")
}

#[cfg(test)]
mod tests {
    use boathouse_core::crew::Effect;
    use boathouse_core::ids::CallId;
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::tool::{Tool, ToolCx, ToolError, Tools};

    pub(super) fn cx() -> ToolCx {
        ToolCx {
            run: "r".into(),
            call: CallId(1),
            attempt: 1,
            agent: "a".into(),
            idempotency_key: "r-1".to_owned(),
            crew_dir: None,
            history: rpds::VectorSync::new_sync(),
            cancelled: CancellationToken::new(),
            grace: std::time::Duration::from_secs(5),
        }
    }

    pub(super) async fn run(name: &str, arguments: Value) -> Result<String, ToolError> {
        run_in(&cx(), name, arguments).await
    }

    pub(super) async fn run_in(cx: &ToolCx, name: &str, arguments: Value) -> Result<String, ToolError> {
        Tools::builtin().get(name).expect("it is built in").call(&arguments, cx).await
    }

    #[test]
    fn all_are_registered_and_only_read() {
        let names: Vec<String> = Tools::builtin().specs().iter().map(|spec| spec.name.clone()).collect();
        assert_eq!(
            names,
            [
                "CheckDiskStatus",
                "CheckMemoryStatus",
                "CheckNetworkStatus",
                "CheckServiceStatus",
                "CountMessagesBy",
                "GetCPUUsage",
                "GetConversationSummary",
                "GetCurrentTime",
                "GetDiskSpace",
                "GetMemoryUsage",
                "GetMessageCount",
                "GetRunningProcesses",
                "GetSystemDiagnostics",
                "GetSystemInfo",
                "PingHost",
                "ResolveDNS",
                "SearchMessages",
            ]
        );
        assert_eq!(names.len(), all().len());
        for tool in all() {
            assert!(Tools::new().with(tool).is_ok(), "its name and schema are good");
        }
        assert!(
            all()
                .iter()
                .all(|tool| tool.spec().effect == Effect::Read && !tool.spec().description.is_empty())
        );
    }

    #[test]
    fn every_parameter_is_described() {
        for tool in all() {
            let parameters = &tool.spec().parameters;
            let properties = parameters["properties"].as_object().expect("an object schema");
            assert!(
                properties.values().all(|schema| schema["description"].is_string()),
                "{}",
                tool.spec().name
            );
            assert_eq!(parameters["additionalProperties"], json!(false), "{}", tool.spec().name);
        }
    }

    #[test]
    fn positional_arguments_are_those_of_the_crews() {
        let tools = Tools::builtin();
        let order = |name: &str| tools.get(name).map(|tool| tool.spec().positional.clone());
        assert_eq!(order("PingHost"), Some(vec!["host".to_owned(), "count".to_owned()]));
        assert_eq!(order("CheckNetworkStatus"), order("PingHost"));
        assert_eq!(order("SearchMessages"), Some(vec!["query".to_owned(), "limit".to_owned()]));
        assert_eq!(order("CountMessagesBy"), Some(vec!["filter_by".to_owned(), "filter_value".to_owned()]));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([0, 1023, 1024, 1536 * 1024].map(size), ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]);
        assert_eq!(size(u64::MAX), "16384.0 PiB");
        assert_eq!((percent(3, 8), percent(1, 0)), ("37.5%".to_owned(), "0.0%".to_owned()));
    }

    #[tokio::test]
    async fn arguments_that_are_not_parameters_are_refused() {
        let told = run("GetCPUUsage", json!({"core": 1})).await.expect_err("unknown argument").to_string();
        assert!(told.contains("'core' was unexpected"), "{told}");
        let told = run("PingHost", json!({"host": "localhost", "count": 500})).await.expect_err("too many");
        assert!(told.to_string().contains("- /count: 500 is greater than the maximum of 10"), "{told}");
    }
}

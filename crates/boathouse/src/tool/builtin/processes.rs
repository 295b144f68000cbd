//! Processes.

use std::cmp::Ordering;

use boathouse_core::crew::Effect;
use schemars::JsonSchema;
use serde::Deserialize;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::size;
use super::system::between_samples;
use crate::tool::function::{FunctionTool, function};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Count {
    /// How many processes to list.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    count: usize,
}

fn ten() -> usize {
    10
}

pub(super) fn running_processes() -> FunctionTool {
    function(
        "GetRunningProcesses",
        "Lists the busiest processes of this machine by processor use, then by memory: id, percent of one core, memory, name.",
        |args: Count, _| async move { Ok(busiest(args.count).await) },
    )
    .effect(Effect::Read)
}

pub(super) async fn busiest(count: usize) -> String {
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    between_samples().await;
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let mut processes: Vec<_> = system.processes().values().collect();
    processes.sort_by(|a, b| {
        let by_cpu = b.cpu_usage().partial_cmp(&a.cpu_usage()).unwrap_or(Ordering::Equal);
        by_cpu.then(b.memory().cmp(&a.memory())).then(a.pid().cmp(&b.pid()))
    });
    let mut told = format!(
        "{} processes; the busiest:\n{:>8} {:>6} {:>10}  NAME",
        processes.len(),
        "PID",
        "CPU%",
        "MEMORY"
    );
    for process in processes.into_iter().take(count) {
        told.push_str(&format!(
            "\n{:>8} {:>6.1} {:>10}  {}",
            process.pid().as_u32(),
            process.cpu_usage(),
            size(process.memory()),
            process.name().to_string_lossy(),
        ));
    }
    told
}

/// Ids of processes whose name is `name`, in order.
pub(super) fn named(name: &str) -> Vec<u32> {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let mut ids: Vec<u32> =
        system.processes_by_exact_name(name.as_ref()).map(|process| process.pid().as_u32()).collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::run;

    #[tokio::test]
    async fn the_busiest_are_listed_up_to_the_count() {
        let told = run("GetRunningProcesses", json!({"count": 1})).await.expect("it works everywhere");
        assert_eq!(told.lines().count(), 3, "{told}");
        let all = run("GetRunningProcesses", json!({"count": 100})).await.expect("it works everywhere");
        assert!(all.lines().count() >= 3, "{all}");
    }
}

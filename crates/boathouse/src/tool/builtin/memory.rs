//! Memory.

use std::sync::{LazyLock, Mutex, PoisonError};

use boathouse_core::crew::Effect;
use sysinfo::System;

use super::{Nothing, percent, size};
use crate::tool::function::{FunctionTool, function};

pub(super) fn memory_usage() -> FunctionTool {
    function(
        "GetMemoryUsage",
        "Tells how much memory of this machine is in use, in bytes and in percent.",
        |_: Nothing, _| async { Ok(usage()) },
    )
    .effect(Effect::Read)
}

pub(super) fn memory_status() -> FunctionTool {
    function(
        "CheckMemoryStatus",
        "Tells the state of this machine's memory in detail: total, used, available, free, swap, and the container's own limit where there is one.",
        |_: Nothing, _| async { Ok(look(status)) },
    )
    .effect(Effect::Read)
}

/// Looks at the memory as it is now. One `System` serves all calls: making one reads more than the memory.
fn look<T>(tell: impl FnOnce(&System) -> T) -> T {
    static SYSTEM: LazyLock<Mutex<System>> = LazyLock::new(|| Mutex::new(System::new()));
    let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    system.refresh_memory();
    tell(&system)
}

pub(super) fn usage() -> String {
    look(|system| {
        let (used, total) = (system.used_memory(), system.total_memory());
        format!(
            "Memory usage: {} of {} ({}), {} available",
            size(used),
            size(total),
            percent(used, total),
            size(system.available_memory()),
        )
    })
}

fn status(system: &System) -> String {
    let (used, total) = (system.used_memory(), system.total_memory());
    let mut told = format!(
        "Total: {}\nUsed: {} ({})\nAvailable: {}\nFree: {}\n",
        size(total),
        size(used),
        percent(used, total),
        size(system.available_memory()),
        size(system.free_memory()),
    );
    match system.total_swap() {
        0 => told.push_str("Swap: none"),
        swap => {
            let used = system.used_swap();
            told.push_str(&format!("Swap: {} of {} used ({})", size(used), size(swap), percent(used, swap)));
        }
    }
    if let Some(limits) = system.cgroup_limits().filter(|limits| limits.total_memory < total) {
        let used = limits.total_memory.saturating_sub(limits.free_memory);
        told.push_str(&format!(
            "\nLimit of this container: {} of {} used ({})",
            size(used),
            size(limits.total_memory),
            percent(used, limits.total_memory),
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::run;
    use super::*;

    #[tokio::test]
    async fn both_tell_this_machines_memory() {
        let total = look(|system| size(system.total_memory()));
        let told = run("GetMemoryUsage", json!({})).await.expect("it works everywhere");
        assert!(told.contains(&format!("of {total} (")), "{told}");
        let told = run("CheckMemoryStatus", json!({})).await.expect("it works everywhere");
        assert!(told.starts_with(&format!("Total: {total}\nUsed: ")) && told.contains("\nSwap: "), "{told}");
    }
}

//! Processor, host, and everything at a glance.

use boathouse_core::crew::Effect;
use sysinfo::{CpuRefreshKind, System};

use super::{Nothing, disk, memory, processes};
use crate::tool::function::{FunctionTool, function};

pub(super) fn cpu_usage() -> FunctionTool {
    function(
        "GetCPUUsage",
        "Measures how busy the processor of this machine is right now: percent over all cores, percent per core, and the load average.",
        |_: Nothing, _| async { Ok(cpu(&sampled().await)) },
    )
    .effect(Effect::Read)
}

pub(super) fn system_info() -> FunctionTool {
    function(
        "GetSystemInfo",
        "Tells what this machine is: host name, operating system, kernel, architecture, number of cores, memory, and how long it has been up.",
        |_: Nothing, _| async { Ok(info()) },
    )
    .effect(Effect::Read)
}

pub(super) fn diagnostics() -> FunctionTool {
    function(
        "GetSystemDiagnostics",
        "Checks this machine at a glance: system, processor, memory, disk and the five busiest processes in one report.",
        |_: Nothing, _| async {
            let busiest = processes::busiest(5).await;
            let disk = disk::space("/").unwrap_or_else(|error| error.to_string());
            Ok(format!(
                "## System\n{}\n\n## CPU\n{}\n\n## Memory\n{}\n\n## Disk\n{disk}\n\n## Busiest processes\n{busiest}",
                info(),
                cpu(&sampled().await),
                memory::usage(),
            ))
        },
    )
    .effect(Effect::Read)
}

/// Usage is a difference between two looks, which have to be this far apart.
pub(super) async fn between_samples() {
    tokio::time::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL).await;
}

async fn sampled() -> System {
    let mut system = System::new();
    system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_cpu_usage());
    between_samples().await;
    system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_cpu_usage());
    system
}

fn cpu(system: &System) -> String {
    let load = System::load_average();
    let cores: Vec<String> = system.cpus().iter().map(|cpu| format!("{:.0}%", cpu.cpu_usage())).collect();
    format!(
        "CPU usage: {:.1}% of {} cores (per core: {})\nLoad average: {:.2} (1 min), {:.2} (5 min), {:.2} (15 min)",
        system.global_cpu_usage(),
        cores.len(),
        cores.join(", "),
        load.one,
        load.five,
        load.fifteen,
    )
}

fn info() -> String {
    let mut system = System::new();
    system.refresh_memory();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    format!(
        "Host name: {}\nOperating system: {}\nKernel: {}\nArchitecture: {}\nCores: {}\nMemory: {}\nUp for: {}",
        known(System::host_name()),
        known(System::long_os_version()),
        known(System::kernel_version()),
        System::cpu_arch(),
        system.cpus().len(),
        super::size(system.total_memory()),
        span(System::uptime()),
    )
}

/// Seconds for people: `3 d 4 h 5 min`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::run;
    use super::*;

    #[test]
    fn spans_are_readable() {
        assert_eq!([59, 3700, 90_061].map(span), ["0 min", "1 h 1 min", "1 d 1 h 1 min"]);
    }

    #[tokio::test]
    async fn the_values_are_those_of_this_machine() {
        let told = run("GetCPUUsage", json!({})).await.expect("it works everywhere");
        let cores = std::thread::available_parallelism().expect("known").get();
        assert!(told.starts_with("CPU usage: ") && told.contains("Load average: "), "{told}");
        let listed = told.split("per core: ").nth(1).expect("a list").split(')').next().expect("closed");
        assert!(listed.split(", ").count() >= cores, "{told}");

        let told = run("GetSystemInfo", json!({})).await.expect("it works everywhere");
        assert!(told.contains(&format!("Host name: {}", System::host_name().unwrap_or_default())), "{told}");
        assert!(told.contains(std::env::consts::ARCH), "{told}");
    }

    #[tokio::test]
    async fn diagnostics_have_all_sections() {
        let told = run("GetSystemDiagnostics", json!({})).await.expect("it works everywhere");
        for part in [
            "## System\nHost",
            "## CPU\nCPU usage",
            "## Memory\nMemory",
            "## Disk\n",
            "## Busiest processes\n",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

//! Services.

use std::path::Path;

use boathouse_core::crew::Effect;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::process::Command;

use super::processes;
use crate::tool::function::{FunctionTool, function};
use crate::tool::{ToolCx, ToolError, process};

/// There if and only if systemd manages this machine. Source: sd_booted(3).
const SYSTEMD: &str = "/run/systemd/system";
const MAX_BYTES: usize = 8 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Service {
    /// The service's name, like `nginx` or `ssh.service`.
    #[serde(default = "nginx")]
    #[schemars(length(min = 1, max = 255))]
    service: String,
}

fn nginx() -> String {
    "nginx".to_owned()
}

pub(super) fn service_status() -> FunctionTool {
    function(
        "CheckServiceStatus",
        "Tells whether a service of this machine is running. Where no service manager can be asked, it tells whether a process of that name runs.",
        |args: Service, cx| async move { status(&args.service, &cx).await },
    )
    .effect(Effect::Read)
    .cooperative()
}

async fn status(service: &str, cx: &ToolCx) -> Result<String, ToolError> {
    if !is_service_name(service) {
        return Err(ToolError::Refused(format!(
            "`{service}` is no name of a service: it takes letters, digits and any of `:-_.@`, and does not begin with `-`"
        )));
    }
    if Path::new(SYSTEMD).is_dir() { of_systemd(service, cx).await } else { Ok(by_process(service)) }
}

fn is_service_name(name: &str) -> bool {
    !name.starts_with('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.@".contains(c))
}

async fn of_systemd(service: &str, cx: &ToolCx) -> Result<String, ToolError> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--no-pager"]);
    command
        .arg("--property=Id,Description,LoadState,ActiveState,SubState,MainPID,ActiveEnterTimestamp,Result");
    command.args(["--", service]);
    let ended = process::run(command, MAX_BYTES, cx).await?;
    if !ended.status.success() {
        return Err(ToolError::Failed(format!(
            "systemd did not answer ({}): {}\n{}",
            ended.status,
            ended.stderr.trim(),
            by_process(service)
        )));
    }
    Ok(told_by_systemd(service, &ended.stdout))
}

/// Reads `Key=value` lines. Source: systemctl(1), `show`.
fn told_by_systemd(service: &str, shown: &str) -> String {
    let value = |key: &str| {
        let found = shown.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key);
        found.map_or("", |(_, value)| value)
    };
    if value("LoadState") == "not-found" {
        return format!("Service {service}: this machine has no such service");
    }
    let running = if value("ActiveState") == "active" { "running" } else { "NOT running" };
    let mut told = format!(
        "Service {service}: {running} (state {}, {})\nDescription: {}",
        value("ActiveState"),
        value("SubState"),
        value("Description"),
    );
    for (key, name) in [("ActiveEnterTimestamp", "Since"), ("MainPID", "Main process")] {
        if !matches!(value(key), "" | "0") {
            told.push_str(&format!("\n{name}: {}", value(key)));
        }
    }
    if !matches!(value("Result"), "" | "success") {
        told.push_str(&format!("\nLast result: {}", value("Result")));
    }
    told
}

fn by_process(service: &str) -> String {
    let name = service.strip_suffix(".service").unwrap_or(service);
    let ids = processes::named(name);
    let seen = match &ids[..] {
        [] => format!("no process named `{name}` is running"),
        [id] => format!("one process named `{name}` is running (id {id})"),
        ids => {
            let listed: Vec<String> = ids.iter().take(20).map(u32::to_string).collect();
            format!("{} processes named `{name}` are running (ids {})", ids.len(), listed.join(", "))
        }
    };
    format!("Service {service}: its state is unknown, because this machine has no systemd to ask; {seen}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::run;
    use super::*;

    #[tokio::test]
    async fn a_service_that_is_not_there_is_told() {
        let told = run("CheckServiceStatus", json!({"service": "no-such-service-here"})).await;
        let told = told.expect("an answer either way");
        assert!(
            told.contains("no such service") || told.contains("no process named `no-such-service-here`"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn names_that_are_options_or_paths_are_refused() {
        for name in ["--version", "a b", "../x", "a;b"] {
            let told = run("CheckServiceStatus", json!({"service": name})).await.expect_err(name);
            assert!(
                matches!(&told, ToolError::Refused(why) if why.contains("is no name of a service")),
                "{told}"
            );
        }
    }

    #[test]
    fn what_systemd_says_is_told_in_words() {
        let shown = "Id=ssh.service\nDescription=OpenSSH = secure\nLoadState=loaded\nActiveState=active\nSubState=running\n\
                     MainPID=812\nActiveEnterTimestamp=Mon 2026-11-23 08:00:00 UTC\nResult=success";
        assert_eq!(
            told_by_systemd("ssh", shown),
            "Service ssh: running (state active, running)\nDescription: OpenSSH = secure\n\
             Since: Mon 2026-11-23 08:00:00 UTC\nMain process: 812"
        );
        let shown = "LoadState=loaded\nActiveState=failed\nSubState=failed\nMainPID=0\nResult=exit-code\nDescription=X";
        let told = told_by_systemd("x", shown);
        assert_eq!(
            told,
            "Service x: NOT running (state failed, failed)\nDescription: X\nLast result: exit-code"
        );
        assert!(told_by_systemd("y", "LoadState=not-found").ends_with("no such service"));
    }
}

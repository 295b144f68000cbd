//! Disks. Network file systems are left alone: asking one that hangs would hang too.

use std::path::Path;

use boathouse_core::crew::Effect;
use schemars::JsonSchema;
use serde::Deserialize;
use sysinfo::{Disk, Disks};

use super::{percent, size};
use crate::tool::ToolError;
use crate::tool::function::{FunctionTool, function};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Place {
    /// An absolute path; the file system that it lies on is looked at.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 4096))]
    path: String,
}

fn root() -> String {
    "/".to_owned()
}

pub(super) fn disk_space() -> FunctionTool {
    function(
        "GetDiskSpace",
        "Tells how full the disk is that a path lies on.",
        |place: Place, _| async move { space(&place.path) },
    )
    .effect(Effect::Read)
}

pub(super) fn disk_status() -> FunctionTool {
    function(
        "CheckDiskStatus",
        "Tells the state of the disk that a path lies on in detail, and how full the other local disks are.",
        |place: Place, _| async move { status(&place.path) },
    )
    .effect(Effect::Read)
}

pub(super) fn space(path: &str) -> Result<String, ToolError> {
    let disks = Disks::new_with_refreshed_list();
    let disk = disk_of(path, &disks)?;
    Ok(format!("Disk usage of {path}: {}", line(disk)))
}

fn status(path: &str) -> Result<String, ToolError> {
    let disks = Disks::new_with_refreshed_list();
    let disk = disk_of(path, &disks)?;
    let mut told = format!(
        "Path: {path}\nMounted at: {}\nDevice: {}\nFile system: {}{}\nUsage: {}",
        disk.mount_point().display(),
        disk.name().to_string_lossy(),
        disk.file_system().to_string_lossy(),
        if disk.is_read_only() { " (read-only)" } else { "" },
        line(disk),
    );
    let others: Vec<String> = disks
        .iter()
        .filter(|other| other.mount_point() != disk.mount_point() && other.total_space() > 0)
        .map(|other| format!("\n- {}: {}", other.mount_point().display(), line(other)))
        .collect();
    if !others.is_empty() {
        told.push_str("\nOther disks:");
        told.extend(others);
    }
    Ok(told)
}

fn line(disk: &Disk) -> String {
    let total = disk.total_space();
    let used = total.saturating_sub(disk.available_space());
    format!(
        "{} of {} used ({}), {} available",
        size(used),
        size(total),
        percent(used, total),
        size(disk.available_space())
    )
}

/// The disk with the longest mount point above the path.
fn disk_of<'d>(path: &str, disks: &'d Disks) -> Result<&'d Disk, ToolError> {
    if !Path::new(path).is_absolute() {
        return Err(ToolError::Refused(format!(
            "`{path}` is not an absolute path; write one like `/` or `/var`"
        )));
    }
    let real = std::fs::canonicalize(path)
        .map_err(|error| ToolError::Failed(format!("cannot look at `{path}`: {error}")))?;
    disks
        .iter()
        .filter(|disk| real.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().components().count())
        .ok_or_else(|| {
            ToolError::Failed(format!(
                "this machine lists no local disk for `{path}` (it may be a network or a virtual file system)"
            ))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::run;

    #[tokio::test]
    async fn a_path_that_is_not_there_is_told() {
        let told = run("GetDiskSpace", json!({"path": "/no/such/place"})).await.expect_err("not there");
        assert!(told.to_string().starts_with("cannot look at `/no/such/place`: "), "{told}");
        let told = run("CheckDiskStatus", json!({"path": "var"})).await.expect_err("relative");
        assert!(told.to_string().contains("not an absolute path"), "{told}");
    }

    #[tokio::test]
    async fn the_root_is_the_default() {
        match (run("GetDiskSpace", json!({})).await, run("GetDiskSpace", json!({"path": "/"})).await) {
            (Ok(told), Ok(_)) => assert!(told.starts_with("Disk usage of /: "), "{told}"),
            // A machine whose root is on no local disk.
            (Err(told), Err(_)) => assert!(told.to_string().contains("lists no local disk"), "{told}"),
            other => panic!("{other:?}"),
        }
    }
}

//! Names and hosts.

use std::net::IpAddr;

use boathouse_core::crew::Effect;
use boathouse_core::run::event::CallEnd;
use schemars::JsonSchema;
use serde::Deserialize;
use sysinfo::Networks;
use tokio::process::Command;

use crate::tool::function::{FunctionTool, function};
use crate::tool::{ToolCx, ToolError, process, program};

const MAX_BYTES: usize = 8 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ping {
    /// A host name or an IP address.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1, max = 253))]
    host: String,
    /// How many packets to send, one a second.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 10))]
    count: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Check {
    /// A host name or an IP address.
    #[schemars(length(min = 1, max = 253))]
    host: String,
    /// How many packets to send, one a second.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    count: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// A host name.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1, max = 253))]
    hostname: String,
}

fn localhost() -> String {
    "localhost".to_owned()
}

fn three() -> u32 {
    3
}

fn four() -> u32 {
    4
}

pub(super) fn ping_host() -> FunctionTool {
    function(
        "PingHost",
        "Pings a host from this machine: whether it answers, how long that takes, and how many packets get lost.",
        |args: Ping, cx| async move {
            check_host(&args.host)?;
            ping(&args.host, args.count, &cx).await
        },
    )
    .effect(Effect::Read)
    .cooperative()
}

pub(super) fn network_status() -> FunctionTool {
    function(
        "CheckNetworkStatus",
        "Checks the network from this machine to a host step by step: its own interfaces, the host's name, and whether the host answers.",
        |args: Check, cx| async move {
            check_host(&args.host)?;
            let Some(name) = cx.cancelled.run_until_cancelled(resolve(&args.host)).await else {
                return Err(ToolError::Stopped(CallEnd::Dropped));
            };
            let name = name.unwrap_or_else(|error| error.to_string());
            let answer = match ping(&args.host, args.count, &cx).await {
                Err(stopped @ ToolError::Stopped(_)) => return Err(stopped),
                Err(error) => error.to_string(),
                Ok(told) => told,
            };
            Ok(format!("## Interfaces\n{}\n\n## Name\n{name}\n\n## Ping\n{answer}", interfaces()))
        },
    )
    .effect(Effect::Read)
    .cooperative()
}

pub(super) fn resolve_dns() -> FunctionTool {
    function(
        "ResolveDNS",
        "Looks up the IP addresses of a host name, as programs on this machine would.",
        |args: Name, _| async move {
            check_host(&args.hostname)?;
            resolve(&args.hostname).await
        },
    )
    .effect(Effect::Read)
}

fn check_host(host: &str) -> Result<(), ToolError> {
    if is_host(host) {
        return Ok(());
    }
    Err(ToolError::Refused(format!(
        "`{host}` is no host: give a name like `example.org` or an IP address, without scheme, port or path"
    )))
}

/// A host name of letters, digits, `-` and `_`, or an IP address. Source: RFC 1123 section 2.1; `_` is in use.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && name.split('.').all(label))
}

async fn resolve(host: &str) -> Result<String, ToolError> {
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
        ToolError::Failed(format!("{host} has no address that this machine can find: {error}"))
    })?;
    let mut addresses: Vec<String> = Vec::new();
    for address in found {
        let address = address.ip().to_string();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(ToolError::Failed(format!("{host} has no address")));
    }
    Ok(format!("{host} has the address {}", addresses.join(", ")))
}

/// The host has been checked: it is no option of `ping`.
async fn ping(host: &str, count: u32, cx: &ToolCx) -> Result<String, ToolError> {
    if program::find("ping").is_none() {
        return Err(ToolError::Failed(format!(
            "cannot ping {host}: this machine has no `ping` program; install it (package iputils-ping) to use this tool"
        )));
    }
    let mut command = Command::new("ping");
    command.args(["-c", &count.to_string(), host]).env("LC_ALL", "C");
    let ended = process::run(command, MAX_BYTES, cx).await?;
    let (stdout, stderr) = (ended.stdout.trim(), ended.stderr.trim());
    // 0: replies came; 1: none came; 2 and others: ping could not do its work. Source: ping(8) of iputils.
    match ended.status.code() {
        Some(0) => Ok(format!("{host} answers.\n{stdout}")),
        Some(1) => Ok(format!("{host} does NOT answer: no reply to {count} packets.\n{stdout}{stderr}")),
        _ if stderr.contains("not permitted") || stderr.contains("ermission") => {
            Err(ToolError::Failed(format!(
                "cannot ping {host}: this process may not send pings ({stderr}); on Linux it takes CAP_NET_RAW or \
             net.ipv4.ping_group_range"
            )))
        }
        _ => Err(ToolError::Failed(format!("cannot ping {host} ({}): {stderr}{stdout}", ended.status))),
    }
}

fn interfaces() -> String {
    let networks = Networks::new_with_refreshed_list();
    let mut lines: Vec<String> = networks
        .iter()
        .map(|(name, data)| {
            let addresses: Vec<String> = data.ip_networks().iter().map(|ip| ip.addr.to_string()).collect();
            let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
            format!("- {name}: {addresses}")
        })
        .collect();
    lines.sort();
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::run;
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_only() {
        for host in
            ["localhost", "a-b.example.org", "example.org.", "_dmarc.x", "192.0.2.1", "2001:db8::1", "::1"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ".",
            "-f",
            "-c1",
            "a..b",
            "a b",
            "http://x",
            "x/y",
            "x:80",
            "a\n",
            "é.example",
            "$(id)",
            "[::1]",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_host_is_an_option_or_more_than_one_word(host in "\\PC{0,20}|-[a-z0-9]{1,5}") {
            if is_host(&host) {
                prop_assert!(!host.starts_with('-') && !host.contains(char::is_whitespace) && !host.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn addresses_resolve_without_a_network() {
        let told = run("ResolveDNS", json!({"hostname": "127.0.0.1"})).await.expect("it is an address");
        assert_eq!(told, "127.0.0.1 has the address 127.0.0.1");
        let told = run("ResolveDNS", json!({"hostname": "no such"})).await.expect_err("not a name");
        assert!(told.to_string().starts_with("`no such` is no host"), "{told}");
    }

    #[tokio::test]
    async fn ping_tells_the_truth_about_this_machine() {
        let told = run("PingHost", json!({"host": "127.0.0.1", "count": 1})).await;
        match told {
            Ok(told) => {
                assert!(program::find("ping").is_some() && told.starts_with("127.0.0.1 "), "{told}")
            }
            Err(told) => assert!(told.to_string().starts_with("cannot ping 127.0.0.1"), "{told}"),
        }
        let told =
            run("CheckNetworkStatus", json!({"host": "127.0.0.1", "count": 1})).await.expect("a report");
        for part in ["## Interfaces\n", "## Name\n127.0.0.1 has the address", "## Ping\n"] {
            assert!(told.contains(part), "{told}");
        }
    }
}

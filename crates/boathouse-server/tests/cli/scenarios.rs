//! The ten requests A to J of the it-support example, in both languages.

use serde_json::Value;

use crate::support::{boathouse, done};

/// Exit codes: the run completed; the run waits for a person.
const COMPLETED: i32 = 0;
const PAUSED: i32 = 3;

const ENGLISH: [(char, &str, &str); 10] = [
    ('A', "My computer is very slow", "clarifier"),
    ('B', "Server 192.168.1.50 does not ping, check for me", "executor"),
    ('C', "Port 3306 not open", "clarifier"),
    ('D', "No internet from room A5", "clarifier"),
    ('E', "Check whether MySQL on server-app-01 still runs", "executor"),
    ('F', "Help me check the system", "clarifier"),
    ('G', "High CPU on 192.168.1.100, need a check", "executor"),
    ('H', "Disk of server-backup is out of space, check now", "executor"),
    ('I', "The system lost its connection", "clarifier"),
    ('J', "Server 10.0.0.25 is slow, CPU high, check everything", "executor"),
];

const VIETNAMESE: [(char, &str, &str); 10] = [
    ('A', "Máy tính của tôi chậm lắm", "clarifier"),
    ('B', "Server 192.168.1.50 không ping được, kiểm tra giúp tôi", "executor"),
    ('C', "Cổng 3306 không mở", "clarifier"),
    ('D', "Phòng A5 không có internet", "clarifier"),
    ('E', "Kiểm tra MySQL trên server-app-01 còn chạy không", "executor"),
    ('F', "Kiểm tra hệ thống giúp tôi", "clarifier"),
    ('G', "CPU của 192.168.1.100 cao, cần kiểm tra", "executor"),
    ('H', "Ổ đĩa của server-backup hết dung lượng, kiểm tra ngay", "executor"),
    ('I', "Hệ thống bị mất kết nối", "clarifier"),
    ('J', "Server 10.0.0.25 chậm, CPU cao, kiểm tra toàn bộ", "executor"),
];

#[test]
fn the_ten_scenarios_end_where_they_should() {
    all(&ENGLISH, "examples/it-support");
}

#[test]
fn the_ten_scenarios_end_where_they_should_in_vietnamese() {
    all(&VIETNAMESE, "examples/it-support-vi");
}

fn all(scenarios: &[(char, &str, &str)], crew: &str) {
    std::thread::scope(|scope| {
        for (id, input, last) in scenarios {
            scope.spawn(move || scenario(*id, crew, input, last));
        }
    });
}

fn scenario(id: char, crew: &str, input: &str, last: &str) {
    let run = done(&mut boathouse(&["run", crew, input, "--model", "scripted", "--json"]), "");
    let lines = run.json_lines();
    let outcome = lines.last().unwrap();
    let speakers: Vec<&str> =
        of_type(&lines, "model_replied").map(|event| event["agent"].as_str().unwrap()).collect();
    let context = format!("{id}: {speakers:?}, {outcome}, {}", run.stderr);
    match last {
        "clarifier" => {
            assert_eq!(speakers, ["orchestrator", "clarifier"], "{context}");
            assert_eq!(outcome["state"], "paused", "{context}");
            assert_eq!(outcome["waits"][0]["agent"], "clarifier", "{context}");
            assert!(outcome["waits"][0]["question"].as_str().unwrap().contains('?'), "{context}");
            assert_eq!(run.code, PAUSED, "{context}");
        }
        _ => {
            assert_eq!(speakers, ["orchestrator", "executor", "executor"], "{context}");
            assert_eq!(outcome["state"], "completed", "{context}");
            assert_eq!(run.code, COMPLETED, "{context}");
            let output = outcome["output"].as_str().unwrap();
            let quoted = of_type(&lines, "tool_returned")
                .filter(|event| output.contains(event["result"]["output"].as_str().unwrap()))
                .count();
            assert!(quoted >= 3, "the diagnosis quotes {quoted} measurements; {context}");
        }
    }
}

fn of_type<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

//! Crews that cannot be read at all: each is told in a few clear lines, with exit code 1, by every command.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{Crew, boathouse, done};

const CREW: &str = "name: desk\nagents: [{id: clerk, provider: scripted, is_terminal: true}]\n";
const SPLIT: &str = "name: desk\nagents: [clerk]\n";
const CLERK: &str = "id: clerk\nprovider: scripted\nis_terminal: true\n";

/// What stands where the crew is meant, and how it is made.
type Case = (&'static str, fn(&Path));

fn write(dir: &Path, file: &str, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
    fs::write(dir.join(file), bytes).unwrap();
}

const CASES: &[Case] = &[
    ("nothing", |_| {}),
    ("an empty folder", |desk| fs::create_dir(desk).unwrap()),
    ("an empty file", |desk| write(desk, "crew.yaml", "")),
    ("only a comment", |desk| write(desk, "crew.yaml", "# to be written\n")),
    ("a file for the folder", |desk| fs::write(desk, CREW).unwrap()),
    ("a folder for the file", |desk| fs::create_dir_all(desk.join("crew.yaml")).unwrap()),
    ("10 MB", |desk| write(desk, "crew.yaml", format!("{CREW}description: {}\n", "x".repeat(10_000_000)))),
    ("10 MB in an agent's file", |desk| {
        write(desk, "crew.yaml", SPLIT);
        write(desk, "agents/clerk.yaml", format!("{CLERK}backstory: {}\n", "x".repeat(10_000_000)));
    }),
    ("a million agents", |desk| write(desk, "crew.yaml", format!("agents: [{}]\n", "x,".repeat(520_000)))),
    ("a program", |desk| write(desk, "crew.yaml", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0")),
    ("zeros", |desk| write(desk, "crew.yaml", [0u8; 4096])),
    ("Latin-1", |desk| write(desk, "crew.yaml", b"name: desk\ndescription: B\xfcro\n")),
    ("UTF-16", |desk| {
        let units = CREW.encode_utf16().flat_map(u16::to_le_bytes);
        write(desk, "crew.yaml", [0xff, 0xfe].into_iter().chain(units).collect::<Vec<u8>>());
    }),
    ("tabs", |desk| write(desk, "crew.yaml", "name: desk\nagents:\n\t- id: clerk\n")),
    ("a key twice", |desk| write(desk, "crew.yaml", format!("{CREW}name: other\n"))),
    ("aliases that explode", |desk| {
        let lists: String =
            (1..30).map(|n| format!("x-{n}: &l{n} [*l{0}, *l{0}, *l{0}, *l{0}]\n", n - 1)).collect();
        write(desk, "crew.yaml", format!("x-0: &l0 [x, x]\n{lists}{CREW}"));
    }),
    ("an alias inside itself", |desk| write(desk, "crew.yaml", "agents: &a [*a]\n")),
    ("ten thousand brackets", |desk| write(desk, "crew.yaml", "[".repeat(10_000))),
    ("an include of itself", |desk| write(desk, "crew.yaml", "agents: !include crew.yaml\n")),
    ("links in a circle", |desk| {
        write(desk, "crew.yaml", SPLIT);
        fs::create_dir(desk.join("agents")).unwrap();
        symlink("other.yaml", desk.join("agents/clerk.yaml")).unwrap();
        symlink("clerk.yaml", desk.join("agents/other.yaml")).unwrap();
    }),
    ("a link to nowhere", |desk| {
        fs::create_dir(desk).unwrap();
        symlink("gone.yaml", desk.join("crew.yaml")).unwrap();
    }),
    ("a pipe", |desk| {
        fs::create_dir(desk).unwrap();
        assert!(Command::new("mkfifo").arg(desk.join("crew.yaml")).status().unwrap().success());
    }),
    ("a file for the agents' folder", |desk| {
        write(desk, "crew.yaml", SPLIT);
        write(desk, "agents", CLERK);
    }),
    ("a script that is no YAML", |desk| {
        write(desk, "crew.yaml", CREW);
        write(desk, "scripted.yaml", "rules: [\n");
    }),
];

/// What a command says of a folder `desk`, which a case has made.
fn says(make: fn(&Path), args: &[&str]) -> String {
    let here = tempfile::TempDir::new().unwrap();
    make(&here.path().join("desk"));
    let said = done(boathouse(args).current_dir(here.path()), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{args:?}: {}", said.stderr);
    said.stderr
}

#[test]
fn what_cannot_be_a_crew_is_told_clearly() {
    let told = CASES.iter().map(|(what, make)| format!("== {what}\n{}\n", says(*make, &["check", "desk"])));
    insta::assert_snapshot!(told.collect::<String>());
}

#[test]
fn every_command_refuses_what_cannot_be_a_crew() {
    for (what, make) in CASES {
        for args in [
            &["run", "desk", "hello", "--model", "scripted"][..],
            &["serve", "desk", "--port", "0", "--journal", "memory"],
            &["graph", "desk"],
            &["test", "desk"],
        ] {
            let said = says(*make, args);
            assert!(said.contains("desk"), "{what}: {args:?}: {said}");
            assert!(said.len() < 200_000, "{what}: {args:?} says {} bytes", said.len());
        }
    }
}

#[test]
fn without_permission_the_file_is_named() {
    let crew = Crew::new(CREW, "");
    let file = crew.dir.path().join("desk/crew.yaml");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    // Root may read whatever it likes, unless it gives that up.
    let as_anybody = |program: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", program]);
        command.current_dir(crew.dir.path());
        command
    };
    let is_root = fs::read(&file).is_ok();
    let mut check = if is_root {
        let refused = as_anybody("cat").arg("desk/crew.yaml").output();
        if !refused.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("Permission denied"))
        {
            eprintln!("skipped: nothing is forbidden here");
            return;
        }
        as_anybody(env!("CARGO_BIN_EXE_boathouse"))
    } else {
        crew.boathouse(&[])
    };
    let said = done(check.args(["check", "desk"]), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
    insta::assert_snapshot!(said.stderr);

    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let folder = crew.dir.path().join("desk");
    fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
    let said = done(&mut check, "");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
    insta::assert_snapshot!("a_folder_without_permission", said.stderr);
}

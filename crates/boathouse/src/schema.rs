//! The JSON Schemas of a crew's files, for editors.
//!
//! Each is made of what reads the file, so it cannot say anything else. The committed copies are in `schema/`.

use boathouse_core::crew::file::schema;
use serde_json::Value;

use crate::crew_test;
use crate::provider::script;

/// The schema of one kind of file.
#[derive(Debug)]
pub struct Schema {
    /// What it is called: `crew` for `crew.json`.
    pub name: &'static str,
    /// The files that it describes, as a pattern in a crew's folder.
    pub files: &'static str,
    make: fn() -> Value,
}

impl Schema {
    /// The schema itself: JSON Schema, draft-07.
    pub fn value(&self) -> Value {
        (self.make)()
    }

    /// The same as text, indented, with a line end.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.value())
    }
}

/// All schemas.
pub static ALL: [Schema; 4] = [
    Schema { name: "crew", files: "crew.yaml", make: schema::crew },
    Schema { name: "agent", files: "agents/*.yaml", make: schema::agent },
    Schema { name: "scripted", files: script::FILE, make: script::schema },
    Schema { name: "tests", files: "tests/*.yaml", make: crew_test::schema },
];

/// The schema with a name; `None` if there is none.
pub fn named(name: &str) -> Option<&'static Schema> {
    ALL.iter().find(|schema| schema.name == name)
}

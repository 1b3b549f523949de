//! `/openapi.json` and `/asyncapi.json`: what the server takes and gives, said by its own types.
//!
//! Schemas are derived from the structs that are read and written, so a field is described where it is defined. What derives cannot
//! know stands beside what it describes, and nothing compiles without it: a command has its `ABOUT`, a route its function in
//! [`operations`]. A push has its line in [`pushes`]; the tests hold every frame and every response that they meet to the documents,
//! so one that is missing there fails them.

mod asyncapi;
pub mod examples;
mod openapi;
pub mod operation;
pub mod operations;
pub mod pushes;
pub mod schemas;

use std::sync::LazyLock;

use bytes::Bytes;
use schemars::JsonSchema;
use serde_json::{Value, json};

pub use schemas::Schemas;

/// What a command is for.
pub struct About {
    summary: &'static str,
    examples: &'static [&'static str],
    of_sockets: bool,
}

impl About {
    /// With examples of its `data`; see [`examples`].
    pub const fn new(summary: &'static str, examples: &'static [&'static str]) -> Self {
        Self { summary, examples, of_sockets: false }
    }

    /// Refused over HTTP, where there is no socket that it could be about.
    pub const fn of_sockets(self) -> Self {
        Self { of_sockets: true, ..self }
    }

    fn examples(&self) -> Vec<Value> {
        self.examples.iter().map(|example| examples::filled(example)).collect()
    }
}

/// A command with references to its schemas.
pub struct Described {
    name: &'static str,
    about: &'static About,
    data: Value,
    answer: Value,
}

impl Described {
    /// A command `name` that takes a `D` and answers with an `A`.
    pub fn new<D: JsonSchema, A: JsonSchema>(name: &'static str, about: &'static About, schemas: &mut Schemas) -> Self {
        let (data, answer) = (schemas.taken::<D>(), schemas.given::<A>());
        let mut data = schemas.name(&format!("{name}.data"), data);
        data["description"] = json!(about.summary);
        Self { name, about, data, answer: schemas.name(&format!("{name}.reply"), answer) }
    }
}

/// The document of HTTP.
pub fn openapi() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document().to_string().into());
    DOCUMENT.clone()
}

/// The document of sockets.
pub fn asyncapi() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| asyncapi::document().to_string().into());
    DOCUMENT.clone()
}

/// The same in both.
fn info(title: &str, description: &str) -> Value {
    json!({
        "title": title,
        "version": env!("CARGO_PKG_VERSION"),
        "description": description,
        "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
    })
}

#[cfg(test)]
mod tests;

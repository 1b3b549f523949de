//! Schema registry, with the API of Confluent's: a server for the compiled-in schemas, and a client for an installation that has
//! a registry of its own.
//!
//! Subjects: `<topic>-tidings.<Name>` always (TopicRecordNameStrategy), and `<topic>-value` (TopicNameStrategy) where all records of
//! the topic are of one type.

mod client;
mod server;

use std::collections::BTreeMap;

pub use client::{Auth, Registry, RegistryError, codec};
pub use server::router;

use crate::codec::{SCHEMAS, SchemaVersion};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The versions of each subject, oldest first.
fn subjects() -> BTreeMap<String, Vec<&'static SchemaVersion>> {
    let mut subjects: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for schema in SCHEMAS {
        for subject in subjects_of(schema) {
            subjects.entry(subject).or_default().push(schema);
        }
    }
    subjects
}

/// The subjects under which `schema` stands.
pub fn subjects_of(schema: &SchemaVersion) -> Vec<String> {
    let mut subjects = Vec::new();
    for topic in schema.topics {
        let alone = SCHEMAS.iter().all(|other| other.name == schema.name || !other.topics.contains(topic));
        if alone {
            subjects.push(format!("{topic}-value"));
        }
        subjects.push(format!("{topic}-tidings.{}", schema.name));
    }
    subjects
}

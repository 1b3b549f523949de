//! The documents by themselves; tests/conformance holds the server to them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use super::*;
use crate::gateway::commands::Command;

fn parsed(document: Bytes) -> Value {
    serde_json::from_slice(&document).unwrap()
}

/// `schema` of `document`, as a schema by itself.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// Every reference in `value`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn whatever_is_referred_to_is_there() {
    for document in [parsed(openapi()), parsed(asyncapi())] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn every_command_is_described_in_both_with_examples_that_its_schema_takes() {
    let (http, sockets) = (parsed(openapi()), parsed(asyncapi()));
    for name in Command::NAMES {
        let body = &http["paths"][format!("/v1/commands/{name}")]["post"]["requestBody"]["content"]["application/json"];
        let message = &sockets["components"]["messages"][name];
        let (data, frame) = (validator(&http, &body["schema"]), validator(&sockets, &message["payload"]));
        let examples = body["examples"].as_object().unwrap();
        assert!(!examples.is_empty(), "{name}");
        assert_eq!(examples.len(), message["examples"].as_array().unwrap().len());
        for example in examples.values() {
            data.validate(&example["value"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for example in message["examples"].as_array().unwrap() {
            frame.validate(&example["payload"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn every_close_code_is_described() {
    let document = parsed(asyncapi());
    let channel = &document["channels"]["socket"];
    assert_eq!(
        channel["x-close-codes"][0],
        json!({"code": 4000, "reason": "silent", "reconnect_after_ms": [500, 5000]})
    );
    assert!(channel["description"].as_str().unwrap().contains("4503 revoked"));
}

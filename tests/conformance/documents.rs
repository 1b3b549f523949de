//! The documents themselves.

use serde_json::Value;

use crate::support::Stack;
use crate::support::spec::{documents, validator};

fn meta(name: &str) -> Value {
    let path = format!("{}/tests/data/meta/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("is there")).expect("JSON")
}

#[tokio::test]
async fn every_gateway_serves_them_to_anybody() {
    let stack = Stack::shared().await;
    for (path, of_this_build) in [("/openapi.json", &documents().openapi), ("/asyncapi.json", &documents().asyncapi)] {
        let (status, served) = stack.request("get", path, None, None).await;
        assert_eq!((status, &served), (200, of_this_build), "{path}");
    }
}

#[test]
fn they_are_what_the_standards_ask_for() {
    for (document, name) in [(&documents().openapi, "openapi-3.1.json"), (&documents().asyncapi, "asyncapi-3.0.0.json")]
    {
        let wrong: Vec<_> = validator(&meta(name)).iter_errors(document).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

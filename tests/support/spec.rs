//! `/openapi.json` and `/asyncapi.json`, held against every frame and every response that tests meet: what the documents do not know
//! fails the test that met it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};
use tidings::gateway::spec;

/// Both documents, and what was compiled of them.
pub struct Documents {
    pub openapi: Value,
    pub asyncapi: Value,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Those of this build.
pub fn documents() -> &'static Documents {
    static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| Documents {
        openapi: serde_json::from_slice(&spec::openapi()).expect("JSON"),
        asyncapi: serde_json::from_slice(&spec::asyncapi()).expect("JSON"),
        compiled: Mutex::default(),
    });
    &DOCUMENTS
}

/// A frame of the server; `asked` is the type of the command that it answers, if that is known.
pub fn check_frame(frame: &Value, asked: Option<&str>) {
    let kind = frame["type"].as_str().unwrap_or_default();
    let message = match (kind, asked) {
        ("error", _) => "error".to_owned(),
        ("ok", Some(asked)) => format!("{asked}.ok"),
        // To a frame that was written by hand.
        ("ok", None) => return,
        _ => format!("push.{kind}"),
    };
    let documents = documents();
    let schema = &documents.asyncapi["components"]["messages"][&message]["payload"];
    assert!(schema.is_object(), "{message} is not described: {frame}");
    documents.check(&message, &documents.asyncapi, schema, frame);
}

/// A frame of a stream of events: `hello` and `close` are only there.
pub fn check_event(frame: &Value) {
    let name = format!("stream.{}", frame["type"].as_str().unwrap_or_default());
    let documents = documents();
    match documents.openapi["components"]["schemas"].get(&name) {
        Some(schema) => documents.check(&name, &documents.openapi, schema, frame),
        None => check_frame(frame, None),
    }
}

/// A response of a gateway.
pub fn check_response(method: &str, path: &str, status: u16, content_type: &str, body: &Value) {
    let documents = documents();
    let method = method.to_ascii_lowercase();
    let path = path.split('?').next().unwrap_or_default();
    let Some((template, operations)) = documents.path(path) else {
        // The registry of schemas has its own contract.
        let foreign = ["/subjects", "/schemas"].iter().any(|root| path.starts_with(root));
        assert!(
            foreign || [400, 401, 404].contains(&status),
            "{method} {path} is not described, and answered {status}"
        );
        return;
    };
    let Some(operation) = operations.get(&method) else {
        assert_eq!(status, 405, "{method} {template} is not described");
        return;
    };
    let mut response = &operation["responses"][status.to_string()];
    if let Some(reference) = response["$ref"].as_str() {
        response = documents.openapi.pointer(&reference[1..]).expect("refers to a response");
    }
    let what = format!("{method} {template} {status}");
    assert!(response.is_object(), "{what} is not described: {body}");
    let media_type = content_type.split(';').next().unwrap_or_default();
    let schema = &response["content"][media_type]["schema"];
    assert!(schema.is_object(), "{what} is not described as {media_type}: {body}");
    documents.check(&what, &documents.openapi, schema, body);
}

impl Documents {
    /// The path of the document that `path` is one of, with its operations.
    fn path(&self, path: &str) -> Option<(&String, &serde_json::Map<String, Value>)> {
        let fits = |template: &str| {
            let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
            let mut pairs = template.iter().zip(&path);
            template.len() == path.len() && pairs.all(|(part, other)| part == other || part.starts_with('{'))
        };
        let paths = self.openapi["paths"].as_object().expect("paths");
        let (template, operations) = paths.iter().find(|(template, _)| fits(template))?;
        Some((template, operations.as_object().expect("operations")))
    }

    fn check(&self, what: &str, document: &Value, schema: &Value, value: &Value) {
        let compile = || {
            let mut schema = schema.clone();
            schema["components"] = json!({ "schemas": document["components"]["schemas"] });
            close(&mut schema);
            Arc::new(validator(&schema))
        };
        let mut compiled = self.compiled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let validator = Arc::clone(compiled.entry(what.to_owned()).or_insert_with(compile));
        drop(compiled);
        let wrong: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{what} is not as described: {wrong:#?} in {value}");
    }
}

/// With formats checked.
pub fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

/// Clients pass over fields that they do not know; here such a field is one that the document lacks.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| kind == "object") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

//! What is of a wrong type, or not there, is a `bad_request`, whatever the field.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::stage::{Asked, Stage, commands, frames};
use crate::support::Person;
use crate::support::spec::{documents, validator};

const AT_ONCE: usize = 4;

/// Some are right for one field, some for another, and none for all.
fn values() -> [Value; 11] {
    [
        Value::Null,
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("no such thing"),
        json!([]),
        json!([7]),
        json!({ "x": 1 }),
    ]
}

/// `data` with each field missing that must be there, and with each value in each field that its schema does not take.
fn wrong(command: &Asked, data: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let required = command.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for field in required {
        let mut less = data.clone();
        less.as_object_mut().expect("an object").remove(field);
        all.push(less);
    }
    let fields = command.schema["properties"].as_object().into_iter().flatten();
    for (field, schema) in fields {
        let mut schema = schema.clone();
        schema["components"] = command.schema["components"].clone();
        let schema = validator(&schema);
        for value in values().into_iter().filter(|value| !schema.is_valid(value)) {
            let mut other = data.clone();
            other[field] = value;
            all.push(other);
        }
    }
    all
}

#[tokio::test]
async fn every_field_of_every_command_is_checked() {
    let walk = async |command: Asked| {
        let mut stage = Stage::new().await;
        let data = stage.live(&command.examples[0]);
        let wrong = wrong(&command, &data);
        assert!(!wrong.is_empty() || command.schema["properties"].is_null(), "{}", command.name);
        for data in wrong {
            assert_eq!(stage.a.code(&command.name, data.clone()).await, "bad_request", "{} {data}", command.name);
            let (status, problem) = stage.stack.post(&stage.ada, &command.name, data.clone()).await;
            assert_eq!((status, &problem["code"]), (400, &json!("bad_request")), "{} {data}", command.name);
        }
    };
    stream::iter(commands()).for_each_concurrent(AT_ONCE, walk).await;
}

#[tokio::test]
async fn every_field_of_hello_is_checked() {
    let stage = Stage::new().await;
    let hello = frames().into_iter().find(|frame| frame.name == "hello").expect("is described");
    for data in wrong(&hello, &stage.live(&hello.examples[0])) {
        let mut person = Person::connect(&stage.stack.address, &stage.ada).await;
        assert_eq!(person.code("hello", data.clone()).await, "bad_request", "{data}");
        assert_eq!(person.close_code().await, 4501, "{data}");
    }
}

#[tokio::test]
async fn every_parameter_of_every_resource_is_checked() {
    let stage = Stage::new().await;
    let mut asked = 0;
    for (path, operations) in documents().openapi["paths"].as_object().expect("paths") {
        let parameters: Vec<_> = operations["get"]["parameters"].as_array().into_iter().flatten().collect();
        let live = stage.live(&json!(path.replace("{id}", &example(&parameters)))).as_str().expect("a path").to_owned();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            // A cursor is any text, and this is none of ours.
            let path = format!("{live}?{}=%20", parameter["name"].as_str().expect("a name"));
            let (status, problem) = stage.stack.get(&path, &stage.ada.token).await;
            assert_eq!((status, &problem["code"]), (400, &json!("bad_request")), "{path}");
            asked += 1;
        }
    }
    assert!(asked > 10, "{asked}");
}

/// Of the path's own parameter.
fn example(parameters: &[&Value]) -> String {
    let of_path = parameters.iter().find(|parameter| parameter["in"] == "path");
    of_path.and_then(|parameter| parameter["example"].as_str()).unwrap_or_default().to_owned()
}

//! Schemas of JSON, made of the types that are read and written.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where both documents keep them.
const COMPONENTS: &str = "/components/schemas";
/// Before the name of an object that is read: what is read and what is written differ in which fields may be absent.
const READ: &str = "asked.";

/// Collects the schemas of a document.
pub struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
    named: Map<String, Value>,
}

/// As it is referred to.
pub fn reference(name: &str) -> String {
    format!("#{COMPONENTS}/{name}")
}

impl Schemas {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = COMPONENTS.into();
        let read = settings.clone().for_deserialize().into_generator();
        Self { read, written: settings.for_serialize().into_generator(), named: Map::new() }
    }

    /// Of what clients send.
    pub fn taken<T: JsonSchema>(&mut self) -> Value {
        let mut schema = T::json_schema(&mut self.read).into();
        point_to_read(&mut schema, self.read.definitions());
        schema
    }

    /// Of what the server sends.
    pub fn given<T: JsonSchema>(&mut self) -> Value {
        T::json_schema(&mut self.written).into()
    }

    /// The same, kept under the name of the type.
    pub fn shared<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().into()
    }

    /// Keeps `schema`, and refers to it.
    pub fn name(&mut self, name: &str, schema: Value) -> Value {
        let before = self.named.insert(name.to_owned(), schema);
        debug_assert!(before.is_none(), "{name} is described twice");
        json!({ "$ref": reference(name) })
    }

    /// All that were kept.
    pub(super) fn into_components(mut self) -> Map<String, Value> {
        let mut all = self.named;
        let read = self.read.take_definitions(true);
        for (name, schema) in &read {
            let mut schema = schema.clone();
            point_to_read(&mut schema, &read);
            let name = if is_object(&schema) { format!("{READ}{name}") } else { name.clone() };
            all.insert(name, schema);
        }
        for (name, schema) in self.written.take_definitions(true) {
            let same = all.get(&name).is_none_or(|before| *before == schema);
            debug_assert!(same, "two types are called {name}");
            all.insert(name, schema);
        }
        all
    }
}

fn is_object(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

/// Lets references to objects point to where those that are read are kept.
fn point_to_read(schema: &mut Value, definitions: &Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                let name = target.rsplit('/').next().unwrap_or_default();
                if definitions.get(name).is_some_and(is_object) {
                    *target = reference(&format!("{READ}{name}"));
                }
            }
            fields.values_mut().for_each(|field| point_to_read(field, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to_read(item, definitions)),
        _ => {}
    }
}

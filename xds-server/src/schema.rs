//! The JSON Schema of the configuration file, made from the types that it is read into.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::file::File;

/// The schema, in draft 7 of JSON Schema, which every editor knows.
pub fn of_file() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    schema.insert("title".into(), "Weir's configuration file".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_schema_says_what_it_means() {
        let schema = of_file();
        let definitions = schema["definitions"].as_object().unwrap().iter();
        for (name, schema) in definitions.chain([(&"File".to_owned(), &schema)]) {
            for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                assert!(value.get("description").is_some(), "{name}.{key}");
            }
            if schema.get("properties").is_some() {
                assert_eq!(schema["additionalProperties"], false, "{name}");
            }
        }
    }
}

//! The JSON Schema of the configuration file, made from the types that it is read into.

mod names;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::file::File;

/// The schema, in draft 7 of JSON Schema, which every editor knows.
pub fn of_file() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    schema.insert("title".into(), "Weir's configuration file".into());
    let mut schema = schema.to_value();
    names::add_others(&mut schema);
    schema
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn what_the_file_takes_under_two_names_the_schema_does_too() {
        let sources =
            [include_str!("model/mcp/options.rs"), include_str!("../../filters/kit/schema/src/mcp/tool.rs")];
        let aliases = sources.iter().flat_map(|source| source.split("alias = \"").skip(1));
        let aliases: BTreeSet<_> = aliases.filter_map(|rest| rest.split('"').next()).collect();
        assert!(aliases.len() > 20, "{aliases:?}");
        let schema = of_file();
        let definitions = schema["definitions"].as_object().unwrap();
        let mut known = BTreeSet::new();
        for definition in definitions.values() {
            known.extend(
                definition["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str),
            );
            let values = definition["oneOf"].as_array().into_iter().flatten();
            known.extend(
                values.flat_map(|value| value["enum"].as_array()).flatten().filter_map(Value::as_str),
            );
        }
        assert_eq!(aliases.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[test]
    fn a_key_that_is_needed_is_needed_under_one_of_its_names() {
        let schema = of_file();
        let step = &schema["definitions"]["Step"];
        assert_eq!(
            step["allOf"],
            json!([{"anyOf": [{"required": ["request_template"]}, {"required": ["requestTemplate"]}]}])
        );
        assert_eq!(step["required"], json!(["name"]));
    }

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

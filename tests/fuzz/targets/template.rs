//! Templates in both syntaxes: any text is a template or an error with a place in it, filling it stays within the
//! limits, and a value that is written through `jsonify` is read back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use weir_template::{Data, Engine, Limits, Template};

fuzz_target!(|source: &str| {
    let limits = Limits { output_bytes: 64 * 1024, iterations: 1000 };
    let data = Data::from(json!({
        "a": [1, {"b": "x"}, null], "b": {"a": null, "c": 1.5}, "c": "{{ .a }}", "text": source, "t": true,
    }));
    for engine in [Engine::Go, Engine::Handlebars] {
        match Template::parse(source, engine) {
            Ok(template) => {
                if let Ok(text) = template.render(&data, limits) {
                    assert!(text.len() <= limits.output_bytes);
                }
            }
            Err(error) => {
                let lines = source.split('\n').count();
                assert!((1..=lines).contains(&(error.position.line as usize)));
            }
        }
    }
    let round = Template::parse("{{ jsonify .text }}", Engine::Go).unwrap();
    if let Ok(text) = round.render(&data, limits) {
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), source);
    }
});

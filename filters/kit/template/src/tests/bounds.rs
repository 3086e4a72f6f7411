//! What no data and no text can do.

use crate::{
    Data, Engine, Limits, MAX_DEPTH, MAX_SOURCE_BYTES, Position, RenderError, RenderProblem, Template,
    TemplateError, TemplateProblem,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn go(source: &str) -> Template {
    Template::parse(source, Engine::Go).unwrap()
}

fn problem(source: &str, engine: Engine) -> TemplateProblem {
    Template::parse(source, engine).unwrap_err().problem
}

#[test]
fn output_ends_at_its_limit() {
    let data = Data::from(json!({"text": "four"}));
    let limits = Limits { output_bytes: 8, ..Limits::default() };
    let too_long = |position| Err(RenderError { position, problem: RenderProblem::TooLong { limit: 8 } });
    assert_eq!(go("{{ .text }}{{ .text }}").render(&data, limits), Ok("fourfour".to_owned()));
    let second = Some(Position { line: 1, column: 16 });
    assert_eq!(go("{{ .text }}.{{ .text }}").render(&data, limits), too_long(second));
    assert_eq!(go("nine byte").render(&data, limits), too_long(None));
    let tripled = &mut |value: &str, out: &mut String| out.push_str(&value.repeat(3));
    let first = Some(Position { line: 1, column: 4 });
    assert_eq!(go("{{ .text }}").render_encoded(&data, limits, tripled), too_long(first));
}

#[test]
fn loops_end_at_their_limit_even_if_they_write_nothing() {
    let data = Data::from(json!({"items": vec![1; 1000]}));
    let limits = Limits { iterations: 100_000, ..Limits::default() };
    let problem = RenderProblem::TooManyIterations { limit: 100_000 };
    let sources = [
        ("{{ range .items }}{{ range $.items }}{{ end }}{{ end }}", Engine::Go),
        ("{{#each items}}{{#each @root.items}}{{/each}}{{/each}}", Engine::Handlebars),
    ];
    for (source, engine) in sources {
        let found = Template::parse(source, engine).unwrap().render(&data, limits);
        assert_eq!(found.unwrap_err().problem, problem);
    }
    assert_eq!(go("{{ range .items }}x{{ end }}").render(&data, limits), Ok("x".repeat(1000)));
}

#[test]
fn nested_json_does_not_double_without_end() {
    let calls = "jsonify (".repeat(MAX_DEPTH - 2);
    let source = format!("{{{{ {calls}.text{} }}}}", ")".repeat(MAX_DEPTH - 2));
    let found = go(&source).render(&Data::from(json!({"text": "\""})), Limits::default());
    assert!(matches!(found.unwrap_err().problem, RenderProblem::TooLong { .. }));
}

#[test]
fn depth_and_length_are_bounded_at_load() {
    let too_deep = TemplateProblem::TooDeep { limit: MAX_DEPTH };
    let nested = |depth: usize| "{{ if .a }}".repeat(depth) + &"{{ end }}".repeat(depth);
    assert!(Template::parse(&nested(MAX_DEPTH), Engine::Go).is_ok());
    assert_eq!(problem(&nested(MAX_DEPTH + 1), Engine::Go), too_deep);
    assert_eq!(problem(&nested(2500), Engine::Go), too_deep);
    assert_eq!(problem(&format!("{{{{ {}", "(".repeat(60_000)), Engine::Go), too_deep);
    assert_eq!(problem(&format!("{{{{ .a{} }}}}", " | len".repeat(9_000)), Engine::Go), too_deep);
    assert_eq!(problem(&format!("{{{{ .a{} }}}}", ".a".repeat(9_000)), Engine::Go), too_deep);
    let branches = "{{ if .a }}".to_owned() + &"{{ else if .a }}".repeat(100) + "{{ end }}";
    assert_eq!(problem(&branches, Engine::Go), TemplateProblem::TooDeep { limit: 64 });
    let nested = |depth: usize| "{{#if a}}".repeat(depth) + &"{{/if}}".repeat(depth);
    assert!(Template::parse(&nested(MAX_DEPTH), Engine::Handlebars).is_ok());
    assert_eq!(problem(&nested(4000), Engine::Handlebars), too_deep);
    assert_eq!(problem(&format!("{{{{a {}", "(".repeat(60_000)), Engine::Handlebars), too_deep);
    assert_eq!(problem(&format!("{{{{#if {}", "[".repeat(60_000)), Engine::Handlebars), too_deep);
    let too_long = TemplateProblem::TooLong { limit: MAX_SOURCE_BYTES };
    assert_eq!(problem(&"x".repeat(MAX_SOURCE_BYTES + 1), Engine::Go), too_long);
    assert!(Template::parse(&"x".repeat(MAX_SOURCE_BYTES), Engine::Go).is_ok());
}

#[test]
fn deep_data_is_written_as_it_is() {
    let text = "[".repeat(100) + &"]".repeat(100);
    let data = Data::from(json!({"deep": serde_json::from_str::<Value>(&text).unwrap()}));
    assert_eq!(go("{{ .deep }}").render(&data, Limits::default()), Ok(text));
}

#[test]
fn a_template_names_what_it_reads() {
    let names = |source, engine| {
        let template = Template::parse(source, engine).unwrap();
        (template.variables().iter().cloned().collect::<Vec<_>>().join(" "), template.reads_all())
    };
    let go = "{{ .a.x }}{{ if .b }}{{ .c }}{{ end }}{{ range $i, $v := .d }}{{ .no }}{{ $v.no }}{{ $.e }}{{ else }}{{ .f }}{{ end }}";
    assert_eq!(names(go, Engine::Go), ("a b c d e f".to_owned(), false));
    assert_eq!(names("{{ jsonify . }}", Engine::Go), (String::new(), true));
    assert_eq!(names("{{ with .a }}{{ . }}{{ $ }}{{ end }}", Engine::Go), ("a".to_owned(), true));
    let handlebars = "{{a.x}}{{#each b as |v i|}}{{no}}{{v.no}}{{i}}{{@index}}{{../c}}{{@root.d}}{{/each}}{{this.e}}{{[f g]}}{{len h}}";
    assert_eq!(names(handlebars, Engine::Handlebars), ("a b c d e f g h".to_owned(), false));
    assert_eq!(names("{{this}}", Engine::Handlebars), (String::new(), true));
}

#[test]
fn an_encoder_sees_each_value_where_it_stands() {
    let data = Data::from(json!({"id": "a/b", "q": "x&y"}));
    let encode = &mut |value: &str, before: &mut String| {
        let place = if before.contains('?') { "query" } else { "path" };
        before.push_str(&format!("<{place}:{value}>"));
    };
    let found = go("/items/{{ .id }}?q={{ .q }}").render_encoded(&data, Limits::default(), encode);
    assert_eq!(found, Ok("/items/<path:a/b>?q=<query:x&y>".to_owned()));
}

#[test]
fn an_error_says_where() {
    let found = Template::parse("first\n  你好 {{ printf .a }}", Engine::Go);
    let position = Position { line: 2, column: 9 };
    assert!(matches!(found, Err(TemplateError { position: found, .. }) if found == position));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\"\\\\{}.$\r\n\u{2028}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn jsonify_is_read_back_as_the_value(value in any_json()) {
        let text = go("{{ jsonify .v }}").render(&Data::from(json!({"v": value})), Limits::default()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_string_stands_as_it_is_and_is_never_a_template(value in "(\\PC|[{}.\r\n\u{2028}\"\\\\]){0,40}") {
        let data = Data::from(json!({"v": value, "other": "no"}));
        let found = go("<{{ .v }}>").render(&data, Limits::default());
        prop_assert_eq!(found, Ok(format!("<{value}>")));
        let native = Template::parse("<{{v}}>", Engine::Handlebars).unwrap().render(&data, Limits::default());
        prop_assert_eq!(native, Ok(format!("<{value}>")));
    }

    #[test]
    fn text_without_braces_stands_as_it_is(text in "[^{]{0,60}") {
        prop_assert_eq!(go(&text).render(&Data::from(json!({})), Limits::default()), Ok(text));
    }

    #[test]
    fn any_text_is_a_template_or_an_error(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..24), noise in ".{0,12}",
    ) {
        for source in [parts.concat(), parts.join(" "), parts.join(&noise)] {
            for engine in [Engine::Go, Engine::Handlebars] {
                if let Ok(template) = Template::parse(&source, engine) {
                    let data = Data::from(json!({"a": [1, {"b": "x"}], "b": {"a": null}, "c": "{{ .a }}"}));
                    let limits = Limits { output_bytes: 4096, iterations: 100 };
                    if let Ok(text) = template.render(&data, limits) {
                        prop_assert!(text.len() <= 4096);
                    }
                }
            }
        }
    }
}

/// What the two languages are made of.
const PARTS: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "if",
    "else",
    "end",
    "range",
    "with",
    ".",
    ".a",
    ".b",
    "$",
    "$x",
    ":=",
    ",",
    "|",
    "(",
    ")",
    "len",
    "jsonify",
    "index",
    "slice_to_index_map",
    "make_json_object",
    "eq",
    "and",
    "not",
    "\"",
    "`",
    "1",
    "-2.5",
    "nil",
    "true",
    "/*",
    "*/",
    "text",
    "\n",
    "{{#if a}}",
    "{{/if}}",
    "{{#each a}}",
    "{{/each}}",
    "{{else}}",
    "{{this}}",
    "{{@index}}",
    "{{../a}}",
    "{{ .a }}",
    "{{ end }}",
    "{{ range .a }}",
    "{{ if .b }}",
    "\\",
    "你",
    "[",
    "]",
];

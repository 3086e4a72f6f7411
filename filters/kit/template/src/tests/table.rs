//! Tables of templates, data and what comes out.
//!
//! `go.json` was rendered by Go's own `text/template`; `more.json` says what is ours: functions, calls as
//! `f(a, b)`, and what is refused where Go is silent; `handlebars.json` is in handlebars' syntax.

use crate::{Data, Engine, Limits, Template};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Table {
    data: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    template: String,
    output: Option<String>,
    /// The text of an error, or that there is one.
    error: Option<Value>,
}

#[test]
fn what_go_renders_comes_out_the_same() {
    check(include_str!("cases/go.json"), Engine::Go);
}

#[test]
fn what_is_ours_comes_out_as_written() {
    check(include_str!("cases/more.json"), Engine::Go);
}

#[test]
fn handlebars_comes_out_as_written() {
    check(include_str!("cases/handlebars.json"), Engine::Handlebars);
}

fn check(table: &str, engine: Engine) {
    let table: Table = serde_json::from_str(table).unwrap();
    let data = Data::from(table.data);
    let differs: Vec<_> = table
        .cases
        .iter()
        .filter_map(|case| {
            let found = render(&case.template, engine, &data);
            let same = match (&case.output, &case.error) {
                (Some(output), None) => found.as_ref() == Ok(output),
                (None, Some(Value::String(error))) => found.as_ref() == Err(error),
                (None, Some(Value::Bool(true))) => found.is_err(),
                _ => panic!("a case has an output or an error: {}", case.template),
            };
            (!same).then(|| {
                format!("{:?}\n  gives {found:?}\n  not {:?}{:?}", case.template, case.output, case.error)
            })
        })
        .collect();
    assert!(differs.is_empty(), "{}", differs.join("\n"));
}

fn render(template: &str, engine: Engine, data: &Data) -> Result<String, String> {
    let template = Template::parse(template, engine).map_err(|error| error.to_string())?;
    template.render(data, Limits::default()).map_err(|error| error.to_string())
}

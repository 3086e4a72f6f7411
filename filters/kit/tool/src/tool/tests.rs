use serde_json::{Value, json};
use weir_template::Data;

use super::*;

fn tool(json: Value) -> Result<ToolPlan, String> {
    ToolPlan::of(&serde_json::from_value(json).unwrap()).map_err(|error| error.to_string())
}

fn call(path: &str) -> Value {
    json!({"cluster": "c", "authority": "api", "path": path})
}

fn steps(steps: Value) -> Result<Vec<StepPlan>, String> {
    match tool(json!({"name": "t", "args": [{"name": "a"}], "steps": steps}))?.calls {
        Calls::Several(steps) => Ok(steps),
        Calls::None | Calls::One(_) => panic!("not several"),
    }
}

#[test]
fn a_tool_is_listed_as_each_revision_wants_it() {
    let listing = tool(json!({
        "name": "t", "title": "T", "description": "d", "request": call("/"),
        "args": [{"name": "region", "mcp_header": "Region"}],
        "annotations": {"readOnlyHint": true, "open_world_hint": false},
        "output_schema": {"type": "array"}
    }))
    .unwrap()
    .listing;
    assert_eq!(
        listing.legacy,
        r#"{"name":"t","title":"T","description":"d","inputSchema":{"type":"object","properties":{"region":{"type":"string"}},"additionalProperties":false},"annotations":{"readOnlyHint":true,"openWorldHint":false}}"#
    );
    assert_eq!(
        listing.modern,
        r#"{"name":"t","title":"T","description":"d","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}},"additionalProperties":false},"outputSchema":{"type":"array"},"annotations":{"readOnlyHint":true,"openWorldHint":false}}"#
    );
}

#[test]
fn a_step_waits_for_those_it_names() {
    let steps = steps(json!([
        {"name": "last", "request": {
            "cluster": "c", "authority": "api", "path": "/{{ .steps.first.id }}",
            "body": {"all": ["{{ .steps.each }}"]}
        }},
        {"name": "first", "request": call("/?a={{ .a }}")},
        {"name": "each", "each": "{{ .steps.first.ids }}", "request": call("/i/{{ .item }}"), "after": ["alone"]},
        {"name": "alone", "when": "{{ .a }}", "request": call("/")}
    ]))
    .unwrap();
    let waits: Vec<_> = steps.iter().map(|step| step.waits_for.clone()).collect();
    assert_eq!(waits, [vec![1, 2], vec![], vec![1, 3], vec![]]);
    let data = Data::from(json!({"steps": {"first": {"ids": [1, 2]}}}));
    assert_eq!(steps[2].items(&data), Ok(Some(vec![json!(1), json!(2)])));
    assert_eq!(steps[1].items(&data), Ok(None));
}

#[test]
fn a_condition_is_a_value_or_a_text() {
    for (when, data, expected) in [
        ("{{ .a }}", json!({"a": "x"}), true),
        ("{{ .a }}", json!({"a": ""}), false),
        ("{{ .a }}", json!({"a": false}), false),
        ("{{ .a }}", json!({"a": 0}), false),
        ("{{ .a }}", json!({"a": []}), false),
        ("{{ .a }}", json!({}), false),
        ("{{ .steps.s.ok }}", json!({"steps": {"s": {"ok": true}}}), true),
        ("{{ .steps.s.ok }}", json!({"steps": {}}), false),
        (r#"{{ if eq .a "x" }}yes{{ end }}"#, json!({"a": "x"}), true),
        (r#"{{ if eq .a "x" }}yes{{ end }}"#, json!({"a": "y"}), false),
        (r#"{{ eq .a "x" }}"#, json!({"a": "x"}), true),
    ] {
        let steps = steps(json!([
            {"name": "s", "request": call("/")},
            {"name": "t", "when": when, "request": call("/")}
        ]));
        assert_eq!(steps.unwrap()[1].is_wanted(&Data::from(data.clone())), Ok(expected), "{when} {data}");
    }
}

#[test]
fn steps_that_cannot_work_are_refused() {
    for (list, expected) in [
        (
            json!([{"name": "s", "request": call("/")}, {"name": "s", "request": call("/")}]),
            "steps[1].name: another step has this name",
        ),
        (
            json!([{"name": "s", "request": call("/{{ .steps.t.x }}")}]),
            "steps[0].request.path: no step is named \"t\"",
        ),
        (
            json!([{"name": "s", "request": call("/{{ .item }}")}]),
            "steps[0].request.path: no argument is named \"item\"",
        ),
        (
            json!([
                {"name": "s", "request": call("/{{ .steps.t.x }}")},
                {"name": "t", "after": ["s"], "request": call("/")}
            ]),
            "steps[0]: waits for itself",
        ),
        (
            json!([{"name": "s", "after": ["x"], "request": call("/")}]),
            "steps[0].after[0]: no step has this name",
        ),
        (
            json!([{"name": "s", "each": "x{{ .a }}", "request": call("/")}]),
            "steps[0].each: must be one action, {{ … }}",
        ),
    ] {
        assert_eq!(steps(list).err(), Some(expected.into()));
    }
}

#[test]
fn tools_that_cannot_work_are_refused() {
    for (json, expected) in [
        (json!({"name": "t"}), "response: a tool without a request needs one"),
        (
            json!({"name": "t", "request": call("/"), "steps": [{"name": "s", "request": call("/")}]}),
            "steps: a tool has one request or several steps",
        ),
        (json!({"name": "t", "response": "{{ .x }}"}), "response: no argument is named \"x\""),
        (
            json!({"name": "t", "args": [{"name": "a", "position": "path"}], "request": call("/")}),
            "args[0].position: the path does not name it",
        ),
        (json!({"name": "t", "request": call("/{{ .x }}")}), "request.path: no argument is named \"x\""),
    ] {
        assert_eq!(tool(json).err(), Some(expected.into()));
    }
    let syntax = tool(json!({"name": "t", "response": "a\n{{ .x"})).unwrap_err();
    assert!(syntax.starts_with("response: 2:1: "), "{syntax}");
}

#[test]
fn an_answer_passed_on_whole_is_not_written_anew() {
    for response in [json!("{{ . }}"), json!("{{.}}"), Value::Null] {
        let tool = tool(json!({"name": "t", "request": call("/"), "response": response})).unwrap();
        assert!(tool.response.is_none());
    }
}

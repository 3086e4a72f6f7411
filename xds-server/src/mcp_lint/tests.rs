use serde_json::{Value, json};

use super::*;
use crate::file::File;

/// The findings as `severity tool rule`.
fn short(found: &[Finding]) -> Vec<String> {
    let of = |finding: &Finding| {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        format!("{severity} {} {}", finding.tool.as_deref().unwrap_or("-"), finding.rule)
    };
    found.iter().map(of).collect()
}

fn listed(tool: Value) -> Vec<String> {
    short(&lint_tools("s", &[tool]))
}

fn good() -> Value {
    json!({
        "name": "query-logs",
        "description": "Finds lines of the logs of one application.",
        "annotations": {"readOnlyHint": true},
        "inputSchema": {"type": "object", "properties": {
            "level": {"type": "string", "description": "The level", "enum": ["INFO", "ERROR"], "default": "INFO"},
        }, "required": ["level"]},
        "outputSchema": {"type": "object"},
    })
}

fn but(pointer: &str, value: Value) -> Value {
    let mut tool = good();
    *tool.pointer_mut(pointer).unwrap() = value;
    tool
}

#[test]
fn a_tool_that_says_all_it_should_is_left_alone() {
    assert_eq!(listed(good()), Vec::<String>::new());
}

#[test]
fn each_mistake_of_a_listed_tool_is_found() {
    let level = "/inputSchema/properties/level";
    for (tool, found) in [
        (but("/name", json!("query logs")), "error query logs name"),
        (but("/name", json!("x".repeat(65))), &format!("warning {} name", "x".repeat(65))),
        (but("/description", json!(" ")), "warning query-logs no-description"),
        (but("/description", json!("x".repeat(1025))), "warning query-logs long-description"),
        (but("/description", json!("Logs.")), "info query-logs short-description"),
        (but("/name", json!("deleteLogs")), "error deleteLogs annotations"),
        (but("/annotations", Value::Null), "info query-logs annotations"),
        (but("/inputSchema", json!({})), "error query-logs input-schema"),
        (but("/inputSchema/required", json!(["app"])), "error query-logs required"),
        (but(&format!("{level}/description"), json!("")), "warning query-logs no-argument-description"),
        (but(&format!("{level}/default"), json!("WARN")), "error query-logs default"),
        (but(&format!("{level}/enum"), json!(["INFO", 1])), "error query-logs enum"),
        (but(&format!("{level}/enum"), json!(["INFO", "INFO"])), "warning query-logs enum"),
        (
            but(level, json!({"type": "integer", "description": "d", "default": "1"})),
            "error query-logs default",
        ),
    ] {
        assert_eq!(listed(tool), [found]);
    }
    let mut unsaid = but("/name", json!("drop_table"));
    unsaid["annotations"] = json!({"idempotentHint": true});
    assert_eq!(listed(unsaid), ["warning drop_table annotations"]);
    let mut text = good();
    text.as_object_mut().unwrap().remove("outputSchema");
    assert_eq!(listed(text), ["info query-logs no-output-schema"]);
}

#[test]
fn names_that_clash_and_too_many_tools_are_found() {
    let twice = [good(), good(), but("/name", json!("queryLogs"))];
    assert_eq!(
        short(&lint_tools("s", &twice)),
        ["error query-logs same-name", "warning queryLogs similar-name"]
    );
    let many: Vec<_> = (0..41).map(|number| but("/name", json!(format!("tool-{number}")))).collect();
    assert_eq!(short(&lint_tools("s", &many)), ["warning - many-tools"]);
}

const FILE: &str = r#"
secrets: {key: {env: KEY}}
routes:
- path: /logs
  middlewares:
  - name: v1_mcp_server
    options:
      apiOrchestrator:
        server: {name: logs}
        upstream: {url: "http://api.example.com"}
        auth: {secret: key}
        openapi:
          document:
            openapi: 3.1.0
            paths:
              /files: {post: {operationId: upload, requestBody: {content: {multipart/form-data: {}}}}}
        tools:
        - name: literal
          description: Sends what it should not.
          annotations: {read_only_hint: true}
          output_schema: {type: object}
          request_template:
            url: /x?api_key=abc
            method: DELETE
            headers: [{name: X-Api-Key, value: abc}, {name: X-Note, value: "{{ .note }}"}, {name: X-Id, value: ghp_0123456789}]
          args: [{name: note, description: A note}]
        - name: steps
          description: Goes several steps.
          annotations: {read_only_hint: true}
          output_schema: {type: object}
          args: [{name: used, description: Used}, {name: use, description: Not used}, {name: inpath, description: In a path}]
          steps:
          - {name: one, request_template: {url: "/a/{inpath}?x={{ .used }}"}}
- path: /own
  middlewares:
  - name: v1_mcp_server
    options: {proxy: {name: own, upstreams: [{url: "http://mcp.svc.internal/mcp"}]}}
"#;

#[test]
fn each_mistake_of_the_configuration_is_found() {
    let file = || File::parse(FILE).unwrap();
    let found = lint_file(file(), None).unwrap();
    assert_eq!(
        short(&found),
        [
            "error - http",
            "error literal annotations",
            "error literal secret",
            "error literal secret",
            "error literal secret",
            "warning steps unused-argument",
            "info - left-out",
        ]
    );
    let unused = found.iter().find(|finding| finding.rule == "unused-argument").unwrap();
    assert_eq!(
        unused.to_string(),
        "warning logs steps: no template names \"use\", so it is asked for in vain (unused-argument)"
    );
    assert_eq!(lint_file(file(), Some("own")).unwrap(), []);
}

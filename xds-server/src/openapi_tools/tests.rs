use serde_json::json;

use super::*;

fn document(paths: Value) -> Value {
    json!({
        "openapi": "3.1.0",
        "servers": [{"url": "https://{region}.example.com/v2/", "variables": {"region": {"default": "eu"}}}],
        "paths": paths,
        "components": {
            "schemas": {
                "Pet": {"allOf": [
                    {"$ref": "#/components/schemas/Named"},
                    {"type": "object", "properties": {"age": {"type": ["integer", "null"], "minimum": 0}}},
                ]},
                "Named": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "maxLength": 20}},
                },
                "Tree": {"type": "object", "properties": {"children": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Tree"},
                }}},
            },
            "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 10}}},
        },
    })
}

fn imported(paths: Value, selection: &Selection) -> Import {
    import(&document(paths), selection).unwrap()
}

#[test]
fn an_operation_is_a_tool_with_its_parameters_as_arguments() {
    let paths = json!({"/shops/{shop-id}/pets": {
        "parameters": [{"name": "shop-id", "in": "path", "required": true, "schema": {"type": "string"}}],
        "get": {
            "operationId": "listPets",
            "summary": "Lists pets.",
            "description": "All of a shop.",
            "parameters": [
                {"$ref": "#/components/parameters/Limit"},
                {"name": "filter[kind]", "in": "query", "schema": {"type": "string", "enum": ["cat", "dog"]}},
                {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                {"name": "Accept", "in": "header", "schema": {"type": "string"}},
                {"name": "ids", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "integer"}}},
            ],
        },
    }});
    let import = imported(paths, &Selection::default());
    let expected = json!({
        "name": "listPets",
        "title": "Lists pets.",
        "description": "Lists pets.\n\nAll of a shop.",
        "annotations": {"read_only_hint": true},
        "args": [
            {"name": "limit", "type": "integer", "default_value": 10, "position": "query"},
            {"name": "filter_kind_", "type": "string", "enum_values": ["cat", "dog"], "position": "query"},
            {"name": "X-Trace", "type": "string", "position": "header"},
            {"name": "ids", "type": "array", "items": {"type": "integer"}, "position": "query", "style": "csv"},
            {"name": "shop_id", "type": "string", "required": true, "position": "path"},
        ],
        "request_template": {
            "upstream": {"url": "https://eu.example.com/v2/shops/{{ .shop_id }}/pets?filter%5Bkind%5D={{ .filter_kind_ }}"},
            "method": "GET",
        },
    });
    assert_eq!(import, Import { tools: vec![expected], skipped: vec![] });
}

#[test]
fn members_of_a_body_are_arguments_and_a_name_that_is_taken_gets_another() {
    let paths = json!({"/pets/{name}": {"put": {
        "operationId": "putPet",
        "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
    }}});
    let import = imported(paths, &Selection::default());
    let tool = &import.tools[0];
    assert_eq!(
        tool["args"],
        json!([
            {"name": "name", "type": "string", "required": true, "position": "path"},
            {"name": "name_2", "type": "string", "max_length": 20, "required": true, "position": "body"},
            {"name": "age", "type": "integer", "minimum": 0, "position": "body"},
        ])
    );
    assert_eq!(tool["request_template"]["body"], json!({"name": "{{ .name_2 }}", "age": "{{ .age }}"}));
    assert_eq!(tool["annotations"], json!({"idempotent_hint": true}));
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let body = json!({"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}});
    let import = imported(
        json!({"/trees": {"post": {"operationId": "t", "requestBody": body}}}),
        &Selection::default(),
    );
    assert_eq!(import.tools[0]["args"][0]["name"], "children");
    assert!(import.tools[0].to_string().len() < 2000);
    let endless = json!({"/x": {"$ref": "#/paths/~1x"}});
    assert_eq!(imported(endless, &Selection::default()), Import::default());
}

#[test]
fn a_selection_chooses_renames_and_describes() {
    let operation = |id: &str, tag: &str| json!({"get": {"operationId": id, "tags": [tag]}});
    let mut paths = json!({"/a": operation("a", "x"), "/b": operation("b", "x"), "/c": operation("c", "y")});
    paths["/d"] = json!({"get": {"operationId": "d", "deprecated": true}, "post": {"tags": ["x"]}});
    let names = |selection: &Selection| -> Vec<Value> {
        imported(paths.clone(), selection).tools.iter().map(|tool| tool["name"].clone()).collect()
    };
    assert_eq!(names(&Selection::default()), ["a", "b", "c", "post_d"]);
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let some = Selection {
        exclude: set(&["b"]),
        tags: set(&["x"]),
        prefix: "api_".into(),
        rename: [("a".into(), "first".into())].into(),
        describe: [("a".into(), "The first.".into())].into(),
        ..Selection::default()
    };
    assert_eq!(names(&some), ["first", "api_post_d"]);
    assert_eq!(imported(paths.clone(), &some).tools[0]["description"], "The first.");
    assert_eq!(names(&Selection { include: set(&["d"]), ..Selection::default() }), ["d"]);
    let refused = |selection| import(&document(paths.clone()), &selection).unwrap_err();
    assert_eq!(
        refused(Selection { include: set(&["z"]), ..Selection::default() }),
        ImportError::Unknown("z".into())
    );
    let same = Selection { rename: [("a".into(), "b".into())].into(), ..Selection::default() };
    assert_eq!(refused(same), ImportError::SameName("b".into()));
}

#[test]
fn what_cannot_be_a_tool_is_reported() {
    let upload = json!({"content": {"multipart/form-data": {"schema": {"type": "object"}}}});
    let paths = json!({
        "/files": {"post": {"operationId": "upload", "requestBody": upload}},
        "/x/{y}": {"get": {"operationId": "x"}},
        "/ok": {"delete": {"operationId": "ok"}},
    });
    let import = imported(paths, &Selection::default());
    assert_eq!(import.tools.len(), 1);
    assert_eq!(
        import.skipped,
        [
            Skipped {
                operation: "POST /files".into(),
                id: Some("upload".into()),
                reason: "its body is neither JSON nor a form"
            },
            Skipped {
                operation: "GET /x/{y}".into(),
                id: Some("x".into()),
                reason: "its path has a variable that is no parameter"
            },
        ]
    );
}

#[test]
fn a_document_needs_a_version_and_a_server() {
    assert_eq!(import(&json!({"swagger": "2.0"}), &Selection::default()), Err(ImportError::NotOpenApi));
    let relative = json!({"openapi": "3.0.3", "servers": [{"url": "/api"}], "paths": {}});
    assert_eq!(import(&relative, &Selection::default()), Err(ImportError::NoServer));
    let given = Selection { server: Some("http://10.0.0.1:8080/".into()), ..Selection::default() };
    assert_eq!(import(&relative, &given), Ok(Import::default()));
}

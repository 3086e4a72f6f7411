//! What a template makes of variables, without asking a model.

use axum::Json;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_schema::chat_template::ChatTemplate;
use weir_template::chat::Chat;

use super::{
    error::ApiError,
    operation::Operation,
    request::{Body, By},
};

/// A template and variables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    template: ChatTemplate,
    variables: Map<String, Value>,
}

/// Answers the request that would be sent, or what is wrong and where.
pub(super) async fn render(by: By, body: Body) -> Result<Json<Value>, ApiError> {
    by.may(Operation::Render)?;
    let trial: Trial = body.read()?;
    let chat = match Chat::new(trial.template) {
        Ok(chat) => chat,
        Err(invalid) => {
            let field = format!("template.{}", invalid.field);
            return Ok(Json(json!({"error": {"field": field, "message": invalid.problem.to_string()}})));
        }
    };
    Ok(Json(match chat.fill(Value::Object(trial.variables)) {
        Ok(request) => {
            // It has just been written.
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            json!({"request": body, "prompt_bytes": request.prompt_bytes})
        }
        Err(refusal) => json!({"error": {
            "field": "variables", "status": refusal.status, "code": refusal.code, "message": refusal.message,
            "param": refusal.param,
        }}),
    }))
}

use serde_json::Value;
use weir_schema::chat_template::Mode;

use super::{Chat, Refusal};

impl Chat {
    /// What the caller gets of a whole chat completion.
    ///
    /// # Errors
    ///
    /// What is wrong with the model's output.
    pub fn answer(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|_| Refusal::output("The model's answer is not a chat completion."))?;
        let choice = value.pointer("/choices/0");
        let content = choice.and_then(|choice| choice.pointer("/message/content"));
        let Some(content) = content.and_then(Value::as_str) else {
            return Err(Refusal::output("The model's answer has no text."));
        };
        match self.options.response.mode {
            Mode::Openai => Ok(body.to_vec()),
            Mode::Content => Ok(content.as_bytes().to_vec()),
            Mode::Json => {
                let reason = choice.and_then(|choice| choice.get("finish_reason")).and_then(Value::as_str);
                if reason == Some("length") {
                    let message = "The model's answer ends before its JSON does: finish_reason is \"length\". \
                                   Allow more tokens.";
                    return Err(Refusal::output(message));
                }
                self.json(unfenced(content)).map(|json| json.as_bytes().to_vec())
            }
        }
    }

    /// The media type of what the caller gets.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.options.response.mode {
            Mode::Content => "text/plain; charset=utf-8",
            Mode::Openai | Mode::Json => "application/json",
        }
    }

    fn json<'a>(&self, text: &'a str) -> Result<&'a str, Refusal> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Refusal::output(format!("The model's answer is not JSON: {error}.")))?;
        let misfits = self.answer.as_ref().map(|shape| shape.check(&value)).unwrap_or_default();
        if misfits.is_empty() {
            return Ok(text);
        }
        let told: Vec<_> = misfits.iter().map(ToString::to_string).collect();
        Err(Refusal::output(format!("The model's answer does not fit its schema: {}.", told.join("; "))))
    }
}

/// The text without the fence that models like to put around JSON.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    let Some(inside) = inside else { return text };
    match inside.split_once('\n') {
        // What stands behind the opening fence is the name of a language.
        Some((language, rest)) if language.trim().chars().all(char::is_alphanumeric) => rest.trim(),
        _ => inside.trim(),
    }
}

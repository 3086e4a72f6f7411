//! Configuration of the `chat-template` filter: endpoints that take variables and answer as a model does.

use core::fmt;
use core::num::NonZeroU32;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::mcp::Mount;
use crate::{ModelName, Name, TemplateEngine};

/// Configuration of the `chat-template` filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where templates are called.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// The largest body in bytes that a template may make of a request; more is answered 413. Keep it at or below the
    /// `request_body_buffer_limit` of the virtual host. Default 1 MiB.
    #[serde(default = "one_mebibyte")]
    pub held_body_bytes: NonZeroU32,
}

/// A path and the templates that answer there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// What `x-weir-template` and the access log call it.
    pub name: Name,
    /// Where it is called.
    pub path: Mount,
    /// The tenant it is for; there it stands before a shared one at the same path. Absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// How long an answer may take as a whole. Default as long as the model's may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<NonZeroU32>,
    /// The templates, of which each request draws one by weight.
    pub variants: Vec<Variant>,
}

/// One of an endpoint's templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// How often it is drawn, beside the others.
    #[serde(default = "one")]
    pub weight: NonZeroU32,
    /// The template.
    pub template: ChatTemplate,
}

/// A template: variables in, a chat completion's request out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChatTemplate {
    /// The type's name, as it stands beside options of any type.
    #[serde(rename = "@type", default, skip_serializing_if = "Option::is_none")]
    pub type_url: Option<ChatTemplateType>,
    /// The model that is asked, by the name that callers know; they need permission for it.
    pub model_name: ModelName,
    /// The one provider of the model that is asked. Default as the model says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// What the user says: a template over the variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_template: Option<String>,
    /// What the model is told first: a template over the variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_template: Option<String>,
    /// The conversation, in place of the two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The language of the templates.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engine: TemplateEngine,
    /// What else the request says: `temperature`, `max_tokens` and others.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// What else a caller may say, under `params`; it stands before what is said here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_params: BTreeSet<String>,
    /// Whether the answer is streamed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stream: Streaming,
    /// The JSON Schema of the variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables_schema: Option<Map<String, Value>>,
    /// What a caller gets of the answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response: Response,
    /// How long things may be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// Which version of the template it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(rename = "TemplateMessage"))]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said: a template over the variables.
    pub content: String,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(rename = "TemplateRole"))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever runs the endpoint.
    System,
    /// The same, by the name that some models know.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// Whether an answer is streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Streaming {
    /// If the caller says so.
    #[default]
    Client,
    /// In no case.
    Never,
    /// In any case.
    Always,
}

/// What a caller gets of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(rename = "TemplateResponse"))]
#[serde(deny_unknown_fields, default)]
pub struct Response {
    /// Which part of it, and in which form.
    pub mode: Mode,
    /// The JSON Schema that a `json` answer has to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Map<String, Value>>,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(rename = "TemplateResponseMode"))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The whole chat completion, untouched.
    #[default]
    Openai,
    /// The text alone.
    Content,
    /// The JSON that the text is.
    Json,
}

/// How long things may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(rename = "TemplateLimits"))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The request's body. Default 1 MiB.
    pub body_bytes: NonZeroU32,
    /// All messages together. Default 1 MiB.
    pub prompt_bytes: NonZeroU32,
}

/// The type of these options: `type.googleapis.com/infra.gateway.middleware.llm.v1.contrib.ChatTemplateConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct ChatTemplateType;

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: one_mebibyte(), prompt_bytes: one_mebibyte() }
    }
}

impl TryFrom<String> for ChatTemplateType {
    type Error = OtherType;

    fn try_from(text: String) -> Result<Self, OtherType> {
        if text == CHAT_TEMPLATE_TYPE { Ok(Self) } else { Err(OtherType) }
    }
}

impl From<ChatTemplateType> for String {
    fn from(_: ChatTemplateType) -> Self {
        CHAT_TEMPLATE_TYPE.to_owned()
    }
}

/// The text names another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherType;

impl fmt::Display for OtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "options of a chat template have the type {CHAT_TEMPLATE_TYPE}")
    }
}

impl core::error::Error for OtherType {}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn one_mebibyte() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1024 * 1024 - 1)
}

const CHAT_TEMPLATE_TYPE: &str =
    "type.googleapis.com/infra.gateway.middleware.llm.v1.contrib.ChatTemplateConfig";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_template_has_all_defaults_and_is_written_as_it_was_read() {
        let text = r#"{"model_name":"index","prompt_template":"Hi {{ .name }}"}"#;
        let template: ChatTemplate = serde_json::from_str(text).unwrap();
        assert_eq!(template.limits, Limits::default());
        assert_eq!(serde_json::to_string(&template).unwrap(), text);
    }

    #[test]
    fn options_of_another_type_are_refused() {
        let of = |name: &str| {
            let text = format!(r#"{{"@type":"type.googleapis.com/{name}","model_name":"index"}}"#);
            serde_json::from_str::<ChatTemplate>(&text)
        };
        assert!(of("infra.gateway.middleware.llm.v1.contrib.ChatTemplateConfig").is_ok());
        let error = of("infra.gateway.middleware.llm.v1.contrib.MCPServerConfig").unwrap_err();
        assert!(error.to_string().starts_with("options of a chat template have the type"), "{error}");
    }
}

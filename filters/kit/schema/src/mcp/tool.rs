//! Tools that are made of calls of REST APIs.

use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{ArgName, ToolName};

/// A tool.
///
/// It has one `request`, or several `steps`, or neither: then its `response` alone answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: ToolName,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, for the model that chooses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What a client may take it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Its arguments, in the order they are described in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Arg>,
    /// The JSON Schema of its arguments in place of the one that `args` make; then `args` only say where each goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
    /// The JSON Schema of its answer, which is then checked and sent as structured content too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Map<String, Value>>,
    /// The one call it makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The calls it makes: each as soon as those are done whose results its templates name as `.steps.<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What it answers: a template over the answer's JSON, or over the arguments and `.steps`. Default the answer as
    /// it came, of several steps that of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Template>,
    /// What it says of an answer that is an error: a template over `.status` and `.body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Template>,
    /// How long it may take as a whole. Default as long as the server's tools may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<NonZeroU32>,
}

/// A template in Go's syntax: `{{ .env }}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Template(pub String);

/// What a client may take a tool for; hints, and no promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Annotations {
    /// It changes nothing.
    #[serde(alias = "readOnlyHint", skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// What it changes may be lost.
    #[serde(alias = "destructiveHint", skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// To call it twice is to call it once.
    #[serde(alias = "idempotentHint", skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It reaches things that nobody has listed.
    #[serde(alias = "openWorldHint", skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// An argument of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Arg {
    /// Its name.
    pub name: ArgName,
    /// What it is, for the model that chooses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it may be. Default a string.
    #[serde(default, rename = "type")]
    pub kind: ArgType,
    /// What it is where it is not given. A string is read as the argument's type.
    #[serde(default, alias = "default", alias = "defaultValue", skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Value>,
    /// The values it may have.
    #[serde(default, alias = "enum", alias = "enumValues", skip_serializing_if = "Vec::is_empty")]
    pub enum_values: Vec<Value>,
    /// Whether it must be given; one with a default never must.
    #[serde(default)]
    pub required: bool,
    /// Where it goes if no template names it. Default the body of a request that has one, otherwise the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// How an array stands in a query.
    #[serde(default)]
    pub style: ArgStyle,
    /// What the items of an array are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Shape>,
    /// What the members of an object are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Number>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Number>,
    /// The least number of characters.
    #[serde(default, alias = "minLength", skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// The greatest number of characters.
    #[serde(default, alias = "maxLength", skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// The least number of items.
    #[serde(default, alias = "minItems", skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u32>,
    /// The greatest number of items. Default 1000.
    #[serde(default, alias = "maxItems", skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    /// A header `Mcp-Param-<name>` that repeats it for those on the way (MCP 2026-07-28).
    #[serde(default, alias = "mcpHeader", skip_serializing_if = "Option::is_none")]
    pub mcp_header: Option<String>,
}

/// A JSON Schema of the subset that is checked: `type`, `enum`, `items`, `properties`, `required`,
/// `additionalProperties`, `minimum`, `maximum`, `minLength`, `maxLength`, `minItems` and `maxItems`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Shape(pub Map<String, Value>);

/// What an argument may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArgType {
    /// A text.
    #[default]
    String,
    /// A number without a fraction.
    #[serde(alias = "int", alias = "int64", alias = "int32")]
    Integer,
    /// A number.
    #[serde(alias = "float", alias = "float64", alias = "double")]
    Number,
    /// `true` or `false`.
    #[serde(alias = "bool")]
    Boolean,
    /// A list.
    Array,
    /// A JSON object.
    Object,
}

/// Where an argument goes in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Into the query, under its name.
    Query,
    /// Into the path, which must name it.
    Path,
    /// Into the header of its name, `_` as `-`.
    Header,
    /// Into `cookie`.
    Cookie,
    /// Into the JSON or form body, under its name.
    Body,
}

/// How an array stands in a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArgStyle {
    /// One pair for each item.
    #[default]
    Repeat,
    /// One pair, with commas.
    Csv,
}

/// A call of a REST API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The cluster that is called.
    pub cluster: String,
    /// What `:authority` says.
    pub authority: String,
    /// The path and query: a template. What it prints is percent-encoded. `{name}` is `{{ .name }}`.
    pub path: Template,
    /// The method. Default GET, or POST where there is a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Header fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The body: a text is a template; in anything else each string is one, and one that is a single action is the
    /// value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body's media type. Default `application/json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How long an answer may take. Default as long as the tool may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<NonZeroU32>,
}

/// A header field of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    #[serde(alias = "key")]
    pub name: String,
    /// Its value: a template.
    pub value: Template,
}

/// One of several calls that a tool makes.
///
/// Its templates have the tool's arguments, and as `.steps.<name>` the JSON of other steps' answers; it waits for those it
/// names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: ArgName,
    /// Steps it waits for without naming their results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ArgName>,
    /// Whether it is made: a template; what is empty, `false`, `0` or of an absent variable means no. Then its result is
    /// absent. Default yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Template>,
    /// A template that is one action, whose value is a list: the call is made for each item, `.item`, and the result is
    /// the list of the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Template>,
    /// The call.
    pub request: Request,
    /// Whether the tool goes on without its result if it fails.
    #[serde(default)]
    pub optional: bool,
}

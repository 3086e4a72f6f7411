use serde::{Deserialize, Serialize};

/// The language a template is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TemplateEngine {
    /// Go's `text/template`, the part of it that a template over JSON needs.
    #[default]
    Go,
    /// Handlebars.
    Handlebars,
}

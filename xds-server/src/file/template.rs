//! Chat templates that are kept under a name and a version, as the file has them.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_schema::Name;
use weir_schema::chat_template::ChatTemplate;

use crate::model;

/// `templates[]`: one version of a template. Its content never changes, its labels may.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredTemplate {
    /// The template's name.
    pub name: Name,
    /// Which version of it.
    pub version: Name,
    /// By what routes can find it beside its version, such as `production`; of one name each label is on one version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Name>,
    /// What it is.
    pub template: Box<ChatTemplate>,
    /// What it must make of some variables; checked before it is served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
}

/// `templates[].cases[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is sent: the variables.
    pub variables: Map<String, Value>,
    /// What the last message then says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The code of the error that is answered instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `routes[].middlewares[].options` of `v1_stored_chat_template`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateUse {
    /// The template's name.
    pub template: Name,
    /// Which of its versions; each request draws one by weight.
    pub versions: Vec<VersionUse>,
}

/// `versions[]`: by number or by label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionUse {
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
    /// A label of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Name>,
    /// How often it is drawn, beside the others.
    #[serde(default = "one")]
    pub weight: NonZeroU32,
}

impl StoredTemplate {
    /// What tells it apart from every other: its name and version.
    pub fn label(&self) -> String {
        model::template_label(&self.name, &self.version)
    }

    /// Whether another one of this name and version has the same content.
    pub fn is_same(&self, other: &Self) -> bool {
        Self { labels: other.labels.clone(), ..self.clone() } == *other
    }

    pub(super) fn into_model(self) -> model::StoredTemplate {
        let Self { name, version, labels, template, cases } = self;
        let case = |Case { variables, prompt, error }| model::Case { variables, prompt, error };
        let cases = cases.into_iter().map(case).collect();
        model::StoredTemplate { name, version, labels, template: *template, cases }
    }
}

impl TemplateUse {
    pub(super) fn into_model(self) -> model::TemplateUse {
        let Self { template, versions } = self;
        let version = |VersionUse { version, label, weight }| model::VersionUse { version, label, weight };
        model::TemplateUse { template, versions: versions.into_iter().map(version).collect() }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

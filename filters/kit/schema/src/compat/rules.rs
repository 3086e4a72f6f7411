//! What a model needs at its upstream.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// What a model needs at its upstream, in requests and in answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Where a client finds what the model has thought. Default where the upstream has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// How the usage of a stream is come by. Default by asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<StreamUsage>,
    /// What becomes of the members of a request.
    #[serde(skip_serializing_if = "is_default")]
    pub params: Params,
    /// Other names of the roles of messages: `developer: system`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, String>,
    /// What the content of a message may be. Default a text, or parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Other words of `tool_choice`: `required: any`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tool_choice: BTreeMap<String, String>,
}

/// Where a client finds what a model has thought, whether the upstream has it between `<think>` and `</think>` at the
/// start of the content, in `reasoning_content` or in `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Think {
    /// Where the upstream has it.
    #[default]
    Keep,
    /// In `reasoning_content`.
    ReasoningContent,
    /// Nowhere.
    Strip,
    /// Between `<think>` and `</think>` at the start of the content.
    Tags,
}

/// How the usage of a stream is come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// By `stream_options.include_usage`.
    #[default]
    Ask,
    /// The upstream tells it unasked, and does not know `stream_options`.
    Unasked,
}

/// What the content of a message may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A text, or parts.
    #[default]
    Parts,
    /// A text: parts that are texts become one, a line each.
    Text,
}

/// What becomes of the members of a request. Rules for a member that is renamed are about it by either name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// A request that has one of these is answered 400.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub refuse: BTreeSet<String>,
    /// Members that are taken away.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub drop: BTreeSet<String>,
    /// Members that have another name here: `max_tokens: max_completion_tokens`. Where the request has both, it keeps the one
    /// with the other name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Bounds of numbers; a number beyond them becomes the bound.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub clamp: BTreeMap<String, Bounds>,
    /// Members that are added where the request has none of the name, or null.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub defaults: Map<String, Value>,
    /// Members that have this value, whatever the request says.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
}

/// Bounds of a number: the largest alone, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Bounds {
    /// The largest.
    Max(#[cfg_attr(feature = "json-schema", schemars(with = "f64"))] Number),
    /// Either or both.
    Range(Range),
}

/// The smallest and the largest number, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<f64>"))]
    pub min: Option<Number>,
    /// The largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<f64>"))]
    pub max: Option<Number>,
}

/// [`Rules`] as the text in which they travel with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "Rules"))]
#[serde(from = "Rules", into = "Rules")]
pub struct RuleText(String);

impl Rules {
    /// Whether they change nothing but what is always done.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a request's body has to be whole to be made what they say.
    pub fn edit_requests(&self) -> bool {
        let Self { think: _, stream_usage, params, roles, content, tool_choice } = self;
        *stream_usage == Some(StreamUsage::Unasked)
            || *params != Params::default()
            || !roles.is_empty()
            || *content == Some(Content::Text)
            || !tool_choice.is_empty()
    }

    /// How the usage of a stream is come by.
    pub fn stream_usage(&self) -> StreamUsage {
        self.stream_usage.unwrap_or_default()
    }

    /// These rules, where they say nothing as `base` has it.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self {
            think: self.think.or(base.think),
            stream_usage: self.stream_usage.or(base.stream_usage),
            params: self.params.over(base.params),
            roles: extended(base.roles, self.roles),
            content: self.content.or(base.content),
            tool_choice: extended(base.tool_choice, self.tool_choice),
        }
    }
}

impl Params {
    /// These rules beside those of `base`; of two for one member these stand.
    fn over(self, base: Self) -> Self {
        let Self { refuse, drop, rename, clamp, defaults, set } = self;
        Self {
            refuse: extended(base.refuse, refuse),
            drop: extended(base.drop, drop),
            rename: extended(base.rename, rename),
            clamp: extended(base.clamp, clamp),
            defaults: extended(base.defaults, defaults),
            set: extended(base.set, set),
        }
    }

    /// The members that some rule is about.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let Self { refuse, drop, rename, clamp, defaults, set } = self;
        let sets = refuse.iter().chain(drop).chain(rename.keys()).chain(rename.values()).chain(clamp.keys());
        sets.chain(defaults.keys()).chain(set.keys()).map(String::as_str)
    }
}

impl Bounds {
    /// The smallest that is allowed.
    pub fn min(&self) -> Option<&Number> {
        match self {
            Self::Max(_) => None,
            Self::Range(range) => range.min.as_ref(),
        }
    }

    /// The largest that is allowed.
    pub fn max(&self) -> Option<&Number> {
        match self {
            Self::Max(max) => Some(max),
            Self::Range(range) => range.max.as_ref(),
        }
    }
}

impl RuleText {
    /// The text: JSON in one line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Rules> for RuleText {
    fn from(rules: Rules) -> Self {
        // Names and values are JSON already, so nothing here can fail.
        Self(serde_json::to_string(&rules).unwrap_or_default())
    }
}

impl From<RuleText> for Rules {
    fn from(text: RuleText) -> Self {
        serde_json::from_str(&text.0).unwrap_or_default()
    }
}

fn extended<C: Extend<T> + IntoIterator<Item = T>, T>(mut base: C, more: C) -> C {
    base.extend(more);
    base
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"{"think":"reasoning_content","params":{"drop":["logit_bias"],"clamp":{"max_tokens":8192,"top_p":{"min":0.01}},"defaults":{"temperature":0.7}},"roles":{"developer":"system"}}"#;

    #[test]
    fn rules_travel_as_text() {
        let text: RuleText = serde_json::from_str(RULES).unwrap();
        assert_eq!(text.as_str(), RULES);
        assert_eq!(serde_json::to_string(&text).unwrap(), RULES);
        let rules = Rules::from(text);
        assert!(rules.edit_requests() && !rules.is_default());
        assert_eq!(rules.params.clamp["max_tokens"].max(), Some(&8192.into()));
        assert_eq!(rules.params.clamp["top_p"].min(), Number::from_f64(0.01).as_ref());
    }

    #[test]
    fn rules_stand_over_others() {
        let base: Rules = serde_json::from_str(RULES).unwrap();
        let own = r#"{"think":"keep","params":{"drop":["user"],"clamp":{"max_tokens":{"min":1}},"rename":{"a":"b"}}}"#;
        let own: Rules = serde_json::from_str(own).unwrap();
        let expected = r#"{"think":"keep","params":{"drop":["logit_bias","user"],"rename":{"a":"b"},"clamp":{"max_tokens":{"min":1},"top_p":{"min":0.01}},"defaults":{"temperature":0.7}},"roles":{"developer":"system"}}"#;
        let over = own.over(base.clone());
        assert_eq!(serde_json::to_string(&over).unwrap(), expected);
        assert_eq!(Rules::default().over(base.clone()), base);
        let names: Vec<_> = over.params.names().collect();
        assert_eq!(names, ["logit_bias", "user", "a", "b", "max_tokens", "top_p", "temperature"]);
    }

    #[test]
    fn an_unknown_rule_is_refused() {
        for wrong in
            [r#"{"thinks":"keep"}"#, r#"{"params":{"dorp":[]}}"#, r#"{"params":{"clamp":{"n":{"mx":1}}}}"#]
        {
            assert!(serde_json::from_str::<Rules>(wrong).is_err(), "{wrong}");
        }
    }
}

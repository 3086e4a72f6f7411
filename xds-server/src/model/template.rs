//! Chat templates that are kept under a name and a version.

use std::num::NonZeroU32;

use serde_json::{Map, Value};
use weir_schema::Name;
use weir_schema::chat_template::{ChatTemplate, Variant};
use weir_template::chat::Chat;

use super::{ModelError, Parts, Problem, Route, RouteAnswer, known, unique};

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTemplate {
    /// The template's name.
    pub name: Name,
    /// Which version of it.
    pub version: Name,
    /// By what it is found beside its version.
    pub labels: Vec<Name>,
    /// What it is.
    pub template: ChatTemplate,
    /// What it must make of some variables.
    pub cases: Vec<Case>,
}

/// Variables, and what a template must make of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The variables.
    pub variables: Map<String, Value>,
    /// What the last message says.
    pub prompt: Option<String>,
    /// The code of the error that is answered instead.
    pub error: Option<String>,
}

/// Versions of a template, to draw from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateUse {
    /// The template's name.
    pub template: Name,
    /// The versions.
    pub versions: Vec<VersionUse>,
}

/// A version, by its name or by a label of it, with its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionUse {
    /// The version.
    pub version: Option<Name>,
    /// A label.
    pub label: Option<Name>,
    /// How often it is drawn.
    pub weight: NonZeroU32,
}

/// What a version is called among all of them.
pub fn template_label(name: &Name, version: &Name) -> String {
    format!("{name}@{version}")
}

impl StoredTemplate {
    fn label(&self) -> String {
        template_label(&self.name, &self.version)
    }
}

impl Parts {
    pub(super) fn check_templates(&self) -> Result<(), ModelError> {
        unique("templates", self.templates.iter().map(StoredTemplate::label))?;
        for (nth, stored) in self.templates.iter().enumerate() {
            let at = |field: &str| format!("templates.{}.{field}", stored.label());
            let named = || self.templates.iter().take(nth).filter(|other| other.name == stored.name);
            for label in &stored.labels {
                if let Some(other) = named().find(|other| other.labels.contains(label)) {
                    let problem = Problem::LabelTaken(label.clone(), other.version.clone());
                    return Err(ModelError { at: at("labels"), problem });
                }
            }
            self.check_chat_template(&stored.template, None, |field| at(&format!("template.{field}")))?;
            // The options have just been read.
            let Ok(chat) = Chat::new(stored.template.clone()) else { continue };
            for (nth, case) in stored.cases.iter().enumerate() {
                case.check(&chat).map_err(|found| ModelError {
                    at: at(&format!("cases[{nth}]")),
                    problem: Problem::Case(found),
                })?;
            }
        }
        Ok(())
    }

    /// The templates that a route draws from, each with its version; an error names the field that leads nowhere.
    pub fn variants(&self, route: &Route) -> Result<Vec<Variant>, ModelError> {
        let at = |field: &str| format!("routes.{}.middlewares[0].options.{field}", route.label());
        let mut variants = Vec::new();
        for answer in &route.answers {
            match answer {
                RouteAnswer::ChatTemplate(options) => {
                    variants.push(Variant { weight: NonZeroU32::MIN, template: options.as_ref().clone() });
                }
                RouteAnswer::McpServer(_) | RouteAnswer::McpRegistry(_) => {}
                RouteAnswer::StoredChatTemplate(used) => {
                    let of_name = self.templates.iter().filter(|stored| stored.name == used.template);
                    let names = self.templates.iter().map(|stored| stored.name.as_str());
                    known("template", used.template.as_str(), names, || at("template"))?;
                    for (nth, version) in used.versions.iter().enumerate() {
                        let template = version
                            .find(of_name.clone(), &|field| at(&format!("versions[{nth}].{field}")))?;
                        variants.push(Variant { weight: version.weight, template });
                    }
                }
            }
        }
        Ok(variants)
    }
}

impl VersionUse {
    fn find<'a>(
        &self,
        of_name: impl Iterator<Item = &'a StoredTemplate> + Clone,
        at: &dyn Fn(&str) -> String,
    ) -> Result<ChatTemplate, ModelError> {
        let found = match (&self.version, &self.label) {
            (Some(version), None) => {
                let versions = of_name.clone().map(|stored| stored.version.as_str());
                known("version", version.as_str(), versions, || at("version"))?;
                of_name.clone().find(|stored| stored.version == *version)
            }
            (None, Some(label)) => {
                let labels = of_name.clone().flat_map(|stored| stored.labels.iter().map(Name::as_str));
                known("label", label.as_str(), labels, || at("label"))?;
                of_name.clone().find(|stored| stored.labels.contains(label))
            }
            (Some(_), Some(_)) | (None, None) => None,
        };
        let stored =
            found.ok_or_else(|| ModelError { at: at("version"), problem: Problem::VersionOrLabel })?;
        Ok(ChatTemplate { version: Some(stored.version.clone()), ..stored.template.clone() })
    }
}

impl Case {
    /// What the template makes of the variables, if that is something else.
    fn check(&self, chat: &Chat) -> Result<(), String> {
        let made = chat.fill(Value::Object(self.variables.clone()));
        match (made, &self.prompt, &self.error) {
            (Err(refusal), None, Some(code)) if refusal.code == code => Ok(()),
            (Err(refusal), ..) => Err(refusal.to_string()),
            (Ok(request), prompt, None) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let messages = body.get("messages").and_then(Value::as_array);
                let last = messages.and_then(|messages| messages.last()?.get("content")?.as_str());
                match prompt {
                    Some(prompt) if last != Some(prompt) => Err(format!("{:?}", last.unwrap_or_default())),
                    Some(_) | None => Ok(()),
                }
            }
            (Ok(_), _, Some(_)) => Err("a prompt".to_owned()),
        }
    }
}

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The body of `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The body of `GET /v1/models/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The name that requests use.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When the model was made, in seconds since 1970.
    pub created: u64,
    /// Who runs it.
    pub owned_by: String,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ModelList {
    /// A list of `data`.
    pub fn new(data: Vec<Model>) -> Self {
        Self { object: "list".to_owned(), data, rest: Map::new() }
    }

    /// The list as JSON.
    pub fn to_body(&self) -> Vec<u8> {
        // Keys are strings and numbers are finite, so nothing here can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Model {
    /// A model without other members.
    pub fn new(id: impl Into<String>, created: u64, owned_by: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            object: "model".to_owned(),
            created,
            owned_by: owned_by.into(),
            rest: Map::new(),
        }
    }

    /// The model as JSON.
    pub fn to_body(&self) -> Vec<u8> {
        // As in `ModelList::to_body`.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Field, Usage};

/// The body of `POST /v1/embeddings`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingsRequest {
    /// The model that is asked.
    pub model: String,
    /// A text, the tokens of one, or several of either.
    pub input: Value,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The answer to an [`EmbeddingsRequest`]. Its vectors are left in `rest`, as numbers or base64.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingsResponse {
    /// The model that has answered, by its upstream name.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub model: Field<String>,
    /// What it has cost.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub usage: Field<Usage>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

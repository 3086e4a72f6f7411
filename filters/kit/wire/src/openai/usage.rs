use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Field;

/// The tokens that a response has cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub prompt_tokens: Field<u64>,
    /// Tokens of the answer, reasoning included. Embeddings have none.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub completion_tokens: Field<u64>,
    /// The sum of both.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub total_tokens: Field<u64>,
    /// What the prompt's tokens are.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub prompt_tokens_details: Field<PromptTokensDetails>,
    /// What the answer's tokens are.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub completion_tokens_details: Field<CompletionTokensDetails>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What the prompt's tokens are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptTokensDetails {
    /// Tokens that the upstream had read before.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub cached_tokens: Field<u64>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What the answer's tokens are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionTokensDetails {
    /// Tokens that the model has thought and not said.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub reasoning_tokens: Field<u64>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Usage {
    /// Tokens of the prompt, 0 if unsaid.
    pub fn prompt(&self) -> u64 {
        self.prompt_tokens.get().copied().unwrap_or(0)
    }

    /// Tokens of the answer, 0 if unsaid.
    pub fn completion(&self) -> u64 {
        self.completion_tokens.get().copied().unwrap_or(0)
    }

    /// All tokens: the total if it is said, else the sum.
    pub fn total(&self) -> u64 {
        let sum = self.prompt().saturating_add(self.completion());
        self.total_tokens.get().copied().unwrap_or(sum)
    }

    /// Tokens of the prompt that the upstream had read before, 0 if unsaid.
    pub fn cached(&self) -> u64 {
        let details = self.prompt_tokens_details.get();
        details.and_then(|details| details.cached_tokens.get()).copied().unwrap_or(0)
    }

    /// Tokens of the answer that the model has thought and not said, 0 if unsaid.
    pub fn reasoning(&self) -> u64 {
        let details = self.completion_tokens_details.get();
        details.and_then(|details| details.reasoning_tokens.get()).copied().unwrap_or(0)
    }
}

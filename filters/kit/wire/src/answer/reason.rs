//! Why an answer has ended, in OpenAI's words.

/// OpenAI's word for an upstream's; `None` if it is OpenAI's, or has none there.
pub(super) fn normal(reason: &str) -> Option<&'static str> {
    WORDS.iter().find(|(word, _)| *word == reason).map(|(_, normal)| *normal)
}

/// Sources: Text Generation Inference (`eos_token`, `stop_sequence`), Mistral (`model_length`), Zhipu (`sensitive`,
/// `network_error`), DeepSeek (`insufficient_system_resource`), vLLM and SGLang (`abort`), Anthropic and Cohere (the rest).
const WORDS: [(&str, &str); 13] = [
    ("eos_token", "stop"),
    ("stop_sequence", "stop"),
    ("eos", "stop"),
    ("end_turn", "stop"),
    ("COMPLETE", "stop"),
    ("abort", "stop"),
    ("model_length", "length"),
    ("max_tokens", "length"),
    ("MAX_TOKENS", "length"),
    ("tool_use", "tool_calls"),
    ("sensitive", "content_filter"),
    ("network_error", "length"),
    ("insufficient_system_resource", "length"),
];

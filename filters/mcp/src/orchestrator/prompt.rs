//! Prompts for people to choose.

use weir_tool::PromptPlan;
use weir_wire::jsonrpc::RpcError;

use super::Answer;
use crate::era::Asked;

/// Answers `prompts/get`.
pub(super) fn get(prompts: &[PromptPlan], asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let invalid = |message: &'static str| RpcError::new(RpcError::INVALID_PARAMS, message);
    let name = asked.text("name").ok_or_else(|| invalid("\"name\" must be a string"))?;
    let given = asked.object("arguments").ok_or_else(|| invalid("\"arguments\" must be an object"))?;
    let prompt = prompts.iter().find(|prompt| prompt.name == name);
    let prompt = prompt.ok_or_else(|| invalid("there is no prompt of this name"))?;
    prompt
        .filled(&given)
        .map(Answer::Result)
        .map_err(|unfit| RpcError::new(RpcError::INVALID_PARAMS, unfit.to_string()))
}

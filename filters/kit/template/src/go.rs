//! Go's `text/template`, as far as it needs nothing but data.
//!
//! Text and `{{ actions }}` are told apart here, and blocks are put together; [`action`] reads what stands in an
//! action. Source: Go, "text/template", of which this keeps the trimming of white space and the meaning of `if`,
//! `with` and `range`, and adds calls as `f(a, b)`.

mod action;
mod block;
mod literal;

use action::Action;
use block::Blocks;

use crate::template::Parsed;
use crate::{Position, TemplateError, TemplateProblem};

/// Reads a template in Go's syntax.
pub(crate) fn parse(source: &str) -> Result<Parsed, TemplateError> {
    let mut blocks = Blocks::new(source);
    let mut offset = 0;
    let mut trim_next = false;
    loop {
        let rest = source.get(offset..).unwrap_or_default();
        let text = rest.split_once("{{").map_or(rest, |(text, _)| text);
        let open = offset.saturating_add(text.len());
        let inside = source.get(open.saturating_add(2)..);
        let trim_before = inside.is_some_and(trims_before);
        let mut shown = text;
        if trim_next {
            shown = shown.trim_start_matches(is_space);
        }
        if trim_before {
            shown = shown.trim_end_matches(is_space);
        }
        blocks.text(shown);
        let Some(inside) = inside else { break };
        let start = open.saturating_add(if trim_before { 3 } else { 2 });
        if let Some(comment) = comment(source, start, open)? {
            (offset, trim_next) = comment;
            continue;
        }
        if inside.starts_with('{') {
            let hint = "put a space between the braces, or write {{ \"{\" }} for one that is shown";
            let what = "a third brace".to_owned();
            return Err(error(source, open, TemplateProblem::Unsupported { what, hint }));
        }
        let mut action = Action::new(source, start, open);
        blocks.action(&mut action)?;
        (offset, trim_next) = action.close()?;
    }
    blocks.finish()
}

/// Behind a comment, if there is one at `start`: where the text goes on, and whether without its first blanks.
fn comment(source: &str, start: usize, open: usize) -> Result<Option<(usize, bool)>, TemplateError> {
    let rest = source.get(start..).unwrap_or_default();
    let blanks = rest.len().saturating_sub(rest.trim_start_matches(is_space).len());
    // Only a trim marker may stand before a comment, and the blank behind it.
    let leading = if start > open.saturating_add(2) { blanks } else { 0 };
    let Some(rest) = rest.get(leading..).and_then(|rest| rest.strip_prefix("/*")) else { return Ok(None) };
    let unclosed = || error(source, open, TemplateProblem::UnclosedComment);
    let (_, behind) = rest.split_once("*/").ok_or_else(unclosed)?;
    let (text, trims) = match behind.strip_prefix("}}") {
        Some(text) => (text, false),
        None => {
            let trimmed = behind.trim_start_matches(is_space);
            let marker = trimmed.strip_prefix("-}}").filter(|_| trimmed.len() < behind.len());
            (marker.ok_or_else(unclosed)?, true)
        }
    };
    Ok(Some((source.len().saturating_sub(text.len()), trims)))
}

/// `{{- ` takes the blanks before it away; without a blank behind it, the hyphen is a sign.
fn trims_before(inside: &str) -> bool {
    inside.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

/// What Go takes for white space.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn error(source: &str, offset: usize, problem: TemplateProblem) -> TemplateError {
    TemplateError { position: Position::of(source, offset), problem }
}

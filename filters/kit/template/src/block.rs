//! What stands around other parts of a template, and what writes a value.

use handlebars::{
    BlockContext, BlockParamHolder, Context, Handlebars, Helper, HelperDef, HelperResult, Output,
    PathAndJson, RenderContext, Renderable,
};
use serde_json::Value;

use crate::fault::RenderProblem;
use crate::function::{argument, is_truthy, kind_of, position};
use crate::node::BlockKind;

/// The helper that writes a value. No function has its name.
pub(crate) const PRINT: &str = "print value";

/// Makes the blocks known.
pub(crate) fn register(functions: &mut Handlebars<'_>) {
    functions.register_helper(PRINT, Box::new(Print));
    for kind in [BlockKind::If, BlockKind::With, BlockKind::Range, BlockKind::Each] {
        functions.register_helper(kind.keyword(), Box::new(kind));
    }
}

/// Writes a value: a string as it is, nothing for null, everything else as JSON.
struct Print;

impl HelperDef for Print {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = argument(helper, 0)?;
        match value.value() {
            Value::Null => Ok(()),
            Value::String(text) => out.write_fmt(format_args!("{text}")),
            value => out.write_fmt(format_args!("{value}")),
        }
        .map_err(|error| at(error.into(), helper))
    }
}

impl HelperDef for BlockKind {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        functions: &'reg Handlebars<'reg>,
        data: &'rc Context,
        scope: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let Some(subject) = helper.param(1) else { return Ok(()) };
        if is_truthy(subject.value()) {
            match self {
                Self::If => shown_if(helper, subject, functions, data, scope, out),
                Self::With => shown_with(helper, subject, functions, data, scope, out),
                Self::Range | Self::Each => repeated(*self, helper, subject, functions, data, scope, out),
            }
        } else if let (Self::Range | Self::Each, Value::Bool(_) | Value::Number(_) | Value::String(_)) =
            (self, subject.value())
        {
            Err(not_repeatable(*self, helper, subject.value()))
        } else {
            helper.inverse().map_or(Ok(()), |inverse| inverse.render(functions, data, scope, out))
        }
    }
}

fn shown_if<'reg: 'rc, 'rc>(
    helper: &Helper<'rc>,
    subject: &PathAndJson<'rc>,
    functions: &'reg Handlebars<'reg>,
    data: &'rc Context,
    scope: &mut RenderContext<'reg, 'rc>,
    out: &mut dyn Output,
) -> HelperResult {
    let Some(body) = helper.template() else { return Ok(()) };
    let Some(name) = helper.block_param() else { return body.render(functions, data, scope, out) };
    // The current value stays, so the variable cannot be a path from it.
    let mut block = scope.block().cloned().unwrap_or_default();
    block.set_block_params(handlebars::BlockParams::new());
    block.set_block_param(name, BlockParamHolder::value(subject.value().clone()));
    within(block, scope, |scope| body.render(functions, data, scope, out))
}

fn shown_with<'reg: 'rc, 'rc>(
    helper: &Helper<'rc>,
    subject: &PathAndJson<'rc>,
    functions: &'reg Handlebars<'reg>,
    data: &'rc Context,
    scope: &mut RenderContext<'reg, 'rc>,
    out: &mut dyn Output,
) -> HelperResult {
    let Some(body) = helper.template() else { return Ok(()) };
    let mut block = BlockContext::new();
    if let Some(outer) = scope.block() {
        block.local_variables_mut().clone_from(outer.local_variables());
    }
    stand_at(&mut block, subject.context_path().map(Vec::as_slice), None, subject.value());
    if let Some(name) = helper.block_param() {
        block.set_block_param(name, current(subject, subject.value()));
    }
    within(block, scope, |scope| body.render(functions, data, scope, out))
}

fn repeated<'reg: 'rc, 'rc>(
    kind: BlockKind,
    helper: &Helper<'rc>,
    subject: &PathAndJson<'rc>,
    functions: &'reg Handlebars<'reg>,
    data: &'rc Context,
    scope: &mut RenderContext<'reg, 'rc>,
    out: &mut dyn Output,
) -> HelperResult {
    let Some(body) = helper.template() else { return Ok(()) };
    let items: Box<dyn Iterator<Item = (String, Value, &Value)>> = match subject.value() {
        Value::Array(items) => Box::new(
            items.iter().enumerate().map(|(index, item)| (index.to_string(), Value::from(index), item)),
        ),
        Value::Object(members) => {
            Box::new(members.iter().map(|(key, member)| (key.clone(), Value::from(key.as_str()), member)))
        }
        other => return Err(not_repeatable(kind, helper, other)),
    };
    let path = subject.context_path().map(Vec::as_slice);
    within(BlockContext::new(), scope, |scope| {
        let mut items = items.enumerate().peekable();
        while let Some((index, (segment, key, item))) = items.next() {
            out.write("").map_err(|error| at(error.into(), helper))?;
            if let Some(block) = scope.block_mut() {
                stand_at(block, path, Some(segment), item);
                if kind == BlockKind::Each {
                    let named = matches!(subject.value(), Value::Object(_));
                    block.set_local_var("first", Value::from(index == 0));
                    block.set_local_var("last", Value::from(items.peek().is_none()));
                    block.set_local_var("index", Value::from(index));
                    block.set_local_var("key", if named { key.clone() } else { Value::Null });
                }
                if let Some((value_name, key_name)) = helper.block_param_pair() {
                    block.set_block_param(value_name, current(subject, item));
                    block.set_block_param(key_name, BlockParamHolder::value(key));
                } else if let Some(name) = helper.block_param() {
                    block.set_block_param(name, current(subject, item));
                }
            }
            body.render(functions, data, scope, out)?;
        }
        Ok(())
    })
}

/// Makes an item the current value: by its path in the data where it has one, else by itself.
fn stand_at(block: &mut BlockContext<'_>, path: Option<&[String]>, segment: Option<String>, item: &Value) {
    match path {
        Some(path) => {
            let base = block.base_path_mut();
            base.clear();
            base.extend(path.iter().cloned().chain(segment));
        }
        None => block.set_base_value(item.clone()),
    }
}

/// The current value under a name.
fn current(subject: &PathAndJson<'_>, item: &Value) -> BlockParamHolder {
    match subject.context_path() {
        Some(_) => BlockParamHolder::path(Vec::new()),
        None => BlockParamHolder::value(item.clone()),
    }
}

fn within<'reg: 'rc, 'rc>(
    block: BlockContext<'rc>,
    scope: &mut RenderContext<'reg, 'rc>,
    render: impl FnOnce(&mut RenderContext<'reg, 'rc>) -> HelperResult,
) -> HelperResult {
    scope.push_block(block);
    let result = render(scope);
    scope.pop_block();
    result
}

fn not_repeatable(kind: BlockKind, helper: &Helper<'_>, found: &Value) -> handlebars::RenderError {
    let problem = RenderProblem::WrongType {
        function: kind.keyword(),
        takes: "an array or an object",
        found: kind_of(found),
    };
    problem.at(position(helper))
}

/// Says where in the template an error of the output has come up.
fn at(mut error: handlebars::RenderError, helper: &Helper<'_>) -> handlebars::RenderError {
    let position = position(helper);
    error.line_no = position.and_then(|position| usize::try_from(position.line).ok());
    error.column_no = position.and_then(|position| usize::try_from(position.column).ok());
    error
}

//! Nodes as a handlebars template.
//!
//! The first argument of every call is where it was written, for errors. No expression is a bare name, which
//! handlebars would look for among the helpers first, so nothing that the data has is hidden by a function.

use std::collections::HashMap;

use handlebars::template::{
    BlockParam, HelperTemplate, HelperTemplateBuilder, Parameter, Subexpression, SubexpressionBuilder,
    Template, TemplateElement,
};
use serde_json::Value;

use crate::Position;
use crate::block::PRINT;
use crate::function::{FIELD, Function};
use crate::node::{Block, BlockKind, Expr, Names, Node};

/// The handlebars template of `nodes`.
pub(crate) fn lower(nodes: Vec<Node>) -> Template {
    let mut template = Template::new();
    template.elements = nodes.into_iter().map(element).collect();
    template
}

fn element(node: Node) -> TemplateElement {
    match node {
        Node::Text(text) => TemplateElement::RawString(text),
        Node::Print(value, position) => {
            TemplateElement::Expression(Box::new(call(PRINT, position, vec![parameter(value)])))
        }
        Node::Block(block) => TemplateElement::HelperBlock(Box::new(helper_block(*block))),
    }
}

fn helper_block(block: Block) -> HelperTemplate {
    let Block { kind, position, subject, names, body, otherwise } = block;
    let mut helper = call(kind.keyword(), position, vec![parameter(subject)]);
    helper.block = true;
    helper.block_param = block_param(kind, names);
    helper.template = Some(lower(body));
    helper.inverse = (!otherwise.is_empty()).then(|| lower(otherwise));
    helper
}

/// Handlebars names the value first, then the key.
fn block_param(kind: BlockKind, names: Names) -> Option<BlockParam> {
    let value = Parameter::Name(names.value?);
    match (kind, names.key) {
        (BlockKind::Range | BlockKind::Each, Some(key)) => {
            Some(BlockParam::Pair((value, Parameter::Name(key))))
        }
        (BlockKind::Range | BlockKind::Each | BlockKind::If | BlockKind::With, _) => {
            Some(BlockParam::Single(value))
        }
    }
}

fn parameter(expr: Expr) -> Parameter {
    match expr {
        Expr::Literal(value) => Parameter::Literal(value),
        Expr::Path(path) => Parameter::Path(path),
        Expr::Field { base, names, position } => {
            let names = names.into_iter().map(|name| Parameter::Literal(Value::from(name)));
            let arguments = [parameter(*base)].into_iter().chain(names).collect();
            Parameter::Subexpression(subexpression(call(FIELD, position, arguments)))
        }
        Expr::Call { function, arguments, position } => {
            let arguments = arguments.into_iter().map(parameter).collect();
            Parameter::Subexpression(subexpression(if matches!(function, Function::And | Function::Or) {
                lazy(function, position, arguments)
            } else {
                call(function.name(), position, arguments)
            }))
        }
    }
}

/// A call whose arguments are worked out by the function: they stand as a template that is not rendered.
fn lazy(function: Function, position: Position, arguments: Vec<Parameter>) -> HelperTemplate {
    let mut held = Template::new();
    held.elements = vec![TemplateElement::Expression(Box::new(helper(PRINT, arguments)))];
    let mut lazy = call(function.name(), position, Vec::new());
    lazy.template = Some(held);
    lazy
}

fn call(name: &str, position: Position, arguments: Vec<Parameter>) -> HelperTemplate {
    let place = Parameter::Literal(position.to_json());
    helper(name, [place].into_iter().chain(arguments).collect())
}

#[expect(clippy::expect_used, reason = "every field that must be set is set")]
fn helper(name: &str, params: Vec<Parameter>) -> HelperTemplate {
    HelperTemplateBuilder::default()
        .name(Parameter::Name(name.to_owned()))
        .params(params)
        .hash(HashMap::new())
        .block(false)
        .chain(false)
        .indent_before_write(false)
        .build()
        .expect("complete")
}

#[expect(clippy::expect_used, reason = "the only field is set")]
fn subexpression(helper: HelperTemplate) -> Subexpression {
    SubexpressionBuilder::default()
        .element(Box::new(TemplateElement::Expression(Box::new(helper))))
        .build()
        .expect("complete")
}

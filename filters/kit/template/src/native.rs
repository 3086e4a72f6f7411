//! Handlebars' own syntax.
//!
//! Handlebars reads it; what it has read is taken apart and refused where it is not for templates of others:
//! partials, decorators, raw blocks, helpers that are not ours. The rest goes the way of Go's syntax, so that
//! values, variables and limits are the same.

use std::collections::BTreeSet;

use handlebars::Path;
use handlebars::template::{BlockParam, HelperTemplate, Parameter, Template as Built, TemplateElement};

use crate::function::Function;
use crate::node::{Block, BlockKind, Expr, Names, Node};
use crate::template::{Parsed, Paths};
use crate::{MAX_BRANCHES, MAX_DEPTH, Position, TemplateError, TemplateProblem};

/// Reads a template in handlebars' syntax.
pub(crate) fn parse(source: &str) -> Result<Parsed, TemplateError> {
    shallow(source)?;
    let built = Built::compile(source).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        let reason = error.reason().to_string();
        TemplateError { position: Position::new(line, column), problem: TemplateProblem::Syntax { reason } }
    })?;
    let mut reader = Reader::default();
    let nodes = reader.nodes(built)?;
    let Reader { variables, reads_all, paths, .. } = reader;
    Ok(Parsed { nodes, variables, reads_all, paths })
}

/// Refuses what nests deep before handlebars' parser, which calls itself for each level, sees it.
fn shallow(source: &str) -> Result<(), TemplateError> {
    let too_deep = |offset, limit| TemplateError {
        position: Position::of(source, offset),
        problem: TemplateProblem::TooDeep { limit },
    };
    let (mut blocks, mut branches) = (0_usize, 0_usize);
    for (open, _) in source.match_indices("{{") {
        let action = source.get(open.saturating_add(2)..).unwrap_or_default();
        let action = action.split_once("}}").map_or(action, |(action, _)| action);
        let head = action.trim_start_matches(['{', '~', ' ', '\t', '\r', '\n']);
        if head.starts_with(['#', '^']) {
            blocks = blocks.saturating_add(1);
        } else if head.starts_with('/') {
            blocks = blocks.saturating_sub(1);
        } else if head.starts_with("else") {
            branches = branches.saturating_add(1);
        }
        if blocks > MAX_DEPTH {
            return Err(too_deep(open, MAX_DEPTH));
        }
        if branches > MAX_BRANCHES.saturating_mul(MAX_DEPTH) {
            return Err(too_deep(open, MAX_BRANCHES));
        }
        let mut brackets = 0_usize;
        for bracket in action.bytes() {
            match bracket {
                b'(' | b'[' | b'{' => brackets = brackets.saturating_add(1),
                b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            if brackets > MAX_DEPTH {
                return Err(too_deep(open, MAX_DEPTH));
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Reader {
    variables: BTreeSet<String>,
    reads_all: bool,
    paths: Paths,
    /// The names that the blocks around declare.
    names: Vec<Names>,
    /// How many blocks around make another value the current one.
    moved: usize,
    depth: usize,
    position: Option<Position>,
}

impl Reader {
    fn nodes(&mut self, built: Built) -> Result<Vec<Node>, TemplateError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_BRANCHES {
            return Err(self.failed(TemplateProblem::TooDeep { limit: MAX_BRANCHES }));
        }
        let mut nodes = Vec::new();
        let mut places = built.mapping.into_iter();
        for element in built.elements {
            if let Some(place) = places.next() {
                self.position = Some(Position::new(place.0, place.1));
            }
            nodes.extend(self.node(element)?);
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(nodes)
    }

    fn node(&mut self, element: TemplateElement) -> Result<Option<Node>, TemplateError> {
        let position = self.position();
        Ok(match element {
            TemplateElement::RawString(text) => Some(Node::Text(text)),
            TemplateElement::Comment(_) => None,
            TemplateElement::Expression(shown) | TemplateElement::HtmlExpression(shown) => {
                Some(Node::Print(self.shown(*shown)?, position))
            }
            TemplateElement::HelperBlock(block) => Some(Node::Block(Box::new(self.block(*block)?))),
            _ => return Err(self.unsupported("a partial or a decorator", "a template is one text")),
        })
    }

    /// What stands in braces: a name is always a variable, never a function without arguments.
    fn shown(&mut self, shown: HelperTemplate) -> Result<Expr, TemplateError> {
        self.no_hash(&shown)?;
        match shown.name {
            Parameter::Name(name) if shown.params.is_empty() => self.named(&name),
            name if shown.params.is_empty() => self.value(name),
            name => self.call(&name, shown.params),
        }
    }

    fn block(&mut self, block: HelperTemplate) -> Result<Block, TemplateError> {
        self.no_hash(&block)?;
        let position = self.position();
        let name = block.name.as_name().unwrap_or_default().to_owned();
        let kind = match name.as_str() {
            "if" | "unless" => BlockKind::If,
            "with" => BlockKind::With,
            "each" => BlockKind::Each,
            _ => return Err(self.unknown(&name)),
        };
        let count = block.params.len();
        let mut params = block.params.into_iter();
        let (Some(subject), None) = (params.next(), params.next()) else {
            let problem =
                TemplateProblem::WrongArity { function: kind.keyword(), takes: "one value", found: count };
            return Err(self.failed(problem));
        };
        let subject = self.value(subject)?;
        let names = match block.block_param {
            None => Names::default(),
            Some(BlockParam::Single(value)) => Names { value: name_of(&value), key: None },
            Some(BlockParam::Pair((value, key))) => Names { value: name_of(&value), key: name_of(&key) },
            Some(_) => return Err(self.unsupported("such a name", "write as |value key|")),
        };
        let moves = usize::from(kind != BlockKind::If);
        self.names.push(names.clone());
        self.moved = self.moved.saturating_add(moves);
        let body = block.template.map_or_else(|| Ok(Vec::new()), |body| self.nodes(body))?;
        self.moved = self.moved.saturating_sub(moves);
        self.names.pop();
        let otherwise = block.inverse.map_or_else(|| Ok(Vec::new()), |other| self.nodes(other))?;
        let (body, otherwise) = if name == "unless" { (otherwise, body) } else { (body, otherwise) };
        Ok(Block { kind, position, subject, names, body, otherwise })
    }

    fn value(&mut self, parameter: Parameter) -> Result<Expr, TemplateError> {
        match parameter {
            Parameter::Literal(value) => Ok(Expr::Literal(value)),
            Parameter::Path(path) => {
                self.reads(&path);
                Ok(Expr::Path(path))
            }
            Parameter::Name(name) => self.named(&name),
            Parameter::Subexpression(inner) => match *inner.element {
                TemplateElement::Expression(inner) => {
                    self.no_hash(&inner)?;
                    self.call(&inner.name, inner.params)
                }
                _ => Err(self.unsupported("such a value", "write a name, a literal or (function argument)")),
            },
            _ => Err(self.unsupported("such a value", "write a name, a literal or (function argument)")),
        }
    }

    fn named(&mut self, name: &str) -> Result<Expr, TemplateError> {
        match Path::parse(name) {
            Ok(path) => self.value(Parameter::Path(path)),
            Err(_) => Err(self.failed(TemplateProblem::Unexpected { found: name.to_owned() })),
        }
    }

    fn call(&mut self, name: &Parameter, arguments: Vec<Parameter>) -> Result<Expr, TemplateError> {
        let name = name.as_name().unwrap_or_default();
        let known = match name {
            "lookup" => Some(Function::Index),
            "gte" => Some(Function::Ge),
            "lte" => Some(Function::Le),
            name => Function::by_name(name),
        };
        let function = known.ok_or_else(|| self.unknown(name))?;
        if let Some(takes) = function.refuses(arguments.len()) {
            let (function, found) = (function.name(), arguments.len());
            return Err(self.failed(TemplateProblem::WrongArity { function, takes, found }));
        }
        let position = self.position();
        let arguments =
            arguments.into_iter().map(|argument| self.value(argument)).collect::<Result<_, _>>()?;
        Ok(Expr::Call { function, arguments, position })
    }

    /// Remembers which member of the data a path begins with. It shows that in how it is written.
    fn reads(&mut self, path: &Path) {
        let Path::Relative((_, written)) = path else { return };
        self.paths.push((written.clone(), self.position()));
        let from_root = written.strip_prefix("@root");
        let path = from_root.unwrap_or(written).trim_start_matches(['/', '.']);
        let path = path.strip_prefix("this").filter(|rest| !rest.starts_with(is_name)).unwrap_or(path);
        let path = path.trim_start_matches(['/', '.']);
        let name = match path.strip_prefix('[') {
            Some(raw) => raw.split(']').next().unwrap_or_default(),
            None => path.split(['.', '/']).next().unwrap_or_default(),
        };
        let is = |declared: &Option<String>| declared.as_deref() == Some(name);
        let declared = self.names.iter().any(|names| is(&names.value) || is(&names.key));
        if declared || (self.moved > 0 && from_root.is_none() && !written.starts_with("..")) {
            return;
        }
        if name.is_empty() {
            self.reads_all = true;
        } else {
            self.variables.insert(name.to_owned());
        }
    }

    fn no_hash(&self, helper: &HelperTemplate) -> Result<(), TemplateError> {
        match helper.hash.is_empty() {
            true => Ok(()),
            false => Err(self.unsupported("a named argument", "no function takes one")),
        }
    }

    fn unknown(&self, name: &str) -> TemplateError {
        let hint = Some("if this is Go's syntax, leave out `engine: handlebars`".to_owned());
        self.failed(TemplateProblem::UnknownFunction { name: name.to_owned(), hint })
    }

    fn unsupported(&self, what: &str, hint: &'static str) -> TemplateError {
        self.failed(TemplateProblem::Unsupported { what: what.to_owned(), hint })
    }

    fn failed(&self, problem: TemplateProblem) -> TemplateError {
        TemplateError { position: self.position(), problem }
    }

    fn position(&self) -> Position {
        self.position.unwrap_or(Position { line: 1, column: 1 })
    }
}

fn name_of(parameter: &Parameter) -> Option<String> {
    parameter.as_name().map(ToOwned::to_owned)
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '$' | ':')
}

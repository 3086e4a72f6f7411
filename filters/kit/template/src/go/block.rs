use serde_json::Value;

use super::action::{Action, Scope};
use super::error;
use crate::function::Function;
use crate::node::{Block, BlockKind, Expr, Names, Node};
use crate::template::Parsed;
use crate::{MAX_BRANCHES, MAX_DEPTH, Position, TemplateError, TemplateProblem};

/// The blocks that are open, and what has been read of each.
pub(super) struct Blocks<'a> {
    source: &'a str,
    root: Vec<Node>,
    open: Vec<Open>,
    scope: Scope,
}

/// A block without its end.
struct Open {
    kind: BlockKind,
    offset: usize,
    subject: Expr,
    names: Names,
    body: Vec<Node>,
    /// What stands behind `else`.
    otherwise: Option<Vec<Node>>,
    /// Whether it is an `else if`, which the `end` of the block around it ends too.
    branch: bool,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, root: Vec::new(), open: Vec::new(), scope: Scope::default() }
    }

    pub(super) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.nodes().push(Node::Text(text.to_owned()));
        }
    }

    /// Takes what an action says.
    pub(super) fn action(&mut self, action: &mut Action<'_>) -> Result<(), TemplateError> {
        let offset = action.skip_blanks();
        match action.keyword() {
            Some("if") => self.enter(BlockKind::If, action, offset, false),
            Some("with") => self.enter(BlockKind::With, action, offset, false),
            Some("range") => self.enter(BlockKind::Range, action, offset, false),
            Some("else") => self.otherwise(action, offset),
            Some("end") => self.end(offset),
            Some(word) => Err(error(self.source, offset, unsupported(word))),
            None => {
                let value = action.pipeline(&mut self.scope)?;
                let position = Position::of(self.source, offset);
                self.nodes().push(Node::Print(value, position));
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<Parsed, TemplateError> {
        if let Some(open) = self.open.pop() {
            let problem = TemplateProblem::UnclosedBlock { keyword: open.kind.keyword() };
            return Err(error(self.source, open.offset, problem));
        }
        let Scope { variables, reads_all, paths, .. } = self.scope;
        Ok(Parsed { nodes: self.root, variables, reads_all, paths })
    }

    fn nodes(&mut self) -> &mut Vec<Node> {
        match self.open.last_mut() {
            None => &mut self.root,
            Some(Open { otherwise: Some(nodes), .. }) => nodes,
            Some(Open { body, .. }) => body,
        }
    }

    fn enter(
        &mut self,
        kind: BlockKind,
        action: &mut Action<'_>,
        offset: usize,
        branch: bool,
    ) -> Result<(), TemplateError> {
        let nested = self.open.iter().filter(|open| !open.branch).count();
        let (limit, depth) = if branch { (MAX_BRANCHES, self.open.len()) } else { (MAX_DEPTH, nested) };
        if depth >= limit || self.open.len() >= MAX_BRANCHES {
            return Err(error(self.source, offset, TemplateProblem::TooDeep { limit }));
        }
        let mut names = action.declaration()?;
        if kind != BlockKind::Range && names.key.is_some() {
            return Err(error(self.source, offset, unsupported(":= with two variables")));
        }
        let subject = action.pipeline(&mut self.scope)?;
        // A name that shadows none may still shadow one of the same block's: Go's `$i, $i`.
        if names.key == names.value {
            names.key = None;
        }
        self.scope.enter(kind != BlockKind::If, &names);
        self.open.push(Open { kind, offset, subject, names, body: Vec::new(), otherwise: None, branch });
        Ok(())
    }

    fn otherwise(&mut self, action: &mut Action<'_>, offset: usize) -> Result<(), TemplateError> {
        let none = || error(self.source, offset, TemplateProblem::NoBlock { keyword: "else" });
        let open = self.open.last_mut().filter(|open| open.otherwise.is_none()).ok_or_else(none)?;
        open.otherwise = Some(Vec::new());
        self.scope.leave();
        self.scope.enter(false, &Names::default());
        let offset = action.skip_blanks();
        match action.keyword() {
            None => Ok(()),
            Some("if") => self.enter(BlockKind::If, action, offset, true),
            Some("with") => self.enter(BlockKind::With, action, offset, true),
            Some(word) => {
                Err(error(self.source, offset, TemplateProblem::Unexpected { found: word.to_owned() }))
            }
        }
    }

    fn end(&mut self, offset: usize) -> Result<(), TemplateError> {
        loop {
            let none = || error(self.source, offset, TemplateProblem::NoBlock { keyword: "end" });
            let open = self.open.pop().ok_or_else(none)?;
            self.scope.leave();
            let Open { kind, subject, names, body, otherwise, branch, .. } = open;
            let position = Position::of(self.source, open.offset);
            let otherwise = otherwise.unwrap_or_default();
            let block = Block { kind, position, subject, names, body, otherwise };
            self.nodes().push(Node::Block(Box::new(block)));
            if !branch {
                return Ok(());
            }
        }
    }
}

/// What Go's templates have and these do not.
fn unsupported(word: &str) -> TemplateProblem {
    let hint = match word {
        "define" | "template" | "block" => "a template is one text",
        "break" | "continue" => "put what is to be left out into an if",
        _ => "declare one variable",
    };
    TemplateProblem::Unsupported { what: word.to_owned(), hint }
}

/// Keeps the compiler's eye on what a literal may be.
pub(super) fn constant(word: &str) -> Option<Expr> {
    match word {
        "true" => Some(Expr::Literal(Value::Bool(true))),
        "false" => Some(Expr::Literal(Value::Bool(false))),
        "nil" => Some(Expr::Literal(Value::Null)),
        _ => None,
    }
}

/// The function of that name.
pub(super) fn function(word: &str) -> Result<Function, TemplateProblem> {
    Function::by_name(word)
        .ok_or_else(|| TemplateProblem::UnknownFunction { name: word.to_owned(), hint: Some(hint(word)) })
}

fn hint(word: &str) -> String {
    match word {
        "print" | "printf" | "println" => "write text and values one after the other".to_owned(),
        "js" | "html" | "urlquery" | "call" | "slice" | "json" | "toJson" | "tojson" => {
            let names: Vec<_> = Function::ALL.iter().map(|function| function.name()).collect();
            format!("there are {}", names.join(", "))
        }
        "this" | "each" | "unless" => "this is handlebars; say so with `engine: handlebars`".to_owned(),
        _ => format!("a variable is written with a dot, .{word}"),
    }
}

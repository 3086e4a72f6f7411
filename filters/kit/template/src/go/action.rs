use std::collections::BTreeSet;

use handlebars::{Path, PathSeg};

use super::block::{constant, function};
use super::literal::{self, LiteralError};
use super::{error, is_space};
use crate::function::Function;
use crate::node::{Expr, Names};
use crate::template::Paths;
use crate::{MAX_DEPTH, Position, TemplateError, TemplateProblem};

/// What stands between `{{` and `}}`, read from left to right.
pub(super) struct Action<'a> {
    source: &'a str,
    offset: usize,
    open: usize,
    depth: usize,
    /// Whether a blank stands before the offset.
    blank: bool,
}

/// What names mean where an action stands, and which of the data's have been used.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) variables: BTreeSet<String>,
    pub(super) reads_all: bool,
    pub(super) paths: Paths,
    blocks: Vec<(bool, Names)>,
}

impl Scope {
    /// Enters a block, where `.` may be another value than around it.
    pub(super) fn enter(&mut self, moves: bool, names: &Names) {
        self.blocks.push((moves, names.clone()));
    }

    pub(super) fn leave(&mut self) {
        self.blocks.pop();
    }

    fn knows(&self, variable: &str) -> bool {
        let is = |name: &Option<String>| name.as_deref() == Some(variable);
        self.blocks.iter().any(|(_, names)| is(&names.value) || is(&names.key))
    }

    fn at_root(&self) -> bool {
        self.blocks.iter().all(|(moves, _)| !moves)
    }

    fn reads(&mut self, names: &[String]) {
        match names.first() {
            Some(name) => {
                self.variables.insert(name.clone());
            }
            None => self.reads_all = true,
        }
    }
}

impl<'a> Action<'a> {
    pub(super) fn new(source: &'a str, offset: usize, open: usize) -> Self {
        Self { source, offset, open, depth: 0, blank: true }
    }

    /// Passes over blanks and says where it is then.
    pub(super) fn skip_blanks(&mut self) -> usize {
        let rest = self.rest();
        let blanks = rest.len().saturating_sub(rest.trim_start_matches(is_space).len());
        self.blank = self.blank || blanks > 0;
        self.offset = self.offset.saturating_add(blanks);
        self.offset
    }

    /// A word with a meaning of its own, if one is next.
    pub(super) fn keyword(&mut self) -> Option<&'static str> {
        const KEYWORDS: [&str; 10] =
            ["if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"];
        let word = word(self.rest());
        let keyword = KEYWORDS.into_iter().find(|keyword| *keyword == word)?;
        self.advance(keyword.len());
        Some(keyword)
    }

    /// The variables in front of `:=`.
    pub(super) fn declaration(&mut self) -> Result<Names, TemplateError> {
        let before = (self.offset, self.blank);
        let mut names = Vec::new();
        loop {
            self.skip_blanks();
            let word = self.variable_name();
            if word.len() < 2 || names.len() == 2 {
                break;
            }
            self.advance(word.len());
            names.push(word.to_owned());
            self.skip_blanks();
            if !self.eat(",") {
                break;
            }
        }
        self.skip_blanks();
        if !self.eat(":=") {
            (self.offset, self.blank) = before;
            return Ok(Names::default());
        }
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (key, Some(value)) => Ok(Names { value: Some(value), key }),
            (value, None) => Ok(Names { value, key: None }),
        }
    }

    /// A value, or one that goes through functions: `.a | f | g 1`.
    pub(super) fn pipeline(&mut self, scope: &mut Scope) -> Result<Expr, TemplateError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(self.failed(TemplateProblem::TooDeep { limit: MAX_DEPTH }));
        }
        let mut value = self.command(scope, None)?;
        let mut stages = 0_usize;
        while self.eat_after_blanks("|") {
            stages = stages.saturating_add(1);
            if stages >= MAX_DEPTH {
                return Err(self.failed(TemplateProblem::TooDeep { limit: MAX_DEPTH }));
            }
            value = self.command(scope, Some(value))?;
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    /// Ends the action: where the text goes on, and whether without its first blanks.
    pub(super) fn close(mut self) -> Result<(usize, bool), TemplateError> {
        self.skip_blanks();
        if self.eat("}}") {
            return Ok((self.offset, false));
        }
        if self.blank && self.eat("-}}") {
            return Ok((self.offset, true));
        }
        Err(self.unexpected())
    }

    /// A value, or a function and its arguments, the last of which may come from the stage before.
    fn command(&mut self, scope: &mut Scope, piped: Option<Expr>) -> Result<Expr, TemplateError> {
        let offset = self.skip_blanks();
        let name = word(self.rest());
        if name.is_empty() || constant(name).is_some() {
            let value = self.operand(scope)?;
            return match piped {
                None if self.at_end() => Ok(value),
                None | Some(_) => Err(error(self.source, offset, TemplateProblem::NotCallable)),
            };
        }
        let called = function(name).map_err(|problem| error(self.source, offset, problem))?;
        self.advance(name.len());
        let mut arguments = Vec::new();
        let complete = self.rest().starts_with('(') && self.parenthesized(scope, &mut arguments)?;
        while !complete && !self.at_end() {
            arguments.push(self.operand(scope)?);
        }
        arguments.extend(piped);
        self.call(called, arguments, offset)
    }

    fn call(&self, function: Function, arguments: Vec<Expr>, offset: usize) -> Result<Expr, TemplateError> {
        if let Some(takes) = function.refuses(arguments.len()) {
            let found = arguments.len();
            let problem = TemplateProblem::WrongArity { function: function.name(), takes, found };
            return Err(error(self.source, offset, problem));
        }
        Ok(Expr::Call { function, arguments, position: Position::of(self.source, offset) })
    }

    /// What stands in parentheses right behind a function's name. `f(a, b)` and `f()` are whole calls; `f(a)`
    /// may as well be Go's `f (a) b`, so more arguments can follow.
    fn parenthesized(&mut self, scope: &mut Scope, arguments: &mut Vec<Expr>) -> Result<bool, TemplateError> {
        let open = self.offset;
        self.advance(1);
        self.skip_blanks();
        if self.eat(")") {
            return Ok(true);
        }
        loop {
            arguments.push(self.pipeline(scope)?);
            if !self.eat_after_blanks(",") {
                break;
            }
        }
        if !self.eat_after_blanks(")") {
            return Err(self.unclosed(open));
        }
        let whole = arguments.len() > 1;
        if !whole && let Some(base) = arguments.pop() {
            arguments.push(self.fields_of(base)?);
        }
        Ok(whole)
    }

    /// One value.
    fn operand(&mut self, scope: &mut Scope) -> Result<Expr, TemplateError> {
        let offset = self.skip_blanks();
        let rest = self.rest();
        let name = word(rest);
        if let Some(constant) = constant(name) {
            self.advance(name.len());
            return Ok(constant);
        }
        if !name.is_empty() {
            let called = function(name).map_err(|problem| error(self.source, offset, problem))?;
            self.advance(name.len());
            return self.call(called, Vec::new(), offset);
        }
        match rest.chars().next() {
            Some('.') if !rest[1..].starts_with(|next: char| next.is_ascii_digit()) => self.dot(scope),
            Some('$') => self.variable(scope),
            Some('(') => {
                self.advance(1);
                let value = self.pipeline(scope)?;
                if !self.eat_after_blanks(")") {
                    return Err(self.unclosed(offset));
                }
                self.fields_of(value)
            }
            Some('"' | '`' | '+' | '-' | '.' | '0'..='9') if !rest.starts_with("-}}") => {
                let (value, length) = literal::read(rest).map_err(|problem| {
                    let (problem, at) = match problem {
                        LiteralError::Unclosed => (TemplateProblem::UnclosedString, 0),
                        LiteralError::Escape(at) => (TemplateProblem::BadEscape, at),
                        LiteralError::Number => (TemplateProblem::BadNumber, 0),
                    };
                    error(self.source, offset.saturating_add(at), problem)
                })?;
                self.advance(length);
                Ok(Expr::Literal(value))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `.`, `.a` or `.a.b`.
    fn dot(&mut self, scope: &mut Scope) -> Result<Expr, TemplateError> {
        let start = self.offset;
        let mut names = self.fields()?;
        if names.is_empty() {
            self.advance(1);
            names = Vec::new();
        }
        if scope.at_root() {
            scope.reads(&names);
        }
        Ok(self.path(scope, start, names.into_iter().map(PathSeg::Named).collect()))
    }

    /// `$`, `$.a` or `$x.a`.
    fn variable(&mut self, scope: &mut Scope) -> Result<Expr, TemplateError> {
        let start = self.offset;
        let name = self.variable_name();
        self.advance(name.len());
        let names = self.fields()?;
        let first = if name == "$" {
            scope.reads(&names);
            root()
        } else if scope.knows(name) {
            Some(PathSeg::Named(name.to_owned()))
        } else {
            let problem = TemplateProblem::UnknownVariable { name: name.to_owned() };
            return Err(error(self.source, start, problem));
        };
        Ok(self.path(scope, start, first.into_iter().chain(names.into_iter().map(PathSeg::Named)).collect()))
    }

    fn fields_of(&mut self, base: Expr) -> Result<Expr, TemplateError> {
        let position = Position::of(self.source, self.offset);
        let names = self.fields()?;
        if names.is_empty() {
            return Ok(base);
        }
        Ok(Expr::Field { base: Box::new(base), names, position })
    }

    /// `.a.b.c`, as many as there are.
    fn fields(&mut self) -> Result<Vec<String>, TemplateError> {
        let mut names = Vec::new();
        while let Some(rest) = self.rest().strip_prefix('.') {
            let name = word(rest);
            if name.is_empty() {
                break;
            }
            if names.len() >= MAX_DEPTH {
                return Err(self.failed(TemplateProblem::TooDeep { limit: MAX_DEPTH }));
            }
            self.advance(name.len().saturating_add(1));
            names.push(name.to_owned());
        }
        Ok(names)
    }

    fn path(&self, scope: &mut Scope, start: usize, segments: Vec<PathSeg>) -> Expr {
        let written = self.source.get(start..self.offset).unwrap_or_default();
        if segments.len() > 1 {
            scope.paths.push((written.to_owned(), Position::of(self.source, start)));
        }
        Expr::Path(Path::Relative((segments, written.to_owned())))
    }

    fn variable_name(&self) -> &'a str {
        let rest = self.rest();
        match rest.strip_prefix('$') {
            Some(name) => rest.get(..word(name).len().saturating_add(1)).unwrap_or_default(),
            None => "",
        }
    }

    /// Whether no further argument can follow.
    fn at_end(&mut self) -> bool {
        self.skip_blanks();
        let rest = self.rest();
        let trims = self.blank && rest.starts_with("-}}");
        trims || rest.is_empty() || rest.starts_with("}}") || rest.starts_with(['|', ')', ','])
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.offset..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.offset = self.offset.saturating_add(bytes);
        self.blank = false;
    }

    fn eat(&mut self, token: &str) -> bool {
        let next = self.rest().starts_with(token);
        if next {
            self.advance(token.len());
        }
        next
    }

    fn eat_after_blanks(&mut self, token: &str) -> bool {
        self.skip_blanks();
        self.eat(token)
    }

    fn failed(&self, problem: TemplateProblem) -> TemplateError {
        error(self.source, self.offset, problem)
    }

    fn unclosed(&mut self, open: usize) -> TemplateError {
        match self.at_end() {
            true => error(self.source, open, TemplateProblem::UnclosedParenthesis),
            false => self.unexpected(),
        }
    }

    /// What is next cannot stand here.
    fn unexpected(&self) -> TemplateError {
        let rest = self.rest();
        if rest.is_empty() {
            return error(self.source, self.open, TemplateProblem::UnclosedAction);
        }
        if rest.starts_with("}}") || rest.starts_with("-}}") {
            return self.failed(TemplateProblem::NoValue);
        }
        if rest.starts_with(":=") || rest.starts_with('=') {
            let (what, hint) = ("assignment".to_owned(), "declare a variable in if, with or range");
            return self.failed(TemplateProblem::Unsupported { what, hint });
        }
        if rest.starts_with(['#', '/', '>', '&', '^', '*', '!']) {
            let what = format!("{:?}", rest.chars().take(1).collect::<String>());
            let hint = "if this is handlebars, say so with `engine: handlebars`";
            return self.failed(TemplateProblem::Unsupported { what, hint });
        }
        let found = rest.chars().take(1).collect();
        self.failed(TemplateProblem::Unexpected { found })
    }
}

/// The letters, digits and underscores at the start.
fn word(text: &str) -> &str {
    let end = text.find(|next: char| !(next.is_alphanumeric() || next == '_')).unwrap_or(text.len());
    match text.starts_with(|first: char| first.is_numeric()) {
        true => "",
        false => text.get(..end).unwrap_or_default(),
    }
}

/// Handlebars' name for the data as a whole, which only its parser can make.
fn root() -> Option<PathSeg> {
    match Path::parse("@root/any") {
        Ok(Path::Relative((segments, _))) => segments.into_iter().next(),
        Ok(Path::Local(_)) | Err(_) => None,
    }
}

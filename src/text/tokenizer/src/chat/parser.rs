//! The statements of a template.

use super::ast::*;
use super::budget::Level;
use super::error::{error, Error, Result};
use super::lexer::{tokens_of, Kind, Token};
use std::rc::Rc;

const RESERVED: [&str; 6] = ["true", "false", "none", "True", "False", "None"];

pub struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Of the macros around this place: the names that they use.
    pub(super) uses: Vec<Vec<Rc<str>>>,
    loops: usize,
}

/// The statements of `template`.
pub fn parse(template: &str) -> Result<Body> {
    let mut parser = Parser { tokens: tokens_of(template)?, at: 0, uses: vec![vec![]], loops: 0 };
    let body = parser.body(&[]).map_err(|error| error.at(parser.line()))?;
    Ok(body)
}

impl Parser {
    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].line
    }

    pub(super) fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub(super) fn peek_after(&self) -> &Kind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    pub(super) fn next(&mut self) -> Kind {
        let last = self.tokens.len() - 1;
        let kind = std::mem::replace(&mut self.tokens[self.at].kind, Kind::End);
        self.at = (self.at + 1).min(last);
        kind
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Kind::Op(found) if *found == op)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Kind::Name(found) if found == name)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) {
            return Ok(());
        }
        Err(self.unexpected(&format!("'{op}'")))
    }

    pub(super) fn expect_name(&mut self) -> Result<Rc<str>> {
        match self.peek() {
            Kind::Name(_) => match self.next() {
                Kind::Name(name) => Ok(Rc::from(name)),
                _ => Err(error("a name is missing")),
            },
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let got = match self.peek() {
            Kind::Text(_) => "text".to_string(),
            Kind::VariableBegin => "'{{'".to_string(),
            Kind::VariableEnd => "'}}'".to_string(),
            Kind::BlockBegin => "'{%'".to_string(),
            Kind::BlockEnd => "'%}'".to_string(),
            Kind::Name(name) => format!("'{name}'"),
            Kind::Str(_) => "a string".to_string(),
            Kind::Int(value) => format!("'{value}'"),
            Kind::Float(value) => format!("'{value}'"),
            Kind::Op(op) => format!("'{op}'"),
            Kind::End => "the end of the template".to_string(),
        };
        error(format!("expected {expected}, got {got}")).at(self.line())
    }

    fn end_of_block(&mut self) -> Result<()> {
        match self.peek() {
            Kind::BlockEnd => {
                self.next();
                Ok(())
            }
            _ => Err(self.unexpected("'%}'")),
        }
    }

    // Statements up to a tag that begins with one of `ends`, whose name is the next token then; up
    // to the end of the template where `ends` is empty.
    fn body(&mut self, ends: &[&str]) -> Result<Body> {
        let _level = Level::enter()?;
        let mut body = Vec::new();
        loop {
            let line = self.line();
            match self.next() {
                Kind::Text(text) => body.push(Stmt { line, node: Node::Text(text) }),
                Kind::VariableBegin => {
                    let value = self.tuple(true, &[])?;
                    match self.peek() {
                        Kind::VariableEnd => self.next(),
                        _ => return Err(self.unexpected("'}}'")),
                    };
                    body.push(Stmt { line, node: Node::Output(value) });
                }
                Kind::BlockBegin => {
                    if ends.iter().any(|end| self.is_name(end)) {
                        return Ok(body);
                    }
                    let node = self.statement(ends).map_err(|error| error.at(line))?;
                    body.push(Stmt { line, node });
                }
                _ if ends.is_empty() => return Ok(body),
                _ => {
                    let last = ends[ends.len() - 1];
                    return Err(error(format!(
                        "unexpected end of the template: '{last}' is missing"
                    ))
                    .at(line));
                }
            }
        }
    }

    // The statements up to `end`, with both tags' ends.
    fn block(&mut self, end: &str) -> Result<Body> {
        self.end_of_block()?;
        let body = self.body(&[end])?;
        self.next();
        self.end_of_block()?;
        Ok(body)
    }

    fn statement(&mut self, ends: &[&str]) -> Result<Node> {
        let name = self.expect_name()?;
        match &*name {
            "if" => self.if_block(),
            "for" => self.for_block(),
            "set" => self.set(),
            "macro" => self.macro_block(),
            "call" => self.call_block(),
            "filter" => {
                let filters = self.filters()?;
                Ok(Node::Filter(filters, self.block("endfilter")?))
            }
            "with" => self.with_block(),
            "generation" => {
                let loops = std::mem::take(&mut self.loops);
                let body = self.block("endgeneration")?;
                self.loops = loops;
                Ok(Node::Generation(body))
            }
            "break" | "continue" if self.loops == 0 => {
                Err(error(format!("'{name}' stands in no loop")))
            }
            "break" | "continue" => {
                self.end_of_block()?;
                Ok(if &*name == "break" { Node::Break } else { Node::Continue })
            }
            "include" | "import" | "from" | "extends" | "block" | "autoescape" | "do" | "trans" => {
                Err(error(format!("the tag '{name}' is not supported in a chat template")))
            }
            _ => {
                let hint = match ends.last() {
                    Some(end) => format!(", expected a statement or '{end}'"),
                    None => String::new(),
                };
                Err(error(format!("unknown tag '{name}'{hint}")))
            }
        }
    }

    fn if_block(&mut self) -> Result<Node> {
        let mut branches = Vec::new();
        loop {
            let test = self.tuple(false, &[])?;
            self.end_of_block()?;
            let body = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            if !self.skip_name("elif") {
                break;
            }
        }
        let mut otherwise = Vec::new();
        if self.skip_name("else") {
            self.end_of_block()?;
            otherwise = self.body(&["endif"])?;
        }
        self.next();
        self.end_of_block()?;
        Ok(Node::If(branches, otherwise))
    }

    fn for_block(&mut self) -> Result<Node> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return Err(self.unexpected("'in'"));
        }
        let over = self.tuple(false, &["recursive"])?;
        let only_if = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.end_of_block()?;
        self.loops += 1;
        let body = self.body(&["else", "endfor"]);
        self.loops -= 1;
        let body = body?;
        let mut otherwise = Vec::new();
        if self.skip_name("else") {
            self.end_of_block()?;
            otherwise = self.body(&["endfor"])?;
        }
        self.next();
        self.end_of_block()?;
        Ok(Node::For(Rc::new(For { target, over, only_if, recursive, body, otherwise })))
    }

    // What is assigned to: names, members of a namespace where `members`, brackets and commas.
    fn target(&mut self, members: bool) -> Result<Target> {
        let _level = Level::enter()?;
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            if self.skip_op("(") {
                targets.push(self.target(members)?);
                self.expect_op(")")?;
            } else {
                let name = self.expect_name()?;
                if RESERVED.contains(&&*name) {
                    return Err(error(format!("'{name}' cannot be assigned to")));
                }
                targets.push(if members && self.skip_op(".") {
                    Target::Member(name, self.expect_name()?)
                } else {
                    Target::Name(name)
                });
            }
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
            if self.is_name("in") || self.is_op("=") || self.is_op(")") {
                break;
            }
        }
        match targets.pop() {
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                targets.push(last);
                Ok(Target::Tuple(targets))
            }
            None => Err(self.unexpected("a name")),
        }
    }

    fn set(&mut self) -> Result<Node> {
        let target = self.target(true)?;
        if self.skip_op("=") {
            let value = self.tuple(true, &[])?;
            self.end_of_block()?;
            return Ok(Node::Set(target, value));
        }
        let filters = if self.skip_op("|") { self.filters()? } else { Vec::new() };
        Ok(Node::SetBlock(target, filters, self.block("endset")?))
    }

    fn with_block(&mut self) -> Result<Node> {
        let mut pairs = Vec::new();
        while *self.peek() != Kind::BlockEnd {
            if !pairs.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target(false)?;
            self.expect_op("=")?;
            pairs.push((target, self.expression()?));
        }
        Ok(Node::With(pairs, self.block("endwith")?))
    }

    // filter | filter(argument) | ...
    fn filters(&mut self) -> Result<Vec<Named>> {
        let mut filters = vec![self.named()?];
        while self.skip_op("|") {
            filters.push(self.named()?);
        }
        Ok(filters)
    }

    fn macro_block(&mut self) -> Result<Node> {
        let name = self.expect_name()?;
        self.expect_op("(")?;
        let parameters = self.parameters()?;
        Ok(Node::Macro(self.definition(name, parameters, "endmacro")?))
    }

    fn call_block(&mut self) -> Result<Node> {
        let parameters = if self.skip_op("(") { self.parameters()? } else { Vec::new() };
        let call = self.expression()?;
        if !matches!(&call, Expr::Chain(_, links) if matches!(links.last(), Some(Link::Call(_)))) {
            return Err(error("'call' expects the call of a macro"));
        }
        Ok(Node::Call(self.definition(Rc::from("caller"), parameters, "endcall")?, call))
    }

    fn parameters(&mut self) -> Result<Vec<(Rc<str>, Option<Expr>)>> {
        let mut parameters: Vec<(Rc<str>, Option<Expr>)> = Vec::new();
        while !self.skip_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.expect_name()?;
            let default = if self.skip_op("=") { Some(self.expression()?) } else { None };
            if default.is_none() && parameters.last().is_some_and(|last| last.1.is_some()) {
                return Err(error(format!("the parameter '{name}' needs a default, too")));
            }
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    fn definition(
        &mut self,
        name: Rc<str>,
        parameters: Vec<(Rc<str>, Option<Expr>)>,
        end: &str,
    ) -> Result<Rc<MacroDef>> {
        self.uses.push(Vec::new());
        let loops = std::mem::take(&mut self.loops);
        let body = self.block(end);
        self.loops = loops;
        let used = self.uses.pop().unwrap_or_default();
        let uses = |name: &str| used.iter().any(|used| &**used == name);
        let (takes_rest, takes_named, takes_caller) =
            (uses("varargs"), uses("kwargs"), uses("caller"));
        let body = body?;
        Ok(Rc::new(MacroDef { name, parameters, body, takes_rest, takes_named, takes_caller }))
    }
}

//! The expressions of a template, by Jinja's grammar.

use super::ast::*;
use super::budget::Level;
use super::error::{error, Result};
use super::lexer::Kind;
use super::parser::Parser;
use super::value::Value;
use std::rc::Rc;

impl Parser {
    /// Expressions with commas between them are a tuple; one alone is itself. Names in `ends` end
    /// it, and without `choices` an `if` does.
    pub(super) fn tuple(&mut self, choices: bool, ends: &[&str]) -> Result<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            if matches!(self.peek(), Kind::VariableEnd | Kind::BlockEnd | Kind::Op(")"))
                || ends.iter().any(|end| self.is_name(end))
            {
                break;
            }
            items.push(if choices { self.expression()? } else { self.any_of()? });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match (is_tuple, items.pop()) {
            (false, Some(only)) => Ok(only),
            (true, Some(last)) => {
                items.push(last);
                Ok(Expr::Tuple(items))
            }
            _ => Err(self.unexpected("an expression")),
        }
    }

    pub(super) fn expression(&mut self) -> Result<Expr> {
        let _level = Level::enter()?;
        let mut value = self.any_of()?;
        while self.skip_name("if") {
            let test = self.any_of()?;
            let no = if self.skip_name("else") { Some(self.expression()?) } else { None };
            // Without `else` a chain of them would be as deep as it is long.
            let ends = no.is_none() && self.is_name("if");
            value = Expr::If(Box::new(Choice { test, yes: value, no }));
            if ends {
                return Err(self.unexpected("'else'"));
            }
        }
        Ok(value)
    }

    fn any_of(&mut self) -> Result<Expr> {
        let first = self.all_of()?;
        if !self.is_name("or") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_name("or") {
            items.push(self.all_of()?);
        }
        Ok(Expr::Or(items))
    }

    fn all_of(&mut self) -> Result<Expr> {
        let first = self.negation()?;
        if !self.is_name("and") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_name("and") {
            items.push(self.negation()?);
        }
        Ok(Expr::And(items))
    }

    fn negation(&mut self) -> Result<Expr> {
        let mut signs = Vec::new();
        while self.skip_name("not") {
            signs.push(Sign::Not);
        }
        let value = self.comparison()?;
        Ok(if signs.is_empty() { value } else { Expr::Unary(signs, Box::new(value)) })
    }

    fn comparison(&mut self) -> Result<Expr> {
        let first = self.binary(0)?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.peek() {
                Kind::Op(op @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => *op,
                Kind::Name(name) if name == "in" => "in",
                Kind::Name(name) if name == "not" => {
                    if !matches!(self.peek_after(), Kind::Name(name) if name == "in") {
                        break;
                    }
                    self.next();
                    "not in"
                }
                _ => break,
            };
            self.next();
            rest.push((operator, self.binary(0)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    // Operators of the precedence `level` and of those that bind tighter.
    fn binary(&mut self, level: usize) -> Result<Expr> {
        const LEVELS: [&[&str]; 4] = [&["+", "-"], &["~"], &["*", "/", "//", "%"], &["**"]];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary(true);
        };
        let first = self.binary(level + 1)?;
        let mut rest = Vec::new();
        while let Kind::Op(op) = *self.peek() {
            if !operators.contains(&op) {
                break;
            }
            self.next();
            rest.push((op, self.binary(level + 1)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Binary(Box::new(first), rest) })
    }

    // Signs, an operand with what is attached to it, and filters and tests of all that.
    fn unary(&mut self, with_filters: bool) -> Result<Expr> {
        let mut signs = Vec::new();
        while let Kind::Op(op @ ("-" | "+")) = *self.peek() {
            signs.push(if op == "-" { Sign::Minus } else { Sign::Plus });
            self.next();
        }
        let operand = self.primary()?;
        let mut links = self.attached()?;
        let mut value = operand;
        if !signs.is_empty() {
            value = chained(value, std::mem::take(&mut links));
            value = Expr::Unary(signs, Box::new(value));
        }
        if with_filters {
            self.filters_and_tests(&mut links)?;
        }
        Ok(chained(value, links))
    }

    fn primary(&mut self) -> Result<Expr> {
        match self.peek() {
            Kind::Name(_) => {
                let name = self.expect_name()?;
                Ok(match &*name {
                    "true" | "True" => Expr::Constant(Value::Bool(true)),
                    "false" | "False" => Expr::Constant(Value::Bool(false)),
                    "none" | "None" => Expr::Constant(Value::None),
                    _ => {
                        if let (Some(uses), "varargs" | "kwargs" | "caller") =
                            (self.uses.last_mut(), &*name)
                        {
                            uses.push(name.clone());
                        }
                        Expr::Name(name)
                    }
                })
            }
            Kind::Str(_) => {
                let mut text = String::new();
                while let Kind::Str(part) = self.peek() {
                    text += part;
                    self.next();
                }
                Ok(Expr::Constant(Value::str(text)?))
            }
            Kind::Int(value) => {
                let value = Value::Int(*value);
                self.next();
                Ok(Expr::Constant(value))
            }
            Kind::Float(value) => {
                let value = Value::Float(*value);
                self.next();
                Ok(Expr::Constant(value))
            }
            Kind::Op("(") => {
                self.next();
                if self.skip_op(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let value = self.tuple(true, &[])?;
                self.expect_op(")")?;
                Ok(value)
            }
            Kind::Op("[") => {
                self.next();
                Ok(Expr::List(self.items("]")?))
            }
            Kind::Op("{") => self.dict(),
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn items(&mut self, close: &str) -> Result<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.skip_op(close) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(close) {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }

    fn dict(&mut self) -> Result<Expr> {
        self.expect_op("{")?;
        let mut pairs = Vec::new();
        while !self.skip_op("}") {
            if !pairs.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_op(":")?;
            pairs.push((key, self.expression()?));
        }
        Ok(Expr::Dict(pairs))
    }

    // .name, .0, [item], [a:b:c] and (arguments)
    fn attached(&mut self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        loop {
            if self.skip_op(".") {
                links.push(match *self.peek() {
                    Kind::Int(index) => {
                        self.next();
                        Link::Item(Expr::Constant(Value::Int(index)))
                    }
                    _ => Link::Attribute(self.expect_name()?),
                });
            } else if self.skip_op("[") {
                links.push(self.subscript()?);
            } else if self.skip_op("(") {
                links.push(Link::Call(self.arguments()?));
            } else {
                return Ok(links);
            }
        }
    }

    fn subscript(&mut self) -> Result<Link> {
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut part = 0;
        while !self.skip_op("]") {
            if self.skip_op(":") {
                part += 1;
                if part > 2 {
                    return Err(error("a slice has at most three parts"));
                }
                continue;
            }
            if parts[part].is_some() {
                return Err(self.unexpected("']'"));
            }
            parts[part] = Some(self.expression()?);
        }
        match (part, parts) {
            (0, [Some(item), _, _]) => Ok(Link::Item(item)),
            (0, _) => Err(error("expected an index between '[' and ']'")),
            (_, parts) => Ok(Link::Slice(parts)),
        }
    }

    // Behind the opening bracket.
    fn arguments(&mut self) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let mut is_first = true;
        while !self.skip_op(")") {
            if !is_first {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            is_first = false;
            let is_named =
                matches!(self.peek(), Kind::Name(_)) && matches!(self.peek_after(), Kind::Op("="));
            if self.skip_op("**") {
                arguments.dict = Some(Box::new(self.expression()?));
            } else if self.skip_op("*") {
                arguments.list = Some(Box::new(self.expression()?));
            } else if is_named {
                let name = self.expect_name()?;
                self.expect_op("=")?;
                arguments.named.push((name, self.expression()?));
            } else if arguments.named.is_empty() && arguments.dict.is_none() {
                arguments.positional.push(self.expression()?);
            } else {
                return Err(error("an argument without a name follows one with a name"));
            }
        }
        Ok(arguments)
    }

    fn filters_and_tests(&mut self, links: &mut Vec<Link>) -> Result<()> {
        loop {
            if self.skip_op("|") {
                links.push(Link::Filter(self.named()?));
            } else if self.skip_name("is") {
                let negated = self.skip_name("not");
                let name = self.dotted()?;
                let mut arguments = Arguments::default();
                if self.skip_op("(") {
                    arguments = self.arguments()?;
                } else if self.begins_operand() {
                    let operand = self.primary()?;
                    let attached = self.attached()?;
                    arguments.positional.push(chained(operand, attached));
                }
                links.push(Link::Test(Named { name, arguments }, negated));
            } else if self.skip_op("(") {
                links.push(Link::Call(self.arguments()?));
            } else {
                return Ok(());
            }
        }
    }

    // Does the argument of a test begin here, as in `is divisibleby 3`?
    fn begins_operand(&self) -> bool {
        match self.peek() {
            Kind::Name(name) => {
                !matches!(name.as_str(), "else" | "or" | "and" | "is" | "if" | "in" | "not")
            }
            Kind::Str(_) | Kind::Int(_) | Kind::Float(_) | Kind::Op("[" | "{") => true,
            _ => false,
        }
    }

    fn dotted(&mut self) -> Result<Rc<str>> {
        let mut name = self.expect_name()?.to_string();
        while self.skip_op(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        Ok(Rc::from(name))
    }

    /// The name of a filter and its arguments.
    pub(super) fn named(&mut self) -> Result<Named> {
        let name = self.dotted()?;
        let arguments = if self.skip_op("(") { self.arguments()? } else { Arguments::default() };
        Ok(Named { name, arguments })
    }
}

fn chained(value: Expr, mut links: Vec<Link>) -> Expr {
    if links.is_empty() {
        return value;
    }
    match value {
        Expr::Chain(first, mut before) => {
            before.append(&mut links);
            Expr::Chain(first, before)
        }
        value => Expr::Chain(Box::new(value), links),
    }
}

//! Evaluates the expressions of a template.

use super::access;
use super::arguments::Args;
use super::ast::*;
use super::budget::{work, Level};
use super::error::{error, fail, Result};
use super::filters;
use super::functions;
use super::interpreter::Interpreter;
use super::methods::call_method;
use super::operators::{binary, compare};
use super::scope::Callable;
use super::tests;
use super::value::Value;
use std::rc::Rc;

impl Interpreter {
    pub(super) fn evaluate(&mut self, expression: &Expr) -> Result<Value> {
        work(1)?;
        match expression {
            Expr::Constant(value) => return Ok(value.clone()),
            Expr::Name(name) => return self.name(name),
            _ => {}
        }
        let _level = Level::enter()?;
        match expression {
            Expr::Constant(_) | Expr::Name(_) => fail("unreachable"),
            Expr::List(items) => Value::list(self.all(items)?),
            Expr::Tuple(items) => Value::tuple(self.all(items)?),
            Expr::Dict(pairs) => {
                let mut members = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    members.push((self.evaluate(key)?, self.evaluate(value)?));
                }
                Value::dict(members)
            }
            Expr::Chain(first, links) => self.chain(first, links),
            Expr::Unary(signs, operand) => {
                let mut value = self.evaluate(operand)?;
                for sign in signs.iter().rev() {
                    work(1)?;
                    value = signed(*sign, &value)?;
                }
                Ok(value)
            }
            Expr::Binary(first, rest) => self.binary(first, rest),
            Expr::Compare(first, rest) => {
                let mut left = self.evaluate(first)?;
                for (operator, right) in rest {
                    let right = self.evaluate(right)?;
                    if !compare(operator, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::And(items) => self.first_that(items, false),
            Expr::Or(items) => self.first_that(items, true),
            Expr::If(choice) => {
                if self.evaluate(&choice.test)?.truth() {
                    return self.evaluate(&choice.yes);
                }
                match &choice.no {
                    Some(no) => self.evaluate(no),
                    None => Value::undefined("an inline 'if' without 'else' gave no value"),
                }
            }
        }
    }

    fn all(&mut self, items: &[Expr]) -> Result<Vec<Value>> {
        items.iter().map(|item| self.evaluate(item)).collect()
    }

    // `or` and `and` give the value that decided.
    fn first_that(&mut self, items: &[Expr], truth: bool) -> Result<Value> {
        let mut value = Value::None;
        for item in items {
            value = self.evaluate(item)?;
            if value.truth() == truth {
                break;
            }
        }
        Ok(value)
    }

    fn binary(&mut self, first: &Expr, rest: &[(&'static str, Expr)]) -> Result<Value> {
        let mut value = self.evaluate(first)?;
        // All of `a ~ b ~ c` at once: one after the other would copy the first ones often.
        if rest.iter().all(|(operator, _)| *operator == "~") {
            let mut out = super::text::Writer::default();
            super::text::write_str(&mut out, &value)?;
            for (_, operand) in rest {
                super::text::write_str(&mut out, &self.evaluate(operand)?)?;
            }
            return out.into_value();
        }
        for (operator, operand) in rest {
            let operand = self.evaluate(operand)?;
            value = binary(operator, &value, &operand)?;
        }
        Ok(value)
    }

    fn name(&mut self, name: &Rc<str>) -> Result<Value> {
        if let Some(value) = self.scope.get(name)? {
            return Ok(value);
        }
        match functions::named(name) {
            Some(function) => Ok(Value::Callable(Rc::new(Callable::Function(function)))),
            None => Value::undefined(format!("'{name}' is undefined")),
        }
    }

    fn chain(&mut self, first: &Expr, links: &[Link]) -> Result<Value> {
        let mut value = self.evaluate(first)?;
        for link in links {
            value = self.link(value, link)?;
        }
        Ok(value)
    }

    fn link(&mut self, value: Value, link: &Link) -> Result<Value> {
        work(1)?;
        match link {
            Link::Attribute(name) => access::attribute(&value, name),
            Link::Item(key) => {
                let key = self.evaluate(key)?;
                access::item(&value, &key)
            }
            Link::Slice(parts) => {
                let mut bounds = [None, None, None];
                for (bound, part) in bounds.iter_mut().zip(parts) {
                    *bound = part.as_ref().map(|part| self.evaluate(part)).transpose()?;
                }
                access::slice(&value, &bounds)
            }
            Link::Call(arguments) => {
                let args = self.arguments(arguments)?;
                self.call(&value, args)
            }
            Link::Filter(filter) => {
                let args = self.arguments(&filter.arguments)?;
                filters::apply(&filter.name, &value, &args)
            }
            Link::Test(test, negated) => {
                let args = self.arguments(&test.arguments)?;
                Ok(Value::Bool(tests::passes(&test.name, &value, &args)? != *negated))
            }
        }
    }

    pub(super) fn arguments(&mut self, arguments: &Arguments) -> Result<Args> {
        let mut args = Args::of(self.all(&arguments.positional)?);
        for (name, value) in &arguments.named {
            args.named.push((name.clone(), self.evaluate(value)?));
        }
        if let Some(list) = &arguments.list {
            args.positional.extend(self.evaluate(list)?.elements()?);
        }
        if let Some(dict) = &arguments.dict {
            let Value::Dict(dict) = self.evaluate(dict)? else {
                return fail("'**' expects a dict");
            };
            for (name, value) in &dict.members {
                let name = name.as_str().ok_or_else(|| error("'**' expects names as keys"))?;
                args.named.push((Rc::from(name), value.clone()));
            }
        }
        Ok(args)
    }

    fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        match callee.defined()? {
            Value::Loop(state) => self.recurse(state, &args),
            Value::Callable(callable) => match &**callable {
                Callable::Function(name) => functions::call(name, &args, self.now),
                Callable::Method(value, name) => call_method(value, name, &args),
                Callable::Macro(definition, scope) => self.call_macro(definition, scope, args),
            },
            other => fail(format!("a {} cannot be called", other.type_name())),
        }
    }

    /// The last call of `expression`, with a `caller` beside its arguments.
    pub(super) fn call_with(&mut self, expression: &Expr, caller: Value) -> Result<Value> {
        let Expr::Chain(first, links) = expression else {
            return fail("'call' expects the call of a macro");
        };
        let Some((Link::Call(arguments), before)) = links.split_last() else {
            return fail("'call' expects the call of a macro");
        };
        let callee = self.chain(first, before)?;
        let mut args = self.arguments(arguments)?;
        args.named.push((Rc::from("caller"), caller));
        self.call(&callee, args)
    }
}

fn signed(sign: Sign, value: &Value) -> Result<Value> {
    if sign == Sign::Not {
        return Ok(Value::Bool(!value.truth()));
    }
    let negative = sign == Sign::Minus;
    match value.defined()? {
        Value::Float(number) => Ok(Value::Float(if negative { -number } else { *number })),
        other => match other.as_int() {
            Some(number) if !negative => Ok(Value::Int(number)),
            Some(number) => {
                let negated = number.checked_neg();
                Ok(Value::Int(negated.ok_or_else(|| error("a number is beyond 64 bits"))?))
            }
            None => fail(format!("a sign stands before a {}", other.type_name())),
        },
    }
}

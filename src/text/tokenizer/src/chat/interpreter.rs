//! Runs the statements of a template.

use super::arguments::Args;
use super::ast::*;
use super::budget::{work, Level};
use super::error::{error, fail, Result};
use super::filters;
use super::loops::Loop;
use super::scope::{Callable, Scope};
use super::text::{write_str, Writer};
use super::value::Value;
use std::rc::Rc;

/// What the end of a statement means for the loop around it.
#[derive(PartialEq)]
pub enum Flow {
    On,
    Break,
    Continue,
}

pub struct Interpreter {
    pub(super) scope: Rc<Scope>,
    /// Where text goes: the rendering, and above it what is being captured.
    outputs: Vec<Writer>,
    /// Bytes of the rendering inside `generation` blocks; nothing once such a block was captured.
    generated: Option<Vec<(usize, usize)>>,
    /// Seconds of the local clock since 1970.
    pub(super) now: i64,
}

/// A rendering, and the bytes of it that stand in `generation` blocks.
pub struct Rendering {
    pub text: String,
    pub generated: Option<Vec<(usize, usize)>>,
}

/// Runs `template` with these variables.
pub fn run(template: &Body, scope: Rc<Scope>, now: i64) -> Result<Rendering> {
    let outputs = vec![Writer::default()];
    let mut interpreter = Interpreter { scope, outputs, generated: Some(Vec::new()), now };
    let result = interpreter.body(template);
    interpreter.scope.close();
    result?;
    let text = interpreter.outputs.pop().map(Writer::into_string).unwrap_or_default();
    Ok(Rendering { text, generated: interpreter.generated })
}

impl Interpreter {
    pub(super) fn body(&mut self, body: &Body) -> Result<Flow> {
        let _level = Level::enter()?;
        for statement in body {
            work(1)?;
            let flow = self.statement(&statement.node).map_err(|error| error.at(statement.line))?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn output(&mut self) -> Result<&mut Writer> {
        self.outputs.last_mut().ok_or_else(|| error("there is nowhere to write to"))
    }

    // In a scope of its own; `names` are known there.
    fn body_within(&mut self, body: &Body, names: Vec<(Rc<str>, Value)>) -> Result<Flow> {
        let scope = Scope::within(Some(self.scope.clone()));
        for (name, value) in names {
            scope.set(&name, value);
        }
        let outer = std::mem::replace(&mut self.scope, scope);
        let flow = self.body(body);
        std::mem::replace(&mut self.scope, outer).close();
        flow
    }

    // What the body writes, as a text.
    fn captured(&mut self, body: &Body) -> Result<Value> {
        self.outputs.push(Writer::default());
        let flow = self.body_within(body, Vec::new());
        let text = self.outputs.pop().unwrap_or_default();
        flow?;
        text.into_value()
    }

    fn statement(&mut self, node: &Node) -> Result<Flow> {
        match node {
            Node::Text(text) => self.output()?.push(text)?,
            Node::Output(value) => {
                let value = self.evaluate(value)?;
                write_str(self.output()?, &value)?;
            }
            Node::If(branches, otherwise) => {
                for (test, body) in branches {
                    work(1)?;
                    if self.evaluate(test)?.truth() {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            Node::For(statement) => {
                let items = self.evaluate(&statement.over)?.elements()?;
                return self.repeat(statement, items, 0);
            }
            Node::Set(target, value) => {
                let value = self.evaluate(value)?;
                self.assign(target, value)?;
            }
            Node::SetBlock(target, filters, body) => {
                let text = self.captured(body)?;
                let value = self.filtered(filters, text)?;
                self.assign(target, value)?;
            }
            Node::Filter(filters, body) => {
                let text = self.captured(body)?;
                let value = self.filtered(filters, text)?;
                write_str(self.output()?, &value)?;
            }
            Node::With(pairs, body) => return self.with(pairs, body),
            Node::Macro(definition) => {
                let value = Callable::Macro(definition.clone(), self.scope.clone());
                self.scope.set(&definition.name, Value::Callable(Rc::new(value)));
            }
            Node::Call(definition, call) => {
                let caller = Callable::Macro(definition.clone(), self.scope.clone());
                let value = self.call_with(call, Value::Callable(Rc::new(caller)))?;
                write_str(self.output()?, &value)?;
            }
            Node::Generation(body) => return self.generation(body),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn generation(&mut self, body: &Body) -> Result<Flow> {
        let is_captured = self.outputs.len() > 1;
        let begin = self.output()?.len();
        let flow = self.body_within(body, Vec::new())?;
        let end = self.output()?.len();
        if is_captured {
            self.generated = None;
        }
        if let Some(generated) = &mut self.generated {
            generated.push((begin, end));
        }
        Ok(flow)
    }

    fn with(&mut self, pairs: &[(Target, Expr)], body: &Body) -> Result<Flow> {
        let values = pairs.iter().map(|(_, value)| self.evaluate(value));
        let values = values.collect::<Result<Vec<_>>>()?;
        let scope = Scope::within(Some(self.scope.clone()));
        let outer = std::mem::replace(&mut self.scope, scope);
        let assigned = pairs
            .iter()
            .zip(values)
            .try_for_each(|((target, _), value)| self.assign(target, value));
        let flow = assigned.and_then(|()| self.body(body));
        std::mem::replace(&mut self.scope, outer).close();
        flow
    }

    fn filtered(&mut self, filters: &[Named], text: Value) -> Result<Value> {
        let mut value = text;
        for filter in filters {
            let args = self.arguments(&filter.arguments)?;
            value = filters::apply(&filter.name, &value, &args)?;
        }
        Ok(value)
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => self.scope.set(name, value),
            Target::Member(name, member) => {
                let Some(Value::Namespace(namespace)) = self.scope.get(name)? else {
                    return fail(format!("'{name}' is no namespace: its members cannot be set"));
                };
                if member.starts_with('_') {
                    return fail(format!("a namespace has no member '{member}'"));
                }
                if !value.is_plain()? {
                    let kind = value.type_name();
                    return fail(format!("a {kind} in a namespace is not supported"));
                }
                namespace.members.borrow_mut().insert(member.clone(), value);
            }
            Target::Tuple(targets) => {
                let values = value.elements()?;
                if values.len() != targets.len() {
                    let (expected, got) = (targets.len(), values.len());
                    return fail(format!("expected {expected} values to unpack, got {got}"));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
            }
        }
        Ok(())
    }

    // One `for`, or one level of a recursive one.
    pub(super) fn repeat(
        &mut self,
        statement: &Rc<For>,
        items: Vec<Value>,
        depth: usize,
    ) -> Result<Flow> {
        let mut items = items;
        if let Some(test) = &statement.only_if {
            let mut kept = Vec::new();
            for item in items {
                if self.passes(statement, test, &item)? {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.body_within(&statement.otherwise, Vec::new());
        }
        let state = Loop::new(items, depth, statement.clone(), self.scope.clone())?;
        // As Jinja has it: `else` is for loops of which no round came to its end.
        let mut completed = false;
        for at in 0..state.len() {
            work(1)?;
            state.at.set(at);
            let scope = Scope::within(Some(self.scope.clone()));
            scope.set(&Rc::from("loop"), Value::Loop(state.clone()));
            let outer = std::mem::replace(&mut self.scope, scope);
            let flow = self
                .assign(&statement.target, state.items[at].clone())
                .and_then(|()| self.body(&statement.body));
            std::mem::replace(&mut self.scope, outer).close();
            match flow? {
                Flow::On => completed = true,
                Flow::Break => break,
                Flow::Continue => {}
            }
        }
        if !completed {
            return self.body_within(&statement.otherwise, Vec::new());
        }
        Ok(Flow::On)
    }

    fn passes(&mut self, statement: &For, test: &Expr, item: &Value) -> Result<bool> {
        let scope = Scope::within(Some(self.scope.clone()));
        let outer = std::mem::replace(&mut self.scope, scope);
        let passes = self
            .assign(&statement.target, item.clone())
            .and_then(|()| self.evaluate(test))
            .map(|value| value.truth());
        std::mem::replace(&mut self.scope, outer).close();
        passes
    }

    /// `loop(items)`: the body of a recursive `for` once more, as a text.
    pub(super) fn recurse(&mut self, state: &Rc<Loop>, args: &Args) -> Result<Value> {
        if !state.statement.recursive {
            return fail("'loop' is called, but its 'for' is not 'recursive'");
        }
        let items = args.bind("loop", &["iterable"])?.need(0)?.elements()?;
        self.outputs.push(Writer::default());
        let outer = std::mem::replace(&mut self.scope, state.scope.clone());
        let flow = self.repeat(&state.statement, items, state.depth + 1);
        self.scope = outer;
        let text = self.outputs.pop().unwrap_or_default();
        flow?;
        text.into_value()
    }

    /// What a macro writes.
    pub(super) fn call_macro(
        &mut self,
        definition: &Rc<MacroDef>,
        outer: &Rc<Scope>,
        args: Args,
    ) -> Result<Value> {
        let scope = Scope::within(Some(outer.clone()));
        let before = std::mem::replace(&mut self.scope, scope);
        self.outputs.push(Writer::default());
        let bound = self.bind_macro(definition, args);
        let flow = bound.and_then(|()| self.body(&definition.body));
        let text = self.outputs.pop().unwrap_or_default();
        std::mem::replace(&mut self.scope, before).close();
        flow?;
        text.into_value()
    }

    fn bind_macro(&mut self, definition: &MacroDef, mut args: Args) -> Result<()> {
        let name = &definition.name;
        let mut positional = std::mem::take(&mut args.positional).into_iter();
        for (parameter, default) in &definition.parameters {
            let named = args.named.iter().position(|(given, _)| given == parameter);
            let value = match (positional.next(), named) {
                (Some(_), Some(_)) => {
                    return fail(format!("{name}: the argument '{parameter}' is given twice"));
                }
                (Some(value), None) => value,
                (None, Some(at)) => args.named.remove(at).1,
                (None, None) => match default {
                    Some(default) => self.evaluate(default)?,
                    None => Value::undefined(format!("{name}: no argument '{parameter}'"))?,
                },
            };
            self.scope.set(parameter, value);
        }
        let caller = args.named.iter().position(|(given, _)| &**given == "caller");
        if definition.takes_caller {
            let value = match caller {
                Some(at) => args.named.remove(at).1,
                None => Value::undefined(format!("{name}: it was not called by a 'call' block"))?,
            };
            self.scope.set(&Rc::from("caller"), value);
        }
        let rest: Vec<Value> = positional.collect();
        if definition.takes_rest {
            self.scope.set(&Rc::from("varargs"), Value::tuple(rest)?);
        } else if !rest.is_empty() {
            let most = definition.parameters.len();
            return fail(format!("{name}: expected at most {most} arguments, got more"));
        }
        if definition.takes_named {
            let named =
                args.named.iter().map(|(name, value)| Ok((Value::str(&**name)?, value.clone())));
            let named = named.collect::<Result<Vec<_>>>()?;
            self.scope.set(&Rc::from("kwargs"), Value::dict(named)?);
        } else if let Some((given, _)) = args.named.first() {
            return fail(format!("{name}: there is no argument '{given}'"));
        }
        Ok(())
    }
}

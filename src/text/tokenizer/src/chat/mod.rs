//! Chat templates: the Jinja template of a tokenizer_config.json, rendered for a conversation as
//! Hugging Face's `transformers` renders it with Python's Jinja.
//!
//! A template comes from anywhere, so each rendering has a budget (`budget.rs`) and a stack of its
//! own. What is not supported is refused by name.

mod access;
mod arguments;
mod ast;
mod budget;
mod compare;
mod error;
mod escapes;
mod evaluate;
mod expression;
mod filters;
mod format;
mod functions;
mod interpreter;
mod json;
mod lexer;
mod loops;
mod methods;
mod numbers;
mod operators;
mod parser;
mod scope;
mod sequences;
mod sorting;
mod strings;
mod tests;
mod text;
mod time;
mod value;
mod variables;

pub use interpreter::Rendering;

use crate::Failure;
use scope::Scope;
use std::rc::Rc;
use value::Value;

const MOST_SOURCE: usize = 1 << 20;
// The deepest template takes a tenth of it.
const STACK: usize = 16 << 20;

/// Renders `template` with the members of the JSON object `variables`; `now` is what
/// `strftime_now` tells, in seconds of the local clock since 1970.
pub fn render(template: &[u8], variables: &[u8], now: i64) -> Result<Rendering, Failure> {
    let template = std::str::from_utf8(template)
        .map_err(|_| Failure::File("expected a template in UTF-8".into()))?;
    if template.len() > MOST_SOURCE {
        let got = template.len();
        return Err(Failure::File(format!("expected at most {MOST_SOURCE} bytes, got {got}")));
    }
    let render = || rendered(template, variables, now);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, render);
        let thread = thread
            .map_err(|error| Failure::Argument(format!("no thread to render it in: {error}")))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn rendered(template: &str, variables: &[u8], now: i64) -> Result<Rendering, Failure> {
    let body = parser::parse(template).map_err(|error| Failure::File(error.sentence()))?;
    let refused = |error: error::Error| Failure::Argument(error.sentence());
    let Value::Dict(variables) = variables::parsed(variables).map_err(refused)? else {
        return Err(Failure::Argument("expected a JSON object of variables".into()));
    };
    let scope = Scope::within(None);
    for (name, value) in &variables.members {
        scope.set(&Rc::from(name.as_str().unwrap_or_default()), value.clone());
    }
    interpreter::run(&body, scope, now).map_err(refused)
}

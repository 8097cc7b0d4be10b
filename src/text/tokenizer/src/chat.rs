//! Chat templates: the Jinja template of a tokenizer_config.json, rendered for a conversation.

use crate::Failure;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::error::Error as _;

// Steps that one conversation may take; real templates need some hundreds per message.
const FUEL: u64 = 20_000_000;

fn raise(text: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, text))
}

fn sentence(error: &Error) -> String {
    let mut text = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    if let Some(line) = error.line() {
        text += &format!(" (line {line} of the template)");
    }
    let mut source = error.source();
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    text
}

/// Renders `template` with the members of the JSON object `variables`, as Hugging Face's
/// `transformers` does: blocks take their line with them, `raise_exception` refuses a conversation.
pub fn render(template: &[u8], variables: &[u8]) -> Result<String, Failure> {
    let template = std::str::from_utf8(template)
        .map_err(|_| Failure::File("expected a template in UTF-8".into()))?;
    let variables: serde_json::Value = serde_json::from_slice(variables)
        .map_err(|error| Failure::Argument(format!("expected JSON, got {error}")))?;
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|error| Failure::File(sentence(&error)))?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function("raise_exception", raise);
    let parsed =
        environment.template_from_str(template).map_err(|error| Failure::File(sentence(&error)))?;
    parsed
        .render(Value::from(Serde(variables)))
        .map_err(|error| Failure::Argument(sentence(&error)))
}

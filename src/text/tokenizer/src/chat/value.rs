//! The values of a template, with Python's meaning: truth, equality, order, length, iteration.

use super::budget::{work, Held};
use super::error::{fail, Result};
use super::loops::Loop;
use super::scope::{Callable, Namespace};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

// Values may be freed, compared and printed by recursion.
const MOST_DEPTH: u32 = 200;
const SLOT: usize = 24;
const OBJECT: usize = 64;

#[derive(Clone)]
pub enum Value {
    /// What is not there, and how to say so.
    Undefined(Rc<Text>),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<Text>),
    List(Rc<List>),
    Tuple(Rc<List>),
    Dict(Rc<Dict>),
    /// What `range` and a dict's `keys`, `values` and `items` give.
    View(Rc<View>),
    /// A generator: it can be read once.
    Stream(Rc<Stream>),
    Namespace(Rc<Namespace>),
    Callable(Rc<Callable>),
    Loop(Rc<Loop>),
}

pub struct Text {
    pub text: Box<str>,
    _held: Held,
}

pub struct List {
    pub items: Vec<Value>,
    depth: u32,
    _held: Held,
}

/// Members in the order they came in.
pub struct Dict {
    pub members: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
    depth: u32,
    _held: Held,
}

pub struct View {
    pub kind: &'static str,
    pub items: Rc<List>,
}

pub struct Stream {
    items: RefCell<std::vec::IntoIter<Value>>,
    depth: u32,
    _held: Held,
}

/// What a dict's members are found by; equal numbers of any type are one key, as in Python.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Undefined,
    None,
    Int(i64),
    Float(u64),
    Str(Rc<str>),
    Tuple(Vec<Key>),
}

impl Key {
    fn of(value: &Value) -> Result<Key> {
        work(1)?;
        Ok(match value {
            Value::Undefined(_) => Key::Undefined,
            Value::None => Key::None,
            Value::Bool(value) => Key::Int(i64::from(*value)),
            Value::Int(value) => Key::Int(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Key::Int(*value as i64)
            }
            Value::Float(value) => Key::Float(value.to_bits()),
            Value::Str(text) => Key::Str(Rc::from(&*text.text)),
            Value::Tuple(list) => {
                Key::Tuple(list.items.iter().map(Key::of).collect::<Result<_>>()?)
            }
            other => return fail(format!("a {} cannot be the key of a dict", other.type_name())),
        })
    }
}

fn deepest<'a>(values: impl Iterator<Item = &'a Value>) -> Result<u32> {
    let depth = 1 + values.map(Value::depth).max().unwrap_or(0);
    if depth > MOST_DEPTH {
        return fail(format!("values nest deeper than {MOST_DEPTH} levels"));
    }
    Ok(depth)
}

impl List {
    pub fn new(items: Vec<Value>) -> Result<Rc<List>> {
        let held = Held::new(OBJECT + SLOT * items.len())?;
        Ok(Rc::new(List { depth: deepest(items.iter())?, items, _held: held }))
    }
}

impl Dict {
    /// Of two members with one key, the place of the first and the value of the second count.
    pub fn new(pairs: impl IntoIterator<Item = (Value, Value)>) -> Result<Rc<Dict>> {
        let mut held = Held::new(OBJECT)?;
        let mut members: Vec<(Value, Value)> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        for (key, value) in pairs {
            let found = Key::of(&key)?;
            if let Some(place) = places.get(&found) {
                members[*place].1 = value;
                continue;
            }
            held.grow(8 * SLOT + key.str_len())?;
            places.insert(found, members.len());
            members.push((key, value));
        }
        let depth = deepest(members.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Rc::new(Dict { members, places, depth, _held: held }))
    }

    pub fn get(&self, key: &Value) -> Result<Option<&Value>> {
        let place = self.places.get(&Key::of(key)?);
        Ok(place.map(|place| &self.members[*place].1))
    }

    pub fn get_str(&self, key: &str) -> Option<&Value> {
        self.places.get(&Key::Str(Rc::from(key))).map(|place| &self.members[*place].1)
    }
}

impl Value {
    pub fn str(text: impl Into<Box<str>>) -> Result<Value> {
        let text: Box<str> = text.into();
        let held = Held::new(OBJECT + text.len())?;
        Ok(Value::Str(Rc::new(Text { text, _held: held })))
    }

    pub fn undefined(why: impl Into<Box<str>>) -> Result<Value> {
        let text: Box<str> = why.into();
        let held = Held::new(OBJECT + text.len())?;
        Ok(Value::Undefined(Rc::new(Text { text, _held: held })))
    }

    pub fn list(items: Vec<Value>) -> Result<Value> {
        Ok(Value::List(List::new(items)?))
    }

    pub fn tuple(items: Vec<Value>) -> Result<Value> {
        Ok(Value::Tuple(List::new(items)?))
    }

    pub fn dict(pairs: impl IntoIterator<Item = (Value, Value)>) -> Result<Value> {
        Ok(Value::Dict(Dict::new(pairs)?))
    }

    pub fn view(kind: &'static str, items: Vec<Value>) -> Result<Value> {
        Ok(Value::View(Rc::new(View { kind, items: List::new(items)? })))
    }

    pub fn stream(items: Vec<Value>) -> Result<Value> {
        let held = Held::new(OBJECT + SLOT * items.len())?;
        let depth = deepest(items.iter())?;
        let items = RefCell::new(items.into_iter());
        Ok(Value::Stream(Rc::new(Stream { items, depth, _held: held })))
    }

    fn depth(&self) -> u32 {
        match self {
            Value::List(list) | Value::Tuple(list) => list.depth,
            Value::Dict(dict) => dict.depth,
            Value::View(view) => 1 + view.items.depth,
            Value::Stream(stream) => stream.depth,
            Value::Callable(callable) => match &**callable {
                Callable::Method(value, _) => 1 + value.depth(),
                _ => 1,
            },
            Value::Loop(_) => MOST_DEPTH,
            _ => 0,
        }
    }

    /// May it be stored in a namespace? What could lead back to the namespace may not.
    pub fn is_plain(&self) -> Result<bool> {
        work(1)?;
        let all = |values: &mut dyn Iterator<Item = &Value>| -> Result<bool> {
            for value in values {
                if !value.is_plain()? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match self {
            Value::List(list) | Value::Tuple(list) => all(&mut list.items.iter()),
            Value::Dict(dict) => all(&mut dict.members.iter().map(|(_, value)| value)),
            Value::View(view) => all(&mut view.items.items.iter()),
            Value::Stream(stream) => all(&mut stream.items.borrow().as_slice().iter()),
            Value::Namespace(_) | Value::Callable(_) | Value::Loop(_) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Python's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::View(view) => view.kind,
            Value::Stream(_) => "generator",
            Value::Namespace(_) => "namespace",
            Value::Callable(_) => "function",
            Value::Loop(_) => "loop",
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(&text.text),
            _ => None,
        }
    }

    fn str_len(&self) -> usize {
        self.as_str().map_or(0, str::len)
    }

    /// The whole number that an int or a bool is.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            _ => self.as_int().map(|value| value as f64),
        }
    }

    /// An error for what is not there; everything else as it is.
    pub fn defined(&self) -> Result<&Value> {
        match self {
            Value::Undefined(why) => fail(&*why.text),
            _ => Ok(self),
        }
    }

    pub fn truth(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.text.is_empty(),
            Value::List(list) | Value::Tuple(list) => !list.items.is_empty(),
            Value::Dict(dict) => !dict.members.is_empty(),
            Value::View(view) => !view.items.items.is_empty(),
            _ => true,
        }
    }

    pub fn len(&self) -> Result<usize> {
        match self {
            Value::Undefined(_) => Ok(0),
            Value::Str(text) => {
                work(text.text.len() / 32)?;
                Ok(text.text.chars().count())
            }
            Value::List(list) | Value::Tuple(list) => Ok(list.items.len()),
            Value::Dict(dict) => Ok(dict.members.len()),
            Value::View(view) => Ok(view.items.items.len()),
            Value::Loop(state) => Ok(state.len()),
            other => fail(format!("a {} has no length", other.type_name())),
        }
    }

    /// The elements, as a `for` meets them; a generator is empty afterwards.
    pub fn elements(&self) -> Result<Vec<Value>> {
        let elements = match self {
            Value::Undefined(_) => Vec::new(),
            Value::Str(text) => {
                // Counted before they are made: each is an object.
                let _room = Held::new((OBJECT + SLOT) * text.text.len())?;
                let one = |c: char| Value::str(c.encode_utf8(&mut [0; 4]) as &str);
                text.text.chars().map(one).collect::<Result<_>>()?
            }
            Value::List(list) | Value::Tuple(list) => list.items.clone(),
            Value::Dict(dict) => dict.members.iter().map(|(key, _)| key.clone()).collect(),
            Value::View(view) => view.items.items.clone(),
            Value::Stream(stream) => stream.items.borrow_mut().by_ref().collect(),
            other => return fail(format!("a {} cannot be iterated over", other.type_name())),
        };
        work(elements.len())?;
        Ok(elements)
    }

    /// The next element of a generator, or the first of anything else.
    pub fn first(&self) -> Result<Option<Value>> {
        match self {
            Value::Stream(stream) => Ok(stream.items.borrow_mut().next()),
            Value::Str(text) => {
                let first = text.text.chars().next();
                first.map(|c| Value::str(c.encode_utf8(&mut [0; 4]) as &str)).transpose()
            }
            _ => Ok(self.elements()?.into_iter().next()),
        }
    }
}

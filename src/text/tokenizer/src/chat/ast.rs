//! A template as a tree. Chains (`a.b.c`, `1 + 2 + 3`, `elif`) are lists, so that only brackets and
//! blocks make it deep.

use super::value::Value;
use std::rc::Rc;

pub enum Expr {
    Constant(Value),
    Name(Rc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// What stands first, and what is done with it one after the other.
    Chain(Box<Expr>, Vec<Link>),
    /// The outermost operator comes first.
    Unary(Vec<Sign>, Box<Expr>),
    /// Operators of one precedence, from left to right.
    Binary(Box<Expr>, Vec<(&'static str, Expr)>),
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    If(Box<Choice>),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Sign {
    Minus,
    Plus,
    Not,
}

pub struct Choice {
    pub test: Expr,
    pub yes: Expr,
    pub no: Option<Expr>,
}

pub enum Link {
    Attribute(Rc<str>),
    Item(Expr),
    Slice([Option<Expr>; 3]),
    Call(Arguments),
    Filter(Named),
    Test(Named, bool),
}

/// A filter or a test with its arguments.
pub struct Named {
    pub name: Rc<str>,
    pub arguments: Arguments,
}

#[derive(Default)]
pub struct Arguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(Rc<str>, Expr)>,
    /// `*list` and `**dict`.
    pub list: Option<Box<Expr>>,
    pub dict: Option<Box<Expr>>,
}

pub enum Target {
    Name(Rc<str>),
    Member(Rc<str>, Rc<str>),
    Tuple(Vec<Target>),
}

pub struct Stmt {
    pub line: u32,
    pub node: Node,
}

pub type Body = Vec<Stmt>;

pub enum Node {
    Text(String),
    Output(Expr),
    /// Conditions in order; the last body is that of `else`.
    If(Vec<(Expr, Body)>, Body),
    For(Rc<For>),
    Set(Target, Expr),
    SetBlock(Target, Vec<Named>, Body),
    Macro(Rc<MacroDef>),
    Call(Rc<MacroDef>, Expr),
    Filter(Vec<Named>, Body),
    With(Vec<(Target, Expr)>, Body),
    Generation(Body),
    Break,
    Continue,
}

pub struct For {
    pub target: Target,
    pub over: Expr,
    pub only_if: Option<Expr>,
    pub recursive: bool,
    pub body: Body,
    pub otherwise: Body,
}

/// A macro, or the body of a `call` block.
pub struct MacroDef {
    pub name: Rc<str>,
    pub parameters: Vec<(Rc<str>, Option<Expr>)>,
    pub body: Body,
    /// Does the body name them? Only then may such arguments be given.
    pub takes_rest: bool,
    pub takes_named: bool,
    pub takes_caller: bool,
}
